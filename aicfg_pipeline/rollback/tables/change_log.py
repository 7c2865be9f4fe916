"""The change log and its replay: which keys were written, and bringing a copy up to date with them.

Replaying is idempotent and needs no order. When to replay is the steps' business.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Column
from aicfg_pipeline.postgres.equality import keys_equal
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import (
    Statement,
    as_value,
    columns,
    comma,
    engine,
    ident,
    private,
    text,
    unnoted,
)
from aicfg_pipeline.rollback.tables.mapping import Source
from aicfg_pipeline.spec.model import Pair

ROW_TRIGGER, TRUNCATE_TRIGGER = "aicfg_rollback_change_log", "aicfg_rollback_change_log_truncate"
TRIGGERS = (ROW_TRIGGER, TRUNCATE_TRIGGER)


@dataclass(frozen=True)
class LogSize:
    """Entries in a change log, the distinct keys among them, and whether a TRUNCATE put the whole table in doubt."""

    entries: int
    keys: int
    whole_table: bool


def create_statements(pair: Pair, keys: sql.Composable) -> list[sql.Composable]:
    """Return what makes the log and the function; `keys` are the key's columns as `key_columns` has them. No trigger yet."""
    log = private(pair.change_log)
    names = columns(pair.key)
    return [
        engine("create_change_log", log=log, keys=keys),
        engine("number_change_log", log=log),
        engine("index_pending_entries", log=log),
        engine("index_replayed_entries", log=log, keys=names),
        engine("index_whole_table_entries", log=log),
        engine(
            "create_log_function",
            function=log,
            log=log,
            keys=names,
            old_keys=columns(pair.key, "old"),
            new_keys=columns(pair.key, "new"),
        ),
    ]


def key_columns(key: Sequence[str], one: Sequence[Column], other: Sequence[Column]) -> sql.Composed:
    """Return the log's key columns as SQL: of types that hold what either table's key may be."""
    left, right = {c.name: c for c in one}, {c.name: c for c in other}
    return comma(_key_column(left.get(k, right[k]), right[k]) for k in key)


OWN_COLUMNS = frozenset({"aicfg_seq", "aicfg_whole_table", "aicfg_replayed"})


def holds_keys_of(log: Sequence[Column], key: Sequence[str], one: Sequence[Column], other: Sequence[Column]) -> bool:
    """Say whether a log is one that this version would make: an earlier one's had the new table's types."""
    left, right, there = {c.name: c for c in one}, {c.name: c for c in other}, {c.name: c for c in log}
    wanted = {k: common_type(left.get(k, right[k]), right[k]) or left.get(k, right[k]).base_type for k in key}
    return there.keys() == {*key, *OWN_COLUMNS} and all(
        type_ in (there[name].base_type, there[name].core) for name, type_ in wanted.items()
    )


def _key_column(one: Column, other: Column) -> sql.Composed:
    collations = [c for c in (one.collation, other.collation) if c not in (None, DEFAULT_COLLATION)]
    return engine(
        "key_column",
        name=ident(one.name),
        type=text(common_type(one, other) or one.base_type),
        collation=text(f" COLLATE {collations[0]}" if collations else ""),
    )


DEFAULT_COLLATION = "pg_catalog.default"

FAMILIES = (
    ("smallint", "integer", "bigint", "numeric"),
    ("real", "double precision"),
    ("character varying", "name", "bpchar", "text"),
    ("date", "timestamp without time zone"),
    ('"bit"', "bit varying"),
)
"""Types of which the later holds every value of the earlier, and that are compared with each other."""


def common_type(one: Column, other: Column) -> str | None:
    """Return the type that holds the values of two key columns, without a length; None where there is none."""
    collations = {c for c in (one.collation, other.collation) if c not in (None, DEFAULT_COLLATION)}
    if len(collations) > 1:
        return None
    if one.base_type == other.base_type:
        return one.base_type
    if one.core == other.core:
        return one.core
    family = next((f for f in FAMILIES if {one.core, other.core} <= set(f)), None)
    return max(one.core, other.core, key=family.index) if family else None


def attach_statements(pair: Pair, table: sql.Identifier) -> list[sql.Composable]:
    """Return what makes the triggers on `table`."""
    function = private(pair.change_log)
    return [
        engine("create_row_trigger", table=table, function=function),
        engine("create_truncate_trigger", table=table, function=function),
        engine("always_row_trigger", table=table),
        engine("always_truncate_trigger", table=table),
    ]


def detach_statements(table: sql.Identifier) -> list[sql.Composable]:
    """Return what takes the triggers off `table`."""
    return [engine("drop_row_trigger", table=table), engine("drop_truncate_trigger", table=table)]


def drop_statements(pair: Pair, *, before_undo: bool = False) -> list[sql.Composable]:
    """Return what drops the function and the log, once no trigger calls it; and the rows of `before_undo`."""
    log = private(pair.change_log)
    rows = [engine("drop_table", table=private(pair.before_undo))] if before_undo else []
    return [engine("drop_log_function", function=log), engine("drop_change_log", log=log), *rows]


def pending_entries(pair: Pair) -> sql.Composed:
    """Return the entries that have not been replayed yet, as a FROM item without a name."""
    return engine("pending_entries", log=private(pair.change_log))


def size(session: Session, pair: Pair) -> LogSize:
    """Count the log."""
    row = session.one(engine("change_log_size", log=private(pair.change_log), keys=columns(pair.key)))
    return LogSize(row.entries, row.keys, row.whole_table)


def wanted_rows(pair: Pair, source: Source) -> sql.Composed:
    """Return FROM items, `source` among them: the rows whose keys wait in the log."""
    return source.of_keys(wanted_keys(pair))


def wanted_keys(pair: Pair) -> sql.Composed:
    """Return a FROM item without a name: each key that waits in the log once."""
    return engine("wanted_keys", keys=columns(pair.key), pending=pending_entries(pair))


def replay_statements(
    pair: Pair, source: Source, target: sql.Identifier, *, whole_table: bool = False
) -> list[sql.Composable]:
    """Return the replay of all visible keys. To be run in one snapshot, or with all writers locked out."""
    if whole_table:
        return recopy_statements(pair, source, target)
    log = private(pair.change_log)
    return [
        engine(
            "replay_delete",
            target=target,
            pending=pending_entries(pair),
            keys=columns(pair.key),
            keys_equal=keys_equal(pair.key, "target", "logged"),
        ),
        engine(
            "replay_insert",
            target=target,
            columns=columns(source.columns),
            source_columns=columns(source.columns, "source"),
            wanted=wanted_rows(pair, source),
        ),
        engine("replay_clear", log=log),
    ]


def recopy_statements(pair: Pair, source: Source, target: sql.Identifier) -> list[sql.Composable]:
    """Return the full copy anew, for a log that holds a TRUNCATE."""
    return [
        engine("empty_copy", target=target),
        engine("copy_rows", target=target, columns=columns(source.columns), source=source.query),
        engine("replay_clear", log=private(pair.change_log)),
    ]


# --- how many wait ---------------------------------------------------------------------------------------------


FEW_ENTRIES = 1_000
PAGES_PER_LOOK_UP = 4
"""What one key costs by index against reading the whole table, as PostgreSQL's own `random_page_cost` has it."""


@dataclass(frozen=True)
class Waiting:
    """What waits in one log: entries, whether a TRUNCATE is among them, and the pages of the table they go into.

    `held_ms` are the milliseconds since the last lock was had, where the transaction holds some.
    """

    entries: int
    whole_table: bool
    pages: int
    held_ms: float | None = None

    @property
    def few(self) -> bool:
        """Whether looking up key by key reads less than the whole table."""
        return not self.whole_table and self.entries <= max(FEW_ENTRIES, self.pages // PAGES_PER_LOOK_UP)


def count_waiting(logs: Sequence[tuple[Pair, sql.Identifier]]) -> list[sql.Composable]:
    """Return what counts the entries of several logs, each with the table they go into; the last one has the rows.

    By index, whatever the statistics say: most of a log that is filled and emptied all the time is dead.
    """
    each = [
        engine("waiting_entries", number=sql.Literal(n), log=private(pair.change_log), target=as_value(target))
        for n, (pair, target) in enumerate(logs)
    ]
    return [
        engine("by_index"),
        engine("waiting_in_all", waiting=sql.SQL(" UNION ALL ").join(each)),
    ]


def counted(rows: Sequence[Any]) -> list[Waiting]:
    """Return what `count_waiting` has found, in the order of the logs."""
    return [Waiting(r.entries, r.whole_table, r.pages, r.held_ms) for r in rows]


def access_path(waiting: Waiting) -> Statement:
    """Return the settings under which so many entries are replayed: few by index, many as the planner likes."""
    return unnoted(engine("by_looking_up" if waiting.few else "by_reading_all"))
