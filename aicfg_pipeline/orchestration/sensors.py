"""Sensors: a cheap look every few minutes that asks for a full `verify` when something changed or an hour went by.

Heavy work belongs into the job that is asked for; a tick has seconds.
"""

import json
import time
from collections.abc import Mapping
from typing import Any

from dagster import (
    AssetObservation,
    DagsterRunStatus,
    DefaultSensorStatus,
    RunRequest,
    RunsFilter,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from aicfg_pipeline.environment import SENSOR_SECONDS
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.orchestration.alerts import build_failure_alert
from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.rollback.glance import Glance, glance
from aicfg_pipeline.spec.model import Migration

DEFAULT_INTERVAL = 300
FULL_CHECK_SECONDS = 3600
IN_PROGRESS = [
    DagsterRunStatus.QUEUED,
    DagsterRunStatus.NOT_STARTED,
    DagsterRunStatus.STARTING,
    DagsterRunStatus.STARTED,
]
CHANGES_DATA = ("rollback", "prepare", "undo_rollback", "drop_new_tables", "migrate", "abandon")


def interval_seconds() -> int:
    """Return the seconds between ticks. Raises `ConfigError` for anything but a positive whole number."""
    text = SENSOR_SECONDS.value() or str(DEFAULT_INTERVAL)
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{SENSOR_SECONDS.name} is {text!r}.", expected="a whole number of seconds, at least 1")
    return int(text)


def build_sensors(migration: Migration) -> list[SensorDefinition]:
    """Return every sensor of the pipeline."""
    return [_verification_sensor(migration), build_failure_alert()]


def decide(seen: Glance, cursor: Mapping[str, Any], now: float) -> tuple[str | None, dict[str, Any]]:
    """Say why a full verification should run (or None), and what to remember. Pure: the whole policy is here."""
    due = int(now // FULL_CHECK_SECONDS)
    if cursor.get("mark") != seen.mark:
        why = "first look" if not cursor else "something changed"
    elif now - float(cursor.get("asked_at", 0)) >= FULL_CHECK_SECONDS:
        why = "the last full verification is an hour old"
    else:
        return None, dict(cursor)
    return why, {"mark": seen.mark, "asked_at": now, "states": seen.states, "rows": seen.rows, "hour": due}


def _verification_sensor(migration: Migration) -> SensorDefinition:
    @sensor(
        name="verification_sensor",
        job_name="verify",
        minimum_interval_seconds=interval_seconds(),
        default_status=DefaultSensorStatus.RUNNING,
        description="Looks at states and row counts, cheaply; asks for the job `verify` when something changed or the"
        " last full verification is an hour old. Never during a rollback, never twice for the same thing.",
    )
    def verification_sensor(context: SensorEvaluationContext, postgres: PostgresResource) -> SensorResult | SkipReason:
        with postgres.session("aicfg_pipeline sensor") as session:
            seen = glance(session, migration)
        busy = seen.running or running_job(context)
        if busy:
            return SkipReason(f"A run is under way: {busy}. Looking again at the next tick.")
        cursor = json.loads(context.cursor) if context.cursor else {}
        why, remembered = decide(seen, cursor, time.time())
        observations = _observations(migration, seen)
        if why is None:
            return SensorResult(
                skip_reason=f"Nothing changed: {_told(seen)}.", cursor=json.dumps(remembered), asset_events=observations
            )
        key = f"{seen.mark}-{int(remembered['asked_at'])}"
        return SensorResult(
            run_requests=[RunRequest(run_key=key, tags={"aicfg/why": why, "aicfg/states": _told(seen)})],
            cursor=json.dumps(remembered),
            asset_events=observations,
        )

    return verification_sensor


def running_job(context: SensorEvaluationContext) -> str | None:
    """Return what of this pipeline is under way in this Dagster, or None."""
    runs = context.instance.get_runs(RunsFilter(statuses=IN_PROGRESS), limit=50)
    for run in runs:
        if run.job_name == "verify" or run.job_name in CHANGES_DATA:
            return f"job {run.job_name}, run {run.run_id[:8]}"
    return None


def _told(seen: Glance) -> str:
    return ", ".join(f"{old} {state}" for old, state in seen.states.items())


def _observations(migration: Migration, seen: Glance) -> list[AssetObservation]:
    """What the tick saw, on the assets' pages: row counts plot over time."""
    observations = []
    for pair in migration.pairs:
        for kind, name in (("old", pair.old), ("new", pair.new)):
            if name in seen.rows:
                observations.append(
                    AssetObservation(
                        asset_key=asset_key(pair, kind),  # type: ignore[arg-type]
                        description="seen by verification_sensor",
                        metadata={"dagster/row_count": seen.rows[name], "state": seen.states[pair.old]},
                    )
                )
    return observations
