"""What the ledger remembers of the services: as they were before a stop, the code's commits, the deploys.

The rows are written in transactions of their own, because no transaction reaches a service: `remembered` before the
stop, `stopped` and `started` after. So whoever finds a `remembered` without its `started` knows what to put back.
What is asked of a service is in `functions`, `code` and `deploy`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import UNDOABLE, Look, PairState, State
from aicfg_pipeline.services.lambda_states import LambdaStates

SERVICES = "services"
REVERT_CODE = "revert_code"
UNDO_CODE = "undo_code"
REDEPLOY = "redeploy"
BACK, FORTH = "back", "forth"
NO_CUT_OVER = "no pair is in use at its old name because of this pipeline, so the code keeps the new names"


def note(run: Run, step: str, outcome: str, facts: Mapping[str, Any]) -> None:
    """Write one row in a transaction of its own."""
    with run.writing():
        run.record(step, outcome, facts=dict(facts))


def open_stop(book: Ledger) -> LambdaStates | None:
    """Return the functions as they were before a stop that has not been followed by a start; None if there is none."""
    for entry in reversed(book.entries):
        if entry.step == SERVICES and entry.outcome == "started":
            return None
        if entry.step == SERVICES and entry.outcome == "remembered":
            return LambdaStates.from_json(entry.facts["lambdas"])
    return None


def restored(look: Look) -> tuple[PairState, ...]:
    """Return the pairs whose old table is in use because this pipeline brought it back."""
    back = look.in_state(*UNDOABLE, State.ROLLED_BACK)
    return tuple(s for s in back if look.ledger.last("cut_over", pair=s.pair.old, outcome="done"))


def last_cut_over(look: Look) -> Entry | None:
    """Return the newest cut-over of the pairs whose old table is in use; None if there is none."""
    rows = [look.ledger.last("cut_over", pair=s.pair.old, outcome="done") for s in restored(look)]
    return max((r for r in rows if r is not None), key=lambda row: row.id, default=None)


def last_swap(book: Ledger) -> datetime | None:
    """Return when names changed last; None where they never did."""
    swaps = [e.at for e in book.entries if e.step in ("cut_over", "undo", "migrate") and e.outcome == "done"]
    return max(swaps, default=None)


def code_commit(book: Ledger) -> str | None:
    """Return the commit that has the old names, as the last `revert_code` found or made it."""
    row = book.last(REVERT_CODE, outcome="done")
    return str(row.facts.get("commit") or row.facts.get("earlier_commit")) if row else None


def redeployed(look: Look) -> Entry | None:
    """Return the deploy of the old names since the last cut-over; None if there was none."""
    cut, row = last_cut_over(look), look.ledger.last(REDEPLOY, outcome="done")
    return row if cut and row and row.id > cut.id and row.facts.get("direction") == BACK else None


@dataclass(frozen=True)
class Clock:
    """How far the database's clock, by which the ledger is written, is ahead of this machine's."""

    ahead: float

    @classmethod
    def of(cls, session: Any, now: datetime) -> Clock:
        """Ask the database. `now` is this machine's time."""
        return cls((session.scalar(engine("server_time")) - now).total_seconds())
