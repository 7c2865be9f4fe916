"""The job prepare, the sensor that keeps it up to date, and the switch that goes on from it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from dagster import AssetKey, DagsterInstance, SensorResult, SkipReason, build_sensor_context

from aicfg_pipeline.orchestration.preparation_sensor import AGAIN_SECONDS, MOST_BEHIND, needs
from aicfg_pipeline.rollback.tables.preparation import Preparation
from aicfg_pipeline_tests.orchestration.test_events import run_job
from aicfg_pipeline_tests.rollback.steps.test_prepare import age, comparisons
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import prepared, running
from aicfg_pipeline_tests.tools.servers import Database


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def found(*, proven_minutes_ago: float = 5, behind: int = 0) -> list[Preparation]:
    now = datetime.now(UTC)
    return [Preparation("t", now, now - timedelta(minutes=proven_minutes_ago), behind)]


def test_what_is_fresh_and_caught_up_needs_nothing() -> None:
    assert needs(found(), 0.0, 1e9) is None


def test_a_comparison_of_an_hour_ago_is_made_again() -> None:
    assert needs(found(proven_minutes_ago=61), 0.0, 1e9) == "the last comparison of t is an hour old"


def test_what_can_not_be_gone_on_with_is_prepared_anew() -> None:
    void = [replace(p, void="its change log is gone") for p in found()]
    assert needs(void, 0.0, 1e9) == "t is not usable any more"


def test_what_the_last_comparison_has_not_proven_is_compared_again() -> None:
    unproven = [replace(p, proven_at=None) for p in found()]
    assert needs(unproven, 0.0, 1e9) == "the last comparison has not proven t"


def test_what_is_far_behind_is_caught_up_with() -> None:
    assert needs(found(behind=MOST_BEHIND + 1), 0.0, 1e9) == "t is 10,001 entries behind"


def test_what_was_asked_for_a_moment_ago_is_not_asked_for_again() -> None:
    assert needs(found(proven_minutes_ago=61), 1e9, 1e9 + AGAIN_SECONDS - 1) is None


def tick(database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch) -> SensorResult | SkipReason:
    from aicfg_pipeline.definitions import defs
    from aicfg_pipeline.orchestration.resources import PostgresResource

    monkeypatch.setenv("AICFG_DATABASE_URL", database.url)
    with build_sensor_context(
        instance=instance, resources={"postgres": PostgresResource()}, definitions=defs
    ) as context:
        return defs.get_sensor_def("preparation_sensor")(context)  # type: ignore[return-value]


def test_where_nothing_is_prepared_the_sensor_does_nothing(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(tick(migrated_database, instance, monkeypatch), SkipReason)


def test_the_job_prepares_the_sensor_has_it_proven_again_and_the_rollback_goes_on_from_there(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_job("prepare", migrated_database, instance, monkeypatch).success
    quiet = tick(migrated_database, instance, monkeypatch)
    assert isinstance(quiet, SensorResult)
    assert not quiet.run_requests
    assert {e.asset_key for e in quiet.asset_events} == {
        AssetKey(["old", "sys_rag"]),
        AssetKey(["old", "org_prompt_engineering"]),
    }
    age(migrated_database, "2 hours")
    asked = tick(migrated_database, instance, monkeypatch)
    assert isinstance(asked, SensorResult)
    (request,) = asked.run_requests or []
    assert request.run_config == {"confirm_database": f"{migrated_database.name}@local", "accept_hazards": []}
    assert json.loads(asked.cursor or "{}")["asked_at"] > 0
    again = run_job("prepare", migrated_database, instance, monkeypatch, **request.run_config)
    assert again.success
    assert run_job("rollback", migrated_database, instance, monkeypatch).success
    assert comparisons(migrated_database) == ["proven"] * 4 + ["relied_on"] * 2


def test_preparing_stops_no_service_and_a_dry_run_touches_nothing(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = portrait(migrated_database, exact=True)
    done = run_job("prepare", migrated_database, instance, monkeypatch, dry_run=True)
    assert done.success
    assert differing(before, portrait(migrated_database, exact=True)) == []
    assert "stop_services" not in {node.name for node in done.job_def.nodes}


def test_what_is_cut_over_is_refused(
    cut_over_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not run_job("prepare", cut_over_database, instance, monkeypatch).success


def test_a_tick_during_a_run_asks_for_nothing(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(migrated_database.url) as run:
        prepared(run)
        result = tick(migrated_database, instance, monkeypatch)
    assert isinstance(result, SkipReason)
    assert "under way" in str(result.skip_message)


def test_the_plan_says_how_well_it_is_prepared(
    migrated_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run_job("prepare", migrated_database, instance, monkeypatch)
    age(migrated_database, "2 hours")
    capfd.readouterr()
    assert run_job("plan", migrated_database, instance, monkeypatch).success
    told = " ".join(capfd.readouterr().out.split())
    assert "Prepared sys_rag: prepared since" in told
    assert "the verification is stale" in told
