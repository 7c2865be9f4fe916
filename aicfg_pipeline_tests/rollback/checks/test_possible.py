"""Before a rollback: is one still possible, and since when not."""

from __future__ import annotations

from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database


def look(database: Database) -> dict[str, Check]:
    with running(database.url) as run:
        checks = verify.run_checks(run.session, run.migration)
    return {c.pair: c for c in checks if c.name == "rollback_possible"}


def test_a_freshly_migrated_database_can_be_rolled_back(migrated_database: Database) -> None:
    assert all(c.passed for c in look(migrated_database).values())


def test_a_row_that_the_old_table_would_refuse_is_a_warning_that_says_why_and_since_when(
    migrated_database: Database,
) -> None:
    migrated_database.execute(
        "ALTER TABLE ai_cfg_org_prompts DROP CONSTRAINT ai_cfg_org_prompts_citation_style_check;"
        "ALTER TABLE ai_cfg_org_prompts DISABLE TRIGGER USER;"
        "UPDATE ai_cfg_org_prompts SET citation_style = 'margin', updated_at = '2026-02-03 04:05:06+00'"
        " WHERE id = (SELECT min(id::text)::uuid FROM ai_cfg_org_prompts);"
        "ALTER TABLE ai_cfg_org_prompts ENABLE TRIGGER USER;"
    )
    check = look(migrated_database)["org_prompt_engineering"]
    assert not check.passed
    assert check.severity == "WARN"
    assert check.summary.startswith("A rollback is not possible because 1 row of ai_cfg_org_prompts breaks CHECK")
    assert "at least since 2026-02-03 04:05:06+00:00" in check.summary
