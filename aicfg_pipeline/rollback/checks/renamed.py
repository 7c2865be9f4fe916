"""What can be said of the rows of a table that was renamed in place: that they never moved.

The file on disk and the layout of a row show it, whatever was written since. Numbers of rows and checksums are compared only
where nobody has written between the two counts: there is no log of what was, and a number that others have changed proves
nothing. With a parked table the same is said by `data` and `rows`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from aicfg_pipeline.postgres import fingerprint
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, failed, not_applicable, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, State
from aicfg_pipeline.rollback.tables import on_disk
from aicfg_pipeline.rollback.tables.comparison import COMPARE_SETTINGS
from aicfg_pipeline.rollback.tables.foreign_keys import last_swap
from aicfg_pipeline.spec.model import Pair

Judge = Callable[[Inspection, Pair, Entry], Verdict]
WRITTEN_ANEW = (
    "The table was written anew since the swap (VACUUM FULL, CLUSTER and TRUNCATE do so, and a restored dump), so its file tells"
    " nothing any more. In the swap's own transaction it was the same."
)


def of_renamed(inspection: Inspection, pair: Pair, judge: Judge) -> Verdict | None:
    """Judge the rows of a pair that was renamed in place, there or back again; None where it went another way."""
    state = inspection.state(pair).state
    if state not in (State.RENAMED, State.ROLLED_BACK, *TO_ROLL_BACK):
        return None
    last = last_swap(inspection.ledger, pair)
    if last is None or last.facts.get("way") != "instant" or (last.step == "cut_over") == (state in TO_ROLL_BACK):
        return None
    return judge(inspection, pair, last)


def _table(inspection: Inspection, pair: Pair) -> Relation:
    state = inspection.state(pair)
    return state.new_table if state.state in TO_ROLL_BACK else state.old_table


def never_moved(inspection: Inspection, pair: Pair, swap: Entry) -> Verdict:
    """Every row is where it was: in the same file, laid out alike."""
    table = _table(inspection, pair)
    now = on_disk.files_of(inspection.session, table)
    before = {name: swap.facts.get(name) for name in now}
    facts = {"before": before, "after": now}
    if now["layout"] != before["layout"]:
        return not_applicable(
            "Columns were added, dropped or altered since the swap, so the layout can't be compared.", facts
        )
    if now != before:
        return not_applicable(WRITTEN_ANEW, facts)
    return passed(
        f"The rows never moved: {table} is in the file on disk that it was in before the swap ({now['file']}), its rows are laid"
        " out alike, and the swap wrote no row.",
        facts,
    )


def same_number(inspection: Inspection, pair: Pair, swap: Entry) -> Verdict:
    """As many rows as before, where nobody has written in between."""
    return _counted(
        inspection,
        pair,
        swap,
        lambda before, now: passed(f"{counted(now, 'row')} before and after.", _rows(before, now)),
    )


def same_checksum(inspection: Inspection, pair: Pair, swap: Entry) -> Verdict:
    """The same checksum as before, where nobody has written in between."""

    def judge(before: Mapping[str, Any], now: int) -> Verdict:
        summed = inspection.measured[pair.old][2]
        if summed is None:
            return passed(
                f"No row was written since the checksum was taken, right before the swap: {before['checksum']}.",
                {**_rows(before, now), "checksum_before": before["checksum"]},
            )
        after = summed.checksum
        facts = {**_rows(before, now), "checksum_before": before["checksum"], "checksum_after": after}
        if after != before["checksum"]:
            return failed(
                f"Checksums {before['checksum']} before, {after} after, and nobody has written in between.", facts
            )
        return passed(f"Checksums equal: {after}.", facts)

    return _counted(inspection, pair, swap, judge)


def _rows(before: Mapping[str, Any], now: int) -> dict[str, Any]:
    return {"rows_before": before["rows"], "rows_after": now, "dagster/row_count": now}


def _counted(
    inspection: Inspection, pair: Pair, swap: Entry, judge: Callable[[Mapping[str, Any], int], Verdict]
) -> Verdict:
    """Count, and leave the judgement to `judge` where no row was written, deleted or added between the two counts."""
    measured = inspection.ledger.last("compare", pair=pair.old, outcome="measured")
    if swap.step != "cut_over" or measured is None or measured.id > swap.id:
        return not_applicable(
            "The rows were not counted before this swap: where they are says that they are the same (rows)."
        )
    if inspection.state(pair).state != State.RENAMED:
        return not_applicable(
            "The table is in ordinary use; that its rows did not move was shown while it could be undone."
        )
    before = measured.facts
    now, written = _measured(inspection, pair, int(before["since"]))
    facts = {**_rows(before, now), "rows_written_between": written}
    if not written and now == before["rows"]:
        return judge(before, now)
    if not written and now > before["rows"]:
        return failed(
            f"{counted(before['rows'], 'row')} before, {now:,} after, and no transaction has written one.", facts
        )
    return not_applicable(
        f"Rows were written or deleted between the two counts ({before['rows']:,} then, {now:,} now, {written:,} of them written"
        " meanwhile or at that time), so the numbers can't be compared. That the rows never moved is shown by their file (rows).",
        facts,
    )


def _measured(inspection: Inspection, pair: Pair, since: int) -> tuple[int, int]:
    """Return how many rows there are, and how many of them were written since; counted once for all checks.

    Right after its own swap a run does not sum up the rows again: that none was written since is known by their transactions.
    """
    if pair.old not in inspection.measured:
        table = _table(inspection, pair)
        query = engine("measured", table=ident(table.schema, table.name))
        with inspection.session.transaction(snapshot=True, read_only=True, settings=COMPARE_SETTINGS) as session:
            row = session.one(query, {"since": since})
            names, hashable = on_disk.columns_of(session, table)
            summed = None
            if not inspection.just_proven:
                summed = fingerprint.take(session, ident(table.schema, table.name), names, hashable=hashable)
        inspection.measured[pair.old] = (row.rows, row.written, summed)
    rows, written, _ = inspection.measured[pair.old]
    return rows, written
