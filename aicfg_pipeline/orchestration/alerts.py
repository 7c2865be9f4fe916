"""The sensor that tells people when a run of this pipeline failed, wherever it was started.

One clear line into the sensor's log, and into a chat where a webhook is configured. It never does anything about it.
"""

import logging

from dagster import (
    DefaultSensorStatus,
    RunFailureSensorContext,
    SensorDefinition,
    run_failure_sensor,
)

from aicfg_pipeline.environment import WEBHOOK_URL
from aicfg_pipeline.errors import redact
from aicfg_pipeline.orchestration.home import MIGRATION_TAG, TARGET_TAG, tagged
from aicfg_pipeline.services.webhook import WebhookService
from aicfg_pipeline.spec.model import Migration

WATCHED = frozenset(
    {"plan", "rehearse", "prepare", "rollback", "verify", "undo_rollback", "drop_new_tables", "migrate", "abandon"}
)


def watched_job(name: str) -> str | None:
    """Return which of our jobs a job is, whatever the prefix of its instance; None where it is none of ours."""
    return max((w for w in WATCHED if name == w or name.endswith(f"_{w}")), key=len, default=None)


def alert_line(job: str, run_id: str, step: str | None, why: str, target: str | None = None) -> str:
    """Return the one line: which job and run, at which step, on which database, and the first line of why."""
    first = redact(why).strip().splitlines()[0] if why.strip() else "no reason was given"
    where = (f" at {step}" if step else "") + (f" on {target}" if target else "")
    return f"aicfg_pipeline: {job} failed{where} (run {run_id[:8]}): {first}"


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
        job = migration.instance.of(run.job_name)
        mine = run.job_name == migration.instance.named(job) and run.tags.get(MIGRATION_TAG) == tagged(migration)
        if job not in WATCHED or TARGET_TAG not in run.tags or not mine:
            return  # another code location may have a job of the same name
        failures = context.get_step_failure_events()
        step = failures[0].step_key if failures else None
        line = alert_line(run.job_name, run.run_id, step, _why(context), run.tags.get(TARGET_TAG))
        tell(context.log, line)

    return failure_alert


def _why(context: RunFailureSensorContext) -> str:
    for event in context.get_step_failure_events():
        error = event.step_failure_data.error
        if error is not None:
            return error.message
    return context.failure_event.message or ""
