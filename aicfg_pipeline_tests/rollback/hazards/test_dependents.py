"""Dependents: whatever refers to the new tables is named with the statement that makes it again, and may be accepted.

Publications of a whole schema or of all tables count too, because what they publish changes its name; so do triggers
that somebody has put on a new table, because they stay behind with it. Foreign keys from outside and publications of the
table go along (test_what_goes_along.py). A child table or a partition is no dependent
but `unsupported_table` (test_hazards.py): its rows would not come along.
"""

from __future__ import annotations

import pytest

from aicfg_pipeline.rollback.hazards import Hazard
from aicfg_pipeline.rollback.hazards.surroundings import name_pattern
from aicfg_pipeline.rollback.steps import plan, verify
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.planning import planned, refused, unchanged
from aicfg_pipeline_tests.tools.servers import Database

NEW, OLD = "ai_cfg_org_prompts", "org_prompt_engineering"


def dependents(database: Database) -> list[Hazard]:
    """The plan's hazards, all of which must be dependents and block, with nothing changed."""
    hazards = refused(database)
    assert {h.code for h in hazards} == {"dependents"}
    return hazards


def named(hazards: list[Hazard]) -> list[tuple[str, str]]:
    return [(h.facts["kind"], h.facts["name"]) for h in hazards]


@pytest.mark.parametrize(
    ("made", "kind", "name", "dropped"),
    [
        (f"CREATE VIEW report AS SELECT id, org_id FROM {NEW} WHERE org_id IS NOT NULL",
         "view", "public.report", "DROP VIEW public.report"),
        (f"CREATE VIEW report WITH (security_invoker=true, check_option=local) AS SELECT * FROM {OLD}",
         "view", "public.report", "DROP VIEW public.report"),
        (f"CREATE MATERIALIZED VIEW summary AS SELECT citation_style, count(*) AS n FROM {NEW} GROUP BY 1;"
         "CREATE UNIQUE INDEX summary_style ON summary (citation_style)",
         "materialized view", "public.summary", "DROP MATERIALIZED VIEW public.summary"),
        (f"CREATE FUNCTION public.prompts() RETURNS bigint LANGUAGE sql AS 'SELECT count(*) FROM {NEW}'",
         "function", "public.prompts()", "DROP FUNCTION public.prompts()"),
        (f"CREATE FUNCTION public.prompts() RETURNS bigint LANGUAGE plpgsql AS "
         f"$$ BEGIN RETURN (SELECT count(*) FROM public.\"{NEW}\"); END $$",
         "function", "public.prompts()", "DROP FUNCTION public.prompts()"),
        (f"CREATE FUNCTION public.prompts() RETURNS bigint LANGUAGE sql BEGIN ATOMIC SELECT count(*) FROM {OLD}; END",
         "function", "public.prompts()", "DROP FUNCTION public.prompts()"),
        (f"CREATE FUNCTION public.title(p {NEW}) RETURNS text LANGUAGE sql AS 'SELECT p.response_tone'",
         "function", f"public.title(public.{NEW})", f"DROP FUNCTION public.title(public.{NEW})"),
        (f"CREATE POLICY tone ON orgs AS RESTRICTIVE FOR UPDATE TO authenticated, anon"
         f" USING (EXISTS (SELECT FROM {NEW} p WHERE p.org_id = orgs.id)) WITH CHECK (plan <> 'starter')",
         "policy", "tone on public.orgs", "DROP POLICY tone ON public.orgs"),
        (f"CREATE POLICY tone ON orgs USING (EXISTS (SELECT FROM {OLD}))",
         "policy", "tone on public.orgs", "DROP POLICY tone ON public.orgs"),
        (f"CREATE RULE quiet AS ON DELETE TO {NEW} DO INSTEAD NOTHING",
         "rule", f"quiet on public.{NEW}", f"DROP RULE quiet ON public.{NEW}"),
        (f"CREATE RULE forget AS ON DELETE TO orgs DO ALSO DELETE FROM {NEW} WHERE org_id = old.id",
         "rule", "forget on public.orgs", "DROP RULE forget ON public.orgs"),
        (f"CREATE TABLE parent (id uuid NOT NULL); ALTER TABLE {NEW} INHERIT parent",
         "inheritance", f"public.{NEW} inherits from public.parent",
         f"ALTER TABLE public.{NEW} NO INHERIT public.parent"),
        (f"CREATE TABLE snapshots (taken timestamptz, prompt {NEW})",
         "column", "prompt of public.snapshots", "ALTER TABLE public.snapshots DROP COLUMN prompt"),
        ("CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
         f"CREATE TRIGGER audit AFTER INSERT OR UPDATE ON {NEW} FOR EACH ROW EXECUTE FUNCTION public.audit()",
         "trigger", f"audit on public.{NEW}", f"DROP TRIGGER audit ON public.{NEW}"),
        ("CREATE FUNCTION public.audit() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END';"
         f"CREATE TRIGGER \"Audit!\" INSTEAD OF INSERT ON {OLD} FOR EACH ROW EXECUTE FUNCTION public.audit()",
         "trigger", f"Audit! on public.{OLD}", f"DROP TRIGGER \"Audit!\" ON public.{OLD}"),
        (f"ALTER TABLE {NEW} ADD COLUMN number bigserial; ALTER TABLE {NEW} DISABLE TRIGGER USER;"
         f"UPDATE {NEW} SET number = NULL WHERE false; ALTER TABLE {NEW} ALTER number DROP NOT NULL;"
         f"UPDATE {NEW} SET number = NULL; ALTER TABLE {NEW} ENABLE TRIGGER USER;"
         f"CREATE TABLE tickets (number bigint DEFAULT nextval('{NEW}_number_seq'))",
         "default", "number of public.tickets", "ALTER TABLE public.tickets ALTER COLUMN number DROP DEFAULT"),
    ],
    ids=["view", "view_on_the_view", "materialized_view", "function_text", "function_text_quoted",
         "function_sql_body", "function_of_row_type", "policy", "policy_through_the_view", "rule", "rule_elsewhere",
         "inheritance", "column_of_row_type", "trigger", "trigger_on_the_view",
         "default_of_another_table"],
)  # fmt: skip
def test_dependent_is_named_with_a_statement_that_makes_it_again(
    migrated_database: Database, made: str, kind: str, name: str, dropped: str
) -> None:
    admin = migrated_database.admin()
    admin.execute("SET ROLE postgres")
    admin.execute(made)
    (hazard,) = dependents(migrated_database)
    assert (hazard.facts["kind"], hazard.facts["name"]) == (kind, name)
    assert hazard.found.startswith(f"The {kind} {name} ")
    recreate = hazard.facts["recreate"]
    assert " ".join(recreate.split()) in hazard.remedy

    with unchanged(migrated_database):  # the statement makes what was there, from anywhere
        admin.execute("SET search_path = pg_catalog; SET check_function_bodies = off")
        admin.execute(dropped)
        assert planned(migrated_database.url).hazards == ()
        admin.execute(recreate)
    assert named(dependents(migrated_database)) == [(kind, name)]


def test_view_on_a_view_is_named_too(migrated_database: Database) -> None:
    migrated_database.execute(f"CREATE VIEW one AS SELECT id FROM {NEW}; CREATE VIEW two AS SELECT id FROM one")
    assert named(dependents(migrated_database)) == [("view", "public.one"), ("view", "public.two")]


def test_each_dependent_is_named_once(migrated_database: Database) -> None:
    migrated_database.execute(
        f"CREATE VIEW both_ways AS SELECT a.id FROM {NEW} a JOIN {OLD} b USING (id) JOIN ai_cfg_sys_rag c ON true;"
        f"CREATE FUNCTION public.both_ways() RETURNS bigint LANGUAGE sql BEGIN ATOMIC"
        f" SELECT count(*) FROM {NEW} a JOIN {OLD} b USING (id); END;"
        f"CREATE POLICY p ON orgs USING (EXISTS (SELECT FROM {NEW} JOIN {OLD} USING (id)))"
    )
    assert named(dependents(migrated_database)) == [
        ("function", "public.both_ways()"),
        ("policy", "p on public.orgs"),
        ("view", "public.both_ways"),
    ]


def test_publication_of_the_whole_schema_is_named(migrated_database: Database) -> None:
    migrated_database.admin().execute("CREATE PUBLICATION everything FOR TABLES IN SCHEMA public")
    hazards = dependents(migrated_database)
    assert [h.found for h in hazards] == [
        f"The publication everything of the whole schema publishes public.{table}; from the cut-over on it publishes"
        " the old table under its old name."
        for table in (NEW, "ai_cfg_sys_rag")
    ]
    assert hazards[0].facts["recreate"] == "ALTER PUBLICATION everything ADD TABLES IN SCHEMA public"


def test_publication_of_all_tables_is_named(migrated_database: Database) -> None:
    migrated_database.admin().execute("CREATE PUBLICATION everything FOR ALL TABLES")
    hazards = dependents(migrated_database)
    assert [h.found for h in hazards] == [
        f"The publication everything of all tables publishes public.{table}; from the cut-over on it publishes the"
        " parked table and this pipeline's own, too, the old table under its old name."
        for table in (NEW, "ai_cfg_sys_rag")
    ]
    assert hazards[0].facts["recreate"] == "CREATE PUBLICATION everything FOR ALL TABLES"


@pytest.mark.parametrize(
    "made",
    [
        f"CREATE VIEW report AS SELECT 1 AS {NEW}",
        f"CREATE TABLE x ({NEW} int)",
        f"CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1 AS {NEW}_2'",
        f"CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT 1 AS my_{NEW}'",
        f"CREATE FUNCTION public.f() RETURNS int LANGUAGE sql AS 'SELECT count(*)::int FROM {OLD}'",
        "CREATE PUBLICATION other FOR TABLE orgs",
        "CREATE VIEW members AS SELECT o.* FROM orgs o JOIN user_profiles p ON p.org_id = o.id",
    ],
)
def test_what_only_sounds_like_it_is_no_dependent(migrated_database: Database, made: str) -> None:
    migrated_database.admin().execute(made)
    assert planned(migrated_database.url).hazards == ()


@pytest.mark.parametrize(
    ("table", "text", "found"),
    [
        ("orders", "select * from ORDERS;", True),
        ("orders", 'select * from public."orders"', True),
        ("orders", "from orders_2", False),
        ("orders", "from $orders", False),
        ("Odd Name", 'from "Odd Name"', True),
        ("Odd Name", "from Odd Name", False),
        ('q"q', 'from "q""q"', True),
        ("größe", "from größe", True),
        ("a.b", 'from "a.b"', True),
        ("a.b", 'from "axb"', False),
    ],
)
def test_a_table_is_found_in_a_functions_text(migrated_database: Database, table: str, text: str, found: bool) -> None:
    assert migrated_database.query("SELECT %s ~* %s", (text, name_pattern(table))) == [(found,)]


def test_accepted_dependents_go_on_with_the_parked_table_and_the_rollback_goes_through(
    migrated_database: Database,
) -> None:
    migrated_database.admin().execute(
        f"SET ROLE postgres; CREATE VIEW report AS SELECT id, response_tone FROM {NEW};"
        f"CREATE TABLE prompt_audit (prompt uuid REFERENCES {NEW} (id));"
        f"RESET ROLE; CREATE PUBLICATION supabase_realtime FOR TABLE {NEW}"
    )
    plan.gate(planned(migrated_database.url), ["dependents"])
    with running(migrated_database.url, accept_hazards=("dependents",)) as run:
        roll_back(run)
        checks = verify.run_checks(run.session, run.migration)
    # after the cut-over they are named once more, because they read stale rows; but nobody is surprised by them
    (warning,) = [c for c in checks if c.failed]
    assert (warning.name, warning.severity) == ("references", "WARN")
    assert all(n in warning.summary for n in ("public.report", "supabase_realtime"))
    assert "prompt_audit_prompt_fkey" not in warning.summary  # it went along
    assert migrated_database.exists(OLD) == "r"
    migrated_database.execute(f"UPDATE {OLD} SET response_tone = 'casual'")
    stale = migrated_database.query("SELECT count(*) FROM report WHERE response_tone IS DISTINCT FROM 'casual'")
    assert stale[0][0] > 0
    published = migrated_database.query("SELECT schemaname, tablename FROM pg_publication_tables")
    assert published == [("aicfg_rollback", NEW)]


def test_accepted_publication_of_all_tables_does_not_stop_any_step(migrated_database: Database) -> None:
    migrated_database.admin().execute("CREATE PUBLICATION everything FOR ALL TABLES")
    with running(migrated_database.url, accept_hazards=("dependents",)) as run:
        roll_back(run)
    published = migrated_database.query("SELECT schemaname FROM pg_publication_tables WHERE tablename = %s", (OLD,))
    assert published == [("public",)]
