"""What a person sees on the terminal: how much, how wide, what comes first and last, and each thing once.

Commands and paths are whole, whatever their length: they are to be copied.
"""

from __future__ import annotations

import os
import re
import socket
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import pytest
from conftest import RunJob

from aicfg_pipeline import local
from aicfg_pipeline.evidence import read
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.terminal import bold, labelled, wrapped
from aicfg_pipeline_tests.tools.jobs import PROJECT, confirmed
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

OF_DAGSTER = re.compile(
    r"DEBUG|STEP_START|ENGINE_EVENT|RUN_START|Traceback|Stack Trace|SupersessionWarning|Not executing"
)
COMMAND_OR_PATH = re.compile(
    r"^\s*(Next:|or:|undo |or |check |drop |cd |git |aws |curl |--|templates/|/|Report |AICFG_|printf|\d\d:)"
    r"|job execute|dg launch"
)


def shown(capfd: pytest.CaptureFixture[str]) -> list[str]:
    """Everything that was printed by the last run, stdout before stderr."""
    return "".join(capfd.readouterr()).splitlines()


def judged(lines: list[str]) -> None:
    """No line of Dagster's own, and none of ours that a terminal has to break."""
    assert [line for line in lines if OF_DAGSTER.search(line)] == []
    assert [line for line in lines if len(line) > 80 and not COMMAND_OR_PATH.search(line)] == []
    assert [
        line for line in lines if re.search(r"\b1 (rows|tables|steps|hazards|keys|changes|seconds|statements)\b", line)
    ] == []


def test_plan_rollback_verify_undo_as_a_person_reads_them(
    migrated_database: Database, run_job: RunJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    name, home = migrated_database.name, tmp_path / "home"
    target = f"Target: {name}@local"
    environment = {"AICFG_DATABASE_URL": migrated_database.url, "AICFG_HOME": str(home)}
    capfd.readouterr()

    assert run_job("plan", environment, confirmed(name)).success
    plan = shown(capfd)
    judged(plan)
    assert len(plan) <= 30
    assert (plan[0], plan[-1]) == (target, target)
    assert plan[3].startswith("Yours      4 steps of the runbook")  # A4: in its first lines
    assert plan[-4] == "READY to roll back; 4 steps outside the database stay yours."
    assert (plan[-3][:6], plan[-2][:6]) == ("Next: ", "  or: ")
    assert "Hazards    none" in plan
    (statements,) = (home / "plans").glob("*.sql")
    assert stat.S_IMODE(statements.stat().st_mode) == 0o600
    assert f"           {statements}" in plan
    assert 'ALTER TABLE "aicfg_rollback"."sys_rag" SET SCHEMA "public";' in statements.read_text()

    assert run_job("rollback", environment, confirmed(name, reason="the endpoint is down")).success
    rollback = shown(capfd)
    judged(rollback)
    assert len(rollback) <= 100  # 60 of ours, and the commands of four steps that nobody looked after
    verdict = "The database is rolled back. 4 steps are yours now."
    assert rollback.count(verdict) == 2
    summary = rollback[rollback.index(verdict) :]
    assert summary[3:5] == ["", "Yours now, in this order. Until then the application may be down."]
    printed = [line for line in rollback if not re.match(r"\d\d:\d\d:\d\dZ|          ", line)]
    assert printed[-2:] == [verdict, target]
    times = set(re.findall(r"locks held for\s+([\d.]+)", "\n".join(rollback)))
    assert len(times) == 1  # one transaction, one time

    assert run_job("verify", environment).success
    verify = shown(capfd)
    judged(verify)
    assert any(re.match(r"verify: \d+ of \d+ checks passed", line) for line in verify)

    assert run_job("undo_rollback", environment, confirmed(name)).success
    undo = shown(capfd)
    judged(undo)
    assert undo.count("The rollback is undone: the new tables are in use. 4 steps are yours now.") == 2
    assert "  rows       40 before and after, all equal," in " ".join(undo)


def test_a4_after_a_migration_forward_code_and_deploy_are_a_persons(
    old_database: Database, run_job: RunJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """A4: no service is told of the job migrate, so none is looked after."""
    capfd.readouterr()
    variables = {"AICFG_DATABASE_URL": old_database.url, "AICFG_HOME": str(tmp_path)}
    assert run_job("migrate", variables, confirmed(old_database.name)).success
    lines = shown(capfd)
    judged(lines)
    assert lines.count("The database is migrated. 4 steps are yours now.") == 2


def test_a_failure_is_said_once(
    migrated_database: Database, run_job: RunJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {"AICFG_DATABASE_URL": migrated_database.url, "AICFG_HOME": str(tmp_path)}
    capfd.readouterr()
    assert not run_job("rollback", environment, confirmed("another")).success
    lines = shown(capfd)
    judged(lines)
    assert "\n".join(lines).count("confirm_database is 'another'") == 1
    assert lines.count("FAILED in plan") == 1
    assert any("Hazards    1 of 1 blocks: not_confirmed" in line for line in lines)


def test_by_dagster_job_execute_no_debug_line_and_no_warning_comes_first(tmp_path: Path) -> None:
    """The one subprocess: what reaches the terminal before our code is loaded. Wrong port, so no server is needed."""
    (tmp_path / "run.yaml").write_text("confirm_database: app\n")
    words = ["-m", "dagster", "job", "execute", "-m", "aicfg_pipeline.definitions", "-j", "rollback", "-c"]
    done = subprocess.run(
        [sys.executable, *words, str(tmp_path / "run.yaml")],
        cwd=PROJECT,
        env={**os.environ, "AICFG_HOME": str(tmp_path), "AICFG_DATABASE_URL": "postgresql://u:s3cr3t@127.0.0.1:1/app"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 1
    lines = done.stdout.splitlines()
    assert lines[0] == "Target: app@127.0.0.1:1", "`make setup` installs what keeps dagster's own warning away"
    judged(lines)
    assert done.stdout.count("UnreachableError") == 1
    assert len(lines) < 15


# --- one line that stands out, and 80 columns ------------------------------------------------------------------


class Terminal:
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        """It is."""
        return True


def test_the_verdict_is_bold_and_coloured_on_a_terminal_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert bold("done", "good", Terminal()) == "\x1b[1;32mdone\x1b[0m"
    assert bold("yours", "open", Terminal()) == "\x1b[1;33myours\x1b[0m"
    assert bold("done", "good", object()) == "done"  # a pipe, a file
    monkeypatch.setenv("NO_COLOR", "1")
    assert bold("done", "good", Terminal()) == "done"


def test_prose_is_broken_at_80_columns_and_a_command_never() -> None:
    prose = "word " * 40
    assert max(map(len, wrapped(prose, "    "))) <= 80
    command = f"dagster job execute -m aicfg_pipeline.definitions -j rollback {'x' * 80}"
    assert wrapped(command) == [command]
    assert labelled("Undo", "short") == ["Undo       short"]


# --- what a person can cause -----------------------------------------------------------------------------------


def mistaken(tcp_url: str, what: str) -> str:
    """A URL with one mistake in it."""
    parts = urlsplit(tcp_url)
    login, place = parts.netloc.rsplit("@", 1)
    user, _, password = login.partition(":")
    netloc = {
        "password": f"{user}:wr0ng@{place}",
        "role": f"nobody_here:{password}@{place}",
        "port": f"{login}@127.0.0.1:1",
        "host": f"{login}@no.such.host.invalid:5432",
        "database": parts.netloc,
    }[what]
    path = "/no_such_database" if what == "database" else parts.path
    return urlunsplit(parts._replace(netloc=netloc, path=path))


@pytest.mark.parametrize("what", ["password", "role", "port", "host", "database"])
def test_a_mistake_in_the_url_is_told_once_and_reported_without_a_traceback(
    what: str, migrated_database: Database, run_job: RunJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    url = mistaken(migrated_database.tcp_url, what)
    capfd.readouterr()
    variables = {"AICFG_DATABASE_URL": url, "AICFG_HOME": str(home)}
    assert not run_job("rollback", variables, confirmed(migrated_database.name, reason="to see")).success
    lines = shown(capfd)
    judged(lines)
    assert lines.count("FAILED in plan") == 1
    assert "\n".join(lines).count("UnreachableError") == 1
    assert len(lines) <= 16
    (report,) = (home / "reports").glob("*.json")  # 15.12: who asked, why, for which target
    evidence = read(report)
    assert (evidence.kind, evidence.outcome, evidence.reason) == ("rollback", "failed", "to see")
    assert evidence.who
    assert evidence.database.target
    assert "wr0ng" not in report.read_text()


def test_a_refusal_has_a_report_that_says_that_nothing_was_touched(
    migrated_database: Database, run_job: RunJob, tmp_path: Path
) -> None:
    variables = {"AICFG_DATABASE_URL": migrated_database.url, "AICFG_HOME": str(tmp_path)}
    asked = confirmed("another", retain_days=3)
    assert not run_job("rollback", variables, asked).success
    evidence = read(next((tmp_path / "reports").glob("*.json")))
    assert evidence.verdict == "The rollback was stopped before anything was touched."
    assert evidence.settings == {"confirm_database": "another", "retain_days": 3}
    assert "not_confirmed" in (evidence.error or "")


def test_services_that_are_no_yaml_are_told_by_line_and_two_runs_at_once_by_who_runs(
    migrated_database: Database,
    run_job: RunJob,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "services.yaml"
    file.write_text("lambdas: [\n")
    variables = {"AICFG_DATABASE_URL": migrated_database.url, "AICFG_HOME": str(tmp_path)}
    capfd.readouterr()
    assert not run_job(
        "rollback", {**variables, "AICFG_SERVICES": str(file)}, confirmed(migrated_database.name)
    ).success
    lines = shown(capfd)
    judged(lines)
    assert "is not YAML: line 2" in " ".join(" ".join(lines).split())
    monkeypatch.delenv("AICFG_SERVICES")
    with running(migrated_database.url, run_id="the other"):
        assert not run_job("undo_rollback", variables, confirmed(migrated_database.name)).success
    lines = shown(capfd)
    judged(lines)
    assert "aicfg_pipeline the other" in " ".join(" ".join(lines).split())


def test_a_used_port_is_said_at_once_and_nothing_is_started(own_home: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """15.3"""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert local.main(["dev", "--port", str(port)]) == 1
    told = capfd.readouterr().err
    assert f"Port {port} of 127.0.0.1 is in use. Nothing was started." in told
    assert f"make dev PORT={port + 1}" in told
    assert not own_home.exists()


def test_a_broken_run_yaml_and_a_broken_dagster_home_are_told_by_make_without_a_traceback(
    own_home: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "run.yaml").write_text("confirm_database: [\n")
    assert local.main(["run", "plan", "-c", str(tmp_path / "run.yaml")]) == 1
    assert "run.yaml is not YAML: line 2" in capfd.readouterr().err
    assert local.main(["run", "plan", "-c", str(tmp_path / "none.yaml")]) == 1
    assert "can't be read: No such file" in capfd.readouterr().err
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "nowhere"))
    assert local.main(["run", "plan"]) == 1
    assert "which is no folder" in capfd.readouterr().err
    assert not own_home.exists()


def test_make_help_names_what_a_person_needs() -> None:
    """15.3"""
    told = subprocess.run(["make", "help"], cwd=PROJECT, capture_output=True, text=True, check=True).stdout
    assert {"setup", "demo", "dev", "plan", "rollback", "verify", "undo", "down", "clean"} <= {
        line.split()[0] for line in told.splitlines() if line
    }
    assert "PORT" in told
    assert "CONFIG" in told


def test_on_the_demo_a_printed_command_brings_its_services_along() -> None:
    """15.3: the undo that `make demo` prints named the database only, and left code and deploy as they were."""
    commands = Commands("demo@local", embedded=True, demo=Path("/x/.aicfg"))
    assert (
        commands.job("undo_rollback")
        == f"AICFG_HOME=/x/.aicfg {sys.executable} -m aicfg_pipeline.local run undo_rollback"
    )


@pytest.mark.parametrize("job", ["plan", "verify", "undo_rollback", "migrate", "abandon", "prepare", "drop_new_tables"])
def test_a_run_of_any_job_that_comes_to_nothing_has_one_report(job: str, run_job: RunJob, tmp_path: Path) -> None:
    """15.12: also one that was to look only."""
    variables = {"AICFG_DATABASE_URL": "postgresql://u:s3cr3t@127.0.0.1:1/app", "AICFG_HOME": str(tmp_path)}
    config = None if job == "verify" else confirmed("app")
    assert not run_job(job, variables, config).success
    (report,) = (tmp_path / "reports").glob("*.json")
    evidence = read(report)
    assert (evidence.outcome, evidence.database.target) == ("failed", "app@127.0.0.1:1")
    assert "did not finish" in evidence.verdict
    assert [s.name for s in evidence.stages][:1] != []
    assert "s3cr3t" not in report.read_text()
