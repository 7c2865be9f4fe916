"""The swap of names: one short transaction under locks, the same for both directions.

Locks, the last replay, the moves between schemas, the ledger's rows, and how long it all took. Which tables go where,
and what the ledger says of it, is for the steps to say.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from psycopg import sql
from psycopg.types.json import Jsonb

from aicfg_pipeline.errors import DatabaseError, GateError, LockTimeoutError
from aicfg_pipeline.postgres.ahead import OlderSnapshots, must_be_free
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.locks import CUT_OVER_LOCK_TIMEOUT_MS, bystander_budget_ms, take_locks
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import comma, engine, ident, private, private_schema
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.catch_up import Replay, catch_up_for_swap
from aicfg_pipeline.rollback.tables.fitting import rows_must_fit
from aicfg_pipeline.rollback.tables.losses import GUARDED
from aicfg_pipeline.rollback.work import Work, begun

SWAP = "aicfg_rollback_swap"
LOCK_NOT_AVAILABLE = "55P03"

SNAPSHOTS_OF_THE_COPY_SECONDS = 1.0
"""So long each attempt waits for whoever's snapshot is older than the copy. Nobody waits for us meanwhile."""

LATER_SNAPSHOTS_SECONDS = 1.0
"""So long for those that are older than what was written and replayed since."""

LEAST_WAIT_MS = 10
"""A lock on a table that is busy is had between two short transactions; below this it would often not be."""


@dataclass(frozen=True)
class Swap:
    """One swap of names of several pairs.

    `tables` are locked in this order. `keys` are foreign keys that are put on then: they lock the tables that they refer
    to (`referred`), whose users are bystanders, so that comes last and is waited for only a moment. `moves` run after the
    last replay. `outside` are tables of others that refer to ours: `keys` locks them first, and not even readers may be in
    the way. `facts` is what the ledger's row of each pair says, besides the keys replayed and the times. `oids` are our
    own relations that are locked. `guards` fail under the locks where the tables are not what was looked at, and
    `look_again` raises where a hazard has come up before the locks.
    """

    step: str
    search_path: tuple[str, ...]
    keys: Sequence[sql.Composable]
    tables: Sequence[sql.Identifier]
    replays: Sequence[Replay]
    moves: Sequence[sql.Composable]
    facts: Mapping[str, Mapping[str, Any]]
    oids: Sequence[int]
    referred: Sequence[int] = ()
    outside: Sequence[int] = ()
    guards: Sequence[sql.Composable] = ()
    look_again: Callable[[], None] = lambda: None

    @property
    def all_oids(self) -> list[int]:
        """All relations that are locked."""
        return [*self.oids, *self.bystanders]

    @property
    def bystanders(self) -> list[int]:
        """The tables of others that are locked."""
        return sorted({*self.referred, *self.outside})

    @property
    def work(self) -> Work:
        """The swap's transaction, with what may be left to replay under its locks."""
        return Work(
            self.step,
            None,
            "the swap: everybody waits from the last lock to the end of this transaction",
            locks=[engine("lock_exclusively", tables=comma(self.tables))],
            then=[
                *self.keys,
                *self.guards,
                *(s for r in self.replays for s in r.planned()),
                engine("constraints_now"),
                *self.moves,
            ],
            search_path=self.search_path,
            brief=True,
            outcome="done",
        )


def swap(run: Run, planned: Swap, *, what: str) -> dict[str, Any]:
    """Swap, with retries. Returns locks held in milliseconds, entries replayed, attempts and blockers.

    Raises `LockTimeoutError` where the locks are not to be had; nothing has changed then.
    """

    ahead = _Ahead(run, planned)
    waited = 0.0  # by those who use the tables that ours refer to, in attempts that came to nothing

    def work() -> dict[str, Any]:
        nonlocal waited
        ahead.clear()
        try:
            return _swap_once(run, planned, waited)
        except LockTimeoutError as error:
            if getattr(error, "sqlstate", None) == LOCK_NOT_AVAILABLE:
                waited += bystander_budget_ms(run.session)
            raise
        except DatabaseError as error:
            found = GUARDED.get(getattr(error, "sqlstate", None) or "")
            if found is None:
                raise
            raise GateError(
                f"{', '.join(planned.facts)}: while this waited for its locks, {found}. Nothing has changed.",
                remedy="Run the same job again: it looks anew, and names the column.",
            ) from None

    timing, report = run.with_locks(work, what=what, oids=planned.all_oids)
    return {**timing, "lock_attempts": report.attempts, "blockers": report.blockers}


class _Ahead:
    """What is done before each attempt, while nobody has to wait for us."""

    def __init__(self, run: Run, planned: Swap) -> None:
        self._run, self._planned = run, planned
        self._older = OlderSnapshots(run.session)
        self._noted = False

    def clear(self) -> None:
        """Catch up, and see that nobody is in the way. Raises `InTheWayError`.

        Whoever's snapshot is older than the copy has to be gone. Then the same once more, for what was written meanwhile:
        it is not waited for as long, or one that others overlap with another would keep us for ever. Under a snapshot that
        is older than so late a replay an UPDATE of a row that was written ends in a serialization error, as it should; only
        a row that was inserted at that very moment is not seen yet.
        """
        if self._planned.replays:  # else no row is anywhere but where it was: every snapshot sees it
            self._wait_for_older()
        self._planned.look_again()
        must_be_free(self._run.session, self._planned.referred, for_writers=True)
        must_be_free(self._run.session, self._planned.outside)

    def _wait_for_older(self) -> None:
        self._catch_up()
        if not self._noted:
            self._older.note()
            self._noted = True
        self._older.must_be_gone(SNAPSHOTS_OF_THE_COPY_SECONDS, self._catch_up)
        if self._catch_up():
            self._older.note()
            self._older.wait(LATER_SNAPSHOTS_SECONDS, self._catch_up)
            self._catch_up()
            self._older.forget()

    def _catch_up(self) -> int:
        return catch_up_for_swap(self._run, self._planned.replays, self._planned.all_oids)


def _swap_once(run: Run, planned: Swap, waited: float) -> dict[str, Any]:
    with rows_must_fit(", ".join(planned.facts)), begun(run, replace(planned.work, locks=())) as session:
        held = _UnderLocks(session, planned)
        statements = [*planned.guards, *held.replay, engine("constraints_now"), *planned.moves]
        session.note(statements)  # before they run: their ledger rows are written in the same round trip
        rows = [_row(run, planned.step, old, facts, held.entries, waited) for old, facts in planned.facts.items()]
        session.script([*statements, *rows], note=False)
    return {
        "locks_held_ms": held.milliseconds(),
        "bystanders_ms": round(waited + held.milliseconds(), 2),
        "keys_replayed": held.entries,
    }


class _UnderLocks:
    """Takes the locks, and in the same round trip counts what is left to replay; each further one is waited for.

    `replay` are the statements for what is left, `entries` their number.
    """

    def __init__(self, session: Session, planned: Swap) -> None:
        logs = [(r.pair, r.target) for r in planned.replays]
        count = change_log.count_waiting(logs) if logs else [engine("no_log_waits")]
        then = [engine("mark_locked"), *_keys_in_time(session, planned), *count]
        waiting = change_log.counted(take_locks(session, planned.work.locks, then=then))
        session.note(planned.keys)
        self._since = time.perf_counter() - (waiting[0].held_ms or 0.0) / 1000
        self.replay = [s for r, w in zip(planned.replays, waiting, strict=bool(logs)) for s in r.script(w)]
        self.entries = sum(w.entries for w in waiting)

    def milliseconds(self) -> float:
        """Return for how long the locks have been held: until the answer to the last statement."""
        return round((time.perf_counter() - self._since) * 1000, 2)


def _keys_in_time(session: Session, planned: Swap) -> list[sql.Composable]:
    """Return what puts the foreign keys on, each lock waited for so briefly that all of them are within the budget."""
    if not planned.keys:
        return []
    each = max(bystander_budget_ms(session) / max(len(planned.bystanders), 1), LEAST_WAIT_MS)
    return [
        engine("set_local", name=ident("lock_timeout"), value=sql.Literal(f"{each:.0f}ms")),
        engine("mark_referred"),
        *planned.keys,
        engine("set_local", name=ident("lock_timeout"), value=sql.Literal(f"{CUT_OVER_LOCK_TIMEOUT_MS}ms")),
    ]


def _row(run: Run, step: str, old: str, facts: Mapping[str, Any], replayed: int, waited: float) -> sql.Composed:
    """Return the ledger's row about the swap of one pair; the server adds how long the locks were held."""
    known = {**facts, "keys_replayed": replayed, "api_notified": True}
    with_time = engine("facts_with_lock_time", facts=sql.Literal(Jsonb(known)), waited=sql.Literal(round(waited, 2)))
    return run.record_statement(step, "done", pair=old, facts=with_time)


# --- which relations go where ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Moving:
    """A relation that changes its schema, there or yet to be made."""

    name: str
    is_view: bool = False


def moving(*relations: Relation | None) -> list[Moving]:
    """Return those relations that are there, as what moves."""
    return [Moving(r.name, r.is_view) for r in relations if r is not None]


def within_swap_schema(schema: str, statements: Sequence[sql.Composable]) -> list[sql.Composable]:
    """Return the moves of all pairs with the schema that they pass through, and word of it to PostgREST."""
    along = engine("statistics_along", schema=sql.Literal(schema))
    return [engine("create_swap_schema"), *statements, along, engine("drop_swap_schema"), engine("reload_api")]


def exchange(
    schema: str,
    leaving: Sequence[Moving],
    coming: Sequence[Moving],
    then: Sequence[sql.Composable] = (),
) -> list[sql.Composable]:
    """Return what takes `leaving` out of `schema` into the private one, and brings `coming` from there.

    All that leave go first, into a schema that exists only inside this transaction: a table that was renamed has kept
    the names of its indexes and sequences, which are the very ones that come. `then` runs in between, when the names in
    `schema` are those that are to be and nothing of ours is left in their way.
    """
    return [
        *(_moved(ident(schema, r.name), r, ident(SWAP)) for r in leaving),
        *(_moved(private(r.name), r, ident(schema)) for r in coming),
        *then,
        *(_moved(ident(SWAP, r.name), r, private_schema()) for r in leaving),
    ]


def _moved(there: sql.Identifier, relation: Moving, to: sql.Identifier) -> sql.Composed:
    block, part = ("view_to_schema", "view") if relation.is_view else ("table_to_schema", "table")
    return engine(block, **{part: there}, schema=to)
