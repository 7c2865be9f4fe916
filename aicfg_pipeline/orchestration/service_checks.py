"""The assets that stand for the services, and their checks and health: numbers over time, which the UI plots.

What is asked of the services is in `runbook.checks`, when a rollback is advised in `runbook.reasons`.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSeverity,
    AssetCheckSpec,
    AssetKey,
    AssetObservation,
    AssetSpec,
    DagsterInstance,
    multi_asset_check,
)

from aicfg_pipeline.orchestration.assets import OWNERS, service_key
from aicfg_pipeline.orchestration.metadata import check_evaluation, check_result, metadata
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, look
from aicfg_pipeline.runbook import checks as service_checks
from aicfg_pipeline.runbook import reasons
from aicfg_pipeline.runbook.by_hand import manual_lines
from aicfg_pipeline.runbook.checks import ENDPOINTS, LAMBDAS, LOGS, REPOSITORY, Reading, ServiceCheck
from aicfg_pipeline.runbook.reasons import ADVICE, History, Reason, Reasons
from aicfg_pipeline.runbook.remembered import last_swap
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.model import Migration

LOOKS_BACK = 50
QUICK_TIMEOUT_SECONDS = 5.0

_ASSETS = {
    LAMBDAS: "The Lambda functions that work with these tables: stopped, deployed, started (runbook 1 and 5).",
    ENDPOINTS: "The API endpoints: latency and success of each probe over time (runbook 6 and the health dashboard).",
    LOGS: "CloudWatch Logs: errors over time, and those that name a missing table (runbook 6).",
    REPOSITORY: "The git working copy with the Lambda's code and the schema files (runbook 3 and 4).",
    ADVICE: "The runbook's four reasons to roll back, watched while the migration is in effect; failures in a row"
    " become advice. Nothing rolls back by itself.",
}


def service_specs(migration: Migration) -> list[AssetSpec]:
    """Return the assets `service/…`."""
    return [
        AssetSpec(
            key=service_key(name, migration.instance),
            group_name=migration.instance.named("services"),
            owners=OWNERS,
            kinds={"service"},
            description=text,
        )
        for name, text in _ASSETS.items()
    ]


# --- looking ---------------------------------------------------------------------------------------------------


class Looked:
    """One look at all services: the reading, the verdicts, and what goes onto the assets' pages."""

    def __init__(
        self, migration: Migration, reading: Reading, checks: Sequence[Check], weighed: Reasons | None
    ) -> None:
        self.reading, self.weighed, self._instance = reading, weighed, migration.instance
        self.checks: list[Check] = [*checks, *(weighed.checks if weighed else ())]

    def observations(self) -> list[AssetObservation]:
        """Return the numbers of this look, for the plots."""
        made = []
        if self.reading.probes is not None:
            made.append(self._observed(ENDPOINTS, service_checks.probe_facts(self.reading.probes)))
        if self.reading.logs is not None:
            made.append(self._observed(LOGS, service_checks.log_facts(self.reading.logs)))
        if self.weighed is not None:
            counts = {f"in a row {name}": count for name, count in self.weighed.counts.items()}
            made.append(self._observed(ADVICE, {**counts, "counted_at": self.weighed.counted_at.isoformat()}))
        return made

    def _observed(self, service: str, facts: Mapping[str, Any]) -> AssetObservation:
        key = service_key(service, self._instance)
        return AssetObservation(asset_key=key, description="looked at", metadata=metadata(facts))


def look_at_services(
    session: Session,
    migration: Migration,
    services: ServicesSettings,
    instance: DagsterInstance,
    *,
    quick: bool = False,
) -> Looked:
    """Look at every configured service, and weigh the reasons for a rollback while the migration is in effect.

    A quick look is for a sensor's tick: one attempt each, and the rows of the tables are not read.
    """
    asked = _quicker(services) if quick else services
    found = look(session, migration)
    in_effect = bool(found.in_state(*TO_ROLL_BACK))
    reading = service_checks.read_services(session, migration, asked, attempts=1 if quick or in_effect else None)
    weighed = None
    if in_effect and (services.endpoints or services.logs):
        integrity = None if quick else reasons.integrity_problems(session, migration)
        earlier = history(instance, migration, last_swap(found.ledger))
        weighed = reasons.weigh(reading, earlier, services, integrity)
    return Looked(migration, reading, service_checks.judge(reading, services), weighed)


def _quicker(services: ServicesSettings) -> ServicesSettings:
    if services.endpoints is None:
        return services
    seconds = min(services.endpoints.timeout_seconds, QUICK_TIMEOUT_SECONDS)
    return services.model_copy(update={"endpoints": services.endpoints.model_copy(update={"timeout_seconds": seconds})})


def history(instance: DagsterInstance, migration: Migration, swapped: datetime | None = None) -> History:
    """Return what earlier looks have put onto the assets' pages. What was counted before a swap does not count."""
    latencies: dict[str, list[float]] = {}
    for facts in _series(instance, service_key(ENDPOINTS, migration.instance), LOOKS_BACK):
        for name, value in facts.items():
            if name.startswith("latency_ms ") and isinstance(value, int | float):
                latencies.setdefault(name.removeprefix("latency_ms "), []).append(float(value))
    errors = [
        float(f["errors"])
        for f in _series(instance, service_key(LOGS, migration.instance), LOOKS_BACK)
        if "errors" in f
    ]
    last = next(iter(_series(instance, service_key(ADVICE, migration.instance), 1)), {})
    counts = {n.removeprefix("in a row "): int(v) for n, v in last.items() if n.startswith("in a row ")}
    at = datetime.fromisoformat(last["counted_at"]) if "counted_at" in last else None
    if at is None or (swapped is not None and at < swapped):
        return History(latencies=latencies, errors=errors)
    return History(counts, at, latencies, errors)


def _series(instance: DagsterInstance, key: AssetKey, limit: int) -> Iterator[dict[str, Any]]:
    for record in instance.fetch_observations(key, limit=limit).records:
        event = record.event_log_entry.dagster_event
        if event is not None and event.asset_observation_data is not None:
            yield {k: v.value for k, v in event.asset_observation_data.asset_observation.metadata.items()}


def looked_events(migration: Migration, looked: Looked) -> list[AssetObservation | AssetCheckEvaluation]:
    """Return everything of one look as events."""
    evaluations = [check_evaluation(migration, c) for c in looked.checks]
    return [*looked.observations(), *(e for e in evaluations if e is not None)]


# --- from the assets' pages ------------------------------------------------------------------------------------


def build_service_checks(migration: Migration) -> list[AssetChecksDefinition]:
    """Return the checks of the services, to be run from their assets' pages."""
    infos: list[ServiceCheck | Reason] = [*service_checks.CATALOG, *reasons.CATALOG]
    keys = {i.service: service_key(i.service, migration.instance) for i in infos}
    specs = [AssetCheckSpec(name=i.name, asset=keys[i.service], description=i.description) for i in infos]

    @multi_asset_check(
        name=migration.instance.named("checks_of_services"),
        specs=specs,
        can_subset=True,
        required_resource_keys={migration.instance.named(key) for key in ("postgres", "services")},
    )
    def checks_(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        postgres: PostgresResource = resource(context, migration.instance, "postgres")
        services: ServicesResource = resource(context, migration.instance, "services")
        settings = services.settings()
        with postgres.session("aicfg_pipeline checks") as session:
            looked = look_at_services(session, migration, settings, context.instance)
        made = {(c.pair, c.name): c for c in looked.checks}
        lines = manual_lines(settings, migration)
        for info in infos:
            key = keys[info.service]
            if not any(k.asset_key == key and k.name == info.name for k in context.selected_asset_check_keys):
                continue
            check = made.get((info.service, info.name))
            result = check_result(migration, check) if check else _by_hand(key, info.name, lines)
            if result is None:
                told = check.summary if check else "There is nothing to judge just now."
                context.log.info(f"does not apply: {info.service}: {info.name}: {told}")
            else:
                yield result

    return [checks_]


def _by_hand(key: AssetKey, name: str, lines: Sequence[str]) -> AssetCheckResult | None:
    """Warn that a service is not configured, so that a person has to look; None where it is."""
    told = next((line for line in lines if line.startswith(key.path[-1]) and "not configured" in line), None)
    if told is None:
        return None
    return AssetCheckResult(
        asset_key=key, check_name=name, passed=False, severity=AssetCheckSeverity.WARN, description=told
    )
