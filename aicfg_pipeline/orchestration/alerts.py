"""The sensors that tell people how a run of this pipeline ended, wherever it was started: what, where, what next, a link.

One message into the sensor's log, and into a chat where a webhook is configured; each thing once. Nothing is done about it.
"""

import logging
from collections.abc import Sequence

from dagster import (
    DagsterInstance,
    DagsterRun,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunFailureSensorContext,
    RunsFilter,
    RunStatusSensorContext,
    SensorDefinition,
    run_failure_sensor,
    run_status_sensor,
)

from aicfg_pipeline.environment import WEBHOOK_URL
from aicfg_pipeline.errors import redact
from aicfg_pipeline.orchestration.home import MIGRATION_TAG, TARGET_TAG, tagged
from aicfg_pipeline.orchestration.links import run_address
from aicfg_pipeline.orchestration.verified import failed_checks
from aicfg_pipeline.services.webhook import WebhookService
from aicfg_pipeline.spec.model import Migration

WATCHED = frozenset(
    {"plan", "rehearse", "prepare", "rollback", "verify", "undo_rollback", "drop_new_tables", "migrate", "abandon"}
)


def watched_job(name: str) -> str | None:
    """Return which of our jobs a job is, whatever the prefix of its instance; None where it is none of ours."""
    return max((w for w in WATCHED if name == w or name.endswith(f"_{w}")), key=len, default=None)


NEXT = {
    "verify": "read its report, mend what is named, and launch {job} again",
    "plan": "mend what is named, and launch {job} again",
}
NEXT_OF_OTHERS = "read its report, mend what is named, and launch {job} again: it goes on from what is there"
FINISHED = {"rollback": "report", "undo_rollback": "end_of_undo"}
"""The jobs whose end is told, and the op that ends them: a dry run does not come to it."""


def alert_line(
    job: str,
    run_id: str,
    step: str | None,
    why: str,
    target: str | None = None,
    checks: Sequence[str] = (),
    *,
    kind: str | None = None,
) -> str:
    """Return what is told of a failed run: job, step, target, the first line of why, which checks, what next, a link."""
    first = redact(why).strip().splitlines()[0] if why.strip() else "no reason was given"
    where = (f" at {step}" if step else "") + (f" on {target}" if target else "")
    lines = [f"aicfg_pipeline: {job} failed{where} (run {run_id[:8]}): {first}"]
    lines += [f"Checks: {', '.join(checks)}"] if checks else []
    lines.append(f"Next: {NEXT.get(kind or job, NEXT_OF_OTHERS).format(job=job)}.")
    return "\n".join([*lines, *_link(run_id)])


def finished_line(job: str, run_id: str, outcome: str, target: str | None) -> str:
    """Return what is told of a rollback or an undo that is done: the verdict with its proof, and a link."""
    where = f" on {target}" if target else ""
    return "\n".join([f"aicfg_pipeline: {job} finished{where} (run {run_id[:8]}): {redact(outcome)}", *_link(run_id)])


def _link(run_id: str) -> list[str]:
    address = run_address(run_id)
    return [address] if address else []


def tell(log: logging.Logger, line: str) -> bool:
    """Tell people: in the sensor's log, and by the webhook where there is one. Returns whether it was delivered."""
    log.error(line)
    url = WEBHOOK_URL.value()
    return post(log, WebhookService(url) if url else None, line)


def post(log: logging.Logger, webhook: WebhookService | None, line: str) -> bool:
    """Post a line, and log how that ended. Returns whether it was delivered; where there is no webhook it is."""
    if webhook is None:
        return True
    posted = webhook.post(line)
    (log.info if posted.ok else log.error)(f"webhook: {posted.reason}")
    return posted.ok


def build_failure_alert(migration: Migration) -> SensorDefinition:
    """Return the run failure sensor; it also sees runs of `dagster job execute`."""

    @run_failure_sensor(
        name=migration.instance.named("failure_alert"),
        monitor_all_code_locations=True,  # else runs of `dagster job execute` pass unseen
        default_status=DefaultSensorStatus.RUNNING,
        description="One clear line for each failed run of this pipeline, started from the UI or the command line; also"
        f" to the webhook named by {WEBHOOK_URL.name} (Slack-compatible JSON).",
    )
    def failure_alert(context: RunFailureSensorContext) -> None:
        run = context.dagster_run
        job = _job_of(run, migration)
        if job is None:
            return
        failures = context.get_step_failure_events()
        step = failures[0].step_key if failures else None
        checks = failed_checks(context.instance, run.run_id)
        if job == "verify" and checks and checks == _told_before(context.instance, run):
            context.log.info(
                f"not told once more: these checks failed in the verification before this one, too: {checks}"
            )
            return
        tell(
            context.log,
            alert_line(run.job_name, run.run_id, step, _why(context), run.tags.get(TARGET_TAG), checks, kind=job),
        )

    return failure_alert


def _job_of(run: DagsterRun, migration: Migration) -> str | None:
    """Return which of this migration's jobs a run is of; None of others: another code location may have one of the name."""
    job = migration.instance.of(run.job_name)
    mine = run.job_name == migration.instance.named(job) and run.tags.get(MIGRATION_TAG) == tagged(migration)
    return job if job in WATCHED and TARGET_TAG in run.tags and mine else None


def build_finished_alert(migration: Migration) -> SensorDefinition:
    """Return the sensor that tells of a rollback or an undo that is done; it also sees runs of `dagster job execute`."""

    @run_status_sensor(
        name=migration.instance.named("finished_alert"),
        run_status=DagsterRunStatus.SUCCESS,
        monitor_all_code_locations=True,
        default_status=DefaultSensorStatus.RUNNING,
        description="Says once that a rollback or an undo is done, with its verdict; also to the webhook named by"
        f" {WEBHOOK_URL.name}.",
    )
    def finished_alert(context: RunStatusSensorContext) -> None:
        run = context.dagster_run
        ends = FINISHED.get(_job_of(run, migration) or "")
        outcome = _outcome(context.instance, run, migration.instance.named(ends)) if ends else None
        if outcome is None:
            return
        line = finished_line(run.job_name, run.run_id, outcome, run.tags.get(TARGET_TAG))
        context.log.info(line)
        url = WEBHOOK_URL.value()
        post(context.log, WebhookService(url) if url else None, line)

    return finished_alert


def _outcome(instance: DagsterInstance, run: DagsterRun, ends: str) -> str | None:
    """Return the last word of a rollback or an undo, which the op `ends` says; None where it did not come to it."""
    log = [e for e in instance.all_logs(run.run_id) if e.step_key == ends]
    if not any(e.dagster_event is not None and e.dagster_event.is_step_success for e in log):
        return None
    told = [e.user_message for e in log if e.dagster_event is None and e.level == logging.INFO]
    return told[-1] if told else f"{run.job_name} is done."


def _told_before(instance: DagsterInstance, run: DagsterRun) -> tuple[str, ...]:
    """Return the checks that failed in the verification of this target before this one; none where it passed."""
    filters = RunsFilter(
        job_name=run.job_name,
        statuses=[DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE],
        tags={name: run.tags[name] for name in (TARGET_TAG, MIGRATION_TAG)},
    )
    before = [r for r in instance.get_runs(filters, limit=20) if r.run_id != run.run_id]
    return failed_checks(instance, before[0].run_id) if before else ()


def _why(context: RunFailureSensorContext) -> str:
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        if error is not None:
            return error.message
    return context.failure_event.message or ""
