"""A failed run goes on from its failure in another process: nothing is handed from op to op but their order."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import yaml
from dagster import DagsterInstance, JobDefinition

from aicfg_pipeline_tests.tools.forking import run_module
from aicfg_pipeline_tests.tools.jobs import confirmed, execute
from aicfg_pipeline_tests.tools.servers import Database

RUNS = "SELECT outcome, plan_hash, facts->>'target', facts->>'system_identifier' FROM aicfg_rollback.ledger WHERE step = 'run'"


def dagster_home(folder: Path, name: str) -> Path:
    """A DAGSTER_HOME of one machine: runs and events are shared, the folder for what ops return is its own."""
    home = folder / name
    home.mkdir()
    own = {"module": "dagster._core.storage.root", "class": "LocalArtifactStorage", "config": {"base_dir": str(home)}}
    settings = {
        "storage": {"sqlite": {"base_dir": str(folder / "shared")}},
        "local_artifact_storage": own,
        "telemetry": {"enabled": False},
    }
    (home / "dagster.yaml").write_text(yaml.safe_dump(settings))
    return home


def services(folder: Path) -> dict[str, str]:
    """A deploy script that fails until the file `mended` is there."""
    script = folder / "deploy.sh"
    script.write_text(f"#!/bin/sh\ntest -e {folder}/mended\n")
    script.chmod(0o755)
    file = folder / "services.yaml"
    file.write_text(yaml.safe_dump({"deploy": {"directory": str(folder), "command": ["./deploy.sh"]}}))
    return {"AICFG_SERVICES": str(file)}


@pytest.mark.slow
def test_a_failed_run_goes_on_from_its_failure_in_another_process(migrated_database: Database, tmp_path: Path) -> None:
    """Issue 10, section 4: another pod, and no folder in common in which an IO manager could have left anything."""
    environment, here, there = services(tmp_path), dagster_home(tmp_path, "here"), dagster_home(tmp_path, "there")
    failed = execute(
        "rollback",
        home=tmp_path / "home",
        url=migrated_database.url,
        config=confirmed(migrated_database.name, retain_days=0),
        DAGSTER_HOME=str(here),
        **environment,
    )
    assert failed.status == 1
    assert "deploy" in failed.output
    assert migrated_database.exists("aicfg_rollback.ai_cfg_sys_rag") == "r"
    with DagsterInstance.from_config(str(here)) as instance:
        (run,) = instance.get_runs()
    (tmp_path / "mended").touch()
    environment |= {"AICFG_HOME": str(tmp_path / "other"), "AICFG_DATABASE_URL": migrated_database.url}
    status, output = run_module(
        "aicfg_pipeline_tests.tools.again",
        run.run_id,
        environment=os.environ | environment | {"DAGSTER_HOME": str(there)},
    )
    assert status == 0, output
    with DagsterInstance.from_config(str(there)) as instance:
        again = instance.get_runs()[0]
        stats = {s.step_key for s in instance.get_run_step_stats(again.run_id)}
    assert again.parent_run_id == run.run_id
    assert stats == {"redeploy", "start_services", "verify", "drop_new_tables", "report"}
    assert migrated_database.exists("aicfg_rollback.ai_cfg_sys_rag") is None, (
        "what was asked for (retain_days: 0) holds"
    )
    rows = [r for r in migrated_database.query(RUNS + " ORDER BY id") if r[0] in ("started", "continued")]
    assert [r[0] for r in rows[-2:]] == ["started", "continued"]
    assert rows[-1][1:] == rows[-2][1:], "it goes on under the same plan, on the same server"
    assert rows[-1][2] == f"{migrated_database.name}@local"
    server = migrated_database.query("SELECT system_identifier::text FROM pg_control_system()")[0][0]
    assert rows[-1][3] == server


def jobs() -> list[JobDefinition]:
    from aicfg_pipeline.definitions import defs

    names = ("plan", "prepare", "rollback", "verify", "undo_rollback", "drop_new_tables", "migrate", "abandon")
    return [defs.resolve_job_def(name) for name in names]


def test_no_op_hands_a_value_to_another() -> None:
    for job in jobs():
        for node in job.all_node_defs:
            for put in (*node.input_dict.values(), *node.output_dict.values()):
                assert put.dagster_type.is_nothing or node.name.startswith("only_"), (job.name, node.name, put.name)
