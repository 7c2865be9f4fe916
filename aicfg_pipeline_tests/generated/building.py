"""Builds a world in an empty database: first the old tables from their files, as they once were, then what the migration made.

What the old tables look like is witnessed before the migration: that is what a rollback has to bring back.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import psycopg

from aicfg_pipeline_tests.generated import files, witness
from aicfg_pipeline_tests.generated.roles import MEMBERS
from aicfg_pipeline_tests.generated.world import Dependent, Grant, Pair, World, beside_values, q


@dataclass
class Built:
    """What was witnessed while building: of each old table as its file makes it."""

    old_shape: dict[str, Any] = field(default_factory=dict)
    old_access: dict[str, Any] = field(default_factory=dict)


def login(world: World) -> str | None:
    """Return the role that runs the pipeline; None is the superuser."""
    return {"owner": world.owner, "member": MEMBERS[world.owner], "superuser": None}[world.runner]


def build(connection: psycopg.Connection, world: World, database: str, superuser: str) -> Built:
    """Build everything, as superuser on a connection of the test's own."""
    built = Built()

    def run(statement: str) -> None:
        connection.execute(statement)  # type: ignore[call-overload]

    run(f"GRANT CREATE ON DATABASE {q(database)} TO {q(world.owner)}")
    for pair in world.pairs:
        _as_owner(run, pair.owner or world.owner)
        _run_file(run, files.blocks(pair, "old"))
    run("RESET ROLE")
    for pair in world.pairs:
        built.old_shape[pair.old] = witness.shape(connection, pair.old)
        built.old_access[pair.old] = witness.access(connection, [pair.old])
    _default_privileges(run, world, superuser)
    for pair in world.pairs:
        _as_owner(run, pair.owner or world.owner)
        _migrated(run, connection, pair, pair.owner or world.owner)
    _old_names(run, connection, world)
    run("RESET ROLE")
    for dependent in world.dependents:
        pair = world.pairs[dependent.pair]
        if goes_along(pair, dependent):
            _as_owner(run, pair.owner or world.owner)
        run(dependent_statement(pair, dependent))
    run("RESET ROLE; RESET search_path")
    _publish(run, world, can_choose=_version(connection) >= 150_000)
    _settings(run, world, database)
    return built


def _old_names(run: Callable[[str], None], connection: psycopg.Connection, world: World) -> None:
    """The old tables go, and their names become the views'."""
    run("RESET ROLE")
    for pair in world.pairs:
        if pair.shape not in ("renamed", "coexisting"):
            run(f"DROP TABLE {q('public', pair.old)} CASCADE")
    copied = {("public", p.old) for p in world.pairs if p.shape != "renamed"}
    for pair in world.pairs:
        _as_owner(run, pair.owner or world.owner)
        if pair.shape == "renamed":  # its key to a table that was copied went with the old one
            for statement in files.keys_to(pair, copied):
                run(statement)
        _view(run, connection, pair)


def _as_owner(run: Callable[[str], None], owner: str) -> None:
    run(f"SET ROLE {q(owner)}")
    run("SET search_path = public")


def _default_privileges(run: Callable[[str], None], world: World, superuser: str) -> None:
    """For whoever might make a table: the owner, a member of it, the superuser."""
    run("RESET ROLE")
    for said in world.default_privileges:
        for role in dict.fromkeys((world.owner, MEMBERS[world.owner], superuser)):
            run(f"ALTER DEFAULT PRIVILEGES FOR ROLE {q(role)}{said}")


def _migrated(run: Callable[[str], None], connection: psycopg.Connection, pair: Pair, owner: str) -> None:
    if pair.shape == "renamed":
        _renamed(run, pair)
    else:
        _run_file(run, files.blocks(pair, "new"))
    insert(connection, pair, "new", owner, pair.rows)
    for statement in files.only_new(pair):
        run(statement)
    if pair.shape == "coexisting":
        insert(connection, pair, "old", owner, pair.old_rows)


def _view(run: Callable[[str], None], connection: psycopg.Connection, pair: Pair) -> None:
    if pair.shape in ("view", "renamed"):
        invoker = " WITH (security_invoker = true)" if pair.invoker and _version(connection) >= 150_000 else ""
        run(f"CREATE VIEW {q(pair.old)}{invoker} AS SELECT * FROM {q(pair.new)}")
        _grant(run, pair.old, pair.view_grants)
    _grant(run, pair.new, pair.new_grants)


def _run_file(run: Callable[[str], None], blocks: dict[str, list[str]]) -> None:
    for statements in blocks.values():
        for statement in statements:
            run(statement)


def _grant(run: Callable[[str], None], table: str, grants: Sequence[Grant]) -> None:
    for grant in grants:
        for statement in files.grants(table, grant):
            run(statement)


def _renamed(run: Callable[[str], None], pair: Pair) -> None:
    """ALTER TABLE … RENAME keeps every other name: indexes, constraints, sequences."""
    run(f"ALTER TABLE {q(pair.old)} RENAME TO {q(pair.new)}")
    for column in pair.columns:
        if column.old is None:
            default = f" DEFAULT {column.new_default}" if column.new_default else ""
            run(f"ALTER TABLE {q(pair.new)} ADD COLUMN {q(column.name)} {column.type('new')}{default}")
        elif column.new is None:
            run(f"ALTER TABLE {q(pair.new)} DROP COLUMN {q(column.name)}")
        elif column.old != column.new:
            name, type_ = q(column.name), column.type("new")
            run(f"ALTER TABLE {q(pair.new)} ALTER COLUMN {name} TYPE {type_} USING CAST({name} AS {type_})")


def insert(
    connection: psycopg.Connection, pair: Pair, side: str, owner: str, rows: Sequence[Sequence[str | None]]
) -> None:
    """Insert rows as they are, whatever triggers and identity say; then sequences go on behind them."""
    columns = [(n, c) for n, c in enumerate(pair.columns) if getattr(c, side) is not None and not c.generated]
    names = beside_values(", ".join(q(c.name) for _, c in columns))
    marks = ", ".join(f"%s::text::{c.type('new') if c.new else c.type(side)}::{c.type(side)}" for _, c in columns)
    table = q("public", pair.table(side))
    connection.execute("RESET ROLE; SET session_replication_role = replica")
    for row in rows:
        given = [row[n] for n, _ in columns]
        # a column with a default and no value of its own has the default
        connection.execute(
            f"INSERT INTO {beside_values(table)} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})", given
        )  # type: ignore[call-overload]
    connection.execute("SET session_replication_role = origin")
    for column in pair.side(side):
        if column.identity:
            last, place = beside_values(q(column.name)), beside_values(table)
            connection.execute(
                f"SELECT setval(pg_get_serial_sequence(%s, %s), greatest(max({last}), 1)::bigint) FROM {place}",  # type: ignore[call-overload]
                (table, column.name),
            )
    connection.execute(f"SET ROLE {q(owner)}")  # type: ignore[call-overload]


def goes_along(pair: Pair, dependent: Dependent) -> bool:
    """Say whether a dependent follows the table in use: a key of the owner's own table to a column that both have alike."""
    column = pair.column(pair.key[0])
    return dependent.kind == "key" and not dependent.on_view and len(pair.key) == 1 and column.old == column.new


def published_along(world: World) -> bool:
    """Say whether the publication follows the table in use."""
    first = world.pairs[0]
    alike = all(pair_column.old == pair_column.new for pair_column in map(first.column, first.key))
    return world.publication == "table" or (world.publication in ("columns", "filter") and alike)


def dependent_statement(pair: Pair, dependent: Dependent, *, later: bool = False) -> str:
    """Return what makes something outside that refers to the new table or the view; `later` to the old table."""
    old = later or (dependent.on_view and pair.shape in ("view", "renamed"))
    side, target = ("old" if later else "new"), q("public", pair.old if old else pair.new)
    key = pair.column(pair.key[0])
    made = {
        "view": f"CREATE VIEW public.outside AS SELECT {q(key.name)} FROM {target}",
        "matview": f"CREATE MATERIALIZED VIEW public.outside AS SELECT {q(key.name)} FROM {target}",
        "function": "CREATE FUNCTION public.outside() RETURNS bigint LANGUAGE sql"
        f" AS $body$ SELECT count(*) FROM {target} $body$",
        "partitioned": f"CREATE TABLE public.outside (k {key.type(side)} REFERENCES {q('public', pair.table(side))}, n integer)"
        " PARTITION BY LIST (n); CREATE TABLE public.outside_1 PARTITION OF public.outside FOR VALUES IN (1)"
        if len(pair.key) == 1
        else f"CREATE VIEW public.outside AS SELECT 1 AS one FROM {target}",
        "key": f"CREATE TABLE public.outside (k {key.type(side)} REFERENCES {q('public', pair.table(side))})"
        if len(pair.key) == 1
        else f"CREATE VIEW public.outside AS SELECT 1 AS one FROM {target}",
        "policy": "CREATE TABLE public.outside (k integer); ALTER TABLE public.outside ENABLE ROW LEVEL SECURITY;"
        f" CREATE POLICY p ON public.outside USING (EXISTS (SELECT FROM {target}))",
    }
    return made[dependent.kind]


def _publish(run: Callable[[str], None], world: World, *, can_choose: bool) -> None:
    first = world.pairs[0]
    scope = {
        "columns": f"FOR TABLE {q('public', first.new)} ({', '.join(q(k) for k in first.key)})",
        "filter": f"FOR TABLE {q('public', first.new)} WHERE ({q(first.key[0])} IS NOT NULL)",
        "table": "FOR TABLE " + ", ".join(q("public", p.new) for p in world.pairs),
        "all": "FOR ALL TABLES",
        "schema": "FOR TABLES IN SCHEMA public",
    }
    said = world.publication
    if said == "columns" and (first.identity or first.new_identity):
        said = "table"  # the server refuses every change of a row whose identity is not among the columns
    if said and not can_choose:
        said = {"columns": "table", "filter": "table", "schema": "all"}.get(said, said)
    if said:
        run(f"CREATE PUBLICATION generated {scope[said]}")
        if said not in ("all", "schema"):
            run(f"ALTER PUBLICATION generated OWNER TO {q(world.owner)}")


def _settings(run: Callable[[str], None], world: World, database: str) -> None:
    for name, value in world.database_settings:
        run(f"ALTER DATABASE {q(database)} SET {name} = {_quoted(value)}")
    role = login(world)
    for name, value in world.role_settings:
        if role is not None:
            run(f"ALTER ROLE {q(role)} IN DATABASE {q(database)} SET {name} = {_quoted(value)}")


def _quoted(value: str) -> str:
    return value if value.startswith("'") or ", " in value else f"'{value}'"


def _version(connection: psycopg.Connection) -> int:
    return connection.info.server_version
