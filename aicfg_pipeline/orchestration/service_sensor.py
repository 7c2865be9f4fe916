"""The sensor of the services: a quick look at endpoints and logs every few minutes, the runbook's health dashboard.

While the migration is in effect it weighs the runbook's four reasons to roll back, and says so when one has held
several times in a row. It never rolls back.
"""

from typing import Any

from dagster import (
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.orchestration.alerts import post
from aicfg_pipeline.orchestration.home import named_target
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.orchestration.sensors import interval_seconds
from aicfg_pipeline.orchestration.service_checks import Looked, look_at_services, looked_events
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.orchestration.under_way import blind, looking_again
from aicfg_pipeline.rollback.glance import who_works
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.model import Migration


def build_service_sensors(migration: Migration) -> list[SensorDefinition]:
    """Return the sensor of the services."""

    @sensor(
        name=migration.instance.named("services_sensor"),
        job_name=migration.instance.named("verify"),
        required_resource_keys={migration.instance.named(key) for key in ("postgres", "services")},
        minimum_interval_seconds=interval_seconds(),
        default_status=DefaultSensorStatus.RUNNING,
        description="Looks at the configured endpoints and logs: latency, success and errors over time. While the"
        " migration is in effect, failures in a row become advice to roll back, and ask for the job `verify` with the"
        " evidence. Never rolls back by itself.",
    )
    def services_sensor(context: SensorEvaluationContext, **_: Any) -> SensorResult | SkipReason:
        postgres: PostgresResource = resource(context, migration.instance, "postgres")
        services: ServicesResource = resource(context, migration.instance, "services")
        settings = services.settings()
        if settings.endpoints is None and settings.logs is None:
            return SkipReason("No endpoint and no log is configured, so there is nothing to watch.")
        try:
            with postgres.session("aicfg_pipeline sensor") as session:
                skipped = looking_again(context, named_target(migration.instance.url_variable), *who_works(session))
                if skipped:
                    return SkipReason(skipped)
                looked = look_at_services(session, migration, settings, context.instance, quick=True)
        except PipelineError as error:
            return SkipReason(blind(error))
        advised = ", ".join(looked.weighed.advised) if looked.weighed else ""
        events = looked_events(migration, looked)
        if not advised or advised == context.cursor:
            return SensorResult(skip_reason=_told(looked), cursor=advised, asset_events=events)
        why = f"a rollback is advised, as this does not hold: {advised}"
        _tell_people(
            context,
            settings,
            f"aicfg_pipeline: {why} on {named_target()}. {_told(looked)}\nNext: look at the job plan.",
        )
        request = RunRequest(
            run_key=f"advice-{advised}-{looked.reading.at:%Y%m%d%H%M%S}",
            tags={"aicfg/why": why},
        )
        return SensorResult(run_requests=[request], cursor=advised, asset_events=events)

    return [services_sensor]


def _told(looked: Looked) -> str:
    wrong = [c for c in looked.checks if c.failed]
    return "; ".join(f"{c.name}: {c.summary}" for c in wrong) or "Everything answers as it should."


def _tell_people(context: SensorEvaluationContext, settings: ServicesSettings, line: str) -> None:
    context.log.warning(line)
    try:
        webhook = settings.webhook.service() if settings.webhook else None
    except PipelineError as error:
        context.log.error(f"webhook: {error}")
        return
    post(context.log, webhook, line)
