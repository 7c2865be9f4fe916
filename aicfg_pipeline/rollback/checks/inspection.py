"""What every check is given: the session, the migration and one look at the database; and what it says of a pair."""

from __future__ import annotations

from dataclasses import dataclass, field

from aicfg_pipeline.errors import OnlyReadsError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.fingerprint import Fingerprint
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import UNDOABLE, Look, PairState, State
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.comparison import Comparison, compare_parked
from aicfg_pipeline.rollback.tables.since import compare_since
from aicfg_pipeline.rollback.whose import others_in
from aicfg_pipeline.spec.model import Migration, Pair

SWAPS = ("cut_over", "undo", "migrate")
LIVE = (*UNDOABLE, State.ROLLED_BACK, State.NEVER_MIGRATED)


@dataclass
class Inspection:
    """What every check is given. Comparisons are made once per pair and shared between the checks of one run.

    `just_proven` is for the run that has compared and swapped itself: what it has proven is not read again as a whole.
    """

    session: Session
    migration: Migration
    look: Look
    comparisons: dict[str, Comparison] = field(default_factory=dict)
    just_proven: bool = False
    measured: dict[str, tuple[int, int, Fingerprint | None]] = field(default_factory=dict)

    def state(self, pair: Pair) -> PairState:
        """Return the state of a pair."""
        return self.look[pair.old]

    @property
    def ledger(self) -> Ledger:
        """The ledger as it was looked at. Raises `OnlyReadsError` where this role may not read it."""
        if not self.look.ledger.readable:
            raise OnlyReadsError("this role may not read the ledger of what the pipeline has done here.")
        return self.look.ledger

    @property
    def only_reads(self) -> bool:
        """Whether the tables belong to a role that this one is no member of."""
        tables = [r for s in self.look.pairs for r in (s.at_old_name, s.at_new_name) if r is not None and r.is_table]
        return not any(t.is_owner for t in tables)

    def comparison(self, pair: Pair) -> Comparison:
        """Compare old and parked table in one snapshot, once."""
        if pair.old not in self.comparisons:
            self.comparisons[pair.old] = self._since_the_proof(pair) or compare_parked(self.session, self.state(pair))
        return self.comparisons[pair.old]

    def _since_the_proof(self, pair: Pair) -> Comparison | None:
        if not self.just_proven:
            return None
        return compare_since(self.session, self.state(pair), self.ledger.last("compare", pair=pair.old))


def restored(inspection: Inspection, pair: Pair) -> Relation | None:
    """Return the old table where it is the one in use: after a rollback, or where nothing was ever migrated."""
    state = inspection.state(pair)
    if state.state in LIVE or (state.state in (State.COEXISTING, State.MISSING) and was_rolled_back(inspection, pair)):
        return state.at_old_name if state.at_old_name and state.at_old_name.is_table else None
    return None


def was_rolled_back(inspection: Inspection, pair: Pair) -> bool:
    """Say whether the last that the ledger has of a pair is its cut-over, not a migration or an undo."""
    ends = ("cut_over", "migrate", "undo", "drop")
    last = [e.step for e in inspection.ledger.entries if e.pair == pair.old and e.step in ends and e.outcome == "done"]
    return bool(last) and last[-1] in ("cut_over", "drop")


def taken_further(inspection: Inspection, pair: Pair) -> str | None:
    """Return the earlier migration that has taken our old table back once more since our rollback, or None.

    That one's new table is our old one: where both went back, nothing has our names any more, and that is right.
    """
    if inspection.state(pair).state != State.MISSING or not was_rolled_back(inspection, pair):
        return None
    rows = inspection.ledger.others
    for name, other in others_in(rows).items():
        old = next((o for o, new in other.pairs.items() if new == pair.old), None)
        swaps = [e.step for e in rows if (e.migration, e.pair, e.outcome) == (name, old, "done") and e.step in SWAPS]
        if old is not None and other.schema == inspection.migration.schema and swaps[-1:] == ["cut_over"]:
            return name
    return None


def log_size(inspection: Inspection, pair: Pair) -> change_log.LogSize:
    """Count the pair's change log."""
    with inspection.session.transaction(read_only=True):
        return change_log.size(inspection.session, pair)
