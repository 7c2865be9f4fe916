"""What a plan says of its rehearsal: when, on what and how long it took; or that there was none.

Where AICFG_REQUIRE_REHEARSAL is 1, a rollback that was not rehearsed is a hazard that blocks until it is accepted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from aicfg_pipeline.environment import REQUIRE_REHEARSAL
from aicfg_pipeline.evidence.words import duration
from aicfg_pipeline.orchestration.home import home
from aicfg_pipeline.rehearsal.remembered import Remembered, rehearsals_of, same_plan
from aicfg_pipeline.rehearsal.same import difference, what_is_done
from aicfg_pipeline.rollback.hazards import Hazard
from aicfg_pipeline.rollback.steps.plan import Plan

JOB = "rollback"
"""The job that is rehearsed."""

MOST_SHOWN = 10


@dataclass(frozen=True)
class Rehearsed:
    """The rehearsal of a plan: `same` is the newest of this very plan, `other` the newest of another one, if it is newer."""

    same: Remembered | None = None
    other: Remembered | None = None
    differing: tuple[str, ...] = ()

    @property
    def good(self) -> Remembered | None:
        """The rehearsal that stands for this plan: of the same plan, and to its end."""
        return self.same if self.same and self.same.succeeded else None

    @property
    def told(self) -> str:
        """What the plan says of it."""
        if self.good:
            return f"rehearsed on {self.good.on}, {_ago(self.good)}, same plan: {_took(self.good)}"
        if self.same:
            return f"rehearsed on {self.same.on}, {_ago(self.same)}, same plan, and it FAILED: {self.same.error}"
        if self.other:
            return f"not rehearsed: what was rehearsed {_ago(self.other)} on {self.other.on} is another plan"
        return "not rehearsed: the job rehearse tries all of this on a copy, and times it"

    @property
    def facts(self) -> Mapping[str, Any] | None:
        """What the ledger keeps of it when a rollback begins."""
        if self.good is None:
            return None
        return {"at": self.good.at.isoformat(), "on": self.good.on, "run_id": self.good.run_id}


def rehearsed(plan: Plan) -> Rehearsed:
    """Find out what is remembered on this machine of a plan's rehearsals."""
    known = rehearsals_of(home(), plan)
    same = next((r for r in known if same_plan(plan, r)), None)
    if same or not known:
        return Rehearsed(same)
    return Rehearsed(None, known[0], tuple(difference(known[0].does, what_is_done(plan.meaning))))


def with_hazard(plan: Plan, found: Rehearsed, how: str) -> Plan:
    """Return the plan with the hazard of not being rehearsed, where that is asked for; `how` is the command."""
    if plan.nothing_to_do or found.good or not REQUIRE_REHEARSAL.is_on():
        return plan
    said = (
        f"{REQUIRE_REHEARSAL.name} is 1, and this plan is {found.told}." if not found.same else f"It was {found.told}"
    )
    shown = [f"\n  {line}" for line in found.differing[:MOST_SHOWN]]
    hazard = Hazard("not_rehearsed", said + "".join(shown), f"Rehearse it: {how}")
    return replace(plan, hazards=(*plan.hazards, hazard))


def _ago(entry: Remembered) -> str:
    minutes = entry.minutes_ago
    if minutes < 120:
        return f"{minutes} {'minute' if minutes == 1 else 'minutes'} ago"
    return f"{minutes // 60} hours ago" if minutes < 2880 else f"{minutes // 1440} days ago"


def _took(entry: Remembered) -> str:
    held = entry.locks_held_ms.get(JOB)
    locks = f", locks held for {duration(held / 1000)}" if held is not None else ""
    return f"{duration(entry.seconds(JOB))}{locks}"
