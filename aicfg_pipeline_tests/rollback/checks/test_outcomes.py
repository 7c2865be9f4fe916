"""A check has one of three outcomes (12 A5): what looked at nothing has neither passed nor failed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from dagster import DagsterInstance

from aicfg_pipeline.rollback.checks.check import Check, Tally
from aicfg_pipeline.rollback.steps.verify import CHECKS, run_checks
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

NAMES = {
    "row_count", "checksum", "rows", "structure", "row_level_security", "grants", "visible_rows", "functions",
    "roles", "readers", "sequences", "private_schema", "references", "new_table_kept",
    "new_tables_gone", "views_gone", "nothing_left", "log_size", "api_schema_cache", "view_agrees", "view_security",
    "view_visible_rows", "view_lifetime", "rollback_possible",
}  # fmt: skip
"""Every check of a pair, by name: scripts and the assets' pages know them."""

ABOUT_THE_VIEW = {"view_agrees", "view_security", "view_visible_rows", "view_lifetime"}


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


def outcomes(database: Database, old: str = "sys_rag") -> dict[str, set[str]]:
    with running(database.url) as run:
        checks = run_checks(run.session, run.migration)
    made = [c for c in checks if c.pair == old]
    return {o: {c.name for c in made if c.outcome == o} for o in ("passed", "failed", "not_applicable")}


def test_every_check_is_declared_once_with_its_asset_and_severity() -> None:
    assert [c.name for c in CHECKS] == list(dict.fromkeys(c.name for c in CHECKS))
    assert {c.name for c in CHECKS} == NAMES
    assert {c.name for c in CHECKS if c.asset == "view"} == {"views_gone", *ABOUT_THE_VIEW}
    assert {c.name for c in CHECKS if c.asset == "new"} == {
        "new_table_kept",
        "new_tables_gone",
        "rollback_possible",
    }
    assert {c.name for c in CHECKS if c.severity == "WARN"} == {"rollback_possible", "log_size", *ABOUT_THE_VIEW}
    assert all(c.description.endswith(".") for c in CHECKS)


def test_in_the_migrated_state_only_what_looks_at_view_and_new_table_applies(migrated_database: Database) -> None:
    found = outcomes(migrated_database)
    assert found["passed"] == {*ABOUT_THE_VIEW, "rollback_possible", "private_schema", "nothing_left"}
    assert found["failed"] == set()
    assert found["not_applicable"] == NAMES - found["passed"]


def test_after_the_cut_over_only_view_advice_and_the_leftovers_do_not_apply(cut_over_database: Database) -> None:
    found = outcomes(cut_over_database)
    assert found["not_applicable"] == {*ABOUT_THE_VIEW, "rollback_possible", "nothing_left", "sequences"}
    assert found["passed"] == NAMES - found["not_applicable"]


def test_where_nothing_was_ever_migrated_no_check_of_data_has_passed(old_database: Database) -> None:
    found = outcomes(old_database)
    assert {"row_count", "checksum", "rows", "visible_rows", "functions", "api_schema_cache"} <= found["not_applicable"]
    assert {"structure", "row_level_security", "grants"} <= found["passed"]


def test_without_a_note_of_who_saw_what_nothing_is_said_to_be_as_before(cut_over_database: Database) -> None:
    cut_over_database.execute("UPDATE aicfg_rollback.ledger SET facts = facts - 'visible_rows'")
    assert "visible_rows" in outcomes(cut_over_database)["not_applicable"]


def test_what_does_not_apply_is_counted_apart() -> None:
    def made(*outcomes: str) -> list[Check]:
        return [Check("c", "t", "old", o, "") for o in outcomes]  # type: ignore[arg-type]

    assert str(Tally.of(made("passed", "passed"))) == "2 of 2 checks passed"
    assert str(Tally.of(made("passed", "failed", "not_applicable"))) == "1 of 2 checks passed, 1 does not apply"
    assert str(Tally.of(made(*["not_applicable"] * 3))) == "0 of 0 checks passed, 3 do not apply"


def test_the_ledger_tells_old_readers_whether_anything_is_wrong_and_new_ones_the_outcome() -> None:
    checks = [Check("c", "t", "old", o, "why", "WARN") for o in ("passed", "failed", "not_applicable")]  # type: ignore[arg-type]
    assert [c.recorded["passed"] for c in checks] == [True, False, True]
    assert [Check.read(c.recorded) for c in checks] == checks
    old_row = {"pair": "t", "asset": "old", "name": "c", "passed": False, "summary": "why", "severity": "WARN"}
    assert Check.read(old_row) == checks[1]


def test_no_event_is_logged_for_what_does_not_apply_and_the_line_counts_it_apart(
    migrated_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from aicfg_pipeline.definitions import defs

    monkeypatch.setenv("AICFG_DATABASE_URL", migrated_database.url)
    done = defs.get_job_def("verify").execute_in_process(instance=instance)
    assert done.success
    events = done.get_asset_check_evaluations()
    names = {(e.asset_key.path[-1], e.check_name) for e in events if e.asset_key.path[0] != "service"}
    assert {name for table, name in names if "sys_rag" in table} == {
        *ABOUT_THE_VIEW,
        "rollback_possible",
        "private_schema",
        "nothing_left",
    }
    assert f"verify: 14 of 14 checks passed, {2 * len(NAMES) - 14} do not apply" in capsys.readouterr().out


def test_from_an_assets_page_a_check_that_does_not_apply_gives_no_result(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dagster import AssetSelection, materialize

    from aicfg_pipeline.orchestration.checks import build_checks
    from aicfg_pipeline.orchestration.resources import PostgresResource
    from aicfg_pipeline.spec import load as spec

    monkeypatch.setenv("AICFG_DATABASE_URL", migrated_database.url)
    done = materialize(
        build_checks(spec.load())[:1],
        instance=instance,
        resources={"postgres": PostgresResource()},
        selection=AssetSelection.all_asset_checks(),
    )
    assert done.success
    assert {e.check_name for e in done.get_asset_check_evaluations()} == {
        *ABOUT_THE_VIEW,
        "rollback_possible",
        "private_schema",
        "nothing_left",
    }
