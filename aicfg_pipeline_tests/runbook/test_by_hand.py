"""Steps that no service is configured for: which they are, in which order, and with which commands."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from aicfg_pipeline.runbook.by_hand import ManualStep, Way, manual_steps, open_steps
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Outside

NOTHING = ServicesSettings.load({})


def steps(way: Way = Way.BACK, services: ServicesSettings = NOTHING) -> dict[str, ManualStep]:
    return {s.service: s for s in manual_steps(services, spec.load(), way, swapped=datetime(2026, 11, 25, tzinfo=UTC))}


def test_every_step_of_the_runbook_is_a_persons_where_nothing_is_configured() -> None:
    assert [(s.service, s.runbook_step) for s in steps().values()] == [
        ("lambdas", 1), ("repository", 3), ("deploy", 5), ("endpoints", 6), ("logs", 6), ("webhook", 6),
    ]  # fmt: skip


def test_what_is_configured_is_not_a_persons() -> None:
    settings = ServicesSettings.load({"deploy": {"directory": "/x"}, "lambdas": {"function_names": ["f"]}})
    assert list(steps(services=settings)) == ["repository", "endpoints", "logs", "webhook"]


def test_a4_open_is_that_without_which_the_application_may_be_down() -> None:
    assert [s.service for s in open_steps(list(steps().values()))] == ["repository", "deploy", "endpoints", "logs"]


def test_a4_the_commands_are_filled_in_from_the_migration() -> None:
    """The runbook names them: functions, files, paths. None of it is in Python."""
    found = steps()
    handler = "templates/_modules-core/module-ai/backend/lambdas/ai-config-handler/lambda_function.py"
    code = found["repository"].command.splitlines()
    assert code[0] == "cd ~/code/bodhix/cora-dev-toolkit && git switch -c aicfg-rollback"
    assert f"  {handler}" in code
    assert "git mv archive/007-org-prompt-engineering.sql.old 007-org-prompt-engineering.sql" in code
    assert "git rm 006-ai-cfg-sys-rag.sql 007-ai-cfg-org-prompts.sql" in code
    assert "git grep -nwE 'ai_cfg_sys_rag|ai_cfg_org_prompts'" in found["repository"].command
    assert found["deploy"].command == "cd $INFRA && ./scripts/deploy-lambda.sh module-ai/ai-config-handler"
    assert '"https://$API_URL/orgs/$ORG_ID/ai-config/prompts"' in found["endpoints"].command
    assert "--log-group-name /aws/lambda/ai-config-handler --start-time 1795564800000" in found["logs"].command


def test_after_an_undo_it_is_the_new_names_that_the_code_has_to_know() -> None:
    found = steps(Way.FORTH)
    assert "git grep -nwE 'sys_rag|org_prompt_engineering'" in found["repository"].command
    assert "new names" in found["deploy"].title


def test_what_the_migration_does_not_say_is_a_variable_that_says_what_it_is() -> None:
    bare = replace(spec.load(), outside=Outside())
    commands = "\n".join(s.command for s in manual_steps(NOTHING, bare))
    for variable in (
        "$FUNCTION",
        "$REPOSITORY",
        "$PATH_OF_THE_CODE",
        "$INFRA",
        "$API_URL",
        "$MILLISECONDS_OF_THE_SWAP",
    ):
        assert variable in commands
