"""Where each pair stands, worked out from the catalog, and from the ledger only where the catalog can't tell.

Nothing here writes, and nothing here decides what to do about a state: that is for `plan` and the steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import StrEnum

from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.equality import key_columns
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.ledger import LEDGER, Entry, Ledger
from aicfg_pipeline.spec.ddl import bare_column
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA, Migration, Pair


class State(StrEnum):
    """The states of a pair."""

    MIGRATED = "migrated"
    MIGRATED_AGAIN = "migrated_again"
    COEXISTING = "coexisting"
    COPYING = "copying"
    PREPARED = "prepared"
    CUT_OVER = "cut_over"
    RENAMED = "renamed"
    ROLLED_BACK = "rolled_back"
    NEVER_MIGRATED = "never_migrated"
    MISSING = "missing"


WITH_SHADOW = (State.COPYING, State.PREPARED)
TO_ROLL_BACK = (State.MIGRATED, State.MIGRATED_AGAIN, State.COEXISTING, *WITH_SHADOW)
UNDOABLE = (State.CUT_OVER, State.RENAMED)
"""Rolled back, and to be undone: the new table is parked, or it was renamed where it is."""

PREPARED_BY = ("prepare", "ready")
"""Step and outcome of the ledger's row which says that a shadow is proven, and is kept up to date for the switch."""


@dataclass(frozen=True)
class PairState:
    """One pair as it is found: the relations under its names, in `schema` and in the private schema.

    `pair` is the migration's; its key's columns know by which operator their types compare.
    """

    pair: Pair
    state: State
    at_old_name: Relation | None
    at_new_name: Relation | None
    private_old: Relation | None
    private_new: Relation | None
    log: Relation | None
    before_undo: Relation | None
    kept_aside: Relation | None
    because: str

    @property
    def new_table(self) -> Relation:
        """The new table in public; only asked for where the state says that it is there."""
        assert self.at_new_name is not None
        return self.at_new_name

    @property
    def old_table(self) -> Relation:
        """The table at the old name; only asked for where the state says that it is there."""
        assert self.at_old_name is not None
        return self.at_old_name

    @property
    def parked(self) -> Relation:
        """The parked new table; only asked for where the state says that it is there."""
        assert self.private_new is not None
        return self.private_new

    @property
    def shadow(self) -> Relation | None:
        """The shadow: what the private schema has under the old name while no cut-over has happened."""
        if self.state in WITH_SHADOW and self.private_old and self.private_old.is_table:
            return self.private_old
        return None

    @property
    def superseded(self) -> Relation | None:
        """The old table that coexists with the new one."""
        return self.at_old_name if self.at_old_name and self.at_old_name.is_table and self.at_new_name else None

    @property
    def untouched(self) -> State:
        """What a pair that is migrated was before we made or parked anything of it."""
        return State.COEXISTING if self.superseded else State.MIGRATED

    @property
    def live_tables(self) -> list[Relation]:
        """The tables that are written to while the shadow is made: the new one, and a coexisting old one."""
        return [self.new_table, *([self.superseded] if self.superseded else [])]


UNRECORDED = "{parked} is parked, but the ledger has no row of the cut-over: what an undo or a drop needs is not known."


@dataclass(frozen=True)
class Look:
    """One look at the database: every pair's state and the ledger."""

    pairs: tuple[PairState, ...]
    ledger: Ledger

    def __getitem__(self, old: str) -> PairState:
        """Return the state of the pair whose old table is `old`."""
        return next(p for p in self.pairs if p.pair.old == old)

    def in_state(self, *states: State) -> tuple[PairState, ...]:
        """Return the pairs that are in one of these states."""
        return tuple(p for p in self.pairs if p.state in states)

    @property
    def owner(self) -> str | None:
        """Whom the tables belong to: the first pair's table that is in use. What we make is made for that role."""
        tables = [r for p in self.pairs for r in (p.at_new_name, p.at_old_name) if r is not None and r.is_table]
        return tables[0].owner if tables else None

    @property
    def summary(self) -> Mapping[str, str]:
        """Old name to state."""
        return {p.pair.old: str(p.state) for p in self.pairs}


def look(session: Session, migration: Migration) -> Look:
    """Read catalog and ledger and classify each pair. From here on the session works for this migration."""
    places = (PRIVATE_SCHEMA, migration.own_schema)
    names = [LEDGER] + [
        place
        for p in migration.pairs
        for place in (
            (migration.schema, p.old),
            (migration.schema, p.new),
            *((place, n) for place in places for n in (p.old, p.new, p.change_log, p.before_undo)),
            (migration.schema, p.old + "_old"),
        )
    ]
    found = catalog.relations(session, names)
    book = ledger.read(session, migration, there=LEDGER in found)
    private = session.private_schema  # the ledger knows which one of the two that were asked for
    return Look(tuple(_classify(session, migration, private, p, found, book) for p in migration.pairs), book)


def prepared_by(book: Ledger, pair: Pair, shadow: Relation) -> Entry | None:
    """Return the row that says since when this very shadow is prepared, or None. A swap since has ended that."""
    rows = [e for e in book.entries if e.pair == pair.old and e.facts.get("shadow_oid") == shadow.oid]
    ready = [e for e in rows if (e.step, e.outcome) == PREPARED_BY]
    swapped = book.last("cut_over", pair=pair.old)
    since = [e for e in ready if swapped is None or e.id > swapped.id]
    return since[0] if since else None


def renamed_by(book: Ledger, pair: Pair) -> Entry | None:
    """Return the cut-over that renamed a pair's table in place, where that is the last that happened to its names."""
    steps = ("cut_over", "undo", "migrate", "drop")
    rows = (e for e in reversed(book.entries) if e.pair == pair.old and e.step in steps and e.outcome == "done")
    last = next(rows, None)
    return last if last is not None and last.step == "cut_over" and last.facts.get("way") == "instant" else None


def _classify(
    session: Session,
    migration: Migration,
    private: str,
    pair: Pair,
    found: Mapping[tuple[str, str], Relation],
    book: Ledger,
) -> PairState:
    at_old, at_new = found.get((migration.schema, pair.old)), found.get((migration.schema, pair.new))
    if pair.in_place and at_old is not None:
        at_old, at_new = _by_columns(session, pair, at_old)
    private_old, private_new = found.get((private, pair.old)), found.get((private, pair.new))
    log = found.get((private, pair.change_log))
    state, because = _judge(pair, at_old, at_new, private_old, private_new, book)
    table = next((r for r in (at_new, private_new, at_old, private_old) if r is not None and r.is_table), None)
    return PairState(
        pair=replace(pair, key=key_columns(pair.key, table.own_equality)) if table else pair,
        state=state,
        at_old_name=at_old,
        at_new_name=at_new,
        private_old=private_old,
        private_new=private_new,
        log=log,
        before_undo=found.get((private, pair.before_undo)),
        kept_aside=found.get((migration.schema, pair.old + "_old")),
        because=because,
    )


def _by_columns(session: Session, pair: Pair, table: Relation) -> tuple[Relation | None, Relation | None]:
    """Return one table as the old or as the new one, by what its renamed columns are called; as neither in between."""
    there = {c.name for c in catalog.columns(session, table.oid)}
    renamed = {old: new for old, e in pair.back.items() if (new := bare_column(e)) is not None and new != old}
    if all(new in there and (old not in there or old in renamed.values()) for old, new in renamed.items()):
        return None, table
    if all(old in there and (new not in there or new in renamed) for old, new in renamed.items()):
        return table, None
    return None, None


def _judge(
    pair: Pair,
    at_old: Relation | None,
    at_new: Relation | None,
    private_old: Relation | None,
    private_new: Relation | None,
    book: Ledger,
) -> tuple[State, str]:
    new_is_table = at_new is not None and at_new.is_table
    old_is_table = at_old is not None and at_old.is_table
    if old_is_table and private_new is not None and private_new.is_table:
        return State.CUT_OVER, f"{at_old} is in use and {private_new} is parked"
    if new_is_table and private_new is not None and private_new.is_table:
        return State.MIGRATED_AGAIN, f"{at_new} was made by others while {private_new} is parked by an earlier rollback"
    if new_is_table and private_old is not None and private_old.is_table:
        ready = prepared_by(book, pair, private_old)
        if ready is not None:
            return State.PREPARED, f"{private_old} was prepared from {at_new} at {ready.at:%Y-%m-%d %H:%M} UTC"
        return State.COPYING, f"{private_old} is being made from {at_new}"
    if new_is_table and old_is_table:
        return State.COEXISTING, f"{at_old} stands beside {at_new}"
    if new_is_table and at_old is None:
        return State.MIGRATED, f"{at_new} is there and nothing has the old name"
    if new_is_table and at_old is not None and at_old.is_view:
        return State.MIGRATED, f"{at_old} stands for {at_new}"
    if old_is_table and not new_is_table:
        return _restored(pair, at_old, book)
    seen = [str(r) for r in (at_old, at_new, private_old, private_new) if r is not None]
    return State.MISSING, f"neither a usable old nor a usable new table; there is: {', '.join(seen) or 'nothing'}"


def _restored(pair: Pair, at_old: Relation | None, book: Ledger) -> tuple[State, str]:
    """Judge a pair of which only the old table is there, and nothing of the new one is parked."""
    renamed = renamed_by(book, pair)
    if renamed is not None and at_old is not None and renamed.facts.get("new_oid") == at_old.oid:
        return State.RENAMED, f"{at_old} is in use; it was renamed where it is at {renamed.at:%Y-%m-%d %H:%M} UTC"
    if book.last("cut_over", pair=pair.old) is not None:
        return State.ROLLED_BACK, f"{at_old} is in use and the ledger has the cut-over"
    told = "and nothing tells of a migration" if book.readable else "; whether it was rolled back, we may not read"
    return State.NEVER_MIGRATED, f"{at_old} is in use{' ' if book.readable else ''}{told}"
