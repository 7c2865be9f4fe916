"""S4 from end to end: what stands in a row is in the database and in its export, and nowhere else; files are their owner's."""

from __future__ import annotations

import stat
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult

from aicfg_pipeline.orchestration import alerts
from aicfg_pipeline.rollback.steps import compare
from aicfg_pipeline_tests.orchestration.test_events import run_job
from aicfg_pipeline_tests.tools.servers import Database

SECRET = "CONFIDENTIAL patient 4711"
TOO_MUCH = "ALTER TABLE aicfg_rollback.org_prompt_engineering ADD CHECK (custom_context_prompt NOT LIKE '%4711%')"
WRITE = f"UPDATE ai_cfg_org_prompts SET custom_context_prompt = '{SECRET}'"


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[DagsterInstance]:
    (tmp_path / "dagster").mkdir()
    with DagsterInstance.local_temp(str(tmp_path / "dagster")) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AICFG_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


def fail_while_replaying(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the server refuse a row of the shadow, and say the whole row in its DETAIL."""
    wanted: Callable[..., object] = compare.catch_up

    def refused(*arguments: object, **more: object) -> object:
        if not database.query("SELECT 1 FROM pg_constraint WHERE pg_get_constraintdef(oid) LIKE '%%4711%%'"):
            database.execute(TOO_MUCH)
            database.execute(WRITE)
        return wanted(*arguments, **more)

    monkeypatch.setattr(compare, "catch_up", refused)


def events_of(instance: DagsterInstance, done: ExecuteInProcessResult) -> str:
    return "\n".join(str(r.event_log_entry) for r in instance.get_records_for_run(done.run_id, limit=10_000).records)


def read_all(folder: Path, *leave_out: str) -> dict[str, str]:
    files = [f for f in folder.rglob("*") if f.is_file() and not set(f.relative_to(folder).parts) & set(leave_out)]
    return {str(f.relative_to(folder)): f.read_text(encoding="utf-8", errors="replace") for f in files}


def test_s4_a_row_that_the_server_refuses_is_in_no_log_event_report_ledger_or_alert(
    migrated_database: Database,
    instance: DagsterInstance,
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    fail_while_replaying(migrated_database, monkeypatch)
    done = run_job("rollback", migrated_database, instance, monkeypatch)
    assert not done.success
    (failure,) = [e for e in done.all_events if e.is_step_failure]
    why = failure.step_failure_data.error_display_string
    places = {
        "the failure": why,
        "the alert": alerts.alert_line("rollback", done.run_id, "compare", why),
        "Dagster's events": events_of(instance, done),
        "the terminal": "".join(capfd.readouterr()),
        "the ledger": str(migrated_database.query("SELECT l::text FROM aicfg_rollback.ledger l")),
        **read_all(home, "server-messages"),
    }
    assert "violates check constraint" in why
    assert any(name.startswith("reports/") for name in places)
    assert [name for name, text in places.items() if "4711" in text.replace("LIKE '%4711%'", "")] == []
    assert any(SECRET in text for text in read_all(home / "server-messages").values()), "the one place where it is kept"


def test_s4_every_file_and_folder_is_its_owners_alone(
    migrated_database: Database, instance: DagsterInstance, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def job(name: str, **asked: object) -> None:
        assert run_job(name, migrated_database, instance, monkeypatch, **asked).success

    job("plan")
    job("rollback")
    job("verify")
    job("drop_new_tables", before_retention_ends=True)
    found = {f.relative_to(home): stat.S_IMODE(f.stat().st_mode) for f in home.rglob("*")}
    kinds = {str(f).split("/", maxsplit=1)[0] for f in found}
    assert {"plans", "reports", "exports"} <= kinds
    assert {str(f): oct(mode) for f, mode in found.items() if mode & 0o077} == {}
