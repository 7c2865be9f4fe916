"""The migration's folder of a world: migration.yaml and the SQL files beside it, written as a person would."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from pathlib import Path

import yaml

from aicfg_pipeline_tests.generated.world import Column, Grant, Index, Pair, World, named, q


def write(world: World, folder: Path) -> None:
    """Write the whole folder."""
    folder.mkdir(parents=True, exist_ok=True)
    said = {"name": "generated", "pairs": [_said(n, p) for n, p in enumerate(world.pairs)]}
    (folder / "migration.yaml").write_text(yaml.safe_dump(said, allow_unicode=True), encoding="utf-8")
    for number, pair in enumerate(world.pairs):
        (folder / f"old{number}.sql").write_text(text(blocks(pair, "old")), encoding="utf-8")
        (folder / f"new{number}.sql").write_text(text(blocks(pair, "new")), encoding="utf-8")
        (folder / f"view{number}.sql").write_text(text(view_blocks(pair)), encoding="utf-8")


def _said(number: int, pair: Pair) -> dict[str, object]:
    said: dict[str, object] = {"old": pair.old, "new": pair.new, "key": list(pair.key), "way": "copy"}
    said |= {"old_sql": f"old{number}.sql", "new_sql": f"new{number}.sql", "view_sql": f"view{number}.sql"}
    said |= {"back": dict(pair.back), "forth": dict(pair.forth), "keep": list(pair.keep)}
    return said | ({"changed_at": pair.changed_at} if pair.changed_at else {})


def text(parts: dict[str, list[str]]) -> str:
    """Return a file of named blocks; a block without a statement is left out."""
    return "\n".join(
        f"-- name: {name} -- generated\n" + "\n".join(f"{s};" for s in statements) + "\n"
        for name, statements in parts.items()
        if statements
    )


def blocks(pair: Pair, side: str) -> dict[str, list[str]]:
    """Return the statements of the old or new table's file by block."""
    table = pair.table(side)
    return {
        "table": [_table(pair, side), *_identity(table, pair.identity)],
        "indexes": [*_indexes(pair, side), *_statistics(pair, table)],
        "foreign_keys": [_key(table, c, side) for c in _referring(pair, side)],
        "validate": [
            f"ALTER TABLE {q(table)} VALIDATE CONSTRAINT {q(_key_name(table, c))}"
            for c in _referring(pair, side)
            if side == "old" or (c.reference and c.reference.valid)
        ],
        "triggers": list(_triggers(pair, table)),
        "row_level_security": list(_security(pair, table)),
        "grants": [g for grant in (pair.old_grants if side == "old" else ()) for g in grants(table, grant)],
        "comments": list(_comments(pair, side)),
    }


def view_blocks(pair: Pair) -> dict[str, list[str]]:
    """Return the statements of the view's file by block."""
    return {
        "view": [f"CREATE VIEW {q(pair.old)} AS SELECT * FROM {q(pair.new)}"],
        "security_invoker": [f"ALTER VIEW {q(pair.old)} SET (security_invoker = true)"] if pair.file_invoker else [],
        "grants": [g for grant in pair.view_grants for g in grants(pair.old, grant)],
    }


def grants(table: str, grant: Grant) -> Iterator[str]:
    """Yield the statement of a grant."""
    column = f" ({q(grant.column)})" if grant.column else ""
    role = q(grant.role) if grant.role else "PUBLIC"
    option = " WITH GRANT OPTION" if grant.option and grant.role else ""
    listed = ", ".join(p + column for p in grant.privileges.split(", "))
    yield f"GRANT {listed} ON {q(table)} TO {role}{option}"


def _table(pair: Pair, side: str) -> str:
    lines = [_column(pair, side, c) for c in pair.side(side)]
    lines += [
        f"CONSTRAINT {q(named(pair.table(side), c.name, 'check'))} CHECK ({c.check})"
        for c in pair.side(side)
        if c.check
    ]
    if side == "old":
        lines += [
            f"CONSTRAINT {q(named(pair.old, c.name, 'old_check'))} CHECK ({c.old_check})"
            for c in pair.side(side)
            if c.old_check
        ]
    options = f" WITH (fillfactor={pair.fillfactor})" if pair.fillfactor else ""
    return f"CREATE TABLE {q(pair.table(side))} (\n    " + ",\n    ".join(lines) + f"\n){options}"


def _identity(table: str, said: str) -> list[str]:
    return [f"ALTER TABLE {q(table)} REPLICA IDENTITY {said}"] if said else []


def only_new(pair: Pair) -> Iterator[str]:
    """Yield what the new table has besides, and no file says."""
    yield from (index_statement(pair.new, index) for index in pair.extra_indexes)
    yield from _identity(pair.new, pair.new_identity)
    if pair.statistics:
        on = ", ".join(q(n) for n in pair.statistics)
        yield f"CREATE STATISTICS {q(named(pair.new, 'stat'))} ON {on} FROM {q(pair.new)}"


def _statistics(pair: Pair, table: str) -> Iterator[str]:
    if pair.file_statistics:
        on = ", ".join(q(n) for n in pair.file_statistics)
        yield f"CREATE STATISTICS {q(named(table, 'file_stat'))} (ndistinct) ON {on} FROM {q(table)}"


def _column(pair: Pair, side: str, column: Column) -> str:
    words = [q(column.name)]
    if column.identity == "serial":
        words.append({"smallint": "smallserial", "integer": "serial", "bigint": "bigserial"}[column.type(side)])
    else:
        words.append(column.type(side))
    if column.generated:
        words.append(f"GENERATED ALWAYS AS ({column.generated}) STORED")
    elif column.identity not in ("", "serial"):
        words.append(f"GENERATED {column.identity} AS IDENTITY")
    default = column.old_default if side == "old" else column.new_default
    if default:
        words.append(f"DEFAULT {default}")
    if column.not_null:
        words.append("NOT NULL")
    return " ".join(words)


def _indexes(pair: Pair, side: str) -> Iterator[str]:
    table, columns = pair.table(side), {c.name for c in pair.side(side)}
    only = f"ALTER TABLE ONLY {q(table)} ADD CONSTRAINT"
    key = ", ".join(q(k) for k in pair.key)
    yield f"{only} {q(named(table, 'pkey'))} PRIMARY KEY ({key})"
    for column in pair.side(side):
        if column.unique:
            yield f"{only} {q(named(table, column.name, 'key'))} UNIQUE ({q(column.name)})"
        if column.name in pair.excluded:
            yield f"{only} {q(named(table, column.name, 'excl'))} EXCLUDE USING gist ({q(column.name)} WITH &&)"
    for index in pair.indexes:
        if set(index.needs) <= columns:
            yield index_statement(table, index)


def index_statement(table: str, index: Index) -> str:
    """Return the statement that makes an index."""
    unique = "UNIQUE " if index.unique else ""
    where = f" WHERE {index.where}" if index.where else ""
    return f"CREATE {unique}INDEX {q(named(table, index.name))} ON {q(table)} USING {index.method} ({index.on}){where}"


def _referring(pair: Pair, side: str) -> list[Column]:
    return [c for c in pair.side(side) if c.reference and (side == "new" or c.reference.old)]


def keys_to(pair: Pair, there: Collection[tuple[str, str]]) -> Iterator[str]:
    """Yield what makes the new table's keys to these pairs' new tables."""
    for column in _referring(pair, "new"):
        if column.reference and column.reference.between and column.reference.table in there:
            yield _key(pair.new, column, "new")


def _key_name(table: str, column: Column) -> str:
    return named(table, column.name, "fkey")


def _key(table: str, column: Column, side: str) -> str:
    reference = column.reference
    assert reference is not None
    more = f" {reference.on_delete}" if reference.on_delete else ""
    more += " DEFERRABLE INITIALLY DEFERRED" if reference.deferred else ""
    return (
        f"ALTER TABLE ONLY {q(table)} ADD CONSTRAINT {q(_key_name(table, column))} FOREIGN KEY ({q(column.name)})"
        f" REFERENCES {q(*reference.target(side))}({q(reference.column)}){more} NOT VALID"
    )


def _triggers(pair: Pair, table: str) -> Iterator[str]:
    if any(not t.shared for t in pair.triggers):
        stamp = f"NEW.{q(pair.changed_at)} = now(); " if pair.changed_at else ""
        guard = "IF TG_LEVEL = 'ROW' AND TG_WHEN = 'BEFORE' AND TG_OP <> 'DELETE' THEN "
        yield (
            f"CREATE OR REPLACE FUNCTION public.{q(own_function(pair))}() RETURNS trigger LANGUAGE plpgsql AS $$\n"
            f"BEGIN\n  {guard}{stamp}RETURN NEW; END IF;\n  RETURN coalesce(NEW, OLD);\nEND;\n$$"
        )
    for trigger in pair.triggers:
        function = "shared_touch" if trigger.shared else own_function(pair)
        yield (
            f"CREATE TRIGGER {q(trigger.name)} {trigger.when} ON {q(table)}"
            f" FOR EACH {trigger.each} EXECUTE FUNCTION public.{q(function)}()"
        )


def own_function(pair: Pair) -> str:
    """Return the name of a pair's own trigger function."""
    return named("touch", pair.old, "fn")


def _security(pair: Pair, table: str) -> Iterator[str]:
    if pair.rls:
        yield f"ALTER TABLE {q(table)} ENABLE ROW LEVEL SECURITY"
    if pair.forced:
        yield f"ALTER TABLE {q(table)} FORCE ROW LEVEL SECURITY"
    for policy in pair.policies:
        roles = ", ".join(q(r) for r in policy.roles) or "PUBLIC"
        tested = f"WITH CHECK ({policy.using})" if policy.command == "INSERT" else f"USING ({policy.using})"
        yield f"CREATE POLICY {q(policy.name)} ON {q(table)} FOR {policy.command} TO {roles} {tested}"


def _comments(pair: Pair, side: str) -> Iterator[str]:
    def literal(said: str) -> str:
        return "'" + said.replace("'", "''") + "'"

    if pair.comment:
        yield f"COMMENT ON TABLE {q(pair.table(side))} IS {literal(pair.comment)}"
    for column in pair.side(side):
        if column.comment:
            yield f"COMMENT ON COLUMN {q(pair.table(side))}.{q(column.name)} IS {literal(column.comment)}"
