"""S3: whatever is given away by default, nobody else reads the shadow, the log, the ledger and what is parked."""

from __future__ import annotations

from pathlib import Path

import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.privileges import make_roles
from aicfg_pipeline_tests.tools.servers import Database

GIVEN_AWAY = [
    f"ALTER DEFAULT PRIVILEGES {where}GRANT ALL ON {things} TO {role}"
    for where in ("", "IN SCHEMA public ", "IN SCHEMA aicfg_rollback ")
    for things in ("TABLES", "SEQUENCES", "FUNCTIONS", *(() if where else ("SCHEMAS",)))
    for role in ("PUBLIC", "bystander")
]
OTHERS = """
WITH other (oid, name) AS (
    SELECT oid, rolname FROM pg_roles WHERE NOT rolsuper AND rolname !~ '^pg_' AND NOT pg_has_role(oid, 'postgres', 'USAGE')
    UNION ALL SELECT 0, 'PUBLIC'
), ours (oid, name, kind) AS (SELECT oid, relname, relkind FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace)
SELECT o.name, 'schema', p FROM other o, unnest(ARRAY['USAGE', 'CREATE']) p
WHERE has_schema_privilege(o.oid, 'aicfg_rollback'::regnamespace, p)
UNION ALL
SELECT o.name, t.name, p
FROM other o, ours t, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) p
WHERE t.kind IN ('r', 'v') AND t.name <> ALL (%s) AND has_table_privilege(o.oid, t.oid, p)
UNION ALL
SELECT o.name, t.name, p FROM other o, ours t, unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) p
WHERE t.kind = 'S' AND has_sequence_privilege(o.oid, t.oid, p)
UNION ALL
SELECT o.name, f.proname, 'EXECUTE' FROM other o, pg_proc f
WHERE f.pronamespace = 'aicfg_rollback'::regnamespace AND has_function_privilege(o.oid, f.oid, 'EXECUTE')
"""
PARKED = ["ai_cfg_org_prompts", "ai_cfg_sys_rag", "org_prompt_engineering", "sys_rag"]
"""These have the grants that their files give, and come back with them; without USAGE on the schema they are of no use."""


def others(database: Database) -> list[tuple[str, ...]]:
    """Ask the server what anybody else may do with anything of ours."""
    return database.query(OTHERS, [PARKED])


@pytest.mark.two_versions
def test_s3_nobody_else_may_do_anything_with_what_is_ours_at_any_stage(
    migrated_database: Database, tmp_path: Path
) -> None:
    make_roles(migrated_database, ["bystander"])
    for statement in GIVEN_AWAY:
        migrated_database.execute(statement)
    mine = "SELECT relname FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace AND relkind = 'r'"
    with running(migrated_database.url, accept_hazards=["access_changes"]) as run:
        lifecycle.begin(run, "rollback")
        copy_back(run, "org_prompt_engineering")
        assert {("ledger",), ("change_log_org_prompt_engineering",)} < set(migrated_database.query(mine))
        assert others(migrated_database) == []
        readers = "SELECT r.rolname FROM pg_roles r WHERE has_table_privilege(r.oid, %s, 'SELECT') AND r.rolname = 'bystander'"
        assert migrated_database.query(readers, ["aicfg_rollback.org_prompt_engineering"]) == []
        roll_back(run)
        assert others(migrated_database) == []
        assert [c.outcome for c in run_checks(run.session, run.migration) if c.name == "private_schema"] == [
            "passed"
        ] * 2
        undo_rollback(run)
        assert others(migrated_database) == []
        roll_back(run)
        drop_parked(run, tmp_path)
        assert others(migrated_database) == []
        migrated_database.execute("GRANT USAGE ON SCHEMA aicfg_rollback TO bystander")
        told = {c.outcome for c in run_checks(run.session, run.migration) if c.name == "private_schema"}
        assert told == {"failed"}
