"""What is remembered of rehearsals: one private file for each plan of each target, so that the next plan knows.

It holds times, sizes and statements, never a row. The target itself learns of it only when a rollback begins.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from aicfg_pipeline.files import make_private_folder, new_private_file
from aicfg_pipeline.rehearsal.same import what_is_done
from aicfg_pipeline.rehearsal.story import Story
from aicfg_pipeline.rollback.steps.plan import Plan

FOLDER = "rehearsals"


class StepTime(BaseModel):
    """How long one step of one job took, in seconds."""

    model_config = ConfigDict(frozen=True)

    job: str
    step: str
    pair: str | None
    seconds: float


class Remembered(BaseModel):
    """One rehearsal. `target` is database and server, `does` what was done, line by line."""

    model_config = ConfigDict(frozen=True)

    at: AwareDatetime
    run_id: str
    target: str
    on: str
    does: tuple[str, ...]
    succeeded: bool
    error: str | None = None
    timings: tuple[StepTime, ...] = ()
    locks_held_ms: dict[str, float] = {}
    bytes: dict[str, int] = {}

    @property
    def minutes_ago(self) -> int:
        """How long ago it was."""
        return max(0, round((datetime.now(UTC) - self.at).total_seconds() / 60))

    def seconds(self, job: str) -> float:
        """Return how long a job took, all of its steps together."""
        return sum(t.seconds for t in self.timings if t.job == job)


def remember(home: Path, plan: Plan, run_id: str, on: str, story: Story, error: str | None = None) -> Remembered:
    """Write down what a rehearsal of a target's plan came to, in the place of what was there of the same plan."""
    entry = Remembered(
        at=datetime.now(UTC),
        run_id=run_id,
        target=target_of(plan),
        on=on,
        does=what_is_done(plan.meaning),
        succeeded=error is None,
        error=error,
        timings=tuple(StepTime(**vars(t)) for t in story.timings),
        locks_held_ms=story.locks_held_ms,
        bytes=story.bytes,
    )
    folder = Path(home) / FOLDER
    make_private_folder(folder)
    path = folder / f"{_name(entry.target, entry.does)}.json"
    draft = path.with_name(f".{path.name}.{run_id}")
    draft.unlink(missing_ok=True)
    with new_private_file(draft) as file:
        file.write(entry.model_dump_json(indent=2) + "\n")
    draft.replace(path)
    return entry


def rehearsals_of(home: Path, plan: Plan) -> list[Remembered]:
    """Return what is remembered of this target, newest first. A file that can't be read is passed over."""
    found = []
    for path in (Path(home) / FOLDER).glob("[!.]*.json"):
        with suppress(OSError, ValidationError):
            found.append(Remembered.model_validate_json(path.read_bytes()))
    mine = target_of(plan)
    return sorted((r for r in found if r.target == mine), key=lambda r: r.at, reverse=True)


def same_plan(plan: Plan, entry: Remembered) -> bool:
    """Say whether that rehearsal was of this very plan."""
    return entry.does == what_is_done(plan.meaning)


def target_of(plan: Plan) -> str:
    """Return which database a plan is for: its name and its server's own identifier."""
    return f"{plan.database['database']} on {plan.database['system_identifier']}"


def _name(target: str, does: tuple[str, ...]) -> str:
    return hashlib.sha256("\n".join((target, *does)).encode()).hexdigest()[:16]
