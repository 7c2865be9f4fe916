"""What someone may do to a database after a good rollback (or undo), one thing at a time: exactly the right checks say so (L1).

The list is the review's: what `verify` did not see then, what it saw, and what must not disturb it. Each is done by a
superuser on a copy of its own. Roles belong to the whole server, so they are put right again afterwards.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import restored
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

OLD = "public.org_prompt_engineering"
NEW = "public.ai_cfg_org_prompts"
PARKED = "aicfg_rollback.ai_cfg_org_prompts"
LOG_FUNCTION = "aicfg_rollback.change_log_org_prompt_engineering()"
STAMP = "public.update_org_prompt_engineering_updated_at()"
CLAIM = (
    "coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''),"
    " (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub'))::uuid"
)
SILENTLY = "SET session_replication_role = replica;"  # as who does not want it to be seen
ONE_PARKED = f"(SELECT min(id::text)::uuid FROM {PARKED} WHERE updated_by IS NOT NULL)"


@dataclass(frozen=True)
class Mutation:
    """What is done, which checks must fail for it, what one of them says, and what puts the server's roles right."""

    does: str
    fails: set[str]
    says: str = ""
    afterwards: str = ""
    before_the_cut_over: str = ""


def stamped(body: str) -> str:
    return f"CREATE OR REPLACE FUNCTION {STAMP} RETURNS trigger LANGUAGE plpgsql AS $f${body}$f$"


UNSEEN = {
    "the trigger function belongs to someone else": Mutation(
        f"ALTER FUNCTION {STAMP} OWNER TO authenticated", {"functions"}, "update_org_prompt_engineering_updated_at"
    ),
    "others may call the trigger function": Mutation(
        f"GRANT EXECUTE ON FUNCTION {STAMP} TO anon WITH GRANT OPTION", {"functions"}, "who may call it"
    ),
    "auth.uid() makes one user another": Mutation(
        f"CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS $f$SELECT CASE {CLAIM}"
        f" WHEN '00000000-0000-0000-0000-00000000beef' THEN md5('aicfg user 1')::uuid ELSE {CLAIM} END$f$",
        {"functions"},
        "auth.uid()",
    ),
    "auth.uid() belongs to someone else": Mutation(
        "ALTER FUNCTION auth.uid() OWNER TO authenticated", {"functions"}, "auth.uid(): owner"
    ),
    "a new role in service_role": Mutation(
        "CREATE ROLE spy; GRANT service_role TO spy", {"roles"}, "role service_role: members", "DROP ROLE spy"
    ),
    "a role in a role in service_role": Mutation(
        "CREATE ROLE spy; GRANT authenticator_like TO spy",
        {"roles"},
        "spy",
        "DROP ROLE spy; DROP ROLE authenticator_like",
        before_the_cut_over="CREATE ROLE authenticator_like; GRANT service_role TO authenticator_like",
    ),
    "the private schema is open": Mutation(
        "GRANT USAGE ON SCHEMA aicfg_rollback TO anon", {"private_schema"}, "anon may USAGE on the schema"
    ),
    "the ledger is open": Mutation("GRANT SELECT ON aicfg_rollback.ledger TO anon", {"private_schema"}, "ledger"),
    "a view reads past row level security": Mutation(
        f"CREATE VIEW public.spy AS SELECT * FROM {OLD}; GRANT SELECT ON public.spy TO anon",
        {"readers"},
        "view public.spy",
    ),
    "a view on a view": Mutation(
        f"CREATE VIEW public.inner_one AS SELECT * FROM {OLD}; REVOKE ALL ON public.inner_one FROM PUBLIC;"
        "CREATE VIEW public.spy AS SELECT * FROM public.inner_one; GRANT SELECT ON public.spy TO anon",
        {"readers"},
        "spy",
    ),
    "a SECURITY DEFINER function reads past it": Mutation(
        "CREATE FUNCTION public.spy() RETURNS bigint LANGUAGE sql SECURITY DEFINER AS"
        f" $f$SELECT count(*) FROM {OLD}$f$",
        {"readers"},
        "spy()",
    ),
    "the change log's function does nothing": Mutation(
        f"CREATE OR REPLACE FUNCTION {LOG_FUNCTION} RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER"
        " SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN NULL; END'",
        {"functions"},
        "aicfg_rollback",
    ),
    "a parked column that only undo needs is emptied": Mutation(
        f"{SILENTLY} UPDATE {PARKED} SET created_by = NULL WHERE updated_by IS NOT NULL",
        {"new_table_kept"},
        "parked rows were written since",
    ),
    "one parked value": Mutation(
        f"{SILENTLY} UPDATE {PARKED} SET created_by = NULL WHERE id = {ONE_PARKED}",
        {"new_table_kept"},
        "1 parked rows were written since",
    ),
    "the parked table loses its unique constraint": Mutation(
        f"ALTER TABLE {PARKED} DROP CONSTRAINT ai_cfg_org_prompts_org_id_key", {"new_table_kept"}, "org_id_key"
    ),
    "the parked table loses its policies": Mutation(
        f"ALTER TABLE {PARKED} DISABLE ROW LEVEL SECURITY", {"new_table_kept"}, "row level security"
    ),
    "a child table": Mutation(f"CREATE TABLE public.child () INHERITS ({OLD})", {"structure"}, "child tables"),
    "extended statistics": Mutation(
        f"CREATE STATISTICS public.more ON response_tone, citation_style FROM {OLD}", {"structure"}, "statistics more"
    ),
    "options of its TOAST table": Mutation(
        f"ALTER TABLE {OLD} SET (toast.autovacuum_enabled = off)", {"structure"}, "TOAST options"
    ),
    "a column's statistics": Mutation(
        f"ALTER TABLE {OLD} ALTER response_tone SET STATISTICS 7", {"structure"}, "statistics target"
    ),
    "a column's options": Mutation(
        f"ALTER TABLE {OLD} ALTER response_tone SET (n_distinct = 3)", {"structure"}, "n_distinct"
    ),
    "a line break less in a body, which may end in a comment": Mutation(  # L2
        stamped("\nBEGIN     NEW.updated_at = now();\n    RETURN NEW;\nEND;\n"), {"structure"}, "body"
    ),
}

SEEN = {
    "a column's grant": Mutation(f"GRANT SELECT (org_id) ON {OLD} TO anon", {"grants"}),
    "a disabled trigger": Mutation(
        f"ALTER TABLE {OLD} DISABLE TRIGGER update_org_prompt_engineering_updated_at", {"structure"}
    ),
    "a rule": Mutation(f"CREATE RULE r AS ON UPDATE TO {OLD} DO ALSO NOTHING", {"structure"}),
    "a function's body": Mutation(stamped("BEGIN RETURN NEW; END"), {"structure"}),
    "a check that is not valid": Mutation(
        f"ALTER TABLE {OLD} ADD CONSTRAINT c CHECK (org_id IS NOT NULL) NOT VALID", {"structure"}
    ),
    "authenticated reads past row level security": Mutation(
        "ALTER ROLE authenticated BYPASSRLS", {"roles", "visible_rows"}, "", "ALTER ROLE authenticated NOBYPASSRLS"
    ),
    "the owner's role is given away": Mutation(
        "REVOKE authenticated FROM postgres; GRANT postgres TO authenticated",
        {"roles", "visible_rows"},
        "role postgres: members",
        "REVOKE postgres FROM authenticated; GRANT authenticated TO postgres",
    ),
    "a column's type": Mutation(f"ALTER TABLE {OLD} ALTER response_tone TYPE varchar(60)", {"structure"}),
    "replica identity full": Mutation(f"ALTER TABLE {OLD} REPLICA IDENTITY FULL", {"structure"}),
    "replica identity by another index": Mutation(
        f"ALTER TABLE {OLD} REPLICA IDENTITY USING INDEX org_prompt_engineering_org_id_key", {"structure"}
    ),
    "the table's comment": Mutation(f"COMMENT ON TABLE {OLD} IS 'x'", {"structure"}),
    "a column's comment": Mutation(f"COMMENT ON COLUMN {OLD}.org_id IS 'x'", {"structure"}),
    "fillfactor": Mutation(f"ALTER TABLE {OLD} SET (fillfactor = 50)", {"structure"}),
    "an invalid index": Mutation(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid ="
        " 'public.idx_org_prompt_engineering_org_id'::regclass",
        {"structure"},
    ),
    "triggers of a foreign key off on the referenced side": Mutation(
        "ALTER TABLE public.orgs DISABLE TRIGGER ALL", {"structure"}
    ),
    "autovacuum off": Mutation(f"ALTER TABLE {OLD} SET (autovacuum_enabled = off)", {"structure"}),
    "the change log's function belongs to someone else": Mutation(
        f"ALTER FUNCTION {LOG_FUNCTION} OWNER TO service_role", {"functions", "private_schema"}
    ),
    "a foreign key less": Mutation(
        f"ALTER TABLE {OLD} DROP CONSTRAINT org_prompt_engineering_configured_by_fkey", {"structure"}
    ),
}

CONTROLS = {
    "people write": (
        f"UPDATE {OLD} SET response_tone = 'casual'; DELETE FROM {OLD} WHERE id = (SELECT min(id::text)::uuid FROM {OLD})"
    ),
    "statistics are gathered": f"ANALYZE {OLD}; ANALYZE {PARKED}",
    "another table, view and function": (
        "CREATE TABLE public.other (id int); CREATE VIEW public.on_other AS SELECT * FROM public.other;"
        "CREATE FUNCTION public.of_other() RETURNS int LANGUAGE sql SECURITY DEFINER AS 'SELECT 1'"
    ),
    "a view with its readers' own rights": (
        f"CREATE VIEW public.fair WITH (security_invoker = true) AS SELECT * FROM {OLD}; GRANT SELECT ON public.fair TO anon"
    ),
    "a view for those who see everything anyway": (
        f"CREATE VIEW public.admins AS SELECT * FROM {OLD}; GRANT SELECT ON public.admins TO service_role"
    ),
    "a function that reads it with its caller's rights": (
        f"CREATE FUNCTION public.fair() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM {OLD}'"
    ),
    "spaces at the ends of lines": (stamped("\nBEGIN  \n    NEW.updated_at = now();\t\n    RETURN NEW;\nEND;\n")),
    "a policy on another table": "CREATE TABLE public.other (id int); CREATE POLICY p ON public.other USING (true)",
    "an unrelated role": "CREATE ROLE spy",
}

UNDONE = {
    "a constraint less": Mutation(
        f"ALTER TABLE {NEW} DROP CONSTRAINT ai_cfg_org_prompts_org_id_key", {"new_table_kept"}
    ),
    "a foreign key less": Mutation(
        f"ALTER TABLE {NEW} DROP CONSTRAINT ai_cfg_org_prompts_org_id_fkey", {"new_table_kept"}, "org_id_fkey"
    ),
    "no row level security": Mutation(
        f"ALTER TABLE {NEW} DISABLE ROW LEVEL SECURITY", {"new_table_kept"}, "row level security"
    ),
    "a grant more": Mutation(f"GRANT SELECT ON {NEW} TO anon", {"new_table_kept"}, "anon"),
    "a default": Mutation(f"ALTER TABLE {NEW} ALTER citation_style SET DEFAULT 'none'", {"new_table_kept"}, "default"),
    "auth.uid() is another": Mutation(
        "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS"
        " $f$SELECT coalesce(nullif(current_setting('request.jwt.claim.sub', true), ''))::uuid$f$",
        {"new_table_kept"},
        "auth.uid()",
    ),
}


def checks(database: Database) -> list[Check]:
    session = connect(database.url, "checks")
    try:
        return run_checks(session, spec.load())
    finally:
        session.close()


def failing(database: Database) -> dict[str, Check]:
    return {c.name: c for c in checks(database) if c.failed}


@contextmanager
def done(database: Database, mutation: Mutation) -> Iterator[None]:
    admin = database.admin()
    try:
        admin.execute(mutation.does)
        yield
    finally:
        if mutation.afterwards:
            admin.execute(mutation.afterwards)


@pytest.mark.parametrize("what", [*UNSEEN, *SEEN])
def test_exactly_the_right_checks_fail(migrated_database: Database, cut_over_database: Database, what: str) -> None:
    mutation = {**UNSEEN, **SEEN}[what]
    database = migrated_database if mutation.before_the_cut_over else cut_over_database
    if mutation.before_the_cut_over:
        database.admin().execute(mutation.before_the_cut_over)
        restored.fill_cut_over(database)
    with done(database, mutation):
        found = failing(database)
        assert set(found) == mutation.fails
        assert mutation.says in " ".join(c.summary for c in found.values())


@pytest.mark.parametrize("what", CONTROLS)
def test_what_is_nobodys_business_disturbs_no_check(cut_over_database: Database, what: str) -> None:
    with done(cut_over_database, Mutation(CONTROLS[what], set(), afterwards="DROP ROLE IF EXISTS spy")):
        assert failing(cut_over_database) == {}


@pytest.mark.parametrize("what", UNDONE)
def test_after_an_undo_the_new_table_is_compared_with_what_it_was(cut_over_database: Database, what: str) -> None:
    with running(cut_over_database.url) as run:
        undo_rollback(run)
    assert failing(cut_over_database) == {}
    with done(cut_over_database, UNDONE[what]):
        found = failing(cut_over_database)
        assert set(found) == UNDONE[what].fails
        assert UNDONE[what].says in " ".join(c.summary for c in found.values())


@pytest.mark.parametrize(
    "what",
    [
        # the server ties the owner of an owned sequence to its table's: only past it
        "UPDATE pg_class SET relowner = 'pg_monitor'::regrole WHERE oid = 'public.thing_id_seq'::regclass",
        "GRANT ALL ON SEQUENCE public.thing_id_seq TO pg_monitor",
    ],
    ids=["owned", "granted"],
)
def test_a_sequence_that_someone_else_owns_or_may_use(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    set_up(
        plain_database, tmp_path, monkeypatch, "id serial NOT NULL, said text", "INSERT INTO thing (said) VALUES ('a')"
    )
    migrate_forward(plain_database.url)
    with running(plain_database.url) as run:
        roll_back(run)
    assert failing(plain_database) == {}
    plain_database.admin().execute(what)
    assert set(failing(plain_database)) == {"sequences"}


def test_after_an_undo_the_rows_are_said_to_be_proven_then(cut_over_database: Database) -> None:
    with running(cut_over_database.url) as run:
        undo_rollback(run)
    found = [c for c in checks(cut_over_database) if c.name in ("row_count", "checksum", "rows")]
    assert len(found) == 6
    for check in found:
        assert check.passed
        assert "at the undo" in check.summary
        assert "0 unexplained" in check.summary
