"""The sensor's look sees every change of the catalog around the tables, names its kind, and takes no lock (A6)."""

from __future__ import annotations

import time

import psycopg
import pytest

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.glance import Glance, glance
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.rollback.checks.test_mutations import SEEN, SILENTLY, UNSEEN, done
from aicfg_pipeline_tests.tools.servers import Database

NEW = "public.ai_cfg_org_prompts"
VIEW = "public.org_prompt_engineering"

CHANGES = {
    f"ALTER TABLE {NEW} DISABLE ROW LEVEL SECURITY": {"row level security"},
    f"ALTER TABLE {NEW} FORCE ROW LEVEL SECURITY": {"row level security"},
    f"CREATE POLICY everybody ON {NEW} USING (true)": {"policies"},
    f"GRANT SELECT ON {NEW} TO PUBLIC": {"grants"},
    f"GRANT SELECT (org_id) ON {NEW} TO anon": {"grants"},
    f"GRANT SELECT ON {VIEW} TO anon": {"grants"},
    f"ALTER TABLE {NEW} OWNER TO service_role": {"grants", "owners"},
    f"ALTER TABLE {NEW} ADD COLUMN more int": {"columns", "options of tables and views"},
    f"ALTER TABLE {NEW} ALTER response_tone SET DEFAULT 'casual'": {"columns"},
    f"ALTER TABLE {NEW} ADD CHECK (org_id IS NOT NULL) NOT VALID": {"constraints", "options of tables and views"},
    f"CREATE INDEX more ON {NEW} (response_tone)": {"indexes"},
    f"ALTER TABLE {NEW} DISABLE TRIGGER USER": {"triggers"},
    f"CREATE OR REPLACE VIEW {VIEW} AS SELECT * FROM {NEW} WHERE false": {"options of tables and views", "views and rules"},
    f"ALTER VIEW {VIEW} SET (security_barrier = true)": {"options of tables and views"},
    f"CREATE VIEW public.spy AS SELECT * FROM {VIEW}": {
        "columns", "grants", "options of tables and views", "owners", "roles", "row level security", "views and rules"
    },
    f"CREATE RULE r AS ON UPDATE TO {NEW} DO ALSO NOTHING": {"views and rules"},
    f"CREATE PUBLICATION one FOR TABLE {NEW}": {"publications"},
    "CREATE PUBLICATION everything FOR ALL TABLES": {"publications"},
    "CREATE PUBLICATION of_schema FOR TABLES IN SCHEMA public": {"publications"},
    "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS 'SELECT NULL::uuid'": {"functions"},
    "ALTER FUNCTION auth.uid() OWNER TO service_role": {"functions"},
    "GRANT CREATE ON SCHEMA public TO anon": {"schemas"},
    f"COMMENT ON COLUMN {NEW}.org_id IS 'x'": {"comments"},
}  # fmt: skip

NOTHING = {
    "statistics are gathered": f"ANALYZE {NEW}; ANALYZE public.ai_cfg_sys_rag",
    "a vacuum": f"VACUUM (FULL, ANALYZE) {NEW}",
    "a row is written": f"UPDATE {NEW} SET response_tone = 'casual'",
    "another table": "CREATE TABLE public.other (id int); GRANT ALL ON public.other TO anon",
    "a function that nothing here calls": "CREATE FUNCTION public.other() RETURNS int LANGUAGE sql AS 'SELECT 1'",
}


def seen(database: Database) -> Glance:
    session = connect(database.url, "look")
    try:
        return glance(session, spec.load())
    finally:
        session.close()


def changed(database: Database, *statements: str) -> set[str]:
    """What the look names as changed by these statements of a superuser."""
    before = seen(database)
    for statement in statements:
        database.admin().execute(statement)
    after = seen(database)
    kinds = after.changes({"states": before.states, "rows": before.rows, "catalog": before.catalog})
    assert (after.mark != before.mark) == bool(kinds)
    return set(kinds)


@pytest.mark.parametrize("change", CHANGES)
def test_a_change_of_the_catalog_is_seen_and_its_kind_is_named(migrated_database: Database, change: str) -> None:
    assert changed(migrated_database, change) == CHANGES[change]


def test_whatever_makes_a_check_fail_is_seen(cut_over_database: Database) -> None:
    unseen = []
    before = seen(cut_over_database)
    for what, mutation in {**UNSEEN, **SEEN}.items():
        if SILENTLY in mutation.does or mutation.before_the_cut_over:
            continue  # rows, which are counted, and a change that is made before
        with done(cut_over_database, mutation):
            after = seen(cut_over_database)
        unseen += [what] if after.catalog == before.catalog else []
        cut_over_database.admin().execute(
            "DROP VIEW IF EXISTS public.spy, public.inner_one; DROP TABLE IF EXISTS child"
        )
        before = seen(cut_over_database)
    assert unseen == []


@pytest.mark.parametrize("what", NOTHING)
def test_ordinary_use_and_what_is_elsewhere_changes_nothing(migrated_database: Database, what: str) -> None:
    assert changed(migrated_database, *NOTHING[what].split("; ")) == set()


@pytest.mark.every_version
def test_the_look_works_on_every_version_and_reads_only(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute(f"ALTER DATABASE {migrated_database.name} SET default_transaction_read_only = on")
    before = seen(migrated_database)
    assert before == seen(migrated_database)
    assert {"policies", "grants", "indexes", "functions", "views and rules"} <= before.catalog.keys()
    admin.execute(f"ALTER DATABASE {migrated_database.name} RESET default_transaction_read_only")
    assert changed(migrated_database, "CREATE PUBLICATION everything FOR ALL TABLES") == {"publications"}


def test_the_catalog_is_hashed_while_someone_holds_every_lock(migrated_database: Database) -> None:
    before = seen(migrated_database)
    with psycopg.connect(migrated_database.url) as other:
        other.execute(f"LOCK TABLE {NEW}, public.ai_cfg_sys_rag IN ACCESS EXCLUSIVE MODE")
        began = time.monotonic()
        during = seen(migrated_database)
        assert time.monotonic() - began < 10
    assert during.catalog == before.catalog
    assert during.estimated


def test_a_long_chain_of_functions_is_followed_as_far_as_time_allows(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aicfg_pipeline.rollback.glance.CATALOG_TIMEOUT_MS", "700")
    migrated_database.execute(
        "DO $$ BEGIN FOR i IN 1..400 LOOP EXECUTE format('CREATE FUNCTION f_%s() RETURNS int LANGUAGE plpgsql AS"
        " $f$ BEGIN %s RETURN f_%s(); END $f$', i, repeat('PERFORM 1; ', 50), i + 1); END LOOP; END $$;"
        f"CREATE POLICY chained ON {NEW} USING (f_1() = 1)"
    )
    change = "CREATE OR REPLACE FUNCTION f_1() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    assert changed(migrated_database, change) == {"functions"}
