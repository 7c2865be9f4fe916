"""Everybody else's statements come out as they would without us: while copying, when parked, undone and dropped.

Each statement runs on the database of the rollback and on a twin that nobody has touched, in a transaction that is
rolled back; compared are the SQLSTATE, the row count and all rows there are afterwards. What both go on with in common
(`SINCE`) makes shadows and parked tables lag behind: they hold what the tables in use refer to no more.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.undo import catch_up_forth, undo_rollback
from aicfg_pipeline_tests.tools import servers
from aicfg_pipeline_tests.tools.migration import drop_parked, running
from aicfg_pipeline_tests.tools.servers import Database, Server

PROMPTS, SETTINGS = "org_prompt_engineering", "sys_rag"
GHOST, LONELY, NOBODY = (f"'00000000-0000-0000-0000-00000000000{n}'" for n in (1, 2, 9))
FIRST = f"(SELECT id FROM {PROMPTS} ORDER BY id LIMIT 1)"
LAST = f"(SELECT id FROM {PROMPTS} ORDER BY id DESC LIMIT 1)"

STATEMENTS = (
    f"DELETE FROM auth.users WHERE id = {GHOST}",
    f"DELETE FROM auth.users WHERE id = {LONELY}",
    "DELETE FROM auth.users WHERE id = (SELECT min(id::text)::uuid FROM auth.users WHERE id::text NOT LIKE '0000%%')",
    "DELETE FROM auth.users",
    f"UPDATE auth.users SET id = {NOBODY} WHERE id = {GHOST}",
    f"DELETE FROM orgs WHERE id = (SELECT org_id FROM {PROMPTS} WHERE id = {FIRST})",
    "DELETE FROM orgs",
    f"UPDATE orgs SET id = {NOBODY} WHERE id = (SELECT org_id FROM {PROMPTS} WHERE id = {FIRST})",
    "TRUNCATE orgs",
    "TRUNCATE orgs CASCADE",
    "TRUNCATE ai_models",
    "DELETE FROM ai_models",
    f"DELETE FROM ai_models WHERE id = (SELECT default_chat_model_id FROM {SETTINGS})",
    f"UPDATE ai_models SET id = {NOBODY} WHERE id = (SELECT default_chat_model_id FROM {SETTINGS})",
    f"UPDATE {SETTINGS} SET updated_by = {NOBODY}",
    f"UPDATE {SETTINGS} SET updated_by = {GHOST}, default_chat_model_id = NULL",
    f"UPDATE {SETTINGS} SET default_chat_model_id = {NOBODY}",
    f"INSERT INTO {SETTINGS} DEFAULT VALUES",
    f"DELETE FROM {SETTINGS}",
    f"UPDATE {PROMPTS} SET citation_style = 'wrong' WHERE id = {FIRST}",
    f"UPDATE {PROMPTS} SET citation_style = NULL WHERE id = {FIRST}",
    f"UPDATE {PROMPTS} SET citation_style = 'none'",
    f"UPDATE {PROMPTS} SET org_id = {NOBODY} WHERE id = {FIRST}",
    f"UPDATE {PROMPTS} SET org_id = (SELECT org_id FROM {PROMPTS} WHERE id = {LAST}) WHERE id = {FIRST}",
    f"UPDATE {PROMPTS} SET id = {NOBODY} WHERE id = {FIRST}",
    f"INSERT INTO {PROMPTS} (id, org_id) SELECT {NOBODY}, org_id FROM {PROMPTS} WHERE id = {FIRST}",
    f"INSERT INTO {PROMPTS} (id, org_id) SELECT id, {NOBODY} FROM {PROMPTS} WHERE id = {FIRST}",
    f"INSERT INTO {PROMPTS} (org_id) VALUES (NULL)",
    f"DELETE FROM {PROMPTS} WHERE id = {FIRST}",
    f"DELETE FROM {PROMPTS}",
    "DROP TABLE orgs",
    "DROP TABLE ai_models",
    "ALTER TABLE orgs DROP CONSTRAINT orgs_pkey",
    "ALTER TABLE orgs ADD COLUMN colour text DEFAULT 'red'",
    "SET LOCAL ROLE service_role; DELETE FROM orgs",
    f"SET LOCAL ROLE service_role; UPDATE {PROMPTS} SET citation_style = 'none'",
    f"SET LOCAL ROLE service_role; UPDATE {SETTINGS} SET max_chunk_size_tokens = 7",
    f"SET LOCAL ROLE anon; UPDATE {SETTINGS} SET max_chunk_size_tokens = 7",
    f"SET LOCAL session_replication_role = replica; UPDATE {SETTINGS} SET max_chunk_size_tokens = 7",
)
# What both databases go on with between the stages: references come and go, so that what is parked is out of date.
SINCE = (
    f"UPDATE {PROMPTS} SET {{by}} = {GHOST} WHERE id = {LAST}",
    f"UPDATE {PROMPTS} SET {{by}} = {LONELY} WHERE id = {LAST}",
    f"UPDATE {SETTINGS} SET updated_by = {GHOST}, default_chat_model_id = NULL",
    f"DELETE FROM orgs WHERE id = (SELECT org_id FROM {PROMPTS} ORDER BY id LIMIT 1)",
)


def outcomes(database: Database) -> dict[str, object]:
    """What each statement comes to, as the role `postgres` (a superuser where it takes one)."""
    with psycopg.connect(database.url) as connection:
        return {statement: _outcome(connection, statement) for statement in STATEMENTS}


def _outcome(connection: psycopg.Connection, statement: str) -> object:
    try:
        cursor = connection.execute(statement)
        while cursor.nextset():
            pass
        count = cursor.rowcount
        connection.execute("RESET ROLE")
        return count, rows(connection)
    except psycopg.Error as error:
        return error.sqlstate
    finally:
        connection.rollback()


def rows(connection: psycopg.Connection) -> dict[str, list[object]]:
    """All rows, without the columns that the two tables of a pair do not share; of times only whether they are now."""
    found: dict[str, list[object]] = {}
    for table in ("auth.users", "orgs", "ai_models", PROMPTS, SETTINGS):
        exists = connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone()
        if exists == (True,):
            query = (
                "SELECT (to_jsonb(r) - '{updated_at,configured_by,created_by}'::text[]"
                f" - CASE '{table}' WHEN '{PROMPTS}' THEN 'updated_by' ELSE '' END)::text,"
                f" coalesce((to_jsonb(r) ->> 'updated_at')::timestamptz = now(), false) FROM {table} AS r ORDER BY 1"
            )
            found[table] = list(connection.execute(query))
    return found


class Twins:
    """The database of the rollback, and one that stays migrated and one that never was, with the same writes."""

    def __init__(self, rolled: Database, migrated: Database, old: Database) -> None:
        self.rolled, self.migrated, self.old = rolled, migrated, old
        self.written = 0

    def write(self, *, new: bool) -> None:
        """The next of the writes that all three have in common."""
        statement = SINCE[self.written % len(SINCE)]
        self.written += 1
        self.rolled.execute(statement.format(by="updated_by" if new else "configured_by"))
        self.migrated.execute(statement.format(by="updated_by"))
        self.old.execute(statement.format(by="configured_by"))

    def agree(self, stage: str, *, new: bool) -> None:
        expected = outcomes(self.migrated if new else self.old)
        found = outcomes(self.rolled)
        odd = {s: (expected[s], found[s]) for s in STATEMENTS if expected[s] != found[s]}
        assert odd == {}, f"{stage}: {list(odd)}"


@pytest.fixture
def twins(running_server: Server, migrated_database: Database, old_database: Database) -> Iterator[Twins]:
    running_server.template("old", servers.fill_old)
    with running_server.database("migrated", servers.fill_migrated, parent="old") as twin:
        found = Twins(migrated_database, twin, old_database)
        for database in (found.rolled, found.migrated, found.old):
            database.execute(f"INSERT INTO auth.users (id) VALUES ({GHOST}), ({LONELY})")
        yield found


@pytest.mark.slow
@pytest.mark.two_versions
def test_statements_come_out_as_on_a_database_that_nobody_touches(twins: Twins, tmp_path: Path) -> None:
    twins.write(new=True)
    twins.agree("before", new=True)
    with running(twins.rolled.url) as run:
        for pair in run.migration.pairs:
            copy_back(run, pair.old)
            twins.write(new=True)
            twins.agree(f"copying {pair.old}", new=True)
        compare(run)
        twins.write(new=True)
        twins.agree("compared", new=True)
        for _ in range(2):
            cut_over(run)
            twins.agree("parked", new=False)
            for _ in range(4):
                twins.write(new=False)
            twins.agree("parked, and written to", new=False)
            for pair in run.migration.pairs:
                catch_up_forth(run, pair.old)
            twins.write(new=False)
            twins.agree("undo begun", new=False)
            undo_rollback(run)
            twins.agree("undone", new=True)
            twins.write(new=True)
            for pair in run.migration.pairs:
                copy_back(run, pair.old)
            compare(run)
        cut_over(run)
        twins.write(new=False)
        drop_parked(run, tmp_path)
        twins.agree("dropped", new=False)
