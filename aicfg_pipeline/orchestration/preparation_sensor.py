"""The sensor that keeps prepared shadows up to date and proven, until somebody switches or gives up.

It asks for the job `prepare` again, which goes on with what is there. Work does not belong into a tick.
"""

import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

from dagster import (
    AssetObservation,
    DefaultSensorStatus,
    RunRequest,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.home import named_target
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.orchestration.sensors import interval_seconds
from aicfg_pipeline.orchestration.under_way import blind, looking_again
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.glance import who_works
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import Look, State, look, prepared_by
from aicfg_pipeline.rollback.tables.preparation import Preparation, preparation
from aicfg_pipeline.spec.model import Migration

MOST_BEHIND = 10_000
"""So many entries are caught up with at once: what waits in the log is what the switch has to wait for."""

AGAIN_SECONDS = 900
"""A preparation that was asked for is not asked for again before that: one that fails has told why."""


def needs(found: Sequence[Preparation], asked_at: float, now: float) -> str | None:
    """Say why the job prepare should run again, or None. Pure: the whole policy is here."""
    if now - asked_at < AGAIN_SECONDS:
        return None
    void = [f"{p.old} is not usable any more" for p in found if p.void]
    if void:
        return ", ".join(void)
    unproven = [p.old for p in found if p.proven_at is None]
    if unproven:
        return f"the last comparison has not proven {', '.join(unproven)}"
    stale = [p.old for p in found if p.proof_is_stale]
    if stale:
        return f"the last comparison of {', '.join(stale)} is an hour old"
    behind = [f"{p.old} is {counted(p.behind, 'entry', 'entries')} behind" for p in found if p.behind > MOST_BEHIND]
    return ", ".join(behind) or None


def build_preparation_sensor(migration: Migration) -> SensorDefinition:
    """Return the sensor."""

    @sensor(
        name=migration.instance.named("preparation_sensor"),
        job_name=migration.instance.named("prepare"),
        required_resource_keys={migration.instance.named("postgres")},
        minimum_interval_seconds=interval_seconds(),
        default_status=DefaultSensorStatus.RUNNING,
        description="Where a rollback is prepared: shows how far behind the shadows are and when they were last proven,"
        " and has them caught up and compared again every hour. Does nothing anywhere else.",
    )
    def preparation_sensor(context: SensorEvaluationContext, **_: Any) -> SensorResult | SkipReason:
        postgres: PostgresResource = resource(context, migration.instance, "postgres")
        target = named_target(migration.instance.url_variable)
        try:
            with postgres.session("aicfg_pipeline preparation") as session:
                seen = look(session, migration)
                found = [p for s in seen.pairs if (p := preparation(session, migration, seen.ledger, s))]
                if not found:
                    return SkipReason("Nothing is prepared.")
                skipped = looking_again(context, target, *who_works(session))
        except PipelineError as error:
            return SkipReason(blind(error))
        if skipped:
            return SkipReason(skipped)
        cursor = json.loads(context.cursor) if context.cursor else {}
        now = time.time()
        why = needs(found, float(cursor.get("asked_at", 0)), now)
        told, observed = "; ".join(f"{p.old}: {p}" for p in found), _observations(migration, found)
        if why is None:
            return SensorResult(skip_reason=told, cursor=json.dumps(cursor), asset_events=observed)
        request = RunRequest(run_key=f"prepare-{int(now)}", run_config=_same_request(seen), tags={"aicfg/why": why})
        return SensorResult(run_requests=[request], cursor=json.dumps({"asked_at": now}), asset_events=observed)

    return preparation_sensor


def _same_request(seen: Look) -> Mapping[str, Any]:
    """Return what a person asked for when this was prepared: the target that was confirmed, the hazards accepted."""
    (state, *_) = seen.in_state(State.PREPARED)
    assert state.shadow is not None
    ready = prepared_by(seen.ledger, state.pair, state.shadow)
    assert ready is not None
    accepted = _settings(seen.ledger, ready.run_id).get("accept_hazards", [])
    return {"confirm_database": ready.facts["confirmed"], "accept_hazards": list(accepted)}


def _settings(book: Ledger, run_id: str) -> Mapping[str, Any]:
    began = [e for e in book.of_run(run_id) if e.step == "run" and "settings" in e.facts]
    return began[0].facts["settings"] if began else {}


def _observations(migration: Migration, found: Sequence[Preparation]) -> list[AssetObservation]:
    return [
        AssetObservation(
            asset_key=asset_key(migration.pair(p.old), "old"),
            description=f"prepared: {p}",
            metadata={"entries behind": p.behind, "verification stale": p.proof_is_stale},
        )
        for p in found
    ]
