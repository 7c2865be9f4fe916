"""Who sees how many rows and who may write, tried as each persona of migration.yaml.

Everything happens in a transaction that only reads and is left behind. What the policies and grants say is compared
in `security`; here it is what they come to, with the users, roles and functions that there really are.
"""

from __future__ import annotations

from typing import Any

from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Verdict, check, failed, not_applicable, nothing_yet, passed
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored
from aicfg_pipeline.rollback.state import TO_ROLL_BACK
from aicfg_pipeline.rollback.tables.personas import FACT, FORETOLD, NO_USER, Seen, direction, visible_rows_facts
from aicfg_pipeline.spec.model import Pair

RECORDED_BY = ("cut_over", "compare", "plan")


# --- the checks ------------------------------------------------------------------------------------------------


@check("visible_rows")
def visible_rows(inspection: Inspection, pair: Pair) -> Verdict:
    """The same people see and may change the same share of the rows as before the cut-over."""
    table = restored(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    after = visible_rows_facts(inspection.session, inspection.migration, table)
    before = _recorded(inspection, pair)
    facts = {"before": before, "after": after}
    if not after:
        return not_applicable("The migration names no persona, so nobody's rows are counted.", facts)
    if before is None:
        return not_applicable(f"Nobody noted who saw what before; now: {_told(after)}.", facts)
    if not any(seen["tried"] for seen in after.values()):
        return not_applicable(f"No persona could be tried: {_told(after)}.", facts)
    foretold = _recorded(inspection, pair, FORETOLD) or {}
    changed, expected = _changed(before, after, foretold)
    if changed:
        return failed(f"{'; '.join(changed)}.", facts)
    if expected:
        return passed(
            f"As the plan foretold, and it was accepted: {'; '.join(expected)}.", facts | {"foretold": foretold}
        )
    return passed(f"As before: {_told(after)}.", facts)


def _recorded(inspection: Inspection, pair: Pair, fact: str = FACT) -> dict[str, Any] | None:
    """Return what the ledger's last row of a cut-over says was seen, or was foretold."""
    for entry in reversed(inspection.ledger.entries):
        if entry.pair == pair.old and entry.step in RECORDED_BY and FACT in entry.facts:
            return dict(entry.facts.get(fact) or {}) if fact != FACT else dict(entry.facts[FACT])
    return None


def _changed(
    before: dict[str, Seen], after: dict[str, Seen], foretold: dict[str, dict[str, Seen]]
) -> tuple[list[str], list[str]]:
    """Name each persona who sees or may change another share of the rows than before: unexpected, and as foretold."""
    changed: list[str] = []
    expected: list[str] = []
    for name, now in after.items():
        then = before.get(name)
        if not then or not then.get("tried") or now["because"] == NO_USER:
            continue
        if not now["tried"]:
            changed.append(f"{name} could be tried before and can't now: {now['because']}")
            continue
        if not then["rows"] or not now["rows"]:
            continue
        for share, word in (("sees", "saw"), ("updates", "might update")):
            if then[share] != now[share]:
                told = f"{name} ({now['role']}) {word} {then[share]} of the rows before and {now[share]} now"
                (expected if _as_foretold(foretold.get(name), share, then, now) else changed).append(told)
    return changed, expected


def _as_foretold(foretold: dict[str, Seen] | None, share: str, before: Seen, now: Seen) -> bool:
    """Say whether a change is the one that was foretold: of the same kind, as rows come and go meanwhile."""
    if not foretold or not (foretold["today"].get("tried") and foretold["then"].get("tried")):
        return False
    way = direction(foretold["today"][share], foretold["then"][share])
    return way != 0 and way == direction(before[share], now[share])


def _told(seen: dict[str, Seen]) -> str:
    return ", ".join(
        f"{name} {s['seen']} of {counted(s['rows'], 'row')}" if s["tried"] else f"{name} not tried ({s['because']})"
        for name, s in seen.items()
    )


@check("view_visible_rows", asset="view", severity="WARN")
def view_visible_rows(inspection: Inspection, pair: Pair) -> Verdict:
    """Nobody sees more rows through the view than in the new table itself. Reported; it never blocks."""
    state = inspection.state(pair)
    view = state.at_old_name
    if state.state not in TO_ROLL_BACK or view is None or not view.is_view:
        return not_applicable(f"There is no view ({state.state}).")
    through = visible_rows_facts(inspection.session, inspection.migration, view)
    directly = visible_rows_facts(inspection.session, inspection.migration, state.new_table)
    facts = {"through_the_view": through, "in_the_table": directly}
    if not through:
        return not_applicable("The migration names no persona, so nobody's rows are counted.", facts)
    more = [
        f"{name} ({s['role']}) sees {counted(s['seen'], 'row')} through the view and {directly[name].get('seen', 0)} in the table"
        for name, s in through.items()
        if s["tried"] and s["sees"] != directly[name].get("sees") and s["seen"] > directly[name].get("seen", 0)
    ]
    if more:
        summary = f"The view bypasses row level security. A rollback is advised because {'; '.join(more)}."
        return failed(summary, facts)
    return passed(f"Nobody sees more through the view than in the table: {_told(through)}.", facts)
