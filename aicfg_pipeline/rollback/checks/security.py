"""The checks of who may do what: row level security and grants, against what the DDL file makes in a scratch schema.

Who really sees which rows is tried in `visibility`.
"""

from __future__ import annotations

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import engine
from aicfg_pipeline.rollback import own
from aicfg_pipeline.rollback.checks.check import Verdict, check, nothing_yet
from aicfg_pipeline.rollback.checks.facts import CatalogFacts, as_facts, compared
from aicfg_pipeline.rollback.checks.inspection import Inspection, restored
from aicfg_pipeline.rollback.tables.grants import own_grants
from aicfg_pipeline.rollback.tables.scratch import scratch_table
from aicfg_pipeline.spec.model import Migration, Pair


@check("row_level_security")
def row_level_security(inspection: Inspection, pair: Pair) -> Verdict:
    """Row level security is switched on as it was, with the same policies for the same roles."""
    table = restored(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    session = inspection.session
    with scratch_table(session, inspection.migration, pair.old_ddl, pair.old, "row_level_security") as scratch:
        expected = policies(session, scratch)
    with session.transaction(read_only=True, search_path=(inspection.migration.schema, "extensions")):
        found = policies(session, table)
    return compared(pair, expected, found, what="Row level security and its policies")


def policies(session: Session, table: Relation) -> CatalogFacts:
    """Read row level security and its policies."""
    return as_facts(session.all(engine("row_level_security_facts"), {"oid": table.oid}))


@check("grants")
def grants(inspection: Inspection, pair: Pair) -> Verdict:
    """Exactly the privileges that the DDL file grants: nothing of the project's default privileges, nothing since."""
    table = restored(inspection, pair)
    if table is None:
        return nothing_yet(inspection, pair)
    roles = watched_roles(inspection.migration)
    expected = expected_grants(inspection.session, inspection.migration, pair)
    with inspection.session.transaction(read_only=True):
        found = privileges(inspection.session, table, roles)
    without = [r for r in roles if not any(o == f"role {r}" for o, _ in found)]
    facts = {"roles_with_nothing": without, "privileges": {f"{o}: {a}": v for (o, a), v in found.items()}}
    return compared(pair, expected, found, what="Privileges", facts=facts)


def watched_roles(migration: Migration) -> list[str]:
    """Return the roles whose privileges in effect are compared too, so that memberships count."""
    return list(dict.fromkeys([*migration.required_roles, *(p.role for p in migration.personas)]))


def expected_grants(session: Session, migration: Migration, pair: Pair) -> CatalogFacts:
    """Find the privileges that the DDL file grants, whatever the default privileges of this project are."""
    with scratch_table(session, migration, pair.old_ddl, pair.old) as table:
        session.execute(own.close_to_others(table.schema, [table.name]))
        session.script(own_grants(session, pair.old_ddl, table.schema, table, []))
        return privileges(session, table, watched_roles(migration))


def privileges(session: Session, table: Relation, roles: list[str]) -> CatalogFacts:
    """Read who was granted what on a table, and what that comes to for some roles."""
    return as_facts(session.all(engine("grant_facts"), {"oid": table.oid, "roles": roles}))
