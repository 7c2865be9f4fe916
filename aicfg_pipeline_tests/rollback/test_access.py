"""Findings O2 to O4, S3 and line B5: access is what it was. Owner, sequences, undo; and nobody reads what is ours.

What is expected comes from the server and from the state before the rollback, never from the pipeline's own matrix.
"""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration
from aicfg_pipeline_tests.tools import folders
from aicfg_pipeline_tests.tools import migration as engine
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.privileges import effective, make_roles, may
from aicfg_pipeline_tests.tools.servers import Database

PROMPTS, NEW_PROMPTS, RAG, NEW_RAG = "org_prompt_engineering", "ai_cfg_org_prompts", "sys_rag", "ai_cfg_sys_rag"
MEMBER, SUPERUSER, OWNER = "ops_of_owner", "superuser", "owner"


def url_of(database: Database, runner: str) -> str:
    """Return the URL as which one of the runners connects."""
    if runner == OWNER:
        return database.url
    if runner == SUPERUSER:
        return database.admin_url
    make_roles(database, [MEMBER], options="LOGIN BYPASSRLS")
    with database.admin() as connection:
        connection.execute(f"GRANT postgres TO {MEMBER}")
        connection.execute(f'GRANT CREATE ON DATABASE "{database.name}" TO {MEMBER}')
    return database.cluster.url(MEMBER, database.name)


def owners(database: Database) -> dict[str, str]:
    """Return who owns every relation and function of `public` and of the private schema, and that schema itself."""
    rows = database.admin().execute(
        "SELECT n.nspname || '.' || c.relname, pg_get_userbyid(c.relowner)"
        " FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace"
        " WHERE n.nspname IN ('public', 'aicfg_rollback') AND c.relkind IN ('r', 'v', 'S')"
        " UNION ALL SELECT n.nspname || '.' || p.proname || '()', pg_get_userbyid(p.proowner)"
        " FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace WHERE n.nspname IN ('public', 'aicfg_rollback')"
        " UNION ALL SELECT nspname, pg_get_userbyid(nspowner) FROM pg_namespace WHERE nspname = 'aicfg_rollback'"
    )
    return dict(rows.fetchall())


def rolled_back(url: str, *, accept: tuple[str, ...] = (), migration: Migration | None = None) -> None:
    with engine.running(url, run_id="back", accept_hazards=accept) as run:
        run.migration = migration or run.migration
        engine.roll_back(run)


def undone(url: str) -> None:
    with engine.running(url, run_id="undo") as run:
        lifecycle.begin(run, "undo_rollback")
        undo_rollback(run)


# --- whoever runs: O3 ------------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.two_versions
@pytest.mark.parametrize("runner", [SUPERUSER, MEMBER])
def test_o3_whoever_runs_everything_belongs_to_the_owner_who_can_go_on(
    migrated_database: Database, tmp_path: Path, runner: str
) -> None:
    url = url_of(migrated_database, runner)
    before = effective(migrated_database)
    assert planned(url).blocking([]) == []
    rolled_back(url)
    assert set(owners(migrated_database).values()) == {"postgres"}
    assert may(migrated_database, "postgres", f"UPDATE {PROMPTS} SET response_tone = 'casual'")
    undone(migrated_database.url)
    assert effective(migrated_database) == before
    rolled_back(migrated_database.url)
    undone(url)
    assert effective(migrated_database) == before
    rolled_back(url)
    with engine.running(migrated_database.url) as run:
        lifecycle.begin(run, "drop_new_tables")
        engine.drop_parked(run, tmp_path)
    assert set(owners(migrated_database).values()) == {"postgres"}


@pytest.mark.parametrize("runner", [SUPERUSER, MEMBER])
def test_o3_a_trigger_function_that_is_missing_is_made_for_the_owner(migrated_database: Database, runner: str) -> None:
    migrated_database.execute("DROP FUNCTION IF EXISTS public.update_sys_rag_updated_at()")
    rolled_back(url_of(migrated_database, runner))
    assert owners(migrated_database)["public.update_sys_rag_updated_at()"] == "postgres"


def test_o3_a_trigger_function_of_another_role_is_told_by_the_plan(migrated_database: Database) -> None:
    with migrated_database.admin() as connection:
        connection.execute("ALTER FUNCTION public.update_sys_rag_updated_at() OWNER TO supabase_auth_admin")
    told = [h for h in planned(migrated_database.url).hazards if h.code == "not_owner"]
    assert [h.found for h in told] == [
        "The trigger function public.update_sys_rag_updated_at() belongs to supabase_auth_admin, and this role is not a"
        " member of it; old/sys_rag.sql replaces it."
    ]


def test_o3_a_superuser_leaves_a_trigger_function_of_another_role_with_that_role(migrated_database: Database) -> None:
    with migrated_database.admin() as connection:
        connection.execute("ALTER FUNCTION public.update_sys_rag_updated_at() OWNER TO supabase_auth_admin")
    rolled_back(migrated_database.admin_url)
    assert owners(migrated_database)["public.update_sys_rag_updated_at()"] == "supabase_auth_admin"


@pytest.mark.parametrize("runner", [OWNER, SUPERUSER])
def test_o3_going_forward_leaves_the_owner_too(dropped_database: Database, runner: str) -> None:
    engine.migrate_forward(url_of(dropped_database, runner))
    assert set(owners(dropped_database).values()) == {"postgres"}


# --- undo: O2, B5 ----------------------------------------------------------------------------------------------

ROLES = ("reporting", "readers", "alice_of_readers", "handing_on")
PRIVILEGES = ("SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", "ALL")


def random_grants(dice: random.Random) -> list[str]:
    """Return statements that give and take at random: tables, views, columns, PUBLIC, the option to hand on."""
    made = []
    for _ in range(12):
        relation = dice.choice([PROMPTS, NEW_PROMPTS, RAG, NEW_RAG])
        role = dice.choice([*ROLES, "PUBLIC", "anon", "authenticated"])
        option = " WITH GRANT OPTION" if role != "PUBLIC" and dice.random() < 0.3 else ""
        if dice.random() < 0.3:
            made.append(f"GRANT {dice.choice(PRIVILEGES[:3])} (id, updated_at) ON {relation} TO {role}{option}")
        elif dice.random() < 0.2:
            made.append(f"REVOKE {dice.choice(PRIVILEGES)} ON {relation} FROM {role} CASCADE")
        else:
            made.append(f"GRANT {dice.choice(PRIVILEGES)} ON {relation} TO {role}{option}")
    return made


@pytest.mark.parametrize("seed", range(4))
def test_o2_after_an_undo_everybody_may_do_exactly_what_he_could_before(migrated_database: Database, seed: int) -> None:
    dice = random.Random(seed)
    make_roles(migrated_database, ROLES)
    with migrated_database.admin() as connection:
        connection.execute("GRANT readers TO alice_of_readers")
    for statement in random_grants(dice):
        migrated_database.execute(statement)
    for view in (PROMPTS, RAG):
        migrated_database.execute(
            dice.choice(
                [
                    f"ALTER VIEW {view} RESET (security_invoker)",
                    f"ALTER VIEW {view} SET (security_invoker = false)",
                    f"ALTER VIEW {view} SET (security_barrier = true)",
                    f"ALTER VIEW {view} SET (security_invoker = true)",
                ]
            )
        )
    before = effective(migrated_database)
    rolled_back(migrated_database.url, accept=("access_changes",))
    undone(migrated_database.url)
    assert effective(migrated_database) == before


@pytest.mark.every_version
def test_o2_a_role_reads_through_the_view_again_after_an_undo(migrated_database: Database) -> None:
    make_roles(migrated_database, ["reporting"])
    if migrated_database.cluster.version >= 15:
        migrated_database.execute(f"ALTER VIEW {PROMPTS} RESET (security_invoker)")
    migrated_database.execute(f"GRANT SELECT ON {PROMPTS} TO reporting")
    rolled_back(migrated_database.url, accept=("access_changes",))
    undone(migrated_database.url)
    assert may(migrated_database, "reporting", f"SELECT * FROM {PROMPTS}")


def test_b5_an_undo_makes_no_view_where_there_was_none(migrated_database: Database) -> None:
    migrated_database.execute(f"DROP VIEW {PROMPTS}")
    rolled_back(migrated_database.url)
    undone(migrated_database.url)
    assert migrated_database.exists(PROMPTS) is None
    assert (migrated_database.exists(NEW_PROMPTS), migrated_database.exists(RAG)) == ("r", "v")


# --- sequences: O4 ---------------------------------------------------------------------------------------------


@pytest.fixture
def widgets(tmp_path: Path) -> Migration:
    """A pair with a serial key, whose file says nothing of the sequence."""
    more = "\n-- name: grants -- exact\nGRANT SELECT, INSERT ON {} TO authenticated;\n"
    folder = folders.write_folder(
        tmp_path / "widgets",
        "widgets",
        "cfg_widgets",
        "id serial NOT NULL, n integer GENERATED BY DEFAULT AS IDENTITY, word text",
        old_more=more.format("widgets"),
        new_more=more.format("cfg_widgets"),
    )
    return spec.load(folder)


INSERT = "INSERT INTO widgets (word) VALUES ('x')"


def migrated_widgets(database: Database, widgets: Migration) -> None:
    """Bring the pair into the migrated state, with Supabase's default privileges on sequences."""
    database.execute(
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT ALL ON SEQUENCES TO authenticated;"
        "ALTER DEFAULT PRIVILEGES GRANT USAGE ON SEQUENCES TO anon WITH GRANT OPTION"
    )
    with database.connect() as connection:
        folders.make_old(connection, widgets)
    with engine.running(database.url, run_id="forward") as run:
        run.migration = widgets
        engine.migrate(run)


@pytest.mark.every_version
def test_o4_who_could_insert_can_insert_whoever_made_the_sequence(
    migrated_database: Database, widgets: Migration
) -> None:
    migrated_widgets(migrated_database, widgets)
    before = {
        r for r in effective(migrated_database) if r[0] in ("cfg_widgets_id_seq", "cfg_widgets_n_seq") and len(r) == 3
    }
    rolled_back(migrated_database.url, migration=widgets)
    after = {r for r in effective(migrated_database) if r[0] in ("widgets_id_seq", "widgets_n_seq") and len(r) == 3}
    assert {(r[0].removeprefix("cfg_"), *r[1:]) for r in before} == after
    assert may(migrated_database, "authenticated", INSERT)
