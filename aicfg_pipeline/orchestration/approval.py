"""A plan that was looked at, kept as JSON, so that two can be told apart line by line.

Whether a run may do it is `ops.approve`'s.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from pydantic import BaseModel, Field, ValidationError

from aicfg_pipeline.orchestration.home import plan_folder
from aicfg_pipeline.rehearsal.same import difference as lines_that_differ
from aicfg_pipeline.rollback.steps.plan import Plan

_HASH = re.compile(r"[0-9a-f]{16}")


class KeptHazard(BaseModel):
    """One hazard of a kept plan."""

    code: str
    pair: str | None = Field(description="The old table's name, or null where it is about all of it.")
    found: str
    remedy: str
    may_be_accepted: bool


class KeptStatement(BaseModel):
    """One statement of a kept plan, in the order in which they run."""

    step: str
    pair: str | None
    why: str
    only_if: str | None = Field(description="The condition without which it does not run.")
    sql: str


class KeptPlan(BaseModel):
    """A plan as JSON. `hash` is SHA-256 over the lines of `stands_for`, its first 16 hexadecimal digits."""

    hash: str
    job: str
    target: str
    states: dict[str, str] = Field(description="Old table to state, as it was when the plan was made.")
    hazards: list[KeptHazard]
    stands_for: list[str] = Field(description="What an approval of this plan approves, line by line.")
    statements: list[KeptStatement]
    next_steps: list[str] = Field(description="Commands that go on from the plan, as they run in a shell.")
    rehearsed: str | None = Field(
        default=None, description="Of a rollback: whether, when and on what it was rehearsed."
    )


def is_hash(text: str) -> bool:
    """Say whether a text can be a plan's hash."""
    return _HASH.fullmatch(text) is not None


def as_json(plan: Plan, job: str, target: str, next_steps: Sequence[str], *, rehearsed: str | None = None) -> str:
    """Return a plan as JSON; its schema is docs/plan.schema.json."""
    kept = KeptPlan(
        hash=plan.hash,
        job=job,
        target=target,
        states=dict(plan.look.summary),
        hazards=[
            KeptHazard(code=h.code, pair=h.pair, found=h.found, remedy=h.remedy, may_be_accepted=h.acceptable)
            for h in plan.hazards
        ],
        stands_for=list(plan.meaning),
        statements=[
            KeptStatement(step=s.step, pair=s.pair, why=s.why, only_if=s.provided, sql=s.sql) for s in plan.statements
        ],
        next_steps=list(next_steps),
        rehearsed=rehearsed,
    )
    return kept.model_dump_json(indent=2) + "\n"


def difference(approved: str, meaning: Sequence[str]) -> list[str]:
    """Say line by line what differs from the approved plan, if that is kept on this machine."""
    kept = _kept(approved)
    if kept is None:
        return [f"The approved plan is not kept in {plan_folder()}, so what differs can't be shown."]
    return lines_that_differ(kept.stands_for, meaning)


def _kept(approved: str) -> KeptPlan | None:
    for file in sorted(plan_folder().glob(f"*-{approved}.json")):
        try:
            return KeptPlan.model_validate_json(file.read_text(encoding="utf-8"))
        except (OSError, ValidationError):
            continue
    return None
