"""A person stops a run, at its slowest place: what is said, what is left, and the ways on (B7)."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import yaml

from aicfg_pipeline_tests.tools.jobs import PROJECT, confirmed
from aicfg_pipeline_tests.tools.servers import Database

WAITS = (
    "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    " AND application_name LIKE 'aicfg_pipeline rollback%'"
)
LEFT = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND application_name LIKE 'aicfg_pipeline%'"


def started(database: Database, home: Path) -> subprocess.Popen[str]:
    """Start the job rollback as a person does, in a process of its own."""
    home.mkdir()
    file = home / "run.yaml"
    file.write_text(yaml.safe_dump(confirmed(database.name, retain_days=3)), encoding="utf-8")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))}
    job = ["job", "execute", "-m", "aicfg_pipeline.definitions", "-j", "rollback", "-c", str(file)]
    return subprocess.Popen(
        [sys.executable, "-m", "dagster", *job],
        cwd=PROJECT,
        env=kept | {"AICFG_HOME": str(home), "AICFG_DATABASE_URL": database.url},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(database: Database, query: str, *, there: bool, seconds: float = 60) -> None:
    ends = time.monotonic() + seconds
    while bool(database.query(query)) != there:
        assert time.monotonic() < ends, "it took too long"
        time.sleep(0.05)


@pytest.mark.parametrize(
    "signals",
    [[signal.SIGINT], [signal.SIGTERM], [signal.SIGINT, signal.SIGINT]],
    ids=["Ctrl-C", "SIGTERM", "Ctrl-C twice"],
)
def test_a_run_that_is_stopped_says_what_is_where_and_how_to_go_on_or_give_up(
    migrated_database: Database, tmp_path: Path, signals: list[signal.Signals]
) -> None:
    before = migrated_database.fingerprints()
    with psycopg.connect(migrated_database.url) as other:
        other.execute(
            "UPDATE ai_cfg_sys_rag SET updated_at = updated_at; UPDATE ai_cfg_org_prompts SET org_id = org_id"
        )
        process = started(migrated_database, tmp_path / "home")
        try:
            wait_for(migrated_database, WAITS, there=True)
            for number in signals:
                process.send_signal(number)
                wait_for(migrated_database, WAITS, there=False)  # two in one instant may end without the words
                time.sleep(0.1)
            output, _ = process.communicate(timeout=60)
        finally:
            process.kill()
        wait_for(migrated_database, LEFT, there=False, seconds=5)
        other.rollback()
    assert process.returncode == 1
    assert "Stopped by you in copy_back_" in output
    assert "Nothing has changed for anyone" in output
    assert "sys_rag is" in output
    assert "-j rollback" in output.split("go on:")[1].splitlines()[0]
    assert "retain_days: 3" in output.split("go on:")[1].splitlines()[0]
    assert "-j abandon" in output.split("give up:")[1].splitlines()[0]
    assert "Traceback" not in output
    assert "Stack Trace" not in output
    assert "another command" not in output
    assert "could not be" not in output.lower()
    assert list((tmp_path / "home" / "reports").glob("*.html"))
    assert migrated_database.fingerprints() == before
