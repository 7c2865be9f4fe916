"""Errors that say that nothing has changed, or that nothing was dropped: the database is held against itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from aicfg_pipeline.errors import ExportError, GateError
from aicfg_pipeline.postgres import fingerprint
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.tables import export
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.planning import unchanged
from aicfg_pipeline_tests.tools.servers import Database

OLD = "org_prompt_engineering"


def test_a_row_that_was_changed_past_the_log_keeps_everything_parked(
    cut_over_database: Database, tmp_path: Path
) -> None:
    cut_over_database.execute(
        f"ALTER TABLE {OLD} DISABLE TRIGGER USER; UPDATE {OLD} SET citation_style = 'none'"
        f" WHERE id = (SELECT min(id::text)::uuid FROM {OLD});"
        + "".join(f"ALTER TABLE {OLD} ENABLE ALWAYS TRIGGER {name};" for (name,) in our_triggers(cut_over_database))
    )
    with running(cut_over_database.url) as run, pytest.raises(GateError) as caught:
        drop_new_tables(run, Folder(tmp_path), [], before_retention_ends=True)
    assert "unlike the parked table without an entry" in caught.value.found
    assert_all_parked(cut_over_database)


def our_triggers(database: Database) -> list[tuple[str]]:
    return database.query(
        f"SELECT tgname::text FROM pg_trigger WHERE tgrelid = '{OLD}'::regclass AND tgname LIKE 'aicfg%%'"
    )


def assert_all_parked(database: Database) -> None:
    for table in ("ai_cfg_org_prompts", "ai_cfg_sys_rag"):
        assert database.exists(f"aicfg_rollback.{table}") == "r"


@pytest.mark.parametrize(
    ("spoil", "told"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-30]), "can't be read back"),
        (lambda path: path.write_bytes(b""), "reads back as 0 rows"),
    ],
    ids=["cut", "empty"],
)
def test_an_export_that_the_disk_did_not_keep_drops_nothing(
    cut_over_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: Any, told: str
) -> None:
    write = export._write_rows

    def spoiled(session: Any, source: Any, store: Folder, file: str) -> Any:
        written = write(session, source, store, file)
        spoil(store.path / file)
        return written

    monkeypatch.setattr(export, "_write_rows", spoiled)
    with running(cut_over_database.url) as run, pytest.raises(ExportError) as caught:
        drop_new_tables(run, Folder(tmp_path), [], before_retention_ends=True)
    assert told in caught.value.found
    assert_all_parked(cut_over_database)


def test_a_copy_forward_that_is_another_changes_nothing(
    old_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The new table's rows are taken for others: the transaction is taken back as a whole."""
    take, taken = fingerprint.take, []

    def another(*args: Any, **kwargs: Any) -> Any:
        found = take(*args, **kwargs)
        taken.append(found)
        return found if len(taken) % 2 else fingerprint.Fingerprint(found.rows + 1, found.checksum)

    monkeypatch.setattr(fingerprint, "take", another)
    with unchanged(old_database), running(old_database.url) as run, pytest.raises(GateError) as caught:
        migrate(run)
    assert "what was copied is not in" in caught.value.found
