"""An independent witness of who may do what: every role against every privilege of every relation, asked of the server.

Nothing of the pipeline is used here. Roles belong to the whole server; they are made if missing.
"""

from __future__ import annotations

from collections.abc import Iterable

import psycopg
from psycopg import sql

from aicfg_pipeline_tests.tools.servers import Database

Effective = set[tuple[str, ...]]

_RELATIONS = """
SELECT c.relname, r.rolname, p || o
FROM pg_class c, (SELECT oid, rolname FROM pg_roles UNION ALL SELECT 0, 'PUBLIC') r,
     unnest(%(privileges)s::text[]) p, unnest(ARRAY['', ' WITH GRANT OPTION']) o
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND has_table_privilege(r.oid, c.oid, p || o)
"""
_COLUMNS = """
SELECT c.relname, a.attname, r.rolname, p || o
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped,
     (SELECT oid, rolname FROM pg_roles UNION ALL SELECT 0, 'PUBLIC') r,
     unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) p, unnest(ARRAY['', ' WITH GRANT OPTION']) o
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v') AND has_column_privilege(r.oid, c.oid, a.attnum, p || o)
"""
_SEQUENCES = """
SELECT c.relname, r.rolname, p || o
FROM pg_class c, (SELECT oid, rolname FROM pg_roles UNION ALL SELECT 0, 'PUBLIC') r,
     unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p, unnest(ARRAY['', ' WITH GRANT OPTION']) o
WHERE c.relnamespace = 'public'::regnamespace AND c.relkind = 'S' AND has_sequence_privilege(r.oid, c.oid, p || o)
"""
_FUNCTIONS = """
SELECT f.proname, r.rolname, 'EXECUTE' || o
FROM pg_proc f, (SELECT oid, rolname FROM pg_roles UNION ALL SELECT 0, 'PUBLIC') r, unnest(ARRAY['', ' WITH GRANT OPTION']) o
WHERE f.pronamespace = 'public'::regnamespace AND has_function_privilege(r.oid, f.oid, 'EXECUTE' || o)
"""
_AS_WRITTEN = """
SELECT c.relname, pg_get_userbyid(c.relowner), c.relkind::text, coalesce(c.relacl::text, '-'), coalesce(c.reloptions::text, '-')
FROM pg_class c WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'v', 'S')
UNION ALL
SELECT c.relname || '.' || a.attname, '', '', a.attacl::text, ''
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid WHERE c.relnamespace = 'public'::regnamespace AND a.attacl IS NOT NULL
UNION ALL
SELECT f.proname, pg_get_userbyid(f.proowner), 'f', coalesce(f.proacl::text, '-'), '' FROM pg_proc f
WHERE f.pronamespace = 'public'::regnamespace
"""


def effective(database: Database) -> Effective:
    """Return all that every role may do in `public`: relations, columns, sequences, functions; owners and ACLs as written."""
    with database.admin() as connection:
        maintain = ["MAINTAIN"] if connection.info.server_version >= 170_000 else []
        names = ["SELECT", "INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER", *maintain]
        found: Effective = set()
        for query in (_RELATIONS, _COLUMNS, _SEQUENCES, _FUNCTIONS, _AS_WRITTEN):
            params = {"privileges": names} if query is _RELATIONS else None
            found |= {tuple(row) for row in connection.execute(query, params).fetchall()}
        return found


def make_roles(database: Database, roles: Iterable[str], *, options: str = "NOLOGIN") -> None:
    """Make roles of the server that are missing; a role that is there is left as it is."""
    with database.admin() as connection:
        there = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles").fetchall()}
        for role in set(roles) - there:
            connection.execute(sql.SQL("CREATE ROLE {} {}").format(sql.Identifier(role), sql.SQL(options)))  # type: ignore[arg-type]


def may(database: Database, role: str, statement: str) -> bool:
    """Say whether a role may run a statement, which is rolled back."""
    with database.admin(autocommit=False) as connection:
        connection.execute(sql.SQL("SET LOCAL ROLE {}").format(sql.Identifier(role)))
        try:
            connection.execute(statement)  # type: ignore[call-overload]
        except psycopg.errors.InsufficientPrivilege:
            return False
        finally:
            connection.rollback()
        return True
