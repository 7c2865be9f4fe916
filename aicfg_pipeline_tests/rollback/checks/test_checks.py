"""Every check has its reason to fail: databases are spoilt in one way each, and exactly the right checks say so."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.checks.check import Check, Inspection
from aicfg_pipeline.rollback.checks.rows import write_differences
from aicfg_pipeline.rollback.checks.structure import structure
from aicfg_pipeline.rollback.state import look
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import restored
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

T = "public.org_prompt_engineering"
ONE = f"(SELECT min(id::text)::uuid FROM {T})"
Spoil = str | Callable[[Database], None]


def checks(url: str) -> list[Check]:
    session = connect(url, "checks")
    try:
        return run_checks(session, spec.load())
    finally:
        session.close()


def failing(url: str) -> set[str]:
    return {c.name for c in checks(url) if c.failed}


def of(url: str, name: str, old: str = "org_prompt_engineering") -> Check:
    return next(c for c in checks(url) if c.name == name and c.pair == old)


def past_triggers(*statements: str, table: str = T) -> Callable[[Database], None]:
    def spoil(database: Database) -> None:
        restored.silently(database.admin(), table, *statements)

    return spoil


def other_owner(database: Database) -> None:
    admin = database.admin()
    if not admin.execute("SELECT FROM pg_roles WHERE rolname = 'another_owner'").fetchone():
        admin.execute("CREATE ROLE another_owner NOLOGIN")
        admin.execute("GRANT another_owner TO postgres")
    admin.execute(f"ALTER TABLE {T} OWNER TO another_owner")


def orphan(database: Database) -> None:
    admin = database.admin()
    admin.execute(f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_org_id_fkey")
    admin.execute(f"UPDATE {T} SET org_id = gen_random_uuid() WHERE id = {ONE}")
    admin.execute(
        f"ALTER TABLE {T} ADD CONSTRAINT org_prompt_engineering_org_id_fkey FOREIGN KEY (org_id)"
        " REFERENCES public.orgs(id) ON DELETE CASCADE NOT VALID"
    )


def duplicate(database: Database) -> None:
    admin = database.admin()
    admin.execute(f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_pkey")
    admin.execute(f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_org_id_key")
    restored.silently(admin, T, f"INSERT INTO {T} SELECT * FROM {T} WHERE id = {ONE}")


CHANGED_ONE = past_triggers(
    f"UPDATE {T} SET custom_system_prompt = coalesce(custom_system_prompt, '') || 'x' WHERE id = {ONE}"
)
SWAPPED = past_triggers(
    f"UPDATE {T} AS a SET response_tone = b.response_tone FROM {T} AS b WHERE a.id <> b.id"
    f" AND a.id IN (SELECT id FROM (SELECT DISTINCT ON (response_tone) id FROM {T} ORDER BY response_tone) s LIMIT 2)"
    f" AND b.id IN (SELECT id FROM (SELECT DISTINCT ON (response_tone) id FROM {T} ORDER BY response_tone) s LIMIT 2)"
)

CORE: dict[str, tuple[Spoil, set[str]]] = {
    "a default": (f"ALTER TABLE {T} ALTER citation_style SET DEFAULT 'none'", {"structure"}),
    "a column more": (f"ALTER TABLE {T} ADD extra integer", {"structure"}),
    "no trigger": (f"DROP TRIGGER update_org_prompt_engineering_updated_at ON {T}", {"structure"}),
    "nullable": (f"ALTER TABLE {T} ALTER citation_style DROP NOT NULL", {"structure"}),
    "force": (f"ALTER TABLE {T} FORCE ROW LEVEL SECURITY", {"row_level_security"}),
    "no rls": (f"ALTER TABLE {T} DISABLE ROW LEVEL SECURITY", {"row_level_security", "visible_rows"}),
    "grant to anon": (f"GRANT SELECT ON {T} TO anon", {"grants"}),
    "foreign key not valid": (
        f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_configured_by_fkey, ADD CONSTRAINT"
        " org_prompt_engineering_configured_by_fkey FOREIGN KEY (configured_by) REFERENCES auth.users(id) NOT VALID",
        {"references"},
    ),
    "a character": (CHANGED_ONE, {"checksum", "rows"}),
    "a row lost": (past_triggers(f"DELETE FROM {T} WHERE id = {ONE}"), {"row_count"}),
}

MORE: dict[str, tuple[Spoil, set[str]]] = {
    # structure
    "a column less": (f"ALTER TABLE {T} DROP COLUMN org_system_prompt", {"structure"}),
    "a type": (f"ALTER TABLE {T} ALTER response_tone TYPE varchar(50)", {"structure"}),
    "a collation": (f'ALTER TABLE {T} ALTER response_tone TYPE text COLLATE "C"', {"structure"}),
    "an identity": (f"ALTER TABLE {T} ADD n integer GENERATED ALWAYS AS IDENTITY", {"structure", "sequences"}),
    "a check less": (f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_citation_style_check", {"structure"}),
    "a check not valid": (f"ALTER TABLE {T} ADD CONSTRAINT c CHECK (org_id IS NOT NULL) NOT VALID", {"structure"}),
    "an index more": (f"CREATE INDEX ON {T} (created_at)", {"structure"}),
    "an index less": ("DROP INDEX public.idx_org_prompt_engineering_org_id", {"structure"}),
    "another index": (
        "DROP INDEX public.idx_org_prompt_engineering_org_id;"
        f"CREATE INDEX idx_org_prompt_engineering_org_id ON {T} USING hash (org_id)",
        {"structure"},
    ),
    "a trigger disabled": (f"ALTER TABLE {T} DISABLE TRIGGER update_org_prompt_engineering_updated_at", {"structure"}),
    "a trigger's function": (
        "CREATE OR REPLACE FUNCTION public.update_org_prompt_engineering_updated_at() RETURNS trigger LANGUAGE plpgsql"
        " AS 'BEGIN RETURN NEW; END'",
        {"structure"},
    ),
    "our trigger": (f"DROP TRIGGER aicfg_rollback_change_log ON {T}", {"structure"}),
    "our trigger not always": (f"ALTER TABLE {T} ENABLE TRIGGER aicfg_rollback_change_log", {"structure"}),
    "a comment": (f"COMMENT ON TABLE {T} IS 'something else'", {"structure"}),
    "a column's comment": (f"COMMENT ON COLUMN {T}.id IS 'the id'", {"structure"}),
    "storage options": (f"ALTER TABLE {T} SET (fillfactor = 70)", {"structure"}),
    "replica identity": (f"ALTER TABLE {T} REPLICA IDENTITY FULL", {"structure"}),
    "a rule": (f"CREATE RULE r AS ON DELETE TO {T} DO INSTEAD NOTHING", {"structure"}),
    "owner": (other_owner, {"structure"}),
    "foreign key gone": (f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_configured_by_fkey", {"structure"}),
    "foreign key of another kind": (
        f"ALTER TABLE {T} DROP CONSTRAINT org_prompt_engineering_org_id_fkey, ADD CONSTRAINT"
        " org_prompt_engineering_org_id_fkey FOREIGN KEY (org_id) REFERENCES public.orgs(id)",
        {"structure"},
    ),
    # row level security
    "a policy for one more role": (
        f'ALTER POLICY "Sys admins can manage prompt engineering" ON {T} TO authenticated, anon',
        {"row_level_security"},
    ),
    "a policy's check": (
        f'ALTER POLICY "Sys admins can manage prompt engineering" ON {T} WITH CHECK (true)',
        {"row_level_security"},
    ),
    "a policy more": (f"CREATE POLICY p ON {T} FOR SELECT TO service_role USING (true)", {"row_level_security"}),
    "a policy widened": (
        f'ALTER POLICY "Sys admins can manage prompt engineering" ON {T} USING (true)',
        {"row_level_security", "visible_rows"},
    ),
    # grants
    "a column's grant": (f"GRANT SELECT (id) ON {T} TO anon", {"grants"}),
    "a grant to everyone": (f"GRANT REFERENCES ON {T} TO PUBLIC", {"grants"}),
    "a grant that may be passed on": (f"GRANT SELECT ON {T} TO authenticated WITH GRANT OPTION", {"grants"}),
    "a privilege less": (f"REVOKE INSERT ON {T} FROM authenticated", {"grants"}),
    # visible rows
    "no way to the schema": ("REVOKE USAGE ON SCHEMA public FROM PUBLIC, authenticated", {"visible_rows"}),
    # references
    "an orphan": (orphan, {"references"}),
    "a view on the parked table": (
        "CREATE VIEW public.spy AS SELECT * FROM aicfg_rollback.ai_cfg_org_prompts",
        {"references"},
    ),
    "a function on the parked rows": (
        "CREATE FUNCTION public.spy(aicfg_rollback.ai_cfg_org_prompts) RETURNS int LANGUAGE sql AS 'SELECT 1'",
        {"references"},
    ),
    "a foreign key to the parked table": (
        "CREATE TABLE public.spy (id uuid REFERENCES aicfg_rollback.ai_cfg_org_prompts)",
        {"references"},
    ),
    "a policy on the parked table": (
        "CREATE TABLE public.spy (id uuid);"
        "CREATE POLICY p ON public.spy USING (EXISTS (SELECT FROM aicfg_rollback.ai_cfg_org_prompts))",
        {"references"},
    ),
    "a publication of the parked table": (
        lambda d: d.admin().execute("CREATE PUBLICATION spy FOR TABLE aicfg_rollback.ai_cfg_org_prompts") and None,
        {"references"},
    ),
    # what should be gone
    "the new name again": ("CREATE VIEW public.ai_cfg_org_prompts AS SELECT 1 AS one", {"new_tables_gone"}),
    "a new table again": ("CREATE TABLE public.ai_cfg_org_prompts (id uuid)", {"new_tables_gone"}),
    "nobody told PostgREST": (
        "UPDATE aicfg_rollback.ledger SET facts = facts - 'api_notified' WHERE step = 'cut_over'",
        {"api_schema_cache"},
    ),
    # rows
    "a row too many": (
        past_triggers(
            "INSERT INTO public.orgs (name) VALUES ('spare')",
            f"INSERT INTO {T} (org_id) SELECT id FROM public.orgs WHERE name = 'spare'",
        ),
        {"row_count"},
    ),
    "a key twice": (duplicate, {"row_count", "structure"}),
    "two values swapped": (SWAPPED, {"checksum", "rows"}),
    "a number written otherwise": (
        past_triggers(
            "UPDATE public.sys_rag SET embedding_model_costs ="
            " replace(embedding_model_costs::text, '1.50', '1.500')::jsonb",
            table="public.sys_rag",
        ),
        {"rows"},
    ),
}


def spoil(database: Database, what: Spoil) -> None:
    if isinstance(what, str):
        database.execute(what)
    else:
        what(database)


@pytest.mark.two_versions
@pytest.mark.parametrize("what", CORE)
def test_only_the_right_checks_fail_on_other_versions_too(cut_over_database: Database, what: str) -> None:
    spoil(cut_over_database, CORE[what][0])
    assert failing(cut_over_database.url) == CORE[what][1]


@pytest.mark.parametrize("what", MORE)
def test_only_the_right_checks_fail(cut_over_database: Database, what: str) -> None:
    spoil(cut_over_database, MORE[what][0])
    assert failing(cut_over_database.url) == MORE[what][1]


def test_someone_else_is_taken_for_an_admin(cut_over_database: Database) -> None:
    cut_over_database.admin().execute(
        "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $$SELECT md5('aicfg user 1')::uuid$$"
    )
    assert failing(cut_over_database.url) == {"visible_rows", "functions"}
    assert (
        "unknown user (authenticated) saw none of the rows before and all now"
        in of(cut_over_database.url, "visible_rows").summary
    )


@pytest.mark.parametrize(
    ("what", "expected"),
    {
        "CREATE TABLE aicfg_rollback.something (id int)": {"nothing_left"},
        "CREATE SCHEMA aicfg_rollback_swap": {"nothing_left"},
        "CREATE FUNCTION aicfg_rollback.f() RETURNS int LANGUAGE sql AS 'SELECT 1'": {"nothing_left"},
        "CREATE FUNCTION public.f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER aicfg_rollback_change_log AFTER INSERT ON public.org_prompt_engineering"
        " FOR EACH ROW EXECUTE FUNCTION public.f()": {"nothing_left"},
        "CREATE VIEW aicfg_rollback.org_prompt_engineering AS SELECT 1 AS one": {"views_gone"},
        "CREATE INDEX ON public.sys_rag (updated_at)": {"structure"},
        "GRANT DELETE ON public.sys_rag TO anon": {"grants"},
    }.items(),
)
def test_after_the_drop(dropped_database: Database, what: str, expected: set[str]) -> None:
    assert failing(dropped_database.url) == set()
    dropped_database.execute(what)
    assert failing(dropped_database.url) == expected


NOT_INVOKER = "ALTER VIEW public.{} SET (security_invoker = false)"


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        (NOT_INVOKER.format("sys_rag"), {"view_security"}),
        (NOT_INVOKER.format("org_prompt_engineering"), {"view_security", "view_visible_rows"}),
        ("DROP VIEW public.sys_rag", {"view_agrees"}),
        ("ALTER TABLE public.ai_cfg_sys_rag ADD later text", {"view_agrees"}),
        (
            "CREATE OR REPLACE VIEW public.sys_rag WITH (security_invoker = true) AS"
            " SELECT * FROM public.ai_cfg_sys_rag WHERE id IS NULL",
            {"view_agrees"},
        ),
        ("UPDATE aicfg_rollback.ledger SET at = at - interval '8 days'", {"view_lifetime"}),
    ],
)
def test_when_to_roll_back(migrated_database: Database, what: str, expected: set[str]) -> None:
    assert failing(migrated_database.url) == set()
    migrated_database.execute(what)
    found = [c for c in checks(migrated_database.url) if c.failed]
    assert {c.name for c in found} == expected
    assert all(c.severity == "WARN" and "rollback is advised because" in c.summary for c in found)


@pytest.mark.every_version
def test_all_pass_where_nothing_is_wrong(
    old_database: Database, migrated_database: Database, cut_over_database: Database, dropped_database: Database
) -> None:
    for database in (old_database, migrated_database, cut_over_database, dropped_database):
        assert [c for c in checks(database.url) if c.failed and c.name != "view_visible_rows"] == []


def test_default_privileges_do_not_leak_in(cut_over_database: Database) -> None:
    """What a project gives away by default is no excuse: only what the file grants may be there."""
    cut_over_database.execute("ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO anon")
    assert failing(cut_over_database.url) == set()
    cut_over_database.execute(f"GRANT ALL ON {T} TO anon")
    check = of(cut_over_database.url, "grants")
    assert not check.passed
    assert "role anon" in check.summary


def test_postgrest_is_told_in_the_cut_over(migrated_database: Database) -> None:
    listener = migrated_database.connect()
    listener.execute("LISTEN pgrst")
    with running(migrated_database.url) as run:
        restored.cut_over_all(run)
    assert [n.payload for n in listener.notifies(timeout=2, stop_after=1)] == ["reload schema"]
    assert of(migrated_database.url, "api_schema_cache").passed


def test_columns_at_fault_are_named(cut_over_database: Database) -> None:
    spoil(cut_over_database, CHANGED_ONE)
    assert of(cut_over_database.url, "checksum").facts["columns_at_fault"] == {"custom_system_prompt": 1}
    check = of(cut_over_database.url, "rows")
    assert len(check.facts["first_keys"]) == 1
    assert "| custom_system_prompt |" in check.facts["before_and_after"]


def test_differing_rows_as_csv(cut_over_database: Database, tmp_path: Path) -> None:
    import pandas as pd

    long = 'line one\nline "two", and a comma\n' * 20
    with cut_over_database.admin() as admin:
        restored.silently(
            admin,
            T,
            psycopg.sql.SQL(f"UPDATE {T} SET custom_context_prompt = {{}} WHERE id = {ONE}")
            .format(psycopg.sql.Literal(long))
            .as_string(admin),
            f"DELETE FROM {T} WHERE id = (SELECT max(id::text)::uuid FROM {T})",
        )
        key = admin.execute(f"SELECT {ONE}").fetchone()[0]
    session = connect(cut_over_database.url)
    migration = spec.load()
    inspection = Inspection(session, migration, look(session, migration))
    path = write_differences(inspection, migration.pair("org_prompt_engineering"), tmp_path)
    assert write_differences(inspection, migration.pair("sys_rag"), tmp_path) is None
    session.close()
    assert path is not None
    assert path.stat().st_mode & 0o777 == 0o600
    frame = pd.read_csv(path)
    assert set(frame.kind) == {"changed", "missing"}
    changed = frame[frame.kind == "changed"]
    assert list(changed.key) == [str(key)]
    assert changed.after.iloc[0].replace("\r\n", "\n") == long


def test_checks_wait_for_nobody(cut_over_database: Database) -> None:
    """A writer in the middle of its transaction holds up no check, and no check leaves a trace."""
    writer = cut_over_database.connect(autocommit=False)
    writer.execute(f"UPDATE {T} SET response_tone = 'casual'")
    before = cut_over_database.schema_dump()
    assert failing(cut_over_database.url) == set()
    writer.rollback()
    assert cut_over_database.schema_dump() == before


def test_only_access_share_on_the_users_tables(cut_over_database: Database) -> None:
    session = connect(cut_over_database.url)
    migration = spec.load()
    inspection = Inspection(session, migration, look(session, migration))
    seen: set[tuple[str, str]] = set()
    other = cut_over_database.connect()
    execute = session.execute

    def spying(query: object, params: object = None, **options: object) -> object:
        result = execute(query, params, **options)  # type: ignore[arg-type]
        seen.update(
            other.execute(
                "SELECT l.relation::regclass::text, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE l.pid = %s AND n.nspname IN ('public', 'auth')",
                (session.connection.info.backend_pid,),
            ).fetchall()
        )
        return result

    session.execute = spying  # type: ignore[method-assign,assignment]
    for pair in migration.pairs:
        assert structure(inspection, pair).passed
        for check in run_checks(session, migration):
            assert not check.failed, check
    session.close()
    assert {mode for _, mode in seen} == {"AccessShareLock"}
