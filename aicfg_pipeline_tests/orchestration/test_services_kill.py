"""Killing the process after any op, and at the worst moments of the stop; running again ends in the same state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from conftest import AFTER, BEFORE, Quick, confirm

from aicfg_pipeline_tests.tools.jobs import PROJECT
from aicfg_pipeline_tests.tools.killing import Killer, killer
from aicfg_pipeline_tests.tools.servers import Database

OPS = ["plan", "stop_services", "compare", "cut_over", "revert_code", "redeploy", "start_services", "verify"]


@pytest.fixture(scope="module")
def kills() -> Iterator[Killer]:
    with killer() as running:
        yield running


@pytest.mark.parametrize("moment", [*OPS, "ledger:remembered"])
def test_a_run_after_a_kill_ends_as_if_nothing_had_happened(quick: Quick, kills: Killer, moment: str) -> None:
    config, environment, log = confirm(quick.database), quick.environment(), str(quick.log)
    assert kills.run("rollback", config, environment, log, kill_after=moment) == -signal.SIGKILL, quick.tail
    assert kills.run("rollback", config, environment, log) == 0, quick.tail
    assert quick.state == AFTER
    assert quick.database.exists("public.sys_rag") == "r"
    assert quick.database.exists("public.org_prompt_engineering") == "r"


@pytest.mark.parametrize("moment", ["stop_services", "redeploy"])
def test_an_undo_after_a_kill_brings_everything_back(quick: Quick, kills: Killer, moment: str) -> None:
    environment, log = quick.environment(), str(quick.log)
    assert kills.run("rollback", confirm(quick.database), environment, log, kill_after=moment) == -signal.SIGKILL, (
        quick.tail
    )
    assert quick.state["concurrency"] == 0
    undo = confirm(quick.database)
    assert kills.run("undo_rollback", undo, environment, log) == 0, quick.tail
    deployed = ["main"] if moment == "redeploy" else []
    assert quick.state == {**BEFORE, "deployed": deployed}
    assert quick.database.exists("public.ai_cfg_sys_rag") == "r"


def test_what_someone_sets_between_a_kill_and_the_next_run_stays(quick: Quick, kills: Killer) -> None:
    environment, log = quick.environment(), str(quick.log)
    kills.run("rollback", confirm(quick.database), environment, log, kill_after="cut_over")
    quick.aws.client("lambda").put_function_concurrency(
        FunctionName="ai-config-handler", ReservedConcurrentExecutions=7
    )
    assert kills.run("rollback", confirm(quick.database), environment, log) == 0, quick.tail
    assert quick.state == {**AFTER, "concurrency": 7}


def test_a_second_rollback_deploys_nothing_and_an_undo_and_another_rollback_do(quick: Quick, kills: Killer) -> None:
    environment, log, deploys = quick.environment(), str(quick.log), quick.project.infra / "deploys.txt"
    for _ in range(2):
        assert kills.run("rollback", confirm(quick.database), environment, log) == 0, quick.tail
    assert deploys.read_text().split() == ["aicfg-rollback"]
    undo = confirm(quick.database)
    assert kills.run("undo_rollback", undo, environment, log) == 0, quick.tail
    assert quick.state == {**BEFORE, "deployed": ["main"]}
    assert kills.run("rollback", confirm(quick.database), environment, log) == 0, quick.tail
    assert quick.state == AFTER
    assert deploys.read_text().split() == ["aicfg-rollback", "main", "aicfg-rollback"]


def test_a_sigkill_of_dagster_job_execute_itself(quick: Quick, kills: Killer, tmp_path: Path) -> None:
    environment = quick.environment()
    file = tmp_path / "run.yaml"
    file.write_text(yaml.safe_dump(confirm(quick.database)))
    words = [sys.executable, "-m", "dagster", "job", "execute", "-m", "aicfg_pipeline.definitions", "-j", "rollback"]
    with subprocess.Popen(
        [*words, "-c", str(file)],
        cwd=PROJECT,
        env=os.environ | environment | {"DAGSTER_HOME": str(tmp_path)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    ) as process:
        while process.poll() is None and quick.state["concurrency"] != 0:
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGKILL)
        assert process.wait(timeout=60) == -signal.SIGKILL
    assert quick.state["concurrency"] == 0
    assert quick.state["event source"] == "Disabled"
    assert kills.run("rollback", confirm(quick.database), environment, str(quick.log)) == 0, quick.tail
    assert quick.state == AFTER


def test_a_database_that_is_used_while_services_are_stopped_is_not_confused(
    quick: Quick, kills: Killer, migrated_database: Database
) -> None:
    """A plan that is refused after a kill starts what the killed run stopped: nobody waits for the next try."""
    environment, log = quick.environment(), str(quick.log)
    kills.run("rollback", confirm(quick.database), environment, log, kill_after="stop_services")
    quick.configure(repository={"commit": "no-such-commit"})
    assert kills.run("rollback", confirm(quick.database), environment, log) == 1
    assert quick.state == BEFORE
    assert migrated_database.exists("public.ai_cfg_sys_rag") == "r"
