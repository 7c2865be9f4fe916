"""The whole story on a copy: plan, rollback, verify, undo, rollback, drop. Each step is timed; services are not touched.

The steps are the very same that a target sees. Where the copy comes from is `copy`'s and `given`'s.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from aicfg_pipeline.errors import RehearsalError, StateError
from aicfg_pipeline.rehearsal.same import difference, what_is_done
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import plan, verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.steps.plan import Plan
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec.model import PRIVATE_SCHEMA
from aicfg_pipeline.store.folder import Folder

ROLLBACK, UNDO, DROP = "rollback", "undo_rollback", "drop_new_tables"
AGAIN = "rollback after the undo"


@dataclass(frozen=True)
class Timing:
    """How long one step of one job took."""

    job: str
    step: str
    pair: str | None
    seconds: float


@dataclass
class Story:
    """What a rehearsal came to: times in the order of the steps, locks by job, and the checks after the first rollback."""

    timings: list[Timing] = field(default_factory=list)
    locks_held_ms: dict[str, float] = field(default_factory=dict)
    checks: list[Check] = field(default_factory=list)
    bytes: dict[str, int] = field(default_factory=dict)
    """By old table: how large the tables were whose rows were copied."""

    def seconds(self, job: str) -> float:
        """Return how long a job took, all of its steps together."""
        return sum(t.seconds for t in self.timings if t.job == job)

    @contextmanager
    def timed(self, job: str, step: str, pair: str | None = None) -> Iterator[None]:
        """Time one step."""
        began = time.perf_counter()
        yield
        self.timings.append(Timing(job, step, pair, round(time.perf_counter() - began, 3)))


def must_be_possible(target: Plan) -> None:
    """Raise `StateError` where the target is not before a rollback."""
    if target.nothing_to_do:
        raise StateError(
            "There is nothing to rehearse. Nothing was touched.",
            complaints=[f"{s.pair.old}: {s.state} ({s.because})" for s in target.look.pairs],
            expected="tables that a rollback would start from",
            remedy="Launch the job plan: it says what can be done from here.",
        )


def keep_its_place(run: Run, place: str) -> None:
    """Let the migration keep its things in a copy made here where it keeps them on the target: in the schema `place`.

    Only the first migration of a database has the ledger's schema, and of the target's ledger the copy has nothing.
    """
    if place != PRIVATE_SCHEMA:
        first = replace(run, migration=replace(run.migration, name="the first one of the target", pairs=()))
        lifecycle.begin(first, "rehearse")
        lifecycle.finish(first)


def rehearse(run: Run, target: Plan, found: Plan, exports: Path, story: Story) -> None:
    """Take a copy through everything, and fill the story. `found` is its own plan, `target` that of the target.

    Raises `RehearsalError` before anything is touched where the two are not the same, `HazardError` where the plan's gate
    refuses, and whatever a step raises.
    """
    must_be_the_same(target, found)
    plan.gate(found, run.settings.accept_hazards)
    story.bytes = {s.pair.old: s.new_table.bytes for s in found.look.pairs if s.pair.old in found.to_copy}
    run.plan_hash = found.hash
    _roll_back(run, story, ROLLBACK)
    lifecycle.begin(run, UNDO, {"kind": UNDO})
    with story.timed(UNDO, "undo"):
        _held(story, UNDO, undo_rollback(run))
    with story.timed(UNDO, "verify"):
        _verified(run, UNDO)
    lifecycle.finish(run)
    _roll_back(run, story, AGAIN)
    lifecycle.begin(run, DROP, {"kind": DROP})
    with story.timed(DROP, "drop"):
        checks = verify.run_checks(run.session, run.migration)
        drop_new_tables(run, Folder(exports), checks, before_retention_ends=True)
    with story.timed(DROP, "verify"):
        _verified(run, DROP)
    lifecycle.finish(run)


def must_be_the_same(target: Plan, found: Plan) -> None:
    """Raise `RehearsalError` naming line by line where the plan of the copy is not that of the target."""
    lines = difference(what_is_done(target.meaning), what_is_done(found.meaning))
    if lines:
        raise RehearsalError(
            "The copy is not the target's: another plan would be rehearsed. Nothing was touched. What only the target's plan"
            " has begins with -, what only the copy's has with +.",
            complaints=lines,
            expected="the same statements and the same files of the migration",
            remedy="Rehearse on a copy of the target as it is now: the same version of the schema, not rolled back before.",
        )


def _roll_back(run: Run, story: Story, job: str) -> None:
    lifecycle.begin(run, ROLLBACK, {"kind": ROLLBACK})
    for pair in run.migration.pairs:
        with story.timed(job, "copy_back", pair.old):
            copy_back(run, pair.old)
    with story.timed(job, "compare"):
        compare(run)
    with story.timed(job, "cut_over"):
        _held(story, job, cut_over(run))
    with story.timed(job, "verify"):
        checks = _verified(run, job)
    story.checks = story.checks or checks
    lifecycle.finish(run)


def _held(story: Story, job: str, facts: dict[str, Any]) -> None:
    if (held := facts.get("locks_held_ms")) is not None:
        story.locks_held_ms[job] = float(held)


def _verified(run: Run, job: str) -> list[Check]:
    checks: Sequence[Check] = verify.run_checks(run.session, run.migration)
    verify.gate(
        checks, remedy=f"The rehearsal stopped after {job}: the target was only read. Mend what is named first."
    )
    return list(checks)
