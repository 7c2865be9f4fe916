"""Jobs as `dagster job execute` runs them against a server given by its URL: exit codes, output, what is left."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline_tests.tools.jobs import confirmed, execute
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database


def unbroken(output: str) -> str:
    """Prose is broken at 80 columns; what it says is one line again."""
    return " ".join(output.split())


def _state(database: Database) -> tuple[str, dict[str, tuple[int, int]]]:
    return database.schema_dump(), database.fingerprints()


@pytest.mark.two_versions
def test_rollback_parks_the_new_tables_and_says_how_to_undo(migrated_database: Database, tmp_path: Path) -> None:
    done = execute("rollback", home=tmp_path, url=migrated_database.url, config=confirmed(migrated_database.name))
    assert done.status == 0, done.output
    assert migrated_database.exists("public.sys_rag") == "r"
    assert migrated_database.exists("public.org_prompt_engineering") == "r"
    assert migrated_database.exists("aicfg_rollback.ai_cfg_org_prompts") == "r"
    assert "-j undo_rollback" in done.output
    assert "parked     aicfg_rollback.ai_cfg_org_prompts until" in done.output
    assert "locks held" in done.output


def test_retaining_nothing_drops_in_the_same_run(migrated_database: Database, tmp_path: Path) -> None:
    config = confirmed(migrated_database.name, retain_days=0)
    done = execute("rollback", home=tmp_path, url=migrated_database.url, config=config)
    assert done.status == 0, done.output
    assert migrated_database.exists("public.sys_rag") == "r"
    assert migrated_database.exists("aicfg_rollback.ai_cfg_sys_rag") is None
    assert len(list((tmp_path / "exports").glob("*.copy.gz"))) == 2


def test_the_password_login_over_tcp_works_and_is_shown_nowhere(migrated_database: Database, tmp_path: Path) -> None:
    url = migrated_database.tcp_url
    password = psycopg.conninfo.conninfo_to_dict(url)["password"]
    done = execute("rollback", home=tmp_path, url=url, config=confirmed(migrated_database.name))
    assert done.status == 0, done.output
    assert str(password) not in done.output
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or str(password).encode() not in file.read_bytes(), file


@pytest.mark.parametrize("config", [None, "another_database"], ids=["missing", "wrong"])
def test_an_unconfirmed_database_is_not_touched(
    migrated_database: Database, tmp_path: Path, config: str | None
) -> None:
    before = _state(migrated_database)
    done = execute("rollback", home=tmp_path, url=migrated_database.url, config=confirmed(config) if config else None)
    assert done.status == 1
    assert "not_confirmed" in done.output
    assert f"set confirm_database: {migrated_database.name}" in unbroken(done.output)
    assert "Traceback" not in done.output
    assert "Stack Trace" not in done.output
    assert _state(migrated_database) == before


def test_the_plan_reads_only_and_lists_every_statement(migrated_database: Database, tmp_path: Path) -> None:
    before = _state(migrated_database)
    config = confirmed(migrated_database.name)
    done = execute("plan", home=tmp_path, url=migrated_database.url, config=config)
    assert done.status == 0, done.output
    (plan,) = (tmp_path / "plans").glob("*.sql")
    assert "==== copy_back org_prompt_engineering ====" in plan.read_text()
    assert 'ALTER TABLE "aicfg_rollback"."sys_rag" SET SCHEMA "public";' in plan.read_text()
    assert _state(migrated_database) == before


def test_a_dry_run_ends_after_the_plan(migrated_database: Database, tmp_path: Path) -> None:
    before = _state(migrated_database)
    config = confirmed(migrated_database.name, dry_run=True)
    done = execute("rollback", home=tmp_path, url=migrated_database.url, config=config)
    assert done.status == 0, done.output
    assert _state(migrated_database) == before


def test_verify_fails_with_exit_status_1_when_a_row_was_changed_behind_our_back(
    cut_over_database: Database, tmp_path: Path
) -> None:
    with cut_over_database.connect() as connection:
        connection.execute("ALTER TABLE org_prompt_engineering DISABLE TRIGGER aicfg_rollback_change_log")
        connection.execute(
            "UPDATE org_prompt_engineering SET custom_system_prompt = 'x' WHERE id ="
            " (SELECT min(id::text)::uuid FROM org_prompt_engineering)"
        )
        connection.execute("ALTER TABLE org_prompt_engineering ENABLE ALWAYS TRIGGER aicfg_rollback_change_log")
    done = execute("verify", home=tmp_path, url=cut_over_database.url)
    assert done.status == 1
    assert "org_prompt_engineering: checksum" in unbroken(done.output)
    assert "Stack Trace" not in done.output


def test_migrate_refuses_while_the_new_tables_are_parked(cut_over_database: Database, tmp_path: Path) -> None:
    before = _state(cut_over_database)
    done = execute("migrate", home=tmp_path, url=cut_over_database.url, config=confirmed(cut_over_database.name))
    assert done.status == 1
    assert "undo_rollback" in done.output
    assert _state(cut_over_database) == before


def test_abandon_gives_a_rollback_up_that_has_not_cut_over(migrated_database: Database, tmp_path: Path) -> None:
    before = portrait(migrated_database)
    with running(migrated_database.url) as run:
        lifecycle.begin(run, "rollback")
        copy_back(run, "sys_rag")
    config = confirmed(migrated_database.name)
    done = execute("abandon", home=tmp_path, url=migrated_database.url, config=config)
    assert done.status == 0, done.output
    assert "Given up: sys_rag." in done.output
    assert differing(before, portrait(migrated_database)) == []


def test_drop_refuses_before_the_retention_ends(cut_over_database: Database, tmp_path: Path) -> None:
    config = confirmed(cut_over_database.name)
    early = execute("drop_new_tables", home=tmp_path, url=cut_over_database.url, config=config)
    assert early.status == 1
    assert "retention" in early.output
    assert cut_over_database.exists("aicfg_rollback.ai_cfg_sys_rag") == "r"
    told = confirmed(cut_over_database.name, before_retention_ends=True)
    assert execute("drop_new_tables", home=tmp_path, url=cut_over_database.url, config=told).status == 0
    assert cut_over_database.exists("aicfg_rollback.ai_cfg_sys_rag") is None


def test_a_malformed_migration_names_every_mistake_and_shows_no_traceback(tmp_path: Path) -> None:
    folder = tmp_path / "migration"
    folder.mkdir()
    (folder / "migration.yaml").write_text("name: x\npairs:\n  - old: a\n    new: a\n    kee: [id]\n    forth: 3\n")
    done = execute("rollback", home=tmp_path / "home", AICFG_MIGRATION_DIR=str(folder))
    assert done.status == 1
    assert "migration.yaml:5:5: pairs.0.kee: there is no such key" in done.output
    assert "migration.yaml:6:5: pairs.0.forth: " in done.output
    assert "Traceback" not in done.output
    assert not (tmp_path / "home" / "postgres").exists()


def test_an_unreachable_server_is_named_and_the_password_is_not(tmp_path: Path) -> None:
    done = execute("rollback", home=tmp_path, url="postgresql://postgres:s3cr3t-word@127.0.0.1:1/app")
    assert done.status == 1
    assert "127.0.0.1:1" in done.output
    assert "s3cr3t-word" not in done.output
    assert "Stack Trace" not in done.output


def test_undo_brings_the_new_tables_back_and_rollback_undoes_the_undo(
    migrated_database: Database, tmp_path: Path
) -> None:
    def run(job: str) -> None:
        done = execute(job, home=tmp_path, url=migrated_database.url, config=confirmed(migrated_database.name))
        assert done.status == 0, done.output

    before = migrated_database.fingerprints(("public",))
    run("rollback")
    run("undo_rollback")
    assert migrated_database.exists("public.sys_rag") == "v"
    assert migrated_database.exists("public.ai_cfg_org_prompts") == "r"
    assert migrated_database.fingerprints(("public",)) == before
    run("rollback")
    assert migrated_database.exists("public.sys_rag") == "r"


def test_a_later_verify_compares_the_database_with_the_last_report(migrated_database: Database, tmp_path: Path) -> None:
    config = confirmed(migrated_database.name)
    assert execute("rollback", home=tmp_path, url=migrated_database.url, config=config).status == 0
    same = execute("verify", home=tmp_path, url=migrated_database.url)
    assert same.status == 0, same.output
    assert "6 of 6 facts agree" in unbroken(same.output)
    migrated_database.execute(
        "DELETE FROM org_prompt_engineering WHERE org_id = (SELECT min(id::text)::uuid FROM orgs)"
    )
    changed = execute("verify", home=tmp_path, url=migrated_database.url)
    assert changed.status == 0, changed.output
    assert "explained: org_prompt_engineering: rows: 40 in the report, 39 now (1 key was written" in unbroken(
        changed.output
    )
