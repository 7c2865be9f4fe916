"""The verification sensor: what it asks for, when, and never twice; on a frozen clock and in real ticks."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from dagster import DagsterInstance, DagsterRunStatus, SensorResult, build_sensor_context
from dagster._core.storage.runs.schema import RunsTable
from dagster._core.test_utils import create_run_for_test
from sqlalchemy import update

from aicfg_pipeline.orchestration.assets import verification_key
from aicfg_pipeline.orchestration.home import TARGET_TAG, named_target
from aicfg_pipeline.orchestration.sensors import decide, standing
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.glance import Glance
from aicfg_pipeline.services.heartbeat import beat
from aicfg_pipeline.spec import load as spec
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
    assert why == "changed: rows of t: 41"
    why, cursor = decide(seen(rows=41), cursor, 1600.0)
    assert why is None


def test_a_change_of_state_is_a_change() -> None:
    _, cursor = decide(seen(), {}, 1000.0)
    assert decide(seen(state="cut_over"), cursor, 1300.0)[0] == "changed: state of t: cut_over"


def test_a_change_of_the_catalog_is_told_by_its_kind() -> None:  # A6
    _, cursor = decide(replace(seen(), catalog={"policies": "a", "indexes": "b"}), {}, 1000.0)
    why, _ = decide(replace(seen(), catalog={"policies": "x", "indexes": "b"}), cursor, 1300.0)
    assert why == "changed: policies"


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def tick(
    database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, cursor: str | None
) -> SensorResult:
    from aicfg_pipeline.definitions import defs
    from aicfg_pipeline.orchestration.resources import PostgresResource

    monkeypatch.setenv("AICFG_DATABASE_URL", database.url)
    sensor = defs.get_sensor_def("verification_sensor")
    with build_sensor_context(
        instance=instance, cursor=cursor, resources={"postgres": PostgresResource()}, definitions=defs
    ) as context:
        result = sensor(context)
    assert isinstance(result, SensorResult)
    return result


def test_the_first_tick_asks_for_a_verification_and_notes_the_row_counts(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = tick(migrated_database, instance, monkeypatch, None)
    assert len(result.run_requests or []) == 1
    assert json.loads(result.cursor or "")["rows"]["ai_cfg_org_prompts"] == 40
    counts = {e.asset_key.to_user_string(): e.metadata["dagster/row_count"].value for e in result.asset_events}
    assert counts == {"new/ai_cfg_sys_rag": 1, "new/ai_cfg_org_prompts": 40}


def test_the_second_tick_has_nothing_to_ask(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tick(migrated_database, instance, monkeypatch, None)
    second = tick(migrated_database, instance, monkeypatch, first.cursor)
    assert not second.run_requests


def test_a_tick_after_a_rollback_asks_again(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = tick(migrated_database, instance, monkeypatch, None)
    with running(migrated_database.url) as run:
        roll_back(run)
    second = tick(migrated_database, instance, monkeypatch, first.cursor)
    assert len(second.run_requests or []) == 1


def test_a_tick_during_a_run_asks_for_nothing(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(migrated_database.url, run_id="other"):
        result = tick(migrated_database, instance, monkeypatch, None)
    assert not result.run_requests
    assert "under way" in str(result.skip_reason)


# --- what is open is said at every tick (A6) -------------------------------------------------------------------


def verify(instance: DagsterInstance) -> None:
    """Run the job `verify`, as the sensor asks for it."""
    from aicfg_pipeline.definitions import defs

    defs.get_job_def("verify").execute_in_process(
        instance=instance, raise_on_error=False, tags={TARGET_TAG: named_target()}
    )


def test_after_a_failed_verify_every_tick_says_what_is_open_until_one_passes(
    cut_over_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_over_database.execute("ALTER TABLE org_prompt_engineering DISABLE ROW LEVEL SECURITY")
    cursor = tick(cut_over_database, instance, monkeypatch, None).cursor
    assert "has not ended" in str(tick(cut_over_database, instance, monkeypatch, cursor).skip_reason)
    verify(instance)
    for _ in range(2):
        result = tick(cut_over_database, instance, monkeypatch, cursor)
        assert not result.run_requests
        assert "STILL OPEN" in str(result.skip_reason)
        assert "row_level_security of old/org_prompt_engineering" in str(result.skip_reason)
        assert "Nothing changed" not in str(result.skip_reason)
    cut_over_database.execute("ALTER TABLE org_prompt_engineering ENABLE ROW LEVEL SECURITY")
    mended = tick(cut_over_database, instance, monkeypatch, cursor)
    assert [r.tags["aicfg/why"] for r in mended.run_requests or []] == ["changed: row level security"]
    verify(instance)
    after = tick(cut_over_database, instance, monkeypatch, mended.cursor)
    assert "which passed" in str(after.skip_reason)
    materialized = instance.get_latest_materialization_event(verification_key(spec.load()))
    assert materialized is not None


# --- the watch is never silent (A7) ----------------------------------------------------------------------------


def begun(instance: DagsterInstance, job: str, *, minutes_ago: int = 0, **tags: str) -> None:
    """A run that Dagster has as started, and whose process is nowhere."""
    run = create_run_for_test(instance, job_name=job, status=DagsterRunStatus.STARTED, tags=tags)
    at = datetime.now(UTC).replace(tzinfo=None) - timedelta(minutes=minutes_ago)
    with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
        connection.execute(update(RunsTable).where(RunsTable.c.run_id == run.run_id).values(update_timestamp=at))


def test_a_run_that_was_killed_silences_nobody(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_DATABASE_URL", migrated_database.url)
    begun(instance, "verify", minutes_ago=15, **{TARGET_TAG: named_target()})
    assert len(tick(migrated_database, instance, monkeypatch, None).run_requests or []) == 1
    begun(instance, "verify", minutes_ago=1, **{TARGET_TAG: named_target()})
    assert "job verify" in str(tick(migrated_database, instance, monkeypatch, None).skip_reason)


def test_an_old_run_with_a_session_in_the_database_lives(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_DATABASE_URL", migrated_database.url)
    begun(instance, "verify", minutes_ago=90, **{TARGET_TAG: named_target()})
    run = instance.get_runs()[0]
    session = connect(migrated_database.url, f"aicfg_pipeline verify {run.run_id[:8]}")
    assert run.run_id[:8] in str(tick(migrated_database, instance, monkeypatch, None).skip_reason)
    session.close()
    assert len(tick(migrated_database, instance, monkeypatch, None).run_requests or []) == 1


def test_a_job_of_the_same_name_on_another_target_or_in_another_location_is_not_ours(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun(instance, "verify")
    begun(instance, "verify", **{TARGET_TAG: "another@elsewhere:5432"})
    assert len(tick(migrated_database, instance, monkeypatch, None).run_requests or []) == 1


@pytest.fixture
def listener() -> Iterator[tuple[str, list[str]]]:
    """Something that takes webhooks and heartbeats, and keeps what it was told."""
    received: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"])))["text"])
            self.answer()

        def do_GET(self) -> None:
            received.append(f"GET {self.path} {self.headers.get('Authorization')}")
            self.answer()

        def answer(self) -> None:
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}", received
    server.shutdown()


def test_an_outage_is_told_once_and_once_when_it_is_over(
    migrated_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    listener: tuple[str, list[str]],
) -> None:
    url, received = listener
    monkeypatch.setenv("AICFG_WEBHOOK_URL", f"{url}/hook")
    gone = replace(migrated_database, url="postgresql://postgres:hush@127.0.0.1:1/app")
    cursor = None
    for _ in range(3):
        result = tick(gone, instance, monkeypatch, cursor)
        cursor = result.cursor
        reason = result.skip_reason.skip_message if result.skip_reason else ""
        assert "can't be reached" in reason
        assert "hush" not in reason
    assert len(received) == 1
    assert "the watch is blind" in received[0]
    for _ in range(2):
        result = tick(migrated_database, instance, monkeypatch, cursor)
        cursor = result.cursor
    assert ["blind" in received[0], "sees again" in received[1], len(received)] == [True, True, 2]


def test_a_typo_in_the_address_is_an_outage_and_no_red_tick(
    migrated_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    listener: tuple[str, list[str]],
) -> None:
    monkeypatch.setenv("AICFG_WEBHOOK_URL", listener[0])
    result = tick(replace(migrated_database, url="postgress//u:hush@h/x"), instance, monkeypatch, None)
    assert "is not a PostgreSQL URL" in str(result.skip_reason)
    assert len(listener[1]) == 1
    assert "hush" not in listener[1][0]


def test_only_a_good_tick_gives_a_sign_of_life(
    cut_over_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    listener: tuple[str, list[str]],
) -> None:
    url, received = listener
    monkeypatch.setenv("AICFG_HEARTBEAT_URL", f"{url}/beat")
    cursor = tick(cut_over_database, instance, monkeypatch, None).cursor
    assert received == ["GET /beat None"]
    tick(replace(cut_over_database, url="postgresql://127.0.0.1:1/app"), instance, monkeypatch, cursor)
    assert len(received) == 1
    monkeypatch.setenv("AICFG_DATABASE_URL", cut_over_database.url)
    cut_over_database.execute("ALTER TABLE org_prompt_engineering DISABLE ROW LEVEL SECURITY")
    verify(instance)
    tick(cut_over_database, instance, monkeypatch, cursor)
    assert len(received) == 1


def test_a_heartbeat_that_is_not_taken_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    told = beat("http://127.0.0.1:1/secret-path")
    assert told is not None
    assert "secret-path" not in told


def test_an_hour_without_the_verification_that_was_asked_for_is_not_well() -> None:
    assert standing(None, {"asked_at": 1000.0}, 1300.0)[0]
    assert not standing(None, {"asked_at": 1000.0}, 5000.0)[0]
