"""Nothing that is found in the database is believed or run (S1): the private schema is ours, or every job refuses."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.errors import TrustError
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.glance import glance
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

TRAP = """
CREATE FUNCTION aicfg_rollback.trap() RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN INSERT INTO trapped.by VALUES (current_user); RETURN 1; END $$;
CREATE FUNCTION aicfg_rollback.trap_row() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN INSERT INTO trapped.by VALUES (current_user); RETURN NEW; END $$;
GRANT USAGE ON SCHEMA aicfg_rollback TO PUBLIC;
"""
COLUMNS = (
    "id bigint {0}, at timestamptz {1}, run_id text, step text, outcome text, pair text, plan_hash text,"
    " facts jsonb DEFAULT '{{}}', statements jsonb DEFAULT '[]', actor text, backend integer, application text"
)
TABLE = f"CREATE TABLE aicfg_rollback.ledger ({COLUMNS.format('GENERATED ALWAYS AS IDENTITY', 'DEFAULT now()')})"
PREMADE = {
    "nothing but the schema": "SELECT 1",
    "a view": (
        "CREATE VIEW aicfg_rollback.ledger AS SELECT aicfg_rollback.trap() AS id, now() AS at, ''::text AS run_id,"
        " ''::text AS step, ''::text AS outcome, ''::text AS pair, ''::text AS plan_hash, '{}'::jsonb AS facts,"
        " '[]'::jsonb AS statements, ''::text AS actor, 1 AS backend, ''::text AS application;"
        " GRANT SELECT ON aicfg_rollback.ledger TO PUBLIC"
    ),
    "a table with a trigger": f"{TABLE}; CREATE TRIGGER t BEFORE INSERT ON aicfg_rollback.ledger FOR EACH ROW"
    " EXECUTE FUNCTION aicfg_rollback.trap_row(); GRANT ALL ON aicfg_rollback.ledger TO PUBLIC",
    "a table with a default": f"{TABLE}; ALTER TABLE aicfg_rollback.ledger ALTER actor SET DEFAULT"
    " aicfg_rollback.trap()::text; GRANT ALL ON aicfg_rollback.ledger TO PUBLIC",
}


def _dropped(run: Run) -> None:
    with tempfile.TemporaryDirectory() as folder:
        drop_parked(run, Path(folder))


JOBS: dict[str, Callable[[Run], object]] = {
    "plan": lambda run: planned(run.session.url),
    "verify": lambda run: verify.run_checks(run.session, run.migration),
    "sensor": lambda run: glance(run.session, run.migration),
    "rollback": roll_back,
    "undo": undo_rollback,
    "drop": _dropped,
    "begin": lambda run: lifecycle.begin(run, "rollback"),
    "belong": lifecycle.must_be_ours,
    "ledger": lambda run: lifecycle.must_have_begun(run, "undo"),
}


def premade(database: Database, what: str) -> None:
    """As a role that may CREATE in the database, and nothing else."""
    with database.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS mallory; CREATE ROLE mallory")
        admin.execute(f"GRANT CREATE ON DATABASE {database.name} TO mallory")
        admin.execute("DROP SCHEMA aicfg_rollback CASCADE; CREATE SCHEMA trapped; CREATE TABLE trapped.by (role text)")
        admin.execute("GRANT USAGE ON SCHEMA trapped TO PUBLIC; GRANT INSERT ON trapped.by TO PUBLIC")
        admin.execute("SET ROLE mallory")
        admin.execute("CREATE SCHEMA aicfg_rollback")
        admin.execute(TRAP + what)


def cleaned(database: Database) -> None:
    with database.admin() as admin:
        admin.execute("DROP OWNED BY mallory CASCADE; DROP ROLE mallory")


@pytest.mark.two_versions
@pytest.mark.parametrize("what", PREMADE)
def test_s1_whoever_made_the_schema_first_has_none_of_his_code_run(migrated_database: Database, what: str) -> None:
    premade(migrated_database, PREMADE[what])
    before = portrait(migrated_database, exact=True)
    for url in (migrated_database.url, migrated_database.admin_url):  # a superuser trusts no more than others do
        for work in JOBS.values():
            with running(url) as run, pytest.raises(TrustError) as caught:
                work(run)
            assert caught.value.code == "not_ours"
            assert "the schema aicfg_rollback belongs to mallory" in caught.value.complaints
    assert migrated_database.admin().execute("SELECT * FROM trapped.by").fetchall() == []
    assert differing(before, portrait(migrated_database, exact=True)) == []
    cleaned(migrated_database)


SPOILT = {
    "ALTER TABLE aicfg_rollback.ledger OWNER TO mallory": "aicfg_rollback.ledger belongs to mallory",
    "ALTER FUNCTION aicfg_rollback.change_log_sys_rag() OWNER TO mallory": (
        "the function aicfg_rollback.change_log_sys_rag belongs to mallory"
    ),
    "ALTER TABLE aicfg_rollback.change_log_sys_rag OWNER TO mallory": (
        "aicfg_rollback.change_log_sys_rag belongs to mallory"
    ),
    "GRANT CREATE ON SCHEMA aicfg_rollback TO mallory": "mallory may create things in the schema aicfg_rollback",
    "CREATE TRIGGER t BEFORE INSERT ON aicfg_rollback.ledger FOR EACH ROW EXECUTE FUNCTION"
    " suppress_redundant_updates_trigger()": "aicfg_rollback.ledger has a trigger, t",
    "CREATE RULE r AS ON INSERT TO aicfg_rollback.ledger DO ALSO NOTHING": "aicfg_rollback.ledger has a rule, r",
    "ALTER TABLE aicfg_rollback.ledger RENAME TO l; CREATE VIEW aicfg_rollback.ledger AS SELECT * FROM"
    " aicfg_rollback.l": "aicfg_rollback.ledger is no ordinary table",
    "CREATE TABLE public.child () INHERITS (aicfg_rollback.ledger)": (
        "aicfg_rollback.ledger has a child or parent, child"
    ),
}


def test_s1_what_is_not_as_we_make_it_is_named(cut_over_database: Database) -> None:
    with cut_over_database.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS mallory; CREATE ROLE mallory")
    for statement, complaint in SPOILT.items():
        with cut_over_database.admin() as admin:
            admin.execute("BEGIN")
            admin.execute(statement)
            assert complaints(admin) == [complaint], statement
            admin.execute("ROLLBACK")
            assert complaints(admin) == []
    with cut_over_database.admin() as admin:
        admin.execute("DROP ROLE mallory")


def complaints(admin: psycopg.Connection) -> list[str]:
    """What the engine's own question finds, asked in the transaction under way."""
    from aicfg_pipeline.postgres.statements import engine

    migration = spec.load()
    names = {
        "places": ["aicfg_rollback", migration.own_schema],
        "schema": migration.schema,
        "tables": [n for p in migration.pairs for n in (p.old, p.new)],
        "logs": [p.change_log for p in migration.pairs],
    }
    return [str(c) for (c,) in admin.execute(engine("not_ours"), names).fetchall()]


def test_s1_a_member_of_the_owner_and_a_superuser_go_on_with_what_the_owner_began(cut_over_database: Database) -> None:
    with cut_over_database.admin() as admin:
        admin.execute("DROP ROLE IF EXISTS deputy; CREATE ROLE deputy LOGIN IN ROLE postgres")
    for url in (cut_over_database.url.replace("postgres@", "deputy@"), cut_over_database.admin_url):
        session = connect(url)
        assert set(glance(session, spec.load()).states.values()) == {"cut_over"}
        session.close()
    with cut_over_database.admin() as admin:
        admin.execute("DROP ROLE deputy")


S2 = """
CREATE FUNCTION public.hashtextextended(text, integer) RETURNS bigint LANGUAGE plpgsql AS
$$ BEGIN RAISE 'trap' USING ERRCODE = 'TR001'; END $$;
CREATE FUNCTION public.like_it(name, name) RETURNS bool LANGUAGE plpgsql AS
$$ BEGIN RAISE 'trap' USING ERRCODE = 'TR001'; END $$;
CREATE OPERATOR public.~~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.like_it);
CREATE OPERATOR public.!~~ (LEFTARG = name, RIGHTARG = name, FUNCTION = public.like_it);
"""


def test_s2_the_checksum_and_the_look_for_triggers_are_postgresqls_own(migrated_database: Database) -> None:
    """The two that were seen: a literal 0 is an integer, and a pattern beside a name was taken for a name."""
    with migrated_database.admin() as admin:
        admin.execute(S2)
    assert [h.found for h in planned(migrated_database.url).hazards if "trap" in h.found] == []
    with running(migrated_database.url) as run:
        roll_back(run)
    with running(migrated_database.url) as run:
        undo_rollback(run)
