"""Which run of this pipeline is under way on the target, as far as Dagster and the database know.

Dagster alone does not know: a run whose process was killed stays STARTED there until somebody ends it.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

from dagster import DagsterRunStatus, RunRecord, RunsFilter, SensorEvaluationContext

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.orchestration.alerts import watched_job
from aicfg_pipeline.orchestration.home import TARGET_TAG

IN_PROGRESS = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
    DagsterRunStatus.CANCELING,
]
LOOKS_ONLY = "plan"
STARTS_WITHIN_SECONDS = 600
"""Until then a run need not have come to the database yet: it may wait in the queue, or for its process."""


def looking_again(
    context: SensorEvaluationContext, target: str, running: str | None, sessions: Sequence[str]
) -> str | None:
    """Say why a tick leaves the database alone, or None: a run holds the run lock, or lives (see `run_under_way`)."""
    busy = running or run_under_way(context, target, sessions, datetime.now(UTC))
    return f"A run is under way: {busy}. Looking again at the next tick." if busy else None


def blind(error: PipelineError) -> str:
    """Say why a tick can't look, where that is verification_sensor's to tell people."""
    return f"The database can't be looked at, of which verification_sensor tells people: {error}"


def run_under_way(context: SensorEvaluationContext, target: str, sessions: Sequence[str], now: datetime) -> str | None:
    """Return the run of this code location on this target that lives, or None.

    One lives that is new, or has a session in the database: `sessions` are the application names there.
    """
    filters = RunsFilter(statuses=IN_PROGRESS, tags={TARGET_TAG: target})
    for record in context.instance.get_run_records(filters):
        run = record.dagster_run
        if watched_job(run.job_name) in (None, LOOKS_ONLY) or _elsewhere(context, record):
            continue
        told = f"job {run.job_name}, run {run.run_id[:8]}"
        new = (now - record.update_timestamp).total_seconds() < STARTS_WITHIN_SECONDS
        if new or any(run.run_id[:8] in name for name in sessions):
            return told
        context.log.warning(
            f"{told} is {run.status.value} in Dagster, but has no session in the database: its process is gone."
            " It is not waited for. End it in the Dagster UI; then run the same job again, which goes on from there."
        )
    return None


def _elsewhere(context: SensorEvaluationContext, record: RunRecord) -> bool:
    """Say whether the run is another code location's. One of `dagster job execute` has none."""
    mine, theirs = context.code_location_origin, record.dagster_run.remote_job_origin
    return mine is not None and theirs is not None and theirs.location_name != mine.location_name
