"""D6: undo puts foreign keys back as they were, and rewrites no row that nobody touched."""

from __future__ import annotations

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

NEW, OLD = "ai_cfg_org_prompts", "org_prompt_engineering"
KEY = "ai_cfg_org_prompts_created_by_fkey"
GONE = "'00000000-0000-0000-0000-0000000000aa'"
KEYS = (
    "SELECT conname, pg_get_constraintdef(oid), convalidated FROM pg_constraint"
    f" WHERE contype = 'f' AND conrelid = '{NEW}'::regclass ORDER BY 1"
)
ROWS = f"SELECT to_jsonb(t) FROM {NEW} AS t ORDER BY id"
FIRST = "(SELECT min(id::text)::uuid FROM {})"


@pytest.fixture
def with_orphans(migrated_database: Database) -> Database:
    """A usual state: a foreign key that was never validated, over rows whose user is gone."""
    definition = {name: text for name, text, _ in migrated_database.query(KEYS)}[KEY]
    migrated_database.execute(
        f"ALTER TABLE {NEW} DROP CONSTRAINT {KEY};"
        f"UPDATE {NEW} SET created_by = {GONE}, updated_by = (SELECT min(id::text)::uuid FROM auth.users)"
        f" WHERE id <> {FIRST.format(NEW)};"
        f"ALTER TABLE {NEW} ADD CONSTRAINT {KEY} {definition} NOT VALID"
    )
    return migrated_database


def there_and_back(database: Database, between: str = "SELECT 1") -> None:
    with running(database.url) as run:
        roll_back(run)
        database.execute(between)
        lifecycle.begin(run, "undo_rollback")
        undo_rollback(run)


@pytest.mark.two_versions
def test_d6_undo_changes_no_row_and_no_key_where_nothing_was_written(with_orphans: Database) -> None:
    before = with_orphans.query(KEYS), with_orphans.query(ROWS)
    assert [valid for name, _, valid in before[0] if name == KEY] == [False]
    there_and_back(with_orphans)
    assert (with_orphans.query(KEYS), with_orphans.query(ROWS)) == before


def test_d6_only_the_row_that_was_written_is_another(with_orphans: Database) -> None:
    touched = FIRST.format(OLD)
    before = with_orphans.query(KEYS), with_orphans.query(ROWS)
    there_and_back(with_orphans, f"UPDATE {OLD} SET response_tone = 'technical' WHERE id = {touched}")
    keys, rows = with_orphans.query(KEYS), with_orphans.query(ROWS)
    assert keys == before[0]
    assert rows[1:] == before[1][1:]
    assert rows[0][0]["response_tone"] == "technical"


def test_d6_a_row_without_its_user_keeps_what_it_said_also_where_it_is_written(with_orphans: Database) -> None:
    touched = FIRST.format(f"{OLD} WHERE id <> {FIRST.format(OLD)}")
    before = dict(with_orphans.query(f"SELECT id, created_by FROM {NEW}"))
    there_and_back(with_orphans, f"UPDATE {OLD} SET custom_system_prompt = 'written' WHERE id = {touched}")
    written = with_orphans.query(f"SELECT created_by FROM {NEW} WHERE custom_system_prompt = 'written'")
    assert [str(created_by) for (created_by,) in written] == [GONE.strip("'")]
    assert dict(with_orphans.query(f"SELECT id, created_by FROM {NEW}")) == before


def test_d6_valid_keys_are_valid_again_and_what_lost_its_user_since_is_mended(migrated_database: Database) -> None:
    ghost = "'00000000-0000-0000-0000-0000000000bb'"
    migrated_database.execute(
        f"INSERT INTO auth.users (id) VALUES ({ghost});"
        f"UPDATE {NEW} SET created_by = {ghost}, updated_by = NULL WHERE id = {FIRST.format(NEW)};"
        f"UPDATE {NEW} SET updated_by = (SELECT min(id::text)::uuid FROM auth.users WHERE id <> {ghost})"
        f" WHERE id = {FIRST.format(NEW)}"
    )
    keys = migrated_database.query(KEYS)
    there_and_back(migrated_database, f"DELETE FROM auth.users WHERE id = {ghost}")
    assert migrated_database.query(KEYS) == keys
    created = migrated_database.query(f"SELECT created_by FROM {NEW} WHERE id = {FIRST.format(NEW)}")[0][0]
    assert str(created) != ghost.strip("'")
