"""How a database differs from a migration's folder: what the files make in a scratch schema, against what is there.

The scratch schema is gone with its transaction, so nothing stays. What to do about a difference is for whoever reads it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from aicfg_pipeline.errors import ConnectionLostError, DatabaseError, OnlyReadsError, SpecError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks import security, structure
from aicfg_pipeline.rollback.checks.facts import CatalogFacts, as_facts, differences
from aicfg_pipeline.rollback.state import PairState, State, look
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.spec.ddl import trigger_functions
from aicfg_pipeline.spec.model import Ddl, Migration, Pair


@dataclass(frozen=True)
class Side:
    """One file of a pair beside what is there: how it was found, and every difference as a line."""

    what: str
    verdict: str
    differences: tuple[str, ...] = ()


@dataclass(frozen=True)
class Difference:
    """A pair, its state, and its sides."""

    pair: Pair
    state: State
    because: str
    sides: tuple[Side, ...]

    @property
    def found(self) -> bool:
        """Whether anything differs, or the tables are not there at all."""
        return self.state == State.MISSING or any(s.differences for s in self.sides)


def differ(session: Session, migration: Migration) -> list[Difference]:
    """Compare each pair's files with the database. Raises `OnlyReadsError` where no scratch schema can be made."""
    found = look(session, migration)
    return [Difference(s.pair, s.state, s.because, tuple(_sides(session, migration, s))) for s in found.pairs]


def _sides(session: Session, migration: Migration, state: PairState) -> Iterator[Side]:
    pair = state.pair
    new = state.at_new_name if state.at_new_name and state.at_new_name.is_table else None  # a parked one has no keys
    old = state.at_old_name if state.at_old_name and state.at_old_name.is_table else None
    yield _table(session, migration, replace(pair, old=pair.new, old_ddl=pair.new_ddl), "new table", new)
    yield _table(session, migration, pair, "old table", old)
    if state.at_old_name is not None and state.at_old_name.is_view:
        yield _view(session, migration, pair, state.at_old_name)
    elif pair.view_ddl is not None:
        yield Side(
            "view", f"{migration.schema}.{pair.old} is no view now; {pair.view_ddl.path} is for going forward again"
        )


# --- tables ----------------------------------------------------------------------------------------------------


def _table(session: Session, migration: Migration, pair: Pair, what: str, table: Relation | None) -> Side:
    """Compare one table with its file. `pair` has it as its old side."""
    file = pair.old_ddl.path
    try:
        wanted = _expected(session, migration, pair)
    except (ConnectionLostError, OnlyReadsError):
        raise
    except (DatabaseError, SpecError) as error:
        return Side(what, f"{file} can't be run", (error.found, *error.complaints))
    if table is None:
        return Side(what, f"there is none now; {file} makes one ({counted(len(wanted), 'fact')})")
    lines = _lines(wanted, _there(session, migration, pair, table))
    return Side(what, _verdict(str(table), file, len(wanted), lines), lines)


def _expected(session: Session, migration: Migration, pair: Pair) -> CatalogFacts:
    facts = structure.expected_facts(session, migration, pair, ours=False)
    with scratch_table(session, migration, pair.old_ddl, pair.old, "row_level_security") as scratch:
        facts |= _named("security: ", security.policies(session, scratch))
    return facts | _named("privileges: ", security.expected_grants(session, migration, pair))


def _there(session: Session, migration: Migration, pair: Pair, table: Relation) -> CatalogFacts:
    functions = [name for name, _ in trigger_functions(pair, migration.schema)]
    with session.transaction(read_only=True, search_path=(table.schema, migration.schema, "extensions")):
        facts = structure.table_facts(session, table, functions, ours=False)
        facts |= _named("security: ", security.policies(session, table))
    with session.transaction(read_only=True):
        held = security.privileges(session, table, security.watched_roles(migration))
    return facts | _named("privileges: ", held)


def _named(start: str, facts: CatalogFacts) -> CatalogFacts:
    return {(start + thing, aspect): value for (thing, aspect), value in facts.items()}


# --- the view --------------------------------------------------------------------------------------------------


def _view(session: Session, migration: Migration, pair: Pair, view: Relation) -> Side:
    """Compare the view at the old name with its file: what it shows, and with whose rights."""
    if pair.view_ddl is None:
        why = f"migration.yaml names no file of one, so after an undo nothing has the name {pair.old}"
        return Side("view", f"{view} has no file", (why,))
    try:
        wanted = _expected_view(session, migration, pair, pair.view_ddl)
    except (ConnectionLostError, OnlyReadsError):
        raise
    except (DatabaseError, SpecError) as error:
        return Side("view", f"{pair.view_ddl.path} can't be run", (error.found, *error.complaints))
    with session.transaction(read_only=True, search_path=(view.schema, migration.schema, "extensions")):
        lines = _lines(wanted, _shown(session, view))
    return Side("view", _verdict(str(view), pair.view_ddl.path, len(wanted), lines), lines)


def _expected_view(session: Session, migration: Migration, pair: Pair, file: Ddl) -> CatalogFacts:
    with scratch_table(session, migration, file, pair.old, "view") as made:
        return _shown(session, made)


def _shown(session: Session, view: Relation) -> CatalogFacts:
    return as_facts(session.all(engine("view_facts"), {"oid": view.oid}))


# --- words -----------------------------------------------------------------------------------------------------


def _verdict(what: str, file: str, facts: int, lines: Sequence[str]) -> str:
    if lines:
        return f"{what} differs from {file} in {counted(len(lines), 'place')}"
    return f"{what} is as {file} makes it ({counted(facts, 'fact')})"


def _lines(wanted: CatalogFacts, there: CatalogFacts) -> tuple[str, ...]:
    return tuple(
        f"{d['what']}: the file has {d['expected']}; there is {d['found']}" for d in differences(wanted, there)
    )
