"""Which database is meant (A1): it has to be named, and the demo is a name of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import RunJob, failure_of

from aicfg_pipeline.embedded.database import ensure_embedded, stop_embedded
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.orchestration.home import migrate_demo, named_target, target
from aicfg_pipeline_tests.tools.jobs import execute
from aicfg_pipeline_tests.tools.servers import FASTER


def test_a_variable_that_is_not_set_is_refused_with_both_ways_on(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AICFG_DATABASE_URL", raising=False)
    with pytest.raises(ConfigError) as caught:
        target()
    told = str(caught.value)
    assert "AICFG_DATABASE_URL is not set" in told
    assert "Set AICFG_DATABASE_URL to its URL" in told
    assert "AICFG_DATABASE_URL=demo for the embedded demo" in told
    assert not (own_home / "postgres").exists()
    assert named_target() == "none: AICFG_DATABASE_URL is not set"


def test_a_job_without_a_target_makes_no_demo_and_ends_with_status_1(tmp_path: Path) -> None:
    done = execute("rollback", home=tmp_path)
    assert done.status == 1
    assert "AICFG_DATABASE_URL is not set" in done.output
    assert "Stack Trace" not in done.output
    assert not (tmp_path / "postgres").exists()


def test_demo_is_the_embedded_database_demo_and_needs_no_confirmation(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_DATABASE_URL", "demo")
    assert named_target() == "demo@local"
    try:
        ensure_embedded(own_home, organisations=1, settings=FASTER)
        found = target()
        assert (found.embedded, found.name, found.told) == (True, "demo@local", "demo@local (the embedded demo)")
    finally:
        stop_embedded(own_home)


def test_every_run_on_the_demo_says_so_in_its_first_and_its_last_line(
    own_home: Path, run_job: RunJob, capfd: pytest.CaptureFixture[str]
) -> None:
    """A1: nobody takes the demo for a database of his own, whatever the run comes to."""
    environment = {"AICFG_DATABASE_URL": "demo", "AICFG_HOME": str(own_home)}
    says = "Target: demo@local (the embedded demo)"
    try:
        ensure_embedded(own_home, organisations=3, after_fill=migrate_demo, settings=FASTER)
        for job in ("plan", "verify", "rollback", "verify", "undo_rollback"):
            assert run_job(job, environment).success, job
            lines = capfd.readouterr().out.splitlines()
            assert (lines[0], lines[-1]) == (says, says), job
        refused = run_job("rollback", environment, {"confirm_database": "app"})
        assert not refused.success
        assert capfd.readouterr().out.splitlines()[0] == says
        assert failure_of(refused).splitlines()[-1] == says
    finally:
        stop_embedded(own_home)


def test_a_url_is_not_the_demo_whatever_its_database_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICFG_DATABASE_URL", "postgresql://u@db.example.com/demo")
    assert (target().embedded, target().told) == (False, "demo@db.example.com:5432")
