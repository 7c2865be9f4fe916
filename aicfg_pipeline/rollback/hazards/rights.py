"""Rights that the role lacks around the tables, each with the statement that grants it, as `sql/roles.sql` has it.

Whose the tables are, and what they refer to, is told with the tables (`surroundings`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from psycopg import sql

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline.rollback.hazards.hazard import Hazard, Subject

_SCHEMA = re.compile(r'^(?:"((?:[^"]|"")+)"|([^".(]+))\.')


def find(subject: Subject, functions: Sequence[str]) -> Iterator[Hazard]:
    """Look at what this role may not do, and needs. `functions` are those in reach."""
    migration = subject.migration
    given = {
        "schemas": _schemas(subject),
        "created_in": [migration.schema],
        "functions": list(functions),
        "personas": sorted({p.role for p in migration.personas}),
        "ends_sessions": subject.settings.terminate_blockers,
    }
    for row in subject.session.all(engine("missing_rights"), given):
        limited = " Only sessions of roles that it is a member of are ended."
        yield Hazard(
            row.code,
            f"This role may not {row.what}, which is needed for {row.why}."
            + (limited if row.code == "sessions_not_ended" else ""),
            f"{row.statement} Or connect as the tables' owner (on Supabase: postgres).",
            facts={"grant": row.statement},
        )


def grant_owner(session: Session, owner: str) -> str:
    """Return the statement that makes this role a member of `owner`."""
    return _told(session, engine("grant_owner", owner=ident(owner), role=_me(session)))


def grant_bypass(session: Session) -> str:
    """Return the statement that lets this role see every row."""
    return _told(session, engine("grant_bypass", role=_me(session)))


def grant_reference(session: Session, table: sql.Identifier) -> str:
    """Return the statement that lets this role's tables refer to `table`."""
    return _told(session, engine("grant_reference", table=table, role=_me(session)))


def _me(session: Session) -> sql.Identifier:
    return ident(str(session.scalar(engine("current_role"))))


def _told(session: Session, statement: sql.Composed) -> str:
    return f"{statement.as_string(session.connection)};"


def functions_in_reach(subject: Subject) -> list[str]:
    """Return the functions that the migration needs, but for those in a schema that this role may not use.

    The server does not look such a name up: it fails.
    """
    closed = set(subject.session.all(engine("closed_schemas"), {"schemas": _schemas(subject)}))
    return [f for f in subject.migration.required_functions if (_schema_of(f),) not in closed]


def _schemas(subject: Subject) -> list[str]:
    """Return the schemas of the tables, of what they refer to and of what they call."""
    migration = subject.migration
    called = (_schema_of(f) for f in migration.required_functions)
    return sorted({migration.schema, *(schema for schema, _ in migration.required_tables), *(s for s in called if s)})


def _schema_of(function: str) -> str | None:
    """Return the schema that a function's name (`auth.uid()`) begins with."""
    found = _SCHEMA.match(function)
    return (found.group(1) or found.group(2)).replace('""', '"') if found else None
