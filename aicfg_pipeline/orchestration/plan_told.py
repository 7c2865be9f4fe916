"""The plan as a person reads it on a terminal: what is there, what it will cost, who waits, and whether it is ready.

The statements and a complete run.yaml go to files that only this user may read; the run's metadata has them, too.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from aicfg_pipeline.evidence.by_hand import script
from aicfg_pipeline.files import make_private_folder, new_private_file
from aicfg_pipeline.orchestration.approval import as_json
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.config import Request
from aicfg_pipeline.orchestration.home import plan_folder
from aicfg_pipeline.orchestration.rehearsed import Rehearsed
from aicfg_pipeline.orchestration.steps_told import yours
from aicfg_pipeline.orchestration.terminal import bold, labelled
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.hazards import Hazard
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, PairState
from aicfg_pipeline.rollback.steps.plan import Plan
from aicfg_pipeline.runbook.by_hand import ManualStep

BYTES_A_SECOND = 50_000_000
"""What copying with indexes was measured at on two cores, rounded down."""

WAITS = {
    "rollback": "nobody while rows are copied; whoever uses these tables for some milliseconds at the swap",
    "rehearse": "nobody: the target is only read, in one snapshot",
    "prepare": "nobody; writers for the milliseconds of a trigger's lock",
    "undo_rollback": "whoever uses these tables, for some milliseconds at the swap",
    "drop_new_tables": "nobody: only parked tables are touched",
    "abandon": "writers of these tables, for some milliseconds",
    "migrate": "whoever uses the old tables, while their rows are copied",
}
UNDO = {
    "rollback": "job undo_rollback, while the new tables are parked ({days} from the swap)",
    "rehearse": "not needed: the target is only read, and the copy is gone at the end",
    "prepare": "job abandon; it is not needed, as nothing changes for anyone",
    "undo_rollback": "launch rollback again",
    "drop_new_tables": "none: the rows are exported to files before",
    "abandon": "launch rollback again; it copies anew",
    "migrate": "job rollback",
}


@dataclass(frozen=True)
class PlanFiles:
    """Where a plan's statements and its run.yaml are kept; `why_not` says what kept them from being written."""

    statements: Path | None = None
    run_yaml: Path | None = None
    why_not: str | None = None


@dataclass(frozen=True)
class Told:
    """What a plan is told with: where it is kept, what stays a person's, what was asked for, and its rehearsal."""

    files: PlanFiles
    steps: Sequence[ManualStep]
    request: Request
    rehearsed: Rehearsed | None = None


def keep(
    plan: Plan,
    job: str,
    target: str,
    commands: Commands,
    request: Request,
    next_steps: Sequence[str],
    rehearsed: Rehearsed | None = None,
) -> PlanFiles:
    """Write the statements, to run in psql, the plan as JSON, and a run.yaml.

    A folder that can't be written to is told, and no more.
    """
    folder, stem = plan_folder(), f"{job}-{plan.hash}"
    texts = {
        ".sql": script(plan, f"Plan {plan.hash} of {job} on {target}"),
        ".json": as_json(plan, job, commands.target, next_steps, rehearsed=rehearsed.told if rehearsed else None),
        ".run.yaml": commands.run_yaml(request) + "\n",
    }
    try:
        make_private_folder(folder)
        for ending, text in texts.items():
            (folder / f"{stem}{ending}").unlink(missing_ok=True)
            with new_private_file(folder / f"{stem}{ending}") as file:
                file.write(text)
    except OSError as error:
        return PlanFiles(why_not=f"{folder} can't be written to: {error.strerror or type(error).__name__}")
    return PlanFiles(folder / f"{stem}.sql", folder / f"{stem}.run.yaml")


def plan_lines(plan: Plan, job: str, accepted: tuple[str, ...], told: Told) -> Iterator[str]:
    """Yield the plan's lines up to its verdict. What is left to a person comes first."""
    files, steps, request = told.files, told.steps, told.request
    yield ""
    yield f"Plan {plan.hash} of {job}"
    yield from yours(steps, done=False)
    for number, state in enumerate(plan.look.pairs):
        yield from labelled("" if number else "Tables", _table(state))
    for number, found in enumerate(plan.prepared):
        yield from labelled("" if number else "Prepared", f"{found.old}: {found}")
    for number, way in enumerate(plan.ways):
        yield from labelled("" if number else "Way", f"{way.old}: {way}")
    if plan.statements:
        if job in ("rollback", "prepare") and (copied := _copied(plan)):
            yield from labelled("To copy", _size(copied, job))
        instant = job == "rollback" and all(w.way == "instant" for w in plan.ways)
        yield from labelled("Who waits", WAITS["undo_rollback"] if instant else WAITS[job])
        undo = "job undo_rollback, for {days} from the swap; it renames them again" if instant else UNDO[job]
        yield from labelled("Undo", undo.format(days=counted(request.retain_days, "day")))
    if told.rehearsed:
        yield from labelled("Rehearsal", told.rehearsed.told)
    yield from labelled("Hazards", _hazards(plan, accepted))
    if plan.statements:
        yield from labelled("Statements", f"{counted(len(plan.statements), 'statement')}, in the order they run:")
        yield from _where(files.statements, files)
    yield from labelled("run.yaml", "complete, for every job on this target:")
    yield from _where(files.run_yaml, files)


def verdict_lines(
    plan: Plan, job: str, accepted: tuple[str, ...], *, steps: Sequence[ManualStep], next_commands: Sequence[str]
) -> Iterator[str]:
    """Yield the verdict, and the commands that go on from it: any of them."""
    blocking, to_do = plan.blocking(accepted), bool(plan.statements)
    if blocking:
        yield bold(f"NOT READY: {counted(len(blocking), 'hazard blocks', 'hazards block')} the job {job}.", "bad")
        return
    if not to_do:
        yield bold(f"NOTHING TO DO for {job}.", "good")
        return
    stay = f"; {counted(len(steps), 'step outside the database stays', 'steps outside the database stay')} yours"
    yield bold(f"READY to {_VERBS[job]}{stay if steps else ''}.", "open" if steps else "good")
    yield from (f"{'or' if number else 'Next':>4}: {command}" for number, command in enumerate(next_commands))


_VERBS = {
    "rollback": "roll back",
    "prepare": "prepare the rollback",
    "undo_rollback": "undo the rollback",
    "drop_new_tables": "drop the new tables",
    "abandon": "give the rollback up",
    "migrate": "migrate",
}


def _table(state: PairState) -> str:
    live = state.new_table if state.state in TO_ROLL_BACK else state.at_old_name
    size = f", {_rows([live])}, {_megabytes([live])}" if live is not None and live.is_table else ""
    return f"{state.pair.old} ← {state.pair.new}: {state.state}{size}"


def _copied(plan: Plan) -> list[Relation]:
    """The tables whose rows are still to be copied."""
    return [plan.look[old].new_table for old in plan.to_copy]


def _size(tables: Sequence[Relation], job: str) -> str:
    seconds = math.ceil(sum(t.bytes for t in tables) / BYTES_A_SECOND) or 1
    return f"{_rows(tables)}, {_megabytes(tables)}: takes some {counted(seconds, 'second')}"


def _rows(tables: Sequence[Relation]) -> str:
    known = [max(t.estimated_rows, 0) for t in tables]
    unknown = [t for t in tables if t.estimated_rows < 0]
    told = f"about {counted(sum(known), 'row')}"
    return "rows not counted yet" if len(unknown) == len(tables) else told + (" and more" if unknown else "")


def _megabytes(tables: Sequence[Relation]) -> str:
    size = sum(t.bytes for t in tables) / 1e6
    return f"{size:,.0f} MB" if size >= 10 else f"{size:.1f} MB"


def _hazards(plan: Plan, accepted: tuple[str, ...]) -> str:
    if not plan.hazards:
        return "none"
    blocking = plan.blocking(accepted)
    noted = [h for h in plan.hazards if h not in blocking]
    parts = []
    if blocking:
        parts.append(
            f"{len(blocking)} of {len(plan.hazards)} {'blocks' if len(blocking) == 1 else 'block'}: {_codes(blocking)}"
        )
    if noted:
        parts.append(f"{len(noted)} noted: {_codes(noted)}" + ("" if blocking else "; none blocks"))
    return "; ".join(parts)


def _codes(hazards: Sequence[Hazard]) -> str:
    return ", ".join(dict.fromkeys(h.code for h in hazards))


def _where(path: Path | None, files: PlanFiles) -> list[str]:
    return [f"           {path}" if path else f"           in this run's metadata only: {files.why_not}"]
