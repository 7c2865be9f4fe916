"""The op that rehearses a rollback on a copy."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dagster import AssetObservation, OpDefinition

from aicfg_pipeline.environment import REHEARSAL_URL
from aicfg_pipeline.errors import HazardError, PipelineError, RehearsalError
from aicfg_pipeline.evidence import Known, gather
from aicfg_pipeline.evidence.facts import Rehearsal, StepTime
from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.home import home
from aicfg_pipeline.orchestration.keeping import write_report_file
from aicfg_pipeline.orchestration.links import report_link
from aicfg_pipeline.orchestration.ops.dry_run import show_plan
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Opens, Step
from aicfg_pipeline.orchestration.rehearsed import JOB
from aicfg_pipeline.orchestration.stages import stages_of
from aicfg_pipeline.orchestration.terminal import bold, labelled, show, wrapped
from aicfg_pipeline.postgres.address import secrets_of
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rehearsal.copy import Copy, made_copy
from aicfg_pipeline.rehearsal.given import given_copy
from aicfg_pipeline.rehearsal.place import place, remove_leftovers
from aicfg_pipeline.rehearsal.remembered import remember
from aicfg_pipeline.rehearsal.same import other_hazards
from aicfg_pipeline.rehearsal.story import Story, keep_its_place, must_be_possible, rehearse
from aicfg_pipeline.rollback import ledger
from aicfg_pipeline.rollback.lock import release_run_lock, take_run_lock
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.spec.model import Migration


def rehearse_op(migration: Migration) -> OpDefinition:
    """Return the op that rehearses a rollback."""
    return step_op(
        migration,
        "rehearse",
        _rehearse,
        "Takes a copy of the target through the whole story: plan, rollback, verify, undo, rollback, drop; each step is"
        f" timed. The copy is the one that {REHEARSAL_URL.name} names, or is made in the embedded server and gone at the end."
        " The target is only read.",
        opens=Opens.LOOKS,
    )


def _rehearse(step: Step) -> dict[str, Any]:
    if step.request.dry_run:
        show_plan(step, JOB)
        return {}
    for folder in remove_leftovers(home()):
        step.context.log.warning(f"a rehearsal was killed, and its copy is gone now: {folder}")
    target = plan.make_plan(step.run, must_confirm=False)
    must_be_possible(target)
    with place(home()) as folder, _copy(step, folder) as copy:
        step.context.log.info(f"rehearsing on {copy.told}")
        for note in copy.notes:
            step.context.log.warning(f"in the copy: {note}")
        return _on_the_copy(step, target, copy, folder / "exports")


@contextmanager
def _copy(step: Step, folder: Path) -> Iterator[Copy]:
    url, say = REHEARSAL_URL.value(), step.run.say
    if url is not None:
        yield given_copy(step.run.session, url, say)
        return
    with made_copy(step.run.session, step.migration, folder, say) as copy:
        yield copy


def _on_the_copy(step: Step, target: plan.Plan, copy: Copy, exports: Path) -> dict[str, Any]:
    session = connect(copy.url, f"aicfg_pipeline rehearse {step.context.run_id[:8]}")
    run = replace(step.run, session=session, settings=replace(step.run.settings, confirm_database=session.target))
    story = Story()
    try:
        take_run_lock(session)
        if REHEARSAL_URL.value() is None:
            keep_its_place(run, step.run.session.private_schema)
        found = plan.make_plan(run, must_confirm=False)
        notes = [*copy.notes, *other_hazards(target, found)]
        try:
            rehearse(run, target, found, exports, story)
        except (RehearsalError, HazardError):
            raise  # nothing was begun: that says nothing of the plan
        except PipelineError as error:
            remember(home(), target, run.run_id, copy.told, story, error=error.found)
            raise
        html = _report(step, run, story, copy, notes)
        remember(home(), target, run.run_id, copy.told, story)
    finally:
        release_run_lock(session)
        session.close()
    return _told(step, story, html, copy)


def _report(step: Step, run: Run, story: Story, copy: Copy, notes: list[str]) -> Path:
    """Write the evidence of the rehearsal. Its database is the copy, and so nothing is compared with it later."""
    identity = {**run.session.one(engine("identity"))._asdict(), "target": f"copy of {step.target.name}"}
    secrets = [*secrets_of(step.run.session.url), *secrets_of(copy.url)]
    known = Known(
        kind="rehearse",
        run_id=run.run_id,
        database=identity,
        migration=run.migration,
        checks=story.checks,
        accepted=run.settings.accept_hazards,
        states_after=dict(run.look().summary),
        plan_hash=run.plan_hash,
        who=step.origin["who"],
        reason=step.origin.get("reason"),
        settings=step.origin["asked"],
        ended=datetime.now(UTC),
        secrets=secrets,
        command=step.commands.job,
        stages=stages_of(step.context.instance, run.run_id),
        step_times=[StepTime(job=t.job, step=t.step, pair=t.pair, seconds=t.seconds) for t in story.timings],
        rehearsal=Rehearsal(target=step.target.name, on=copy.told, notes=notes, locks_held_ms=story.locks_held_ms),
    )
    evidence = gather(ledger.read(run.session, run.migration, statements=True), known)
    html = write_report_file(evidence, secrets=secrets)[0]
    show(["", *(bold(line, "good") for line in wrapped(evidence.verdict))])
    return html


def _told(step: Step, story: Story, html: Path, copy: Copy) -> dict[str, Any]:
    show(
        [
            *labelled("Rehearsed", f"on {copy.told}; the target was only read"),
            f"Report     {html}",
            f"Next       {step.commands.job(JOB)}",
            f"Target: {step.target.told}",
        ]
    )
    seconds = {f"{job} seconds": round(story.seconds(job), 3) for job in dict.fromkeys(t.job for t in story.timings)}
    key = asset_key(step.migration.pairs[0], "old")
    step.context.log_event(AssetObservation(asset_key=key, description="rehearsed on a copy", metadata=seconds))
    held = {f"{job} locks_held_ms": ms for job, ms in story.locks_held_ms.items()}
    return {**seconds, **held, "report": report_link(html)}
