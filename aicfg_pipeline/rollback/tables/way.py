"""Which way a migration is rolled back: its rows are copied, or its tables are renamed where they are.

Renaming will do where the live new table holds its rows as the old one would: then nothing is copied. It is found out by
making the old tables in a scratch schema, giving them the new ones' names there, and reading both. One migration goes one way.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from aicfg_pipeline.errors import DatabaseError, OnlyReadsError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.settings import path_statement
from aicfg_pipeline.postgres.statements import engine, ident, text
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, Look, PairState, State
from aicfg_pipeline.rollback.tables import grants
from aicfg_pipeline.rollback.tables.change import Change, Sides
from aicfg_pipeline.rollback.tables.dependents import find_dependents
from aicfg_pipeline.rollback.tables.differences import why_not_alike
from aicfg_pipeline.rollback.tables.rename import changes, renames
from aicfg_pipeline.rollback.tables.sameness import Key, Made, keys_of, match, read
from aicfg_pipeline.rollback.tables.scratch import scratch_tables
from aicfg_pipeline.spec.ddl import bare_column, expression_columns, functions_made
from aicfg_pipeline.spec.model import Ddl, ForeignKey, Migration, Pair


@dataclass(frozen=True)
class WayTold:
    """Which way one pair goes, what migration.yaml asks for, and why it is not renamed in place."""

    old: str
    way: Literal["copy", "instant"]
    asked: str
    why_not: tuple[str, ...] = ()

    def __str__(self) -> str:
        if self.way == "instant":
            return "instant: the table is renamed where it is; no row is copied"
        return f"copy{f': {self.why_not[0]}' if self.why_not else ''}" + (
            f" (and {len(self.why_not) - 1} more)" if len(self.why_not) > 1 else ""
        )


@dataclass(frozen=True)
class Renaming:
    """How one pair is renamed in place: what differs, and at last the names of columns and table."""

    state: PairState
    changes: tuple[Change, ...]
    names: Change
    columns: Mapping[str, str]

    @property
    def all_changes(self) -> tuple[Change, ...]:
        """Every change in the order of the way back."""
        return (*self.changes, self.names)


@dataclass(frozen=True)
class Decision:
    """Which way each pair goes that can be rolled back; `renamings` by old name where they are renamed in place."""

    told: tuple[WayTold, ...] = ()
    renamings: Mapping[str, Renaming] = field(default_factory=dict)

    @property
    def instant(self) -> bool:
        """Say whether the tables are renamed in place."""
        return bool(self.renamings)


def decide(session: Session, migration: Migration, look: Look) -> Decision:
    """Look which way the pairs go that can be rolled back. Changes nothing."""
    states = look.in_state(*TO_ROLL_BACK)
    if not states:
        return Decision()
    reasons = {s.pair.old: list(_at_first_sight(session, s)) for s in states}
    renamings: dict[str, Renaming] = {}
    if not any(reasons.values()):
        try:
            renamings = _compared(session, migration, states, reasons)
        except OnlyReadsError as error:
            reasons = {old: [error.found] for old in reasons}
        except DatabaseError as error:
            reasons = {old: [f"the file could not be tried: {' '.join(error.found.split())}"] for old in reasons}
    copied = [old for old, why in reasons.items() if why]
    if not copied:
        return Decision(tuple(WayTold(s.pair.old, "instant", s.pair.way) for s in states), renamings)
    along = f"{', '.join(copied)} {'is' if len(copied) == 1 else 'are'} copied, and one migration goes one way"
    return Decision(
        tuple(WayTold(s.pair.old, "copy", s.pair.way, tuple(reasons[s.pair.old] or [along])) for s in states)
    )


# --- what is known before anything is made ---------------------------------------------------------------------

_NOT_FROM = {
    State.COEXISTING: "an old table stands beside the new one, and the rows of both are merged",
    State.MIGRATED_AGAIN: "an earlier rollback has parked a table under this name",
    State.COPYING: "a copy has been begun (the job abandon gives it up)",
    State.PREPARED: "a copy is prepared (the job abandon gives it up)",
}


def _at_first_sight(session: Session, state: PairState) -> Iterator[str]:
    pair = state.pair
    if pair.way == "copy":
        yield "migration.yaml says so"
        return
    if state.state in _NOT_FROM:
        yield _NOT_FROM[state.state]
        return
    if state.private_old is not None:
        yield f"{state.private_old} is in the way of the view, which is parked there"
    there = {c.name for c in catalog.columns(session, state.new_table.oid)}
    for column, expression in _used(pair, there):
        if bare_column(expression) is None:
            yield f"{column} is filled from {expression}, which is more than another name"
    if pair.in_place or state.at_old_name is None:
        return
    with session.transaction(read_only=True):
        for found in find_dependents(session, [state.at_old_name.oid]):
            yield f"the {found.kind} {found.name} refers to the view {state.at_old_name.name}"


def _used(pair: Pair, there: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield those expressions of `back` that are used: a column of the same name wins over one that does not read it."""
    have = set(there)
    for column, expression in pair.back.items():
        if column not in have or column in expression_columns(expression) <= have:
            yield column, expression


# --- by making the old tables ----------------------------------------------------------------------------------


def _compared(
    session: Session, migration: Migration, states: tuple[PairState, ...], reasons: dict[str, list[str]]
) -> dict[str, Renaming]:
    """Compare every pair; fill `reasons` where one is not alike, else return how each is renamed."""
    live_path = (migration.schema, "extensions")
    keys = {s.pair.old: _live_keys(session, s.new_table) for s in states}
    renamings: dict[str, Renaming] = {}
    files = {s.pair.old: s.pair.old_ddl for s in states}
    with scratch_tables(session, migration, files, "indexes", "row_level_security", "comments") as made:
        scratch = next(iter(made.values())).schema
        for state in states:
            _dressed(session, migration, state, made[state.pair.old])
        names = {s.pair.old: _new_names(session, s, made[s.pair.old]) for s in states}
        for state in states:
            _renamed(session, state, made[state.pair.old], names[state.pair.old])
        for state in states:
            old = state.pair.old
            wanted = read(session, made[old], (scratch, *live_path))
            session.execute(path_statement(live_path), note=False)
            live = read(session, state.new_table, live_path)
            reasons[old] += why_not_alike(live, wanted, names[old])
            if not reasons[old]:
                sides = _sides(session, migration, states, state, live, wanted, keys[old], names)
                reasons[old] += _unreferred(state, sides)
            if not reasons[old]:
                sides = replace(sides, back_endings=_in_old_names(session, scratch, sides, names[old]))
                renamings[old] = _renaming(migration, state, sides, names[old])
            session.execute(path_statement((scratch, *live_path)), note=False)
    return renamings


def _renaming(migration: Migration, state: PairState, sides: Sides, names: Mapping[str, str]) -> Renaming:
    columns = {new: old for old, new in names.items()}
    last = renames(columns, migration.schema, state.pair.new, state.pair.old)
    return Renaming(state, tuple(changes(sides)), last, columns)


def _live_keys(session: Session, table: Relation) -> list[Key]:
    with session.transaction(read_only=True):  # an empty search path: every name is qualified
        return keys_of(
            session.all(engine("foreign_key_facts"), {"oid": table.oid}), catalog.foreign_keys(session, table.oid)
        )


def _dressed(session: Session, migration: Migration, state: PairState, made: Relation) -> None:
    """Give the scratch table the triggers and privileges of its file. A function that is there is not replaced."""
    _make_triggers(session, migration, state.pair.old_ddl)
    session.execute(own.close_to_others(made.schema, [made.name]))
    session.script(grants.own_grants(session, state.pair.old_ddl, made.schema, made, [state.new_table]))


def _make_triggers(session: Session, migration: Migration, file: Ddl) -> None:
    functions = {statement: function for function, statement in functions_made(file, migration.schema)}
    there = {(f.schema, f.name) for f in grants.functions_there(session, functions.values())}
    block = file.blocks.get("triggers")
    for statement in block.statements if block else ():
        if functions.get(statement) not in there:
            session.execute(text(statement))


def _new_names(session: Session, state: PairState, made: Relation) -> dict[str, str]:
    """Return by the old table's columns what the live table calls them."""
    there = [c.name for c in catalog.columns(session, state.new_table.oid)]
    used = {c: bare_column(e) or c for c, e in _used(state.pair, there)}
    return {c.name: used.get(c.name, c.name) for c in catalog.columns(session, made.oid)}


def _renamed(session: Session, state: PairState, made: Relation, names: Mapping[str, str]) -> None:
    """Give the scratch table the names that the live one has; where two would have one, it is told as a difference."""
    table = ident(made.schema, made.name)
    taken = set(names)
    for old, new in names.items():
        if old != new and new not in taken:
            session.execute(engine("rename_column", table=table, column=ident(old), name=ident(new)))
    if state.pair.new != made.name:
        session.execute(engine("table_takes_name", table=table, name=ident(state.pair.new)))


def _sides(
    session: Session,
    migration: Migration,
    states: tuple[PairState, ...],
    state: PairState,
    live: Made,
    wanted: Made,
    live_keys: list[Key],
    names: Mapping[str, Mapping[str, str]],
) -> Sides:
    renamed = {(migration.schema, s.pair.old): s for s in states}
    keys = [_in_new_names(k, names[state.pair.old], renamed, names) for k in state.pair.old_ddl.foreign_keys]
    there = catalog.relations(session, {k.references for k in keys})
    return Sides(
        schema=state.new_table.schema,
        table=state.new_table.name,
        live=live,
        wanted=wanted,
        live_keys=live_keys,
        wanted_keys=keys,
        references={place: r.oid for place, r in there.items()},
        version=session.version,
        back_endings={},
    )


def _in_new_names(
    key: ForeignKey,
    mine: Mapping[str, str],
    renamed: Mapping[tuple[str, str], PairState],
    names: Mapping[str, Mapping[str, str]],
) -> ForeignKey:
    target = renamed.get(key.references)
    theirs: Mapping[str, Any] = names[target.pair.old] if target else {}
    return replace(
        key,
        columns=tuple(mine.get(c, c) for c in key.columns),
        references=(key.references[0], target.pair.new) if target else key.references,
        target_columns=tuple(theirs.get(c, c) for c in key.target_columns),
    )


def _unreferred(state: PairState, sides: Sides) -> list[str]:
    return [
        f"{k.name} refers to {'.'.join(k.references)}, which is not there"
        for k in sides.wanted_keys
        if k.references not in sides.references
    ]


def _in_old_names(session: Session, scratch: str, sides: Sides, names: Mapping[str, str]) -> dict[str, str]:
    """Return how indexes that go are made again before an undo, when the columns have the old names."""
    renamed = {old: new for old, new in names.items() if old != new}
    gone = [
        t
        for kind in ("index", "constraint")
        for t in match(sides.live.of(kind), sides.wanted.of(kind)).too_much
        if "ending" in t.facts
    ]
    if not renamed or not gone:
        return {}
    like = ident(scratch, "aicfg_like")
    session.execute(engine("table_like", table=like, live=sides.ident))
    for number, thing in enumerate(gone):
        ending = text(str(thing.facts["ending"]))
        session.execute(engine("index_like", index=ident(f"aicfg_like_{number}"), table=like, ending=ending))
    for old, new in renamed.items():
        session.execute(engine("rename_column", table=like, column=ident(new), name=ident(old)))
    session.execute(path_statement(()), note=False)
    oid = catalog.relations(session, [(scratch, "aicfg_like")])[scratch, "aicfg_like"].oid
    endings = {r.name: r.ending for r in session.all(engine("index_endings"), {"oid": oid})}
    return {thing.name: endings[f"aicfg_like_{number}"] for number, thing in enumerate(gone)}


def told_ways(session: Session, migration: Migration, look: Look) -> tuple[WayTold, ...]:
    """Return which way each pair goes; nothing where that can't be found out now: the plan's hazards tell why."""
    with suppress(DatabaseError):
        return decide(session, migration, look).told
    return ()
