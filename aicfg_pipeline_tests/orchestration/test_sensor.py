"""The verification sensor: what it asks for, when, and never twice; on a frozen clock and in real ticks."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from dagster import DagsterInstance, SensorResult, SkipReason, build_sensor_context

from aicfg_pipeline.orchestration.sensors import decide
from aicfg_pipeline.rollback.glance import Glance
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database


def seen(rows: int = 40, state: str = "migrated") -> Glance:
    return Glance({"t": state}, {"t": rows}, estimated=False, running=None)


def test_a_quiet_day_of_ticks_asks_once_an_hour() -> None:
    cursor: dict[str, object] = {}
    asked = []
    for tick in range(288):  # every five minutes
        now = 1_000_000_000.0 + tick * 300
        why, cursor = decide(seen(), cursor, now)
        if why:
            asked.append((tick, why))
    assert asked[0] == (0, "first look")
    assert [tick for tick, _ in asked] == list(range(0, 288, 12))


def test_a_change_is_asked_for_at_once_and_only_once() -> None:
    _, cursor = decide(seen(), {}, 1000.0)
    why, cursor = decide(seen(rows=41), cursor, 1300.0)
    assert why == "something changed"
    why, cursor = decide(seen(rows=41), cursor, 1600.0)
    assert why is None


def test_a_change_of_state_is_a_change() -> None:
    _, cursor = decide(seen(), {}, 1000.0)
    assert decide(seen(state="cut_over"), cursor, 1300.0)[0] == "something changed"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def tick(database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, cursor: str | None) -> object:
    from aicfg_pipeline.definitions import defs
    from aicfg_pipeline.orchestration.resources import PostgresResource

    monkeypatch.setenv("AICFG_DATABASE_URL", database.url)
    sensor = defs.get_sensor_def("verification_sensor")
    with build_sensor_context(
        instance=instance, cursor=cursor, resources={"postgres": PostgresResource()}, definitions=defs
    ) as context:
        return sensor(context)


def test_the_first_tick_asks_for_a_verification_and_notes_the_row_counts(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tick(migrated_database, instance, monkeypatch, None)
    assert isinstance(result, SensorResult)
    assert len(result.run_requests or []) == 1
    assert json.loads(result.cursor or "")["rows"]["ai_cfg_org_prompts"] == 40
    counts = {e.asset_key.to_user_string(): e.metadata["dagster/row_count"].value for e in result.asset_events}
    assert counts == {"new/ai_cfg_sys_rag": 1, "new/ai_cfg_org_prompts": 40}


def test_the_second_tick_has_nothing_to_ask(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tick(migrated_database, instance, monkeypatch, None)
    assert isinstance(first, SensorResult)
    second = tick(migrated_database, instance, monkeypatch, first.cursor)
    assert isinstance(second, SensorResult)
    assert not second.run_requests


def test_a_tick_after_a_rollback_asks_again(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tick(migrated_database, instance, monkeypatch, None)
    with running(migrated_database.url) as run:
        roll_back(run)
    assert isinstance(first, SensorResult)
    second = tick(migrated_database, instance, monkeypatch, first.cursor)
    assert isinstance(second, SensorResult)
    assert len(second.run_requests or []) == 1


def test_a_tick_during_a_run_asks_for_nothing(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(migrated_database.url, run_id="other"):
        result = tick(migrated_database, instance, monkeypatch, None)
    assert isinstance(result, SkipReason)
    assert "under way" in str(result.skip_message)
