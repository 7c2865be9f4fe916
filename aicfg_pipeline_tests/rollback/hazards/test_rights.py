"""`sql/roles.sql` gives a role all that a rollback needs, and nothing more: each right that is taken away is named by the plan.

The tables belong to a role that is nobody else's; what the pipeline's role may do comes from the script alone.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database, psql

SCRIPT = Path(__file__).parents[3] / "sql" / "roles.sql"
PIPE, OWNER = "aicfg pipe", "shop_owner"
PERSONAS = "anon, authenticated, service_role"
"""The role of the pipeline is a member of them, so it has what they have."""
OWNED = """SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace
    AND relname ~ 'sys_rag|prompt' AND relkind IN ('r', 'v')"""
TAKEN = {
    "membership of the owner": (f"REVOKE {OWNER} FROM {{role}}", "not_owner"),
    "create in the database": ("REVOKE CREATE ON DATABASE {database} FROM {role}", "not_owner"),
    "create in the schema": ("REVOKE CREATE ON SCHEMA public FROM {role}", "not_owner"),
    "use of the schema": (f"REVOKE USAGE ON SCHEMA public FROM {{role}}, PUBLIC, {PERSONAS}", "missing_right"),
    "use of a referred schema": (f"REVOKE USAGE ON SCHEMA auth FROM {{role}}, {PERSONAS}", "missing_right"),
    "select from a referred table": ("REVOKE SELECT ON auth.users FROM {role}", "missing_reference"),
    "references to a referred table": ("REVOKE REFERENCES ON auth.users FROM {role}", "missing_reference"),
    "execute a policy's function": (
        f"REVOKE EXECUTE ON FUNCTION auth.uid() FROM {{role}}, PUBLIC, {PERSONAS}",
        "missing_right",
    ),
    "bypass of row security": ("ALTER ROLE {role} NOBYPASSRLS", "rls_hides_rows"),
    "a persona's role": ("REVOKE authenticated FROM {role}", "persona_not_tried"),
    "seeing sessions": ("REVOKE pg_read_all_stats FROM {role}", "sessions_not_ended"),
    "ending sessions": ("REVOKE pg_signal_backend FROM {role}", "sessions_not_ended"),
}


def run_script(database: Database, admin: psycopg.Connection) -> None:
    """Run the script as its own first lines say it."""
    line = re.search(r"^--   (psql .*)$", SCRIPT.read_text("utf-8"), re.MULTILINE)
    assert line is not None
    command = line[1].replace("role=aicfg_pipeline", f"role='{PIPE}'").replace("owner=postgres", f"owner={OWNER}")
    url = database.url.replace("postgres@", f"{admin.info.user}@")
    path = {"PATH": f"{psql(database.cluster.version).parent}:/usr/bin:/bin", "ADMIN_URL": url}
    done = subprocess.run(
        ["/bin/sh", "-c", command], cwd=SCRIPT.parents[1], env=path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


@pytest.fixture
def shop(migrated_database: Database) -> Iterator[tuple[Database, psycopg.Connection]]:
    """The migrated tables, owned by a role of their own, with nothing of this pipeline in the database."""
    with migrated_database.admin() as admin:
        admin.execute("DROP SCHEMA aicfg_rollback CASCADE")
        admin.execute(f"CREATE ROLE {OWNER} NOLOGIN")
        admin.execute(f"GRANT CREATE ON SCHEMA public TO {OWNER}")
        for (name,) in admin.execute(OWNED.encode()).fetchall():
            admin.execute(f'ALTER TABLE public."{name}" OWNER TO {OWNER}'.encode())
        for (function,) in admin.execute(
            b"SELECT oid::regprocedure::text FROM pg_proc WHERE pronamespace = 'public'::regnamespace AND proname ~ '^update_'"
        ).fetchall():
            admin.execute(f"ALTER FUNCTION {function} OWNER TO {OWNER}".encode())
        admin.execute(f"REVOKE CREATE ON SCHEMA public FROM {OWNER}")
        try:
            yield migrated_database, admin
        finally:
            for role in (PIPE, OWNER):
                if admin.execute("SELECT FROM pg_roles WHERE rolname = %s", (role,)).fetchone() is not None:
                    admin.execute(
                        f'REASSIGN OWNED BY "{role}" TO postgres; DROP OWNED BY "{role}"; DROP ROLE "{role}"'.encode()
                    )


def as_pipe(database: Database) -> str:
    """Return the URL of the pipeline's role."""
    return database.url.replace("postgres@", f"{PIPE.replace(' ', '%20')}@")


def blocking(database: Database) -> list[tuple[str, str]]:
    """Plan as the pipeline's role; return code and remedy of every hazard but those that the database has by itself."""
    found = planned(as_pipe(database), terminate_blockers=True).hazards
    return [(h.code, h.remedy) for h in found if h.code not in ("view_bypasses_rls", "access_changes", "open_schema")]


@pytest.mark.two_versions
def test_the_script_is_enough_to_plan_and_to_roll_back(shop: tuple[Database, psycopg.Connection]) -> None:
    database, admin = shop
    run_script(database, admin)
    assert blocking(database) == []
    with running(as_pipe(database)) as run:
        roll_back(run)
    assert database.exists("sys_rag") == "r"
    assert admin.execute(
        "SELECT relowner::regrole::text FROM pg_class WHERE oid = 'public.sys_rag'::regclass"
    ).fetchall() == [(OWNER,)]


def test_the_script_may_be_run_twice(shop: tuple[Database, psycopg.Connection]) -> None:
    database, admin = shop
    run_script(database, admin)
    run_script(database, admin)
    assert blocking(database) == []


def test_each_right_that_is_taken_away_is_named_with_the_statement_that_grants_it(
    shop: tuple[Database, psycopg.Connection],
) -> None:
    database, admin = shop
    run_script(database, admin)
    words = {"role": f'"{PIPE}"', "database": f'"{database.name}"'}
    for what, (statement, code) in TAKEN.items():
        admin.execute(statement.format(**words).encode())
        found = blocking(database)
        assert code in [c for c, _ in found], f"{what}: {found}"
        told = dict.fromkeys(t[0] for c, r in found if c == code for t in re.finditer(r"(?:GRANT|ALTER ROLE) .*?;", r))
        assert told, f"{what}: {found}"
        for grant in told:
            admin.execute(grant.encode())
        admin.execute(f"GRANT USAGE ON SCHEMA public, auth TO {PERSONAS}".encode())
        admin.execute(f"GRANT EXECUTE ON FUNCTION auth.uid() TO {PERSONAS}".encode())
        assert blocking(database) == [], f"{what}: what was told does not mend it"
