"""Failed runs are told of: one line, also for runs of `dagster job execute`, and a real webhook gets it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from dagster import DagsterInstance, DagsterRunStatus, RunsFilter, build_run_status_sensor_context

from aicfg_pipeline.orchestration.alerts import alert_line
from aicfg_pipeline_tests.tools.jobs import execute


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


def test_the_line_names_job_step_run_and_reason_and_no_secret() -> None:
    line = alert_line("rollback", "0123456789ab", "plan", "can't reach postgresql://a:hush@db/x\nmore")
    assert line == "aicfg_pipeline: rollback failed at plan (run 01234567): can't reach postgresql://a:***@db/x"


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
