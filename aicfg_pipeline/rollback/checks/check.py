"""What a check is: a name, the asset it is about, a verdict and what it saw; and what checks have in common. No check is here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aicfg_pipeline.errors import ConnectionLostError, LockTimeoutError, PipelineError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.comparison import Comparison, compare_parked
from aicfg_pipeline.spec.model import Migration, Pair

LIVE = (State.CUT_OVER, State.ROLLED_BACK, State.NEVER_MIGRATED)


ATTEMPTS = 4


Result = TypeVar("Result")


def restored(watch: Watch, pair: Pair) -> Relation | None:
    """Return the old table where it is the one in use: after a rollback, or where nothing was ever migrated."""
    state = watch.state(pair)
    if state.state in LIVE or (state.state in (State.COEXISTING, State.MISSING) and was_rolled_back(watch, pair)):
        return state.at_old_name if state.at_old_name and state.at_old_name.is_table else None
    return None


def was_rolled_back(watch: Watch, pair: Pair) -> bool:
    """Say whether the last that the ledger has of a pair is its cut-over, not a migration or an undo."""
    ends = ("cut_over", "migrate", "undo", "drop")
    last = [e.step for e in watch.ledger.entries if e.pair == pair.old and e.step in ends and e.outcome == "done"]
    return bool(last) and last[-1] in ("cut_over", "drop")


def nothing_yet(watch: Watch, pair: Pair, name: str, kind: Kind = "old") -> Check:
    """Return the verdict of a check that has nothing to look at in this state."""
    state = watch.state(pair)
    return Check(name, pair.old, kind, True, f"There is nothing to check yet ({state.state}: {state.because}).")


def checked(name: str, pair: Pair, kind: Kind, work: Callable[[], Check]) -> Check:
    """Run a check again where a lock was not to be had; one that can't be carried out has failed, and says why."""
    try:
        return patiently(work)
    except ConnectionLostError:
        raise
    except PipelineError as error:
        return Check(name, pair.old, kind, False, f"This could not be checked: {' '.join(error.found.split())}")


def patiently(work: Callable[[], Result]) -> Result:
    """Run something that only reads, again where someone else's DDL held its lock for too long."""
    for _ in range(ATTEMPTS - 1):
        try:
            return work()
        except LockTimeoutError:
            continue
    return work()


Kind = Literal["old", "new", "view", "service"]


@dataclass(frozen=True)
class Check:
    """A verdict. `asset` is the kind of thing it is about; `facts` are plain values, for metadata and evidence.

    `pair` is the pair's old table, or which service (then `asset` is "service").
    """

    name: str
    pair: str
    asset: Kind
    passed: bool
    summary: str
    severity: Literal["ERROR", "WARN"] = "ERROR"
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass
class Watch:
    """What every check is given. Comparisons are made once per pair and shared between the checks of one run."""

    session: Session
    migration: Migration
    look: Look
    comparisons: dict[str, Comparison] = field(default_factory=dict)

    def state(self, pair: Pair) -> PairState:
        """Return the state of a pair."""
        return self.look[pair.old]

    @property
    def ledger(self) -> Ledger:
        """The ledger as it was looked at."""
        return self.look.ledger

    def comparison(self, pair: Pair) -> Comparison:
        """Compare old and parked table in one snapshot, once."""
        if pair.old not in self.comparisons:
            self.comparisons[pair.old] = compare_parked(self.session, self.state(pair))
        return self.comparisons[pair.old]


CheckFunction = Callable[[Watch, Pair], Check]


def about(kind: Kind) -> Callable[[CheckFunction], CheckFunction]:
    """Mark a check as one about new tables or views; without it a check is about the old table."""

    def mark(check: CheckFunction) -> CheckFunction:
        check.assets = (kind,)  # type: ignore[attr-defined]
        return check

    return mark


def log_size(watch: Watch, pair: Pair) -> change_log.LogSize:
    """Count the pair's change log."""
    with watch.session.transaction(read_only=True):
        return change_log.size(watch.session, pair)
