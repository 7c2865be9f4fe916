"""The last word of a run: it says no more than the ledger and one more look at the database have shown."""

from __future__ import annotations

from pathlib import Path

import pytest
from dagster import MetadataValue

from aicfg_pipeline.orchestration import links
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.summary import summary
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

PARKED = ("ai_cfg_sys_rag", "ai_cfg_org_prompts")


def told(database: Database) -> str:
    with running(database.url) as run:
        found = summary(run, Commands("here"), job="verify")
        return "\n".join([found.outcome, *found.lines])


def drop_by_hand(database: Database, *tables: str) -> None:
    for table in tables:
        database.execute(f"DROP TABLE aicfg_rollback.{table} CASCADE")


def test_what_somebody_dropped_is_not_said_to_be_exported(
    cut_over_database: Database, dropped_database: Database
) -> None:
    drop_by_hand(cut_over_database, *PARKED)
    assert "the new tables are gone, without a drop in the ledger" in told(cut_over_database)
    assert "exported and dropped" not in told(cut_over_database)
    assert "exported and dropped" in told(dropped_database)


def test_rows_are_said_to_be_equal_only_where_a_comparison_found_no_difference(cut_over_database: Database) -> None:
    assert "all equal" in told(cut_over_database)
    cut_over_database.execute(
        "UPDATE aicfg_rollback.ledger SET facts = jsonb_set(facts, '{differences,differences}', '1')"
        " WHERE step = 'compare' AND pair = 'sys_rag'"
    )
    lines = [line for line in told(cut_over_database).splitlines() if "equal" in line or "differing" in line]
    assert [("all equal" in line) for line in lines] == [False, True]


def test_nothing_is_said_to_be_compared_that_the_ledger_does_not_have(cut_over_database: Database) -> None:
    cut_over_database.execute("DELETE FROM aicfg_rollback.ledger WHERE step = 'compare' AND pair = 'sys_rag'")
    assert "no difference unexplained" not in told(cut_over_database)


def test_a_report_opens_by_http_or_its_path_is_shown_and_never_a_file_link(
    cut_over_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """15.6: nothing happens where a `file://` link is clicked in the UI."""
    file = Path("/somewhere/reports/rollback-1.html")
    for name in ("AICFG_REPORTS_URL", "AICFG_UI_URL"):
        monkeypatch.delenv(name, raising=False)
    assert links.report_link(file) == MetadataValue.path(file)
    assert links.run_address("42") is None
    monkeypatch.setenv("AICFG_REPORTS_URL", "http://127.0.0.1:3001/key/")
    monkeypatch.setenv("AICFG_UI_URL", "https://dagster.example")
    address = "http://127.0.0.1:3001/key/rollback-1.html"
    assert links.report_link(file) == MetadataValue.url(address)
    assert links.run_address("42") == "https://dagster.example/runs/42"
    with running(cut_over_database.url) as run:
        clicked = summary(run, Commands("here"), job="rollback", report=file, opens=address)
        copied = summary(run, Commands("here"), job="rollback", report=file)
    assert f"Report: [rollback-1.html]({address})" in clicked.markdown
    assert f"Report: `{file}`" in copied.markdown
    assert f"Report     {file}" in clicked.lines
