"""Approving exactly this: what was approved is done, or nothing is."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from aicfg_pipeline.orchestration.approval import KeptPlan
from aicfg_pipeline_tests.orchestration.test_events import run_job
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.servers import Database


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICFG_HOME", str(tmp_path))


def plans(home: Path) -> dict[str, dict[str, object]]:
    """The plans that are kept, by job."""
    found = [json.loads(f.read_text()) for f in sorted((home / "plans").glob("*.json"))]
    return {p["job"]: p for p in found}


def failure(done: ExecuteInProcessResult) -> str:
    (event,) = [e for e in done.all_events if e.is_step_failure]
    return event.step_failure_data.error_display_string


def refused_for(done: ExecuteInProcessResult, *words: str) -> None:
    assert not done.success
    told = failure(done)
    assert [w for w in words if w not in told] == []


def test_the_plan_that_was_looked_at_is_done_when_it_is_approved(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("AICFG_REQUIRE_APPROVAL", "1")
    assert run_job("plan", migrated_database, instance, monkeypatch).success
    approved = str(plans(tmp_path)["rollback"]["hash"])
    done = run_job("rollback", migrated_database, instance, monkeypatch, approved_plan=approved, approved_by="Ada")
    assert done.success
    (began,) = migrated_database.query(
        "SELECT plan_hash, facts->'asked'->>'approved_by' FROM aicfg_rollback.ledger"
        " WHERE step = 'run' AND outcome = 'started' AND facts->>'kind' = 'rollback'"
    )
    assert began == (approved, "Ada")


@pytest.mark.parametrize("job", ["rollback", "undo_rollback", "drop_new_tables"])
def test_where_approval_is_required_nothing_runs_without(
    job: str, cut_over_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_REQUIRE_APPROVAL", "1")
    before = portrait(cut_over_database)
    done = run_job(job, cut_over_database, instance, monkeypatch)
    refused_for(done, "approved_plan is missing", "AICFG_REQUIRE_APPROVAL", "dry_run")
    assert differing(before, portrait(cut_over_database)) == []


def test_what_changes_nothing_for_anyone_needs_no_approval(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_REQUIRE_APPROVAL", "1")
    assert run_job("prepare", migrated_database, instance, monkeypatch).success
    assert run_job("abandon", migrated_database, instance, monkeypatch).success


def test_another_plan_is_refused_and_the_difference_is_told_line_by_line(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_job("plan", migrated_database, instance, monkeypatch)
    approved = str(plans(tmp_path)["rollback"]["hash"])
    done = run_job(
        "rollback", migrated_database, instance, monkeypatch, approved_plan=approved, accept_hazards=["dependents"]
    )
    refused_for(
        done, f"The approved plan is {approved}", "- -hazards accepted: none", "- +hazards accepted: dependents"
    )


def test_an_approval_for_another_database_is_refused(
    migrated_database: Database, cut_over_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_job("rollback", migrated_database, instance, monkeypatch, approved_plan="0123456789abcdef")
    refused_for(done, "The approved plan is 0123456789abcdef", "is not kept in", "Nothing was touched")


@pytest.mark.parametrize("words", ["yes", "0123456789ABCDEF", "0123456789abcde", "0123456789abcdef0"])
def test_a_hash_that_is_none_is_refused(
    words: str, migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = run_job("rollback", migrated_database, instance, monkeypatch, approved_plan=words)
    refused_for(done, "16 hexadecimal digits")


def test_what_was_prepared_since_is_still_what_was_approved(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_job("plan", migrated_database, instance, monkeypatch)
    approved = str(plans(tmp_path)["rollback"]["hash"])
    assert run_job("prepare", migrated_database, instance, monkeypatch).success
    assert run_job("rollback", migrated_database, instance, monkeypatch, approved_plan=approved).success


@pytest.mark.parametrize("job", ["undo_rollback", "drop_new_tables"])
def test_undo_and_drop_have_plans_to_approve(
    job: str,
    cut_over_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    asked = {"before_retention_ends": True}
    run_job(job, cut_over_database, instance, monkeypatch, dry_run=True, **asked)
    approved = str(plans(tmp_path)[job]["hash"])
    assert run_job(job, cut_over_database, instance, monkeypatch, approved_plan=approved, **asked).success


def test_the_kept_plan_has_next_steps_that_name_the_target(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    run_job("plan", migrated_database, instance, monkeypatch)
    kept = plans(tmp_path)["rollback"]
    assert kept["target"] == f"{migrated_database.name}@local"
    assert all(f"{migrated_database.name}@local" in str(line) for line in kept["next_steps"])  # type: ignore[attr-defined]


SCHEMA = Path(__file__).resolve().parents[2] / "docs" / "plan.schema.json"


def test_the_published_schema_is_current_and_what_is_kept_fits_it(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """AICFG_WRITE_PLAN=1 writes it anew."""
    schema = json.dumps(KeptPlan.model_json_schema(), indent=2) + "\n"
    if os.environ.get("AICFG_WRITE_PLAN"):
        SCHEMA.write_text(schema)
    assert SCHEMA.read_text() == schema
    run_job("plan", migrated_database, instance, monkeypatch)
    KeptPlan.model_validate(plans(tmp_path)["rollback"], strict=True)
