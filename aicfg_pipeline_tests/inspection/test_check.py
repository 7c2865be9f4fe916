"""`check`: the database is as the folder has it, or each difference is told; nothing stays of the scratch schema."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.command_line import call
from aicfg_pipeline_tests.tools.planning import unchanged
from aicfg_pipeline_tests.tools.servers import Database


@pytest.mark.two_versions
def test_migrated_database_is_as_the_projects_own_folder_has_it(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    with unchanged(migrated_database):
        said = call(monkeypatch, migrated_database.url, "check")
    assert (said.status, said.err) == (0, "")
    assert "new table: public.ai_cfg_sys_rag (table) is as new/ai_cfg_sys_rag.sql makes it" in said.out
    assert "old table: there is none now; old/sys_rag.sql makes one" in said.out
    assert "view: public.sys_rag (view) is as views/sys_rag.sql makes it" in said.out


def test_rolled_back_database_is_as_the_folder_has_it_too(
    cut_over_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = call(monkeypatch, cut_over_database.url, "check")
    assert said.status == 0
    assert "new table: there is none now; new/ai_cfg_sys_rag.sql makes one" in said.out
    assert "old table: public.sys_rag (table) is as old/sys_rag.sql makes it" in said.out


CHANGES = {
    "ALTER TABLE ai_cfg_sys_rag ADD COLUMN extra text": "new table: column extra",
    "CREATE INDEX later ON ai_cfg_sys_rag (created_at)": "new table: index later",
    "ALTER TABLE ai_cfg_sys_rag DISABLE ROW LEVEL SECURITY": "new table: security: table: row level security",
    "GRANT DELETE ON ai_cfg_sys_rag TO anon": "new table: privileges: role anon",
    "ALTER TABLE ai_cfg_sys_rag DROP CONSTRAINT ai_cfg_sys_rag_updated_by_fkey": "new table: foreign key",
    "CREATE OR REPLACE FUNCTION update_ai_cfg_sys_rag_updated_at() RETURNS trigger LANGUAGE plpgsql AS "
    "'BEGIN RETURN NEW; END'": "new table: function public.update_ai_cfg_sys_rag_updated_at: body",
    "CREATE OR REPLACE VIEW sys_rag AS SELECT * FROM ai_cfg_sys_rag WHERE ocr_enabled": "view: view: definition",
}


def test_each_difference_is_told_all_at_once(migrated_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    for statement in CHANGES:
        migrated_database.execute(statement)
    said = call(monkeypatch, migrated_database.url, "check")
    assert said.status == 1
    lines, side = [], ""
    for line in said.out.splitlines():
        if line.startswith("  ") and not line.startswith("    "):
            side = line.split(":")[0].strip()
        elif line.startswith("    - "):
            lines.append(f"{side}: {line.removeprefix('    - ')}")
    assert [told for told in CHANGES.values() if not any(line.startswith(told) for line in lines)] == []
    assert said.out.splitlines()[-1] == "The database is not as the folder has it: sys_rag."


def test_file_that_can_not_be_run_and_a_folder_that_can_not_be_read_are_told(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = tmp_path / "sql"
    shutil.copytree(spec.bundled_sql(), folder)
    old = folder / "old" / "sys_rag.sql"
    old.write_text(old.read_text().replace("updated_by uuid,", "updated_by uid,"))
    with unchanged(migrated_database):
        said = call(monkeypatch, migrated_database.url, "check", folder)
        assert said.status == 1
        assert "old table: old/sys_rag.sql can't be run:" in said.out
        assert 'type "uid" does not exist' in said.out
        (folder / "migration.yaml").write_text("nam: x\npairs: {sys_rag: ai_cfg_sys_rag}\n")
        said = call(monkeypatch, migrated_database.url, "check", folder)
    assert (said.status, said.out) == (1, "")
    assert "migration.yaml:1:1: nam: there is no such key; did you mean name?" in said.err


def test_tables_that_are_not_there_are_a_difference(plain_database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    said = call(monkeypatch, plain_database.url, "check")
    assert said.status == 1
    assert "sys_rag → ai_cfg_sys_rag: missing" in said.out


def test_help_lists_the_commands_each_with_an_example(monkeypatch: pytest.MonkeyPatch) -> None:
    from aicfg_pipeline.cli import main

    for name, command in main.commands.items():
        assert name in call(monkeypatch, None, "--help").out
        assert f"Example:\n    python -m aicfg_pipeline {name}" in call(monkeypatch, None, name, "--help").out
        assert command.help


def test_no_database_named_is_told_without_a_traceback() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "aicfg_pipeline", "check"], capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("ConfigError (bad_config): AICFG_DATABASE_URL is not set")
