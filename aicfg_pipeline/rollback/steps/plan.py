"""Step 0: look, find hazards, and say what would run, in order. Reads only; a dry run ends here.

The plan's hash is over the migration, the database and the statements: two plans of one hash do the same.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import DatabaseError, HazardError
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import columns, comma, engine, ident, private, text
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.hazards import ACCEPTABLE, Hazard, Subject, find_hazards
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, Look, PairState
from aicfg_pipeline.rollback.steps import cut_over
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.mapping import Source
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.rollback.tables.sources import back_source


@dataclass(frozen=True)
class Planned:
    """One statement that would run: in which step, of which pair."""

    step: str
    pair: str | None
    sql: str


@dataclass(frozen=True)
class Plan:
    """What was found and what would run."""

    database: dict[str, Any]
    look: Look
    hazards: tuple[Hazard, ...]
    statements: tuple[Planned, ...]
    hash: str

    def blocking(self, accepted: Sequence[str]) -> list[Hazard]:
        """Return the hazards that stop a run, given which codes the operator accepts."""
        return [h for h in self.hazards if h.blocks(tuple(accepted))]

    @property
    def nothing_to_do(self) -> bool:
        """No pair is in a state that a rollback starts from."""
        return not self.look.in_state(*TO_ROLL_BACK)


def make_plan(run: Run, *, must_confirm: bool) -> Plan:
    """Look at everything and change nothing."""
    session = run.session
    identity = session.one(engine("identity"))._asdict()
    look = run.look()
    hazards = find_hazards(Subject(session, run.migration, look, run.settings, must_confirm))
    statements = _statements(run, look)
    facts = [
        run.migration.digest,
        identity["database"],
        identity["system_identifier"],
        dict(look.summary),
        [s.sql for s in statements],
    ]
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:16]
    return Plan(identity, look, tuple(hazards), tuple(statements), digest)


def gate(plan: Plan, accepted: Sequence[str]) -> None:
    """Raise `HazardError` naming every hazard that blocks, before anything is touched."""
    unknown = sorted(set(accepted) - ACCEPTABLE)
    blocking = plan.blocking(accepted)
    complaints = [
        str(h) + (" May be accepted: accept_hazards: [" + h.code + "]" if h.acceptable else "") for h in blocking
    ]
    complaints += [
        f"accept_hazards names {c}, which can't be accepted (only {', '.join(sorted(ACCEPTABLE))})" for c in unknown
    ]
    if complaints:
        raise HazardError(
            f"The plan found {len(complaints)} hazards. Nothing was touched in database {plan.database['database']!r}.",
            codes=[h.code for h in blocking],
            complaints=complaints,
            remedy="Mend what is named above and run the job plan until it reports no hazard that blocks.",
        )


# --- the statements in the order they would run ----------------------------------------------------------------


def _statements(run: Run, look: Look) -> list[Planned]:
    states = look.in_state(*TO_ROLL_BACK)
    if not states:
        return []
    planned = [Planned("plan", None, _text(run.session, s)) for s in ledger.prepare_statements()]
    sources: dict[str, Source] = {}
    for state in states:
        source = _source(run, state)
        if source is not None:
            sources[state.pair.old] = source
            planned += [
                Planned(f"copy_back_{state.pair.op_suffix}", state.pair.old, s) for s in _copying(run, state, source)
            ]
    if len(sources) == len(states):
        planned += [Planned("cut_over", None, _text(run.session, s)) for s in _swapping(run, states, sources)]
    return planned


def _source(run: Run, state: PairState) -> Source | None:
    """The live rows as they will be copied; None where the DDL can't be run (a hazard says so)."""
    pair = state.pair
    try:
        with scratch_table(run.session, run.migration, pair.old_ddl, pair.old) as old:
            return back_source(run.session, pair, old, state.new_table, state.superseded)
    except DatabaseError:
        return None


def _copying(run: Run, state: PairState, source: Source) -> Iterator[str]:
    pair, session = state.pair, run.session
    live = [ident(r.schema, r.name) for r in state.live_tables]
    shadow = private(pair.old)
    blocks = pair.old_ddl.blocks
    yield from blocks["table"].statements
    yield from (_text(session, s) for s in [engine("no_autovacuum", table=shadow)])
    yield from (_text(session, s) for s in change_log.create_statements(pair, live[0]))
    yield _text(session, engine("lock_for_trigger", tables=comma(live)))
    yield from (_text(session, s) for table in live for s in change_log.attach_statements(pair, table))
    yield _text(session, engine("copy_rows", target=shadow, columns=columns(source.columns), source=source.query))
    for block in ("indexes", "row_level_security", "grants", "comments"):
        yield from blocks[block].statements if block in blocks else ()
    yield from (_text(session, s) for s in change_log.replay_statements(pair, source, shadow))
    yield _text(session, engine("vacuum", table=shadow))


def _swapping(run: Run, states: Sequence[PairState], sources: dict[str, Source]) -> Iterator[sql.Composable]:
    for state in states:
        keys = state.pair.old_ddl.blocks.get("foreign_keys")
        yield from (text(s) for s in (keys.statements if keys else ()))
    yield engine("lock_exclusively", tables=comma(cut_over.lock_order(tuple(states))))
    for state in states:
        yield from change_log.replay_statements(state.pair, sources[state.pair.old], private(state.pair.old))
    yield from cut_over.move_statements(tuple(states))
    for state in states:
        validate = state.pair.old_ddl.blocks.get("validate")
        yield from (text(s) for s in (validate.statements if validate else ()))


def _text(session: Session, statement: sql.Composable) -> str:
    return statement.as_string(session.connection)
