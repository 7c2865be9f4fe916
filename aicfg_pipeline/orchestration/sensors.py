"""Sensors: a cheap look every few minutes that asks for a full `verify` when something changed or an hour went by.

Heavy work belongs into the job that is asked for; a tick has seconds. A database that can't be looked at is an outage:
people are told once, and once more when it is over. A tick that could look and knows of nothing wrong gives a sign of life.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dagster import (
    AssetObservation,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)

from aicfg_pipeline.environment import HEARTBEAT_URL, SENSOR_SECONDS
from aicfg_pipeline.errors import ConfigError, PipelineError
from aicfg_pipeline.orchestration.alerts import build_failure_alert, build_finished_alert, tell
from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.home import named_target
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.orchestration.under_way import looking_again
from aicfg_pipeline.orchestration.verified import Verified, last_verification
from aicfg_pipeline.rollback.glance import Glance, glance
from aicfg_pipeline.services.heartbeat import beat
from aicfg_pipeline.spec.model import Migration

DEFAULT_INTERVAL = 300
FULL_CHECK_SECONDS = 3600


def interval_seconds() -> int:
    """Return the seconds between ticks. Raises `ConfigError` for anything but a positive whole number."""
    text = SENSOR_SECONDS.value() or str(DEFAULT_INTERVAL)
    if not text.isdigit() or int(text) < 1:
        raise ConfigError(f"{SENSOR_SECONDS.name} is {text!r}.", expected="a whole number of seconds, at least 1")
    return int(text)


def build_sensors(migration: Migration) -> list[SensorDefinition]:
    """Return every sensor of the pipeline."""
    return [_verification_sensor(migration), build_failure_alert(migration), build_finished_alert(migration)]


def decide(seen: Glance, cursor: Mapping[str, Any], now: float) -> tuple[str | None, dict[str, Any]]:
    """Say why a full verification should run (or None), and what to remember. Pure: the whole policy is here."""
    if not cursor.get("mark"):
        why = "first look"
    elif cursor["mark"] != seen.mark:
        why = f"changed: {', '.join(seen.changes(cursor))}"
    elif now - float(cursor.get("asked_at", 0)) >= FULL_CHECK_SECONDS:
        why = "the last full verification is an hour old"
    else:
        return None, dict(cursor)
    return why, {
        "mark": seen.mark,
        "asked_at": now,
        "states": seen.states,
        "rows": seen.rows,
        "catalog": seen.catalog,
        "hour": int(now // FULL_CHECK_SECONDS),
    }


def standing(last: Verified | None, cursor: Mapping[str, Any], now: float) -> tuple[bool, str]:
    """Say whether all is known to be well, and what there is to say where nothing has changed. Pure."""
    asked = float(cursor.get("asked_at", now))
    if last is not None and last.wrong:
        return False, f"STILL OPEN since the {last.told}: {'; '.join(last.wrong)}"
    if last is None or last.ended.timestamp() < asked:
        late = now - asked >= FULL_CHECK_SECONDS
        return not late, f"The verification asked for at {_clock(asked)} has not ended"
    return True, f"Nothing changed since the {last.told}, which passed"


def _clock(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M} UTC"


def _verification_sensor(migration: Migration) -> SensorDefinition:
    @sensor(
        name=migration.instance.named("verification_sensor"),
        job_name=migration.instance.named("verify"),
        required_resource_keys={migration.instance.named("postgres")},
        minimum_interval_seconds=interval_seconds(),
        default_status=DefaultSensorStatus.RUNNING,
        description="Looks at states, row counts and the catalog around the tables, cheaply; asks for the job `verify`"
        " when something changed or the last full verification is an hour old. Never during a rollback, never twice for"
        " the same thing. Tells people once when the database can't be looked at, and once when it can again.",
    )
    def verification_sensor(context: SensorEvaluationContext, **_: Any) -> SensorResult:
        postgres: PostgresResource = resource(context, migration.instance, "postgres")
        target = named_target(migration.instance.url_variable)
        cursor = json.loads(context.cursor) if context.cursor else {}
        try:
            with postgres.session("aicfg_pipeline sensor") as session:
                seen = glance(session, migration)
        except PipelineError as error:
            return _outage(context, target, cursor, error)
        cursor = _over(context, target, cursor)
        skipped = looking_again(context, target, seen.running, seen.sessions)
        if skipped:
            return _skipped(context, migration, cursor, skipped)
        return _judged(context, migration, seen, cursor)

    return verification_sensor


def _judged(
    context: SensorEvaluationContext, migration: Migration, seen: Glance, cursor: Mapping[str, Any]
) -> SensorResult:
    now = time.time()
    why, remembered = decide(seen, cursor, now)
    well, told = standing(last_verification(context.instance, migration), remembered, now)
    if well:
        _sign_of_life(context)
    result: dict[str, Any] = {"cursor": json.dumps(remembered), "asset_events": _observations(migration, seen)}
    if why is None:
        return SensorResult(skip_reason=f"{told}. {_told(seen)}.", **result)
    if not well:
        context.log.warning(told)
    key = f"{seen.mark}-{int(remembered['asked_at'])}"
    tags = {"aicfg/why": why[:250], "aicfg/states": _told(seen)}
    return SensorResult(run_requests=[RunRequest(run_key=key, tags=tags)], **result)


def _skipped(
    context: SensorEvaluationContext, migration: Migration, cursor: Mapping[str, Any], why: str
) -> SensorResult:
    last = last_verification(context.instance, migration)
    wrong = f" STILL OPEN since the {last.told}: {'; '.join(last.wrong)}." if last and last.wrong else ""
    if not wrong:
        _sign_of_life(context)
    return SensorResult(skip_reason=f"{why}{wrong}", cursor=json.dumps(cursor))


def _outage(
    context: SensorEvaluationContext, target: str, cursor: Mapping[str, Any], error: PipelineError
) -> SensorResult:
    """The database can't be looked at: tell people once, for each kind of reason; go on trying."""
    outage = cursor.get("outage") or {}
    if outage.get("code") != error.code:
        outage = {"code": error.code, "since": outage.get("since", time.time()), "told": False}
    since = _clock(float(outage["since"]))
    reason = f"The database {target} can't be looked at, since {since}: {error}"
    if not outage["told"]:
        outage["told"] = tell(context.log, f"aicfg_pipeline: the watch is blind: {reason}")
    return SensorResult(skip_reason=reason, cursor=json.dumps({**cursor, "outage": outage}))


def _over(context: SensorEvaluationContext, target: str, cursor: Mapping[str, Any]) -> dict[str, Any]:
    """Tell people that an outage is over; return the cursor without it, unless they could not be told."""
    outage = cursor.get("outage")
    if not outage:
        return dict(cursor)
    line = f"the watch sees again: {target} can be looked at. It could not since {_clock(float(outage['since']))}"
    told = tell(context.log, f"aicfg_pipeline: {line}.")
    return {k: v for k, v in cursor.items() if k != "outage" or not told}


def _sign_of_life(context: SensorEvaluationContext) -> None:
    url = HEARTBEAT_URL.value()
    refused = beat(url) if url else None
    if refused:
        context.log.warning(refused)


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
