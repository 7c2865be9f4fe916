"""What the last full verification of the target has found, read from Dagster's own events.

What is looked at in between is the sensor's; what a verification looks at is the job `verify`'s.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

from dagster import DagsterEventType, DagsterInstance, DagsterRunStatus, RunsFilter

from aicfg_pipeline.errors import redact
from aicfg_pipeline.orchestration.home import TARGET_TAG, named_target
from aicfg_pipeline.spec.model import Migration

ENDED = [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]


@dataclass(frozen=True)
class Verified:
    """How the last one ended. `wrong` is empty where all was as it should be."""

    run_id: str
    ended: datetime
    wrong: tuple[str, ...]

    @property
    def told(self) -> str:
        """Which it was, for a sentence."""
        return f"verification of {self.ended:%Y-%m-%d %H:%M} UTC (run {self.run_id[:8]})"


def last_verification(instance: DagsterInstance, migration: Migration) -> Verified | None:
    """Return the last run of `verify` on this target that ended, or None."""
    filters = RunsFilter(
        job_name=migration.instance.named("verify"),
        statuses=ENDED,
        tags={TARGET_TAG: named_target(migration.instance.url_variable)},
    )
    records = instance.get_run_records(filters, limit=1)
    if not records:
        return None
    run = records[0].dagster_run
    wrong = () if run.status == DagsterRunStatus.SUCCESS else _open(instance, run.run_id)
    return Verified(run.run_id, records[0].update_timestamp.replace(tzinfo=UTC), wrong)


def _open(instance: DagsterInstance, run_id: str) -> tuple[str, ...]:
    """Return what has failed: the checks, or where it did not come that far, why."""
    failed = failed_checks(instance, run_id)
    if failed:
        return failed
    failures = instance.get_records_for_run(run_id, of_type=DagsterEventType.STEP_FAILURE).records
    for failure in failures:
        event = failure.event_log_entry.dagster_event
        if event is not None and event.step_failure_data.error is not None:
            return (redact(event.step_failure_data.error.message).strip().splitlines()[0],)
    return ("it was stopped before it had looked at everything",)


def failed_checks(instance: DagsterInstance, run_id: str) -> tuple[str, ...]:
    """Return the checks of a run that failed and stop it, with their assets."""
    events = instance.get_records_for_run(run_id, of_type=DagsterEventType.ASSET_CHECK_EVALUATION).records
    judged = [
        e.event_log_entry.dagster_event.asset_check_evaluation_data for e in events if e.event_log_entry.dagster_event
    ]
    failed = [c for c in judged if not c.passed and c.severity.value == "ERROR"]
    return tuple(f"{c.check_name} of {c.asset_key.to_user_string()}" for c in failed)
