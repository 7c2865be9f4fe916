"""What a check is: a name, the asset it is about, a verdict and what it saw. And the checks of the data.

The same functions gate the rollback, run from an asset's page and run in the job `verify`. Checks of structure and
security have files of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident, private
from aicfg_pipeline.rollback import change_log
from aicfg_pipeline.rollback.compare import Comparison, compare_sides
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.sources import back_source
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.spec import Migration, Pair

Kind = Literal["old", "new", "view"]


@dataclass(frozen=True)
class Check:
    """A verdict. `asset` is the kind of relation it is about; `facts` are plain values, for metadata and evidence."""

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


def compare_parked(session: Session, state: PairState, *, in_transaction: bool = False) -> Comparison:
    """Compare the old table with the parked one: `before` is what the new table held at the cut-over."""
    pair, old = state.pair, state.old_table
    superseded = state.private_old if state.private_old and state.private_old.is_table else None
    source = back_source(session, pair, old, state.parked, superseded)
    target = ident(old.schema, old.name)

    def comparison() -> Comparison:
        return compare_sides(session, source, target, old.oid, pair.key, private(pair.change_log))

    if in_transaction:
        return comparison()
    lock = engine("lock_for_read", tables=target)
    with session.transaction(snapshot=True, read_only=True, first=lock, search_path=(old.schema, "extensions")):
        return comparison()


def log_size(watch: Watch, pair: Pair) -> change_log.LogSize:
    """Count the pair's change log."""
    with watch.session.transaction(read_only=True):
        return change_log.size(watch.session, pair)


# --- the checks ------------------------------------------------------------------------------------------------


def row_count(watch: Watch, pair: Pair) -> Check:
    """As many rows after the rollback as before it, but for the keys written since."""
    return _data_check(watch, pair, "row_count", _rows_agree)


def checksum(watch: Watch, pair: Pair) -> Check:
    """The same rows after the rollback as before it, but for the keys written since."""
    return _data_check(watch, pair, "checksum", _checksums_agree)


def _data_check(watch: Watch, pair: Pair, name: str, judge: Callable[[Comparison], tuple[bool, str]]) -> Check:
    state = watch.state(pair)
    if state.state == State.CUT_OVER:
        return _while_parked(watch, pair, name, judge)
    if state.state == State.ROLLED_BACK:
        return _after_drop(watch, pair, name)
    if state.state == State.MISSING:
        return Check(name, pair.old, "old", False, f"There is nothing to compare: {state.because}.")
    return Check(
        name, pair.old, "old", True, f"Nothing was rolled back ({state.state}), so there is no before and after."
    )


def _while_parked(watch: Watch, pair: Pair, name: str, judge: Callable[[Comparison], tuple[bool, str]]) -> Check:
    if watch.state(pair).log is None:
        return Check(
            name,
            pair.old,
            "old",
            False,
            "The change log is gone, so differences from the parked table can't be judged.",
        )
    found = watch.comparison(pair)
    written = log_size(watch, pair)
    passed, summary = judge(found)
    facts = {
        **found.facts,
        "dagster/row_count": found.after.rows,
        "rows_before": found.before.rows,
        "rows_after": found.after.rows,
        "checksum_before": found.before.checksum,
        "checksum_after": found.after.checksum,
        "keys_written_since": written.keys,
        "differing_rows": found.differences.differences,
        "unexplained_rows": found.differences.unexplained,
    }
    return Check(name, pair.old, "old", passed, f"{summary} {written.keys} keys were written since.", facts=facts)


def _rows_agree(found: Comparison) -> tuple[bool, str]:
    kinds = {s["kind"] for s in found.differences.sample}
    lost_or_extra = found.differences.unexplained > 0 and bool(kinds & {"missing", "extra"})
    same = found.before.rows == found.after.rows
    passed = not lost_or_extra and (same or found.differences.differences > 0)
    return passed, f"{found.before.rows:,} rows before, {found.after.rows:,} after{_unexplained(found)}."


def _checksums_agree(found: Comparison) -> tuple[bool, str]:
    told = "equal" if found.before == found.after else f"{found.before.checksum} before, {found.after.checksum} after"
    return found.proven, f"Checksums {told}{_unexplained(found)}."


def _unexplained(found: Comparison) -> str:
    if not found.differences.unexplained:
        return ""
    keys = ", ".join(f"{s['key']} ({s['kind']})" for s in found.differences.sample[:5])
    return f"; {found.differences.unexplained} rows differ that nothing in the change log explains: {keys}"


def _after_drop(watch: Watch, pair: Pair, name: str) -> Check:
    proven = watch.ledger.last("drop", pair=pair.old, outcome="done")
    if proven is None:
        return Check(
            name,
            pair.old,
            "old",
            True,
            "The new table is gone without a drop of ours in the ledger: there is nothing left to compare with.",
            severity="WARN",
        )
    before, after = proven.facts["before"], proven.facts["after"]
    now = count_rows(watch, pair)
    return Check(
        name,
        pair.old,
        "old",
        True,
        f"Proven on {proven.at:%Y-%m-%d %H:%M:%S %Z}, at the drop: {before['rows']:,} rows before, {after['rows']:,} after,"
        f" {proven.facts['unexplained_rows']} unexplained. The table is in ordinary use since.",
        facts={**proven.facts, "proven_at": proven.at.isoformat(), "dagster/row_count": now},
    )


def count_rows(watch: Watch, pair: Pair) -> int:
    """Count the rows of the table at the old name."""
    old = watch.state(pair).old_table
    with watch.session.transaction(read_only=True):
        return int(watch.session.scalar(engine("count_rows", table=ident(old.schema, old.name))))


DATA_CHECKS: tuple[CheckFunction, ...] = (row_count, checksum)
