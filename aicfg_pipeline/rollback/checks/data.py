"""Two checks of the data: as many rows as before, and the same values in them.

Each check fails for one reason. `row_count`: only one side has a row. `checksum`: both sides have a row, with different
values. `rows` (in the module `rows`): both have it, and it is not the same to the last bit.
The same functions gate the rollback, run from an asset's page and run in the job `verify`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from aicfg_pipeline.postgres import catalog, fingerprint
from aicfg_pipeline.postgres.fingerprint import CommonSums
from aicfg_pipeline.postgres.statements import engine, ident, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection, log_size, taken_further
from aicfg_pipeline.rollback.checks.renamed import of_renamed, same_checksum, same_number
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, State
from aicfg_pipeline.rollback.tables.comparison import Comparison, comparing, parked_sides
from aicfg_pipeline.rollback.tables.foreign_keys import last_swap
from aicfg_pipeline.spec.model import Pair


@check("row_count")
def row_count(inspection: Inspection, pair: Pair) -> Verdict:
    """As many rows after the rollback as before it, but for the keys written since."""
    return of_renamed(inspection, pair, same_number) or data_verdict(inspection, pair, _rows_agree)


@check("checksum")
def checksum(inspection: Inspection, pair: Pair) -> Verdict:
    """The same values after the rollback as before it, but for the keys written since; names the columns at fault."""
    renamed = of_renamed(inspection, pair, same_checksum)
    return renamed or data_verdict(inspection, pair, lambda found: _checksums_agree(inspection, pair, found))


Judge = Callable[[Comparison], Verdict]


def data_verdict(inspection: Inspection, pair: Pair, judge: Judge) -> Verdict:
    """Compare while the new table is parked; after the drop tell what was proven; before there is nothing to say."""
    state = inspection.state(pair)
    if state.state == State.CUT_OVER:
        return _while_parked(inspection, pair, judge)
    if state.state == State.ROLLED_BACK:
        return _after_drop(inspection, pair)
    if (undone := _undone(inspection, pair)) is not None:
        return _after_undo(undone)
    if (earlier := taken_further(inspection, pair)) is not None:
        return not_applicable(
            f"{pair.old} was taken back further by the migration {earlier}: there is nothing to compare."
        )
    if state.state == State.MISSING:
        return failed(f"There is nothing to compare: {state.because}.")
    return not_applicable(f"Nothing was rolled back ({state.state}), so there is no before and after.")


def _while_parked(inspection: Inspection, pair: Pair, judge: Judge) -> Verdict:
    if inspection.state(pair).log is None:
        return failed("The change log is gone, so differences from the parked table can't be judged.")
    found = inspection.comparison(pair)
    written = log_size(inspection, pair)
    judged = judge(found)
    facts = {
        **found.facts,
        **_standing_on(found),
        "dagster/row_count": found.after.rows,
        "rows_before": found.before.rows,
        "rows_after": found.after.rows,
        "checksum_before": found.before.checksum,
        "checksum_after": found.after.checksum,
        "keys_written_since": written.keys,
        "differing_rows": found.differences.differences,
        "unexplained_rows": found.differences.unexplained,
        **judged.facts,
    }
    return replace(
        judged,
        summary=f"{judged.summary} {counted(written.keys, 'key was', 'keys were')} written since.",
        facts=facts,
    )


def _standing_on(found: Comparison) -> dict[str, Any]:
    return {"proven_at": found.since.proven_at, "keys_looked_at_since": found.since.looked_at} if found.since else {}


def _rows_agree(found: Comparison) -> Verdict:
    seen = found.differences
    alone = seen.unexplained_missing + seen.unexplained_extra
    adds_up = (
        found.after.rows == found.before.rows - seen.missing + seen.extra
    )  # it does not where a key is there twice
    summary = f"{counted(found.before.rows, 'row')} before, {found.after.rows:,} after"
    if alone:
        summary += (
            f"; {seen.unexplained_missing} are missing and {seen.unexplained_extra} are new, and nothing in the change"
            f" log explains it{_keys(found, 'missing', 'extra')}"
        )
    elif not adds_up:
        summary += "; the numbers don't add up: a key is there more than once"
    facts = {"rows_missing": seen.unexplained_missing, "rows_new": seen.unexplained_extra}
    return passed(f"{summary}.", facts) if not alone and adds_up else failed(f"{summary}.", facts)


def _checksums_agree(inspection: Inspection, pair: Pair, found: Comparison) -> Verdict:
    if found.since:
        return passed(
            f"Checksums were compared at {found.since.proven_at}, of the very relations that are here now; of"
            f" {counted(found.since.looked_at, 'key')} written since, each was looked at."
        )
    if found.before.checksum == found.after.checksum:
        return passed(f"Checksums equal: {found.before.checksum}.")
    told = f"Checksums {found.before.checksum} before, {found.after.checksum} after"
    if not found.differences.unexplained_changed:
        why = "rows that only one side has" if found.differences.unexplained else "what the change log has"
        return passed(f"{told}: all of it comes from {why}.")
    sums = _common_sums(inspection, pair)
    facts = {
        "columns_at_fault": sums.columns,
        "common_checksum_before": sums.before,
        "common_checksum_after": sums.after,
    }
    if sums.before == sums.after:
        return passed(f"{told}; of the rows that both sides have and nobody has written since, equal.", facts)
    columns = ", ".join(f"{name} ({counted(rows, 'row')})" for name, rows in sums.columns.items())
    return failed(f"{told}; columns at fault: {columns}{_keys(found, 'changed')}.", facts)


def _common_sums(inspection: Inspection, pair: Pair) -> CommonSums:
    state, session = inspection.state(pair), inspection.session
    source, target = parked_sides(session, state)
    with comparing(session, state):
        hashable = not catalog.unhashable_columns(session, state.old_table.oid)
        return fingerprint.common_sums(
            session, source.query, target, source.columns, pair.key, hashable=hashable, log=private(pair.change_log)
        )


def _keys(found: Comparison, *kinds: str) -> str:
    keys = [f"{', '.join(map(str, s['key']))} ({s['kind']})" for s in found.differences.sample if s["kind"] in kinds]
    return f": {'; '.join(keys[:5])}" if keys else ""


def _after_drop(inspection: Inspection, pair: Pair) -> Verdict:
    proven = inspection.ledger.last("drop", pair=pair.old, outcome="done")
    if proven is None:
        return not_applicable(
            "The new table is gone without a drop of ours in the ledger: there is nothing left to compare with."
        )
    before, after = proven.facts["before"], proven.facts["after"]
    now = count_rows(inspection, pair)
    return passed(
        f"Proven on {proven.at:%Y-%m-%d %H:%M:%S %Z}, at the drop: {counted(before['rows'], 'row')} before,"
        f" {after['rows']:,} after, {proven.facts['unexplained_rows']} unexplained."
        " The table is in ordinary use since.",
        {**proven.facts, "proven_at": proven.at.isoformat(), "dagster/row_count": now},
    )


def _undone(inspection: Inspection, pair: Pair) -> Entry | None:
    """Return the undo, where that is the last that has happened to the names of a pair."""
    if inspection.state(pair).state not in TO_ROLL_BACK:
        return None
    last = last_swap(inspection.ledger, pair)
    return last if last is not None and last.step == "undo" else None


def _after_undo(undone: Entry) -> Verdict:
    """The log has gone with the old table: what was proven at the undo is all that can be said of the rows."""
    before, after, seen = (undone.facts.get(name) for name in ("before", "after", "differences"))
    if not before or not after or not seen:
        return not_applicable("The rollback was undone, and the ledger does not say what was proven then.")
    return passed(
        f"Proven on {undone.at:%Y-%m-%d %H:%M:%S %Z}, at the undo: {counted(before['rows'], 'row')} in the old table,"
        f" {after['rows']:,} in the new one, {seen['unexplained']} unexplained. The new table is in ordinary use since.",
        {"before": before, "after": after, "proven_at": undone.at.isoformat()},
    )


def count_rows(inspection: Inspection, pair: Pair) -> int:
    """Count the rows of the table at the old name."""
    old = inspection.state(pair).old_table
    with inspection.session.transaction(read_only=True):
        return int(inspection.session.scalar(engine("count_rows", table=ident(old.schema, old.name))))
