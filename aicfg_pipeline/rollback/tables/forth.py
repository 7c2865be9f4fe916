"""The replay of an undo: rows of the old table into the parked new one, and what the old table has no place for.

A parked row is remembered in a table beside it before its first replay; from there come the columns of `keep` and those
that nothing fills. When to replay is `undo`'s business.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.equality import keys_equal, same
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import Statement, columns, comma, engine, ident, private, text
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables import change_log, foreign_keys
from aicfg_pipeline.rollback.tables.mapping import Source
from aicfg_pipeline.rollback.tables.sources import back_source, forth_way
from aicfg_pipeline.spec.model import Pair

WRITES, UPDATES = 4 + 8, 16  # pg_trigger.tgtype: INSERT and DELETE; UPDATE
_MODES = {"O": "", "R": "REPLICA", "A": "ALWAYS"}


@dataclass(frozen=True)
class Forth:
    """How one pair goes forward: `source` the old rows in the new table's columns, `target` the parked table.

    `back` are the parked rows in the old table's columns. `kept` are columns of the parked table: a row that was parked
    gets its own values of them back. `remembered` are the columns that are remembered for that. `proven` are the columns
    that the old table decides. `foreign_keys` are to be put on again, as the ledger has them; `referred` are the tables
    that they refer to.
    """

    pair: Pair
    old: Relation
    parked: Relation
    source: Source
    back: Source
    kept: tuple[str, ...]
    remembered: tuple[str, ...]
    proven: tuple[str, ...]
    foreign_keys: tuple[Mapping[str, Any], ...]
    referred: Mapping[tuple[str, str], Relation]
    triggers: tuple[tuple[str, str], ...]

    @property
    def target(self) -> sql.Identifier:
        """The parked table's name."""
        return ident(self.parked.schema, self.parked.name)


def way_forth(session: Session, state: PairState, book: Ledger) -> Forth:
    """Work out how a pair goes forward."""
    pair, old, parked = state.pair, state.old_table, state.parked
    way = forth_way(session, pair, old, parked)
    mapping, source = way.mapping, way.rows
    there = {c.name for c in way.wanted if not c.generated}
    keep = tuple(c for c in pair.keep if c in there)
    taken_off = foreign_keys.taken_off(book, pair, parked)
    return Forth(
        pair=pair,
        old=old,
        parked=parked,
        source=source,
        back=back_source(session, pair, old, parked),
        kept=tuple(dict.fromkeys((*keep, *mapping.unfilled))),
        remembered=tuple(c.name for c in way.wanted),
        proven=tuple(c for c in source.columns if c not in keep),
        foreign_keys=tuple(taken_off),
        referred=catalog.relations(session, [(k["references"][0], k["references"][1]) for k in taken_off]),
        triggers=firing(session, parked.oid, WRITES),
    )


# --- what is the same ------------------------------------------------------------------------------------------


def same_going_back(forth: Forth) -> sql.Composed:
    """Return a FROM item with the keys of rows that are the same when looked at the way the rollback went.

    Going forth and back need not be each other's reverse: a row that nobody has changed since it was created has a
    `created_by` and no `updated_by`, and nothing says that it must have one only because it was rolled back.
    """
    names = forth.back.columns
    return engine(
        "same_going_back",
        parked_keys=columns(forth.pair.key, "parked"),
        back=forth.back.query,
        old=ident(forth.old.schema, forth.old.name),
        keys_equal=keys_equal(forth.pair.key, "parked", "old"),
        parked_columns=columns(names, "parked"),
        old_columns=columns(names, "old"),
    )


def different(forth: Forth) -> sql.Composed:
    """Return the query for the keys of rows that differ both ways."""
    key = forth.pair.key
    return engine(
        "different_both_ways",
        keys=columns(key),
        different=fingerprint.different_keys(forth.source.query, forth.target, forth.proven, key),
        same=same_going_back(forth),
        keys_equal=keys_equal(key, "different", "same"),
    )


def explained(forth: Forth) -> sql.Composed:
    """Return a FROM item, like a change log, with the keys whose difference forth is right."""
    return engine(
        "explained_forth",
        keys=columns(forth.pair.key),
        pending=change_log.pending_entries(forth.pair),
        same=same_going_back(forth),
    )


# --- replay ----------------------------------------------------------------------------------------------------


def replay_statements(forth: Forth, *, whole_table: bool) -> list[sql.Composable]:
    """Return one replay, without the users' triggers: remember, delete, insert, mark."""
    off, on = quiet(forth.target, forth.triggers)
    return [
        *off,
        *_remembering(forth, whole_table),
        _deleting(forth, whole_table),
        *_inserting(forth, whole_table),
        engine("mark_replayed", log=private(forth.pair.change_log)),
        *on,
    ]


def _remembering(forth: Forth, whole_table: bool) -> list[sql.Composable]:
    if not forth.kept:
        return []
    key, log, names = forth.pair.key, private(forth.pair.change_log), forth.remembered
    parts: dict[str, sql.Composable] = {
        "rows": private(forth.pair.before_undo),
        "columns": columns(names),
        "parked_columns": columns(names, "parked"),
        "parked": forth.target,
        "never_replayed": engine("never_replayed", log=log, keys_equal=keys_equal(key, "earlier", "parked")),
    }
    if whole_table:
        return [engine("remember_all_rows", **parts)]
    equal = keys_equal(key, "firsts", "parked")
    return [engine("remember_rows", log=log, keys=columns(key), keys_equal=equal, **parts)]


def remembering(session: Session, forth: Forth, state: PairState) -> list[sql.Composable]:
    """Return what makes the place for the parked rows as they are before their first replay, or brings it up to date.

    In a table of their own, as rows: a column that the parked table gets later is one that is added here, too.
    """
    if not forth.kept:
        return []
    rows, key = private(forth.pair.before_undo), forth.pair.key
    there = {c.name for c in catalog.columns(session, state.before_undo.oid)} if state.before_undo else None
    if there is None:
        made: list[sql.Composable] = [
            engine("make_before_undo", rows=rows, parked=forth.target),
            engine("index_before_undo", rows=rows, keys=columns(key)),
        ]
    else:
        wider = [c for c in catalog.columns(session, forth.parked.oid) if c.name not in there]
        made = [engine("widen_before_undo", rows=rows, column=ident(c.name), type=text(c.type)) for c in wider]
    return [*made, *_texts(session, forth, state)]


def _texts(session: Session, forth: Forth, state: PairState) -> list[sql.Composable]:
    """An undo that was begun by an earlier version of the pipeline goes on with the rows that it has remembered."""
    if state.log is None or not session.scalar(engine("has_texts"), {"log": state.log.oid}):
        return []
    names, log = forth.remembered, private(forth.pair.change_log)
    return [
        engine(
            "remember_texts",
            rows=private(forth.pair.before_undo),
            columns=columns(names),
            texts=comma(engine("text_column", column=ident(n)) for n in names),
            parked=forth.target,
            log=log,
            keys_equal=sql.SQL(" AND ").join(
                same(ident("known", k), engine("text_column", column=ident(k)), getattr(k, "equality", None))
                for k in forth.pair.key
            ),
        )
    ]


def _deleting(forth: Forth, whole_table: bool) -> sql.Composable:
    if whole_table:
        return engine("empty_copy", target=forth.target)
    return engine(
        "replay_delete",
        target=forth.target,
        pending=change_log.pending_entries(forth.pair),
        keys=columns(forth.pair.key),
        keys_equal=keys_equal(forth.pair.key, "target", "logged"),
    )


def _inserting(forth: Forth, whole_table: bool) -> list[sql.Composable]:
    key = forth.pair.key
    all_rows = engine("all_rows", source=forth.source.query)
    parts: dict[str, sql.Composable] = {
        "target": forth.target,
        "wanted": all_rows if whole_table else change_log.wanted_rows(forth.pair, forth.source),
    }
    names = forth.source.columns
    parts_of_source = {"columns": columns(names), "source_columns": columns(names, "source"), **parts}
    if not forth.kept:
        return [engine("insert_all", **parts_of_source)]
    rows = private(forth.pair.before_undo)
    others = engine("insert_others", rows=rows, keys_equal=keys_equal(key, "source", "remembered"), **parts_of_source)
    filled = tuple(dict.fromkeys((*forth.source.columns, *forth.kept)))
    is_kept = keys_equal(key, "source", "kept")
    picked = comma(_picked(forth, c) for c in filled)
    return [
        engine("insert_remembered", columns=columns(filled), is_kept=is_kept, picked=picked, rows=rows, **parts),
        others,
    ]


def _picked(forth: Forth, column: str) -> sql.Composable:
    if column not in forth.kept:
        return ident("source", column)
    # what a key that was never proven refers to may not have been there before either: it stays (D6)
    watched = [k for k in forth.foreign_keys if k["columns"] == [column] and foreign_keys.held_before(k)]
    if not watched:
        return engine("remembered_column", column=ident(column))
    nothing = sql.SQL(" OR ").join(_refers_to_nothing(forth, k, "remembered") for k in watched)
    otherwise = _otherwise(forth, column)
    return engine("remembered_reference", column=ident(column), refers_to_nothing=nothing, otherwise=otherwise)


def _otherwise(forth: Forth, column: str) -> sql.Composable:
    return ident("source", column) if column in forth.source.columns else sql.SQL("NULL")


def _refers_to_nothing(forth: Forth, key: Mapping[str, Any], row: str) -> sql.Composable:
    schema, table = key["references"]
    own = forth.referred[schema, table].own_equality if (schema, table) in forth.referred else {}
    return foreign_keys.refers_to_nothing(row, key["columns"], ident(schema, table), key["ref_columns"], own)


# --- what a kept value refers to may be gone -------------------------------------------------------------------


def mend_references(session: Session, forth: Forth, table: Relation, source: Source) -> int:
    """Give kept values whose target was deleted meanwhile what `forth` says instead; return how many rows."""
    statements = mending_statements(session, forth, table, source)
    rows = [(s, session.execute(s).rowcount) for s in statements]
    return sum(count for statement, count in rows if isinstance(statement, _Mending))


class _Mending(Statement):
    """The update among what is run around it."""


def mending_statements(session: Session, forth: Forth, table: Relation, source: Source) -> list[sql.Composable]:
    """Return what mends the references of kept values, without the users' triggers."""
    target, statements = ident(table.schema, table.name), list[sql.Composable]()
    off, on = quiet(target, firing(session, table.oid, UPDATES))
    for key in forth.foreign_keys:
        kept = [c for c in key["columns"] if c in forth.kept]
        if not kept or not foreign_keys.held_before(key):  # its orphans may have been there before: they stay
            continue
        update = engine(
            "mend_references",
            target=target,
            assignments=comma(sql.SQL("{} = {}").format(ident(c), _otherwise(forth, c)) for c in kept),
            source=source.query,
            keys_equal=keys_equal(forth.pair.key, "target", "source"),
            refers_to_nothing=_refers_to_nothing(forth, key, "target"),
        )
        statements += [*off, _Mending(update, update.why), *on]
    return statements


# --- triggers of the parked table ------------------------------------------------------------------------------


def firing(session: Session, oid: int, events: int) -> tuple[tuple[str, str], ...]:
    """Return the users' triggers that these events fire: name and state."""
    rows = session.all(engine("firing_triggers"), {"oid": oid, "events": events})
    return tuple((r.name, r.enabled) for r in rows)


def quiet(
    table: sql.Identifier, triggers: Sequence[tuple[str, str]]
) -> tuple[list[sql.Composable], list[sql.Composable]]:
    """Return what takes triggers out of action and what puts them back as they were. Usually nothing at all.

    In between a deferred key may have a check to come, and then the table can't be altered: it is made first.

    Replaying is not the users' writing: a trigger of theirs that stamps or counts new rows must not see it.
    """
    off: list[sql.Composable] = [engine("disable_trigger", table=table, trigger=ident(name)) for name, _ in triggers]
    looked_at: list[sql.Composable] = [engine("constraints_now")] if triggers else []
    on: list[sql.Composable] = looked_at + [
        engine("enable_trigger", table=table, mode=sql.SQL(_MODES[state]), trigger=ident(name))
        for name, state in triggers
    ]
    return off, on
