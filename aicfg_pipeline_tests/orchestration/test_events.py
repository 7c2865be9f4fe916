"""What a run leaves in Dagster: materializations, observations, check verdicts; and gates that raise."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from dagster import AssetKey, DagsterInstance, ExecuteInProcessResult

from aicfg_pipeline.orchestration.config import USED_BY
from aicfg_pipeline_tests.tools.jobs import confirmed
from aicfg_pipeline_tests.tools.servers import Database, Servers, fill_migrated, fill_old


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def run_job(
    name: str,
    database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    **settings: object,
) -> ExecuteInProcessResult:
    from aicfg_pipeline.definitions import defs

    monkeypatch.setenv("AICFG_DATABASE_URL", database.url)
    config = confirmed(database.name, **settings)
    return defs.get_job_def(name).execute_in_process(instance=instance, run_config=config, raise_on_error=False)


@dataclass(frozen=True)
class Rollback:
    """What one rollback has left, for several tests to look at."""

    done: ExecuteInProcessResult
    instance: DagsterInstance


@pytest.fixture(scope="module")
def rollback(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rollback]:
    server = servers.get()
    server.template("old", fill_old)
    with (
        server.database("migrated", fill_migrated, parent="old") as database,
        DagsterInstance.ephemeral() as instance,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AICFG_HOME", str(tmp_path_factory.mktemp("rollback")))
        yield Rollback(run_job("rollback", database, instance, patch), instance)


def test_a_rollback_materializes_the_old_tables_with_their_row_counts(rollback: Rollback) -> None:
    assert rollback.done.success
    event = rollback.instance.get_latest_materialization_event(AssetKey(["old", "org_prompt_engineering"]))
    assert event is not None
    materialization = event.asset_materialization
    assert materialization is not None
    assert materialization.metadata["dagster/row_count"].value == 40
    assert materialization.metadata["locks_held_ms"].value > 0


def test_what_is_there_is_materialized_under_its_real_name_and_nothing_is_never_materialized(
    cut_over_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15.10: verify looks at a database that this Dagster knows nothing of."""
    from aicfg_pipeline.definitions import defs

    monkeypatch.setenv("AICFG_DATABASE_URL", cut_over_database.url)
    assert defs.get_job_def("verify").execute_in_process(instance=instance).success
    found = {}
    for key in defs.resolve_asset_graph().get_all_asset_keys():
        event = instance.get_latest_materialization_event(key)
        made = event.asset_materialization if event else None
        found[key.to_user_string()] = made.description or "" if made else None
    assert {k for k, told in found.items() if told is None} == {"view/sys_rag", "view/org_prompt_engineering"}  # gone
    assert found["old/sys_rag"] == "public.sys_rag: in use"
    assert (found["new/ai_cfg_sys_rag"] or "").startswith("aicfg_rollback.ai_cfg_sys_rag: parked until 20")
    assert found["service/lambdas"] == "not configured: nobody looks at it but a person"


def test_every_check_of_a_rollback_is_on_its_asset_and_passed(rollback: Rollback) -> None:
    evaluations = rollback.done.get_asset_check_evaluations()
    verdicts = {(e.asset_key.to_user_string(), e.check_name): e.passed for e in evaluations}
    for table in ("old/sys_rag", "old/org_prompt_engineering"):
        assert verdicts[table, "row_count"] is True
        assert verdicts[table, "checksum"] is True
    assert all(verdicts.values()), verdicts


def test_the_ops_run_in_the_order_of_the_runbook(rollback: Rollback) -> None:
    order = [e.step_key for e in rollback.done.all_events if e.is_step_success]
    assert order.index("plan") < order.index("copy_back_sys_rag") < order.index("compare")
    assert order.index("compare") < order.index("cut_over") < order.index("verify") < order.index("report")


def test_a_rollback_that_keeps_the_new_tables_does_not_end_with_a_green_drop(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15.7: the op is skipped where nothing is dropped, and runs where it is asked for."""
    kept = run_job("rollback", migrated_database, instance, monkeypatch)
    assert kept.success
    assert [e.step_key for e in kept.all_events if e.is_step_skipped] == ["drop_new_tables"]
    last = [e.user_message for e in instance.all_logs(kept.run_id) if e.level == logging.INFO][-1]
    assert last.startswith("The database is rolled back. 4 steps are yours now.")  # 15.6: the run's page ends with it
    dropped = run_job("rollback", migrated_database, instance, monkeypatch, retain_days=0)
    assert dropped.success
    assert "drop_new_tables" in [e.step_key for e in dropped.all_events if e.is_step_success]
    assert migrated_database.exists("aicfg_rollback.ai_cfg_sys_rag") is None


def test_the_tags_of_a_job_say_what_it_changes_and_where() -> None:
    """15.5: they stand above the launchpad and in the list of runs."""
    from aicfg_pipeline.definitions import defs

    changes = {name: defs.resolve_job_def(name).run_tags["changes"] for name in USED_BY}
    assert changes == {
        "plan": "nothing",
        "verify": "nothing",
        "prepare": "nothing",
        "abandon": "nothing",
        "rehearse": "nothing",
        "rollback": "names, can be undone",
        "undo_rollback": "names, can be undone",
        "migrate": "names, can be undone",
        "drop_new_tables": "DROPS TABLES, no undo",
    }
    for name in USED_BY:
        job = defs.resolve_job_def(name)
        assert {"target", "migration"} <= set(job.run_tags)
        assert (job.description or "").startswith(("Changes ", "DROPS "))


def test_a_gate_that_fails_stops_the_run_before_the_drop(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert run_job("rollback", migrated_database, instance, monkeypatch).success
    migrated_database.execute("ALTER TABLE sys_rag DISABLE TRIGGER aicfg_rollback_change_log")
    migrated_database.execute("UPDATE sys_rag SET backup_retention_days = 1")
    migrated_database.execute("ALTER TABLE sys_rag ENABLE ALWAYS TRIGGER aicfg_rollback_change_log")
    again = run_job("rollback", migrated_database, instance, monkeypatch, retain_days=0)
    assert not again.success
    failed = {e.step_key for e in again.all_events if e.is_step_failure}
    assert failed == {"verify"}
    assert migrated_database.exists("aicfg_rollback.ai_cfg_sys_rag") == "r"


def test_a_second_run_fails_at_once_and_says_who_holds_the_lock(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicfg_pipeline_tests.tools.migration import running

    with running(migrated_database.url, run_id="the other"):
        before = migrated_database.schema_dump()
        done = run_job("rollback", migrated_database, instance, monkeypatch)
        assert not done.success
        failure = next(e for e in done.all_events if e.is_step_failure)
        assert "aicfg_pipeline the other" in str(failure.event_specific_data)
        assert migrated_database.schema_dump() == before


def test_a_rollback_of_a_database_that_was_never_migrated_makes_nothing_and_succeeds(
    old_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = old_database.fingerprints(), old_database.schema_dump()
    assert run_job("rollback", old_database, instance, monkeypatch).success
    assert (old_database.fingerprints(), old_database.schema_dump()) == before


@pytest.mark.parametrize("job", ["undo_rollback", "drop_new_tables"])
def test_where_no_rollback_has_been_there_is_nothing_to_undo_or_drop(
    job: str, migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    migrated_database.execute("DROP SCHEMA aicfg_rollback CASCADE")  # as the original migration left it: no ledger
    before = migrated_database.fingerprints(), migrated_database.schema_dump()
    done = run_job(job, migrated_database, instance, monkeypatch)
    assert not done.success
    failure = next(e for e in done.all_events if e.is_step_failure)
    assert "no rollback of this pipeline has been in database" in str(failure.event_specific_data)
    assert (migrated_database.fingerprints(), migrated_database.schema_dump()) == before
