"""One flat run.yaml fits every job, and every command that is printed runs as it is printed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RunJob, failure_of

from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.config import FIELDS, USED_BY, Request
from aicfg_pipeline_tests.tools.jobs import PROJECT, confirmed, execute
from aicfg_pipeline_tests.tools.planning import unchanged
from aicfg_pipeline_tests.tools.servers import Database

PACKAGE = PROJECT / "aicfg_pipeline"
JOBS = sorted(USED_BY)
HAS_DG = Path(sys.executable).with_name("dg").exists()


def as_printed(command: str, home: Path, database: Database) -> tuple[int, str]:
    """Run a line as a person would who pastes it into a shell."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))}
    kept |= {"AICFG_HOME": str(home), "AICFG_DATABASE_URL": database.url, "AICFG_STORE_IS_DURABLE": "1"}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=home, env=kept, capture_output=True, text=True, timeout=300, check=False
    )
    return done.returncode, done.stdout + done.stderr


def told(output: str, word: str) -> str:
    """The command behind a word of the summary."""
    (line,) = re.findall(rf"^ +{word} +(.*)$", output, flags=re.MULTILINE)
    return str(line)


@pytest.mark.slow
@pytest.mark.skipif(not HAS_DG, reason="dg is not installed here (make setup installs it)")
def test_every_command_that_is_printed_runs_as_it_is_printed(migrated_database: Database, tmp_path: Path) -> None:
    def run(command: str) -> tuple[int, str]:
        return as_printed(command, tmp_path, migrated_database)

    before = migrated_database.fingerprints(("public",))
    planned = execute("plan", home=tmp_path, url=migrated_database.url, config=confirmed(migrated_database.name))
    assert planned.status == 0, planned.output
    (run_yaml,) = (yaml.safe_load(file.read_text()) for file in (tmp_path / "plans").glob("*.run.yaml"))
    assert run_yaml == {**Request().as_config(), "confirm_database": f"{migrated_database.name}@local"}
    by_execute, by_dg = (
        re.findall(rf"^ *{word}: (.*)$", planned.output, flags=re.MULTILINE)[0] for word in ("Next", "or")
    )
    assert ("dagster job execute" in by_execute, "dg launch" in by_dg) == (True, True)

    status, rolled_back = run(by_dg)
    assert status == 0, rolled_back
    assert migrated_database.exists("public.sys_rag") == "r"
    status, verified = run(told(rolled_back, "check"))
    assert status == 0, verified
    status, early = run(told(rolled_back, "drop"))
    assert (status, "retention" in early, "Traceback" in early) == (1, True, False)
    status, undone = run(told(rolled_back, "undo"))
    assert status == 0, undone
    assert migrated_database.exists("public.sys_rag") == "v"
    assert migrated_database.exists("public.ai_cfg_org_prompts") == "r"
    assert migrated_database.fingerprints(("public",)) == before
    status, again = run(by_execute)
    assert status == 0, again
    assert migrated_database.exists("public.sys_rag") == "r"
    status, undone = run(told(again, "or"))
    assert status == 0, undone
    assert migrated_database.exists("public.sys_rag") == "v"


def test_commands_are_composed_in_one_place() -> None:
    composing = {
        file.relative_to(PACKAGE).as_posix()
        for file in PACKAGE.rglob("*.py")
        if re.search(r"job execute -m|launch -m|aicfg_pipeline\.definitions", file.read_text(encoding="utf-8"))
        and file.name != "definitions.py"
    }
    assert composing <= {"orchestration/commands.py", "spec/model.py"}  # which has the module's name, and no command


@pytest.mark.parametrize("name", ["app@db.example.com:5432", "it's@local", 'a"b@local', "a\\n$HOME`x`@local"])
def test_a_name_survives_the_shell_as_it_is(name: str) -> None:
    line = Commands(name).job("undo_rollback").partition(" | ")[0]
    shown = subprocess.run(["/bin/sh", "-c", line], capture_output=True, text=True, check=True).stdout
    assert yaml.safe_load(shown) == {"confirm_database": name}
    words = Commands(name).dg("undo_rollback").partition("--config-json ")[2]
    shown = subprocess.run(["/bin/sh", "-c", f"printf %s {words}"], capture_output=True, text=True, check=True).stdout
    assert yaml.safe_load(shown) == {"confirm_database": name}
    assert yaml.safe_load(Commands(name).run_yaml(Request()))["confirm_database"] == name


def test_on_the_demo_a_command_names_the_demo_and_confirms_nothing() -> None:
    assert Commands("demo@local", embedded=True).job("undo_rollback").startswith("AICFG_DATABASE_URL=demo ")
    assert "confirm_database" not in Commands("demo@local", embedded=True).job("undo_rollback")


def test_where_dg_is_not_installed_its_command_says_what_to_install_and_the_other_one_needs_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    told = f"  # first: pip install dagster-dg-cli=={metadata.version('dagster')}"
    assert Commands("app@local").dg("undo_rollback").endswith(told)
    assert "pip install" not in Commands("app@local").job("undo_rollback")
    (tmp_path / "dg").touch()
    assert "pip install" not in Commands("app@local").dg("undo_rollback")


def test_production_does_not_need_dg() -> None:
    """Issue 10, section 7: 27 packages come with it, and `dagster job execute` runs every job."""
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert [d for d in project["dependencies"] if "dg" in d] == []
    for extra in ("dg", "dev"):
        assert f"dagster-dg-cli=={metadata.version('dagster')}" in project["optional-dependencies"][extra]
    code = "\n".join(file.read_text("utf-8") for file in PACKAGE.rglob("*.py"))
    assert "dagster_dg" not in code


# --- one request for every job ---------------------------------------------------------------------------------


def everything(database: Database, **more: Any) -> dict[str, Any]:
    """A run.yaml with every field there is."""
    asked = {**Request().as_config(), **confirmed(database.name), "accept_hazards": ["dependents"], **more}
    assert set(asked) == set(FIELDS)
    return asked


@pytest.mark.parametrize("job", JOBS)
def test_every_job_takes_the_whole_run_yaml_and_a_dry_run_shows_its_plan_and_touches_nothing(
    job: str, cut_over_database: Database, run_job: RunJob, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    environment = {"AICFG_DATABASE_URL": cut_over_database.url, "AICFG_HOME": str(tmp_path)}
    with unchanged(cut_over_database):
        done = run_job(job, environment, everything(cut_over_database, dry_run=True, before_retention_ends=True))
    output = "".join(capfd.readouterr())
    assert done.success, output
    assert output.startswith(f"Target: {cut_over_database.name}@local\n") or "\nTarget: " in output
    if job != "verify":
        assert "\nPlan " in output
    steps = [e.step_key for e in done.all_events if e.is_step_success]
    assert steps == [{"prepare": "plan", "rollback": "plan"}.get(job, job)]


@pytest.mark.parametrize("job", sorted(set(JOBS) - {"plan", "rehearse", "verify"}))
def test_every_job_that_writes_refuses_a_target_that_is_not_named(
    job: str, cut_over_database: Database, run_job: RunJob, tmp_path: Path
) -> None:
    environment = {"AICFG_DATABASE_URL": cut_over_database.url, "AICFG_HOME": str(tmp_path)}
    with unchanged(cut_over_database):
        for config in (None, {"confirm_database": "another"}, {"confirm_database": "postgres"}):
            done = run_job(job, environment, config)
            assert not done.success
            assert f"{cut_over_database.name}@local" in failure_of(done)
            assert failure_of(done).rstrip().endswith(f"Target: {cut_over_database.name}@local")


def test_what_a_job_uses_is_said_in_its_description() -> None:
    from aicfg_pipeline.definitions import defs

    for job, used in USED_BY.items():
        description = defs.resolve_job_def(job).description or ""
        assert all(name in description for name in used)
        assert not any(name in description for name in set(FIELDS) - set(used))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"retain_day": 3}, 'Received unexpected config entry "retain_day"'),
        ({"accept_hazards": ["violates_check"]}, "accept_hazards[0] not in enum"),
        ({"ops": {"plan": {"config": {}}}}, 'Received unexpected config entry "ops"'),
        ({"confirm_database": "app", "retain_days": 400, "approved_by": "Ada"}, "retain_days is 400"),
        ({"confirm_database": "app", "retain_days": 400, "approved_by": "Ada"}, "approved_by says who approved"),
    ],
)
def test_a_run_yaml_that_cant_be_used_is_told_without_a_traceback(
    config: dict[str, Any], said: str, tmp_path: Path
) -> None:
    done = execute("rollback", home=tmp_path, url="postgresql://u@127.0.0.1:1/app", config=config)
    assert done.status == 1
    assert "ConfigError (bad_config)" in done.output
    assert said in done.output
    assert "Traceback" not in done.output
    assert "Stack Trace" not in done.output
