"""The whole story, all real: works on the new names, breaks, is rolled back, works; undone; rolled back again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import RunJob, confirm
from dagster import AssetKey, DagsterInstance, SensorResult, build_sensor_context

from aicfg_pipeline.demo.aws import stamp_deploys
from aicfg_pipeline.demo.project import CODE, SCHEMA, DemoProject
from aicfg_pipeline_tests.services.conftest import Aws
from aicfg_pipeline_tests.tools.servers import Database


@pytest.fixture
def project(tmp_path: Path, migrated_database: Database, aws: Aws) -> Iterator[DemoProject]:
    stamp_deploys()
    made = DemoProject(tmp_path / "demo", migrated_database.url, aws_url=aws.url)
    made.make()
    settings = yaml.safe_load(made.services_file.read_text())
    settings["watch"] = {"consecutive": 2, "spacing_seconds": 0}
    settings["lambdas"]["drain_seconds"] = 0
    made.services_file.write_text(yaml.safe_dump(settings))
    made._make_function()
    yield made
    made.stop()


def environment(project: DemoProject, database: Database, folder: Path) -> dict[str, str]:
    return project.environment({"AICFG_DATABASE_URL": database.url, "AICFG_HOME": str(folder / "home")})


def tick(instance: DagsterInstance, cursor: str | None) -> SensorResult:
    from aicfg_pipeline.definitions import defs
    from aicfg_pipeline.orchestration.resources import PostgresResource
    from aicfg_pipeline.orchestration.services import ServicesResource

    sensor = defs.get_sensor_def("services_sensor")
    resources = {"postgres": PostgresResource(), "services": ServicesResource()}
    with build_sensor_context(instance=instance, cursor=cursor, resources=resources, definitions=defs) as context:
        result = sensor(context)
    assert isinstance(result, SensorResult)
    for event in result.asset_events:
        if type(event).__name__ == "AssetObservation":
            instance.report_runless_asset_event(event)
    return result


def verdicts(result: SensorResult) -> dict[str, tuple[bool, str]]:
    return {
        e.check_name: (e.passed, e.description)  # type: ignore[union-attr, misc]
        for e in result.asset_events
        if type(e).__name__ == "AssetCheckEvaluation"
    }


def statuses(project: DemoProject) -> list[int | None]:
    return [a.status for a in project.ask()]


@pytest.mark.slow
def test_the_whole_story(
    project: DemoProject,
    migrated_database: Database,
    instance: DagsterInstance,
    run_job: RunJob,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    variables = environment(project, migrated_database, tmp_path)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)

    project.deploy("migrated")
    assert statuses(project) == [200, 200]
    well = tick(instance, None)
    assert all(passed for passed, _ in verdicts(well).values()), verdicts(well)

    project.deploy("broken")
    assert statuses(project) == [200, 500]
    blip = tick(instance, well.cursor)
    assert verdicts(blip)["endpoints_answer"][0], "one blip is no advice"
    assert "1 look of 2 in a row" in verdicts(blip)["endpoints_answer"][1]
    assert not blip.run_requests
    again = tick(instance, blip.cursor)
    assert again.cursor == "endpoints_answer, logs_name_no_missing_table"
    assert "a rollback is advised" in verdicts(again)["endpoints_answer"][1]
    assert "ai_cfg_prompts" in verdicts(again)["logs_name_no_missing_table"][1]
    assert again.run_requests
    assert again.run_requests[0].tags["aicfg/why"].startswith("a rollback is advised")
    assert not tick(instance, again.cursor).run_requests, "said once"
    watched = run_job("verify", variables)
    assert watched.success, "advice never fails a run, nor does anything roll back by itself"
    assert migrated_database.exists("public.ai_cfg_sys_rag") == "r"
    advice = {e.check_name: e.passed for e in watched.get_asset_check_evaluations() if e.asset_key.path[-1] == "advice"}
    assert advice == {
        "endpoints_answer": False,
        "logs_name_no_missing_table": False,
        "data_is_intact": True,
        "behaves_as_usual": True,
    }

    done = run_job("rollback", variables, confirm(migrated_database))
    assert done.success
    assert _works_on_old_names(project, migrated_database)
    assert {e.check_name: e.passed for e in done.get_asset_check_evaluations() if e.asset_key.path[0] == "service"} == {
        "lambda_deployed": True,
        "endpoints": True,
        "logs": True,
        "schema_files": True,
    }
    assert project.concurrency() == 5
    record = instance.fetch_observations(AssetKey(["service", "endpoints"]), limit=1).records[0]
    observed = record.event_log_entry.dagster_event.asset_observation_data.asset_observation  # type: ignore[union-attr]
    assert observed.metadata["ok prompts"].value == 1
    assert observed.metadata["latency_ms prompts"].value > 0

    assert run_job("undo_rollback", variables, confirm(migrated_database)).success
    assert migrated_database.exists("public.ai_cfg_sys_rag") == "r"
    assert statuses(project) == [200, 500], "what was there before the rollback is there again"
    assert project._git("rev-parse", "--abbrev-ref", "HEAD") == "main"
    anew = verdicts(tick(instance, again.cursor))
    assert "Seen in 2 looks in a row" in anew["endpoints_answer"][1], "15.10: at the undo's end and now; none before"

    assert run_job("rollback", variables, confirm(migrated_database)).success
    assert _works_on_old_names(project, migrated_database)


def _works_on_old_names(project: DemoProject, database: Database) -> bool:
    assert statuses(project) == [200, 200]
    assert database.exists("public.sys_rag") == "r"
    files: Any = sorted(p.name for p in (project.toolkit / SCHEMA).rglob("*") if p.is_file())
    assert files == ["006-sys-rag.sql", "007-org-prompt-engineering.sql"]
    assert "ai_cfg" not in (project.toolkit / CODE).read_text()
    return True
