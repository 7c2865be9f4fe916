"""Failed runs are told of: one line, also for runs of `dagster job execute`, and a real webhook gets it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from conftest import RunJob
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter, build_run_status_sensor_context

from aicfg_pipeline.orchestration.alerts import alert_line
from aicfg_pipeline_tests.tools.jobs import confirmed, execute
from aicfg_pipeline_tests.tools.servers import Database


@pytest.fixture
def webhook() -> Iterator[tuple[str, list[dict[str, str]]]]:
    received: list[dict[str, str]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *words: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/services/T0/B0/x", received
    server.shutdown()


def test_the_line_names_job_step_run_and_reason_what_next_and_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AICFG_UI_URL", raising=False)
    line = alert_line("rollback", "0123456789ab", "plan", "can't reach postgresql://a:hush@db/x\nmore")
    assert line.splitlines() == [
        "aicfg_pipeline: rollback failed at plan (run 01234567): can't reach postgresql://a:***@db/x",
        "Next: read its report, mend what is named, and launch rollback again: it goes on from what is there.",
    ]


def test_a_failed_run_of_the_command_line_is_posted_to_the_webhook(
    tmp_path: Path, webhook: tuple[str, list[dict[str, str]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicfg_pipeline.definitions import defs

    url, received = webhook
    storage = tmp_path / "dagster"
    storage.mkdir()
    (storage / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    done = execute("verify", home=tmp_path / "home", url="postgresql://a:hush@127.0.0.1:1/x", DAGSTER_HOME=str(storage))
    assert done.status == 1
    monkeypatch.setenv("AICFG_WEBHOOK_URL", url)
    with DagsterInstance.from_config(str(storage)) as instance:
        run = instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.FAILURE]))[0]
        failure = next(
            r.event_log_entry.dagster_event
            for r in instance.get_records_for_run(run.run_id).records
            if r.event_log_entry.dagster_event
            and r.event_log_entry.dagster_event.is_failure
            and r.event_log_entry.dagster_event.is_job_event
        )
        context = build_run_status_sensor_context(
            sensor_name="failure_alert", dagster_event=failure, dagster_instance=instance, dagster_run=run
        ).for_run_failure()
        defs.get_sensor_def("failure_alert")(context)
    assert len(received) == 1
    assert received[0]["text"].startswith(
        f"aicfg_pipeline: verify failed at verify on x@127.0.0.1:1 (run {run.run_id[:8]})"
    )
    assert "hush" not in received[0]["text"]


def tick(name: str, instance: DagsterInstance, run: DagsterRun) -> None:
    """Let a sensor see how a run ended."""
    from aicfg_pipeline.definitions import defs

    ended = next(
        r.event_log_entry.dagster_event
        for r in instance.get_records_for_run(run.run_id).records
        if r.event_log_entry.dagster_event
        and (r.event_log_entry.dagster_event.is_run_failure or r.event_log_entry.dagster_event.is_job_success)
    )
    context = build_run_status_sensor_context(
        sensor_name=name, dagster_event=ended, dagster_instance=instance, dagster_run=run
    )
    defs.get_sensor_def(name)(context.for_run_failure() if name == "failure_alert" else context)


def test_15_14_a_rollback_and_an_undo_are_told_once_a_dry_run_never_and_the_same_failed_checks_once(
    migrated_database: Database,
    run_job: RunJob,
    instance: DagsterInstance,
    tmp_path: Path,
    webhook: tuple[str, list[dict[str, str]]],
) -> None:
    url, received = webhook
    variables = {
        "AICFG_DATABASE_URL": migrated_database.url,
        "AICFG_HOME": str(tmp_path),
        "AICFG_WEBHOOK_URL": url,
        "AICFG_UI_URL": "https://dagster.example",
    }

    def told(job: str, sensor: str, **settings: object) -> list[str]:
        before = len(received)
        done = run_job(job, variables, confirmed(migrated_database.name, **settings) if job != "verify" else None)
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        tagged = run._replace(tags={**run.tags, "target": "here"}) if "target" not in run.tags else run
        tick(sensor, instance, tagged)
        return [r["text"] for r in received[before:]]

    assert told("rollback", "finished_alert", dry_run=True) == []
    (line,) = told("rollback", "finished_alert")
    assert "rollback finished on " in line
    assert "The database is rolled back. 4 steps are yours now." in line
    assert line.splitlines()[-1].startswith("https://dagster.example/runs/")
    migrated_database.execute("ALTER TABLE sys_rag DISABLE ROW LEVEL SECURITY")
    (line,) = told("verify", "failure_alert")
    assert "Checks: row_level_security of old/sys_rag" in line
    assert "Next: read its report, mend what is named, and launch verify again." in line
    assert told("verify", "failure_alert") == [], "said once"
    migrated_database.execute("ALTER TABLE sys_rag ENABLE ROW LEVEL SECURITY")
    (line,) = told("undo_rollback", "finished_alert")
    assert "undo_rollback finished" in line
