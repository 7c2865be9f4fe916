"""The whole way there and back, by value: rows, definitions, and writers who must not notice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from aicfg_pipeline.embedded.database import fill_demo
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database, Server
from aicfg_pipeline_tests.tools.writers import Writers

OLD_TABLES = ("public.sys_rag", "public.org_prompt_engineering")


@pytest.fixture
def thousand(running_server: Server) -> Iterator[Database]:
    """1,000 organisations, before the migration."""
    with running_server.database(
        "thousand", lambda database: fill_demo(database.admin_url, database.url, organisations=1000)
    ) as database:
        yield database


def _dumped(database: Database) -> tuple[str, list[str]]:
    """Definitions as they are; all lines of the dump with its data sorted, since rows of a table have no order."""
    return database.schema_dump(*OLD_TABLES), sorted(database.dump(*OLD_TABLES).splitlines())


@pytest.mark.every_version
def test_two_round_trips_leave_a_thousand_organisations_as_they_were(thousand: Database, tmp_path: Path) -> None:
    before_rows, before = thousand.fingerprints(("public",)), _dumped(thousand)
    for _ in range(2):
        with running(thousand.url) as run:
            migrate(run)
        with running(thousand.url) as run:
            roll_back(run)
            drop_parked(run, tmp_path)
        assert thousand.fingerprints(("public",)) == before_rows
        assert _dumped(thousand) == before


@pytest.mark.every_version
def test_the_column_that_was_split_comes_back_from_its_last_writer(migrated_database: Database) -> None:
    user = migrated_database.query("SELECT id FROM auth.users ORDER BY id LIMIT 1")[0][0]
    changed = migrated_database.query(
        "UPDATE ai_cfg_org_prompts SET updated_by = %s WHERE id = (SELECT min(id::text)::uuid FROM ai_cfg_org_prompts)"
        " RETURNING id",
        (user,),
    )[0][0]
    never = migrated_database.query(
        "UPDATE ai_cfg_org_prompts SET updated_by = NULL, created_by = %s"
        " WHERE id = (SELECT max(id::text)::uuid FROM ai_cfg_org_prompts) RETURNING id",
        (user,),
    )[0][0]
    with running(migrated_database.url) as run:
        roll_back(run)
    found = dict(migrated_database.query("SELECT id, configured_by FROM org_prompt_engineering"))
    assert found[changed] == user
    assert found[never] == user


def test_four_writers_notice_nothing_and_lose_nothing(migrated_database: Database, tmp_path: Path) -> None:
    with Writers(migrated_database.url, threads=4) as writers, running(migrated_database.url) as run:
        roll_back(run)
        writers.wait_for(200)
        drop_parked(run, tmp_path)
        writers.wait_for(50)
    assert writers.errors == []
    with migrated_database.connect() as connection:
        assert writers.verify(connection) == []
    assert writers.acknowledged > 250
    print(f"longest wait {writers.longest_wait_ms:.1f} ms of {writers.acknowledged} writes")


def test_nothing_but_the_ledger_is_left_of_us(migrated_database: Database, tmp_path: Path) -> None:
    with running(migrated_database.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
    left = migrated_database.query(
        "SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname LIKE 'aicfg%' AND c.relkind IN ('r', 'v')"
        " UNION ALL SELECT proname FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname LIKE 'aicfg%'"
        " UNION ALL SELECT tgname FROM pg_trigger WHERE tgname LIKE 'aicfg%'"
    )
    assert left == [("ledger",)]


def test_global_default_privileges_do_not_leak_into_the_restored_tables(migrated_database: Database) -> None:
    with migrated_database.admin() as admin:
        admin.execute("ALTER DEFAULT PRIVILEGES FOR ROLE postgres GRANT SELECT ON TABLES TO pg_monitor")
    with running(migrated_database.url) as run:
        roll_back(run)
    leaked = migrated_database.query(
        "SELECT relname FROM pg_class WHERE relname IN ('sys_rag', 'org_prompt_engineering')"
        " AND relnamespace = 'public'::regnamespace AND relacl::text LIKE '%%pg_monitor%%'"
    )
    assert leaked == []
