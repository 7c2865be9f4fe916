"""Turns the engine's plain facts into Dagster metadata and Markdown, and its errors into failures.

Nothing is decided here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dagster import (
    AssetCheckEvaluation,
    AssetCheckResult,
    AssetCheckSeverity,
    DagsterExecutionInterruptedError,
    Failure,
    MetadataValue,
)
from dagster._core.errors import DagsterUserCodeProcessError
from dagster._utils.error import SerializableErrorInfo

from aicfg_pipeline.errors import PipelineError, StoppedError
from aicfg_pipeline.orchestration.assets import key_of
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.config import Request
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.steps.plan import Plan
from aicfg_pipeline.spec.model import Migration


def metadata(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return facts as metadata: numbers stay numbers (the UI plots them), structures become JSON."""
    return {
        str(key): MetadataValue.md(value) if key in MARKDOWN and isinstance(value, str) else _value(value)
        for key, value in facts.items()
        if value is not None
    }


MARKDOWN = frozenset({"before_and_after"})


def _value(value: Any) -> Any:
    if isinstance(value, MetadataValue):
        return value
    if isinstance(value, bool | int | float):
        if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**63:
            return MetadataValue.text(str(value))
        return value
    if isinstance(value, str):
        return MetadataValue.text(value)
    return MetadataValue.json(_plain(value))


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(v) for v in value]
    return value if isinstance(value, str | int | float | bool | type(None)) else str(value)


class _TakenOver(DagsterUserCodeProcessError):
    """Dagster's kind for errors that come from elsewhere, made without its constructor's demands."""

    def __init__(self, *args: object) -> None:
        Exception.__init__(self, *args)


class StepFailure(Failure, _TakenOver):
    """A failed step that says what a person can mend, and no more.

    Dagster prints a stack trace for every exception but this kind, whose error it takes over as it is given.
    """

    def __init__(self, error: PipelineError) -> None:
        facts = {"code": error.code, "found": error.found, "expected": error.expected, "what_to_do": error.remedy}
        listed = "\n".join(f"- {c}" for c in error.complaints)
        extra = {"complaints": MetadataValue.md(listed)} if listed else {}
        super().__init__(description=str(error), metadata={**metadata(facts), **extra}, allow_retries=False)
        told = f"{type(error).__name__} ({error.code}): {error}"
        self.user_code_process_error_infos = [SerializableErrorInfo(message=told, stack=[], cls_name=error.code)]


class StepStopped(DagsterExecutionInterruptedError, _TakenOver):
    """A step that a person stopped: no other step of the run begins, and there is no stack trace of where it was."""

    def __init__(self, error: StoppedError) -> None:
        super().__init__(str(error))
        told = f"{type(error).__name__} ({error.code}): {error}"
        self.user_code_process_error_infos = [SerializableErrorInfo(message=told, stack=[], cls_name=error.code)]


@dataclass
class Failing:
    """What is known of a step when it fails: the target's name, once it was found."""

    target: str | None = None


@contextmanager
def failures() -> Iterator[Failing]:
    """Turn what a person can mend into a failed step that says so, without a traceback and without retries."""
    known = Failing()
    try:
        yield known
    except PipelineError as error:
        error.target = known.target
        raise (StepStopped(error) if isinstance(error, StoppedError) else StepFailure(error)) from None


def check_evaluation(migration: Migration, check: Check) -> AssetCheckEvaluation | None:
    """Return a check's verdict as an event that an op may log; None where the check does not apply.

    Dagster knows two outcomes only, and a check that looked at nothing has neither.
    """
    if not check.applies:
        return None
    return AssetCheckEvaluation(
        asset_key=key_of(migration, check),
        check_name=check.name,
        passed=check.passed,
        severity=AssetCheckSeverity[check.severity],
        description=check.summary,
        metadata={"summary": check.summary, **metadata(check.facts)},
    )


def check_result(migration: Migration, check: Check) -> AssetCheckResult | None:
    """Return a check's verdict as the result of an asset check; None where the check does not apply."""
    if not check.applies:
        return None
    return AssetCheckResult(
        asset_key=key_of(migration, check),
        check_name=check.name,
        passed=check.passed,
        severity=AssetCheckSeverity[check.severity],
        description=check.summary,
        metadata={"summary": check.summary, **metadata(check.facts)},
    )


# --- the plan --------------------------------------------------------------------------------------------------


def plan_markdown(plan: Plan, accepted: tuple[str, ...], *, target: str, commands: Commands, request: Request) -> str:
    """Return the plan for the UI: states, hazards, statements in order, and how to go on."""
    lines = [
        f"## Plan {plan.hash}",
        "",
        f"Target **{target}**: database `{plan.database['database']}` at {plan.database['server_address']}"
        f" as `{plan.database['role']}`, {str(plan.database['version']).split(',')[0]}, system"
        f" {plan.database['system_identifier']}",
        "",
        "| pair | state | because |",
        "|---|---|---|",
        *(f"| {s.pair.old} ← {s.pair.new} | **{s.state}** | {s.because} |" for s in plan.look.pairs),
        "",
        *_hazard_lines(plan, accepted),
        "",
        *_statement_lines(plan),
        "",
        *_way_on(commands, request),
    ]
    return "\n".join(lines)


def _way_on(commands: Commands, request: Request) -> list[str]:
    """A complete run.yaml for this target, and the commands that take it."""
    return [
        "### run.yaml",
        "",
        "One file for every job on this target; paste it into the launchpad, or save it:",
        "",
        "```yaml",
        commands.run_yaml(request),
        "```",
        "",
        "To roll back, by either command, as it stands here:",
        "",
        "```sh",
        commands.job("rollback"),
        commands.dg("rollback"),
        "```",
    ]


def _hazard_lines(plan: Plan, accepted: tuple[str, ...]) -> list[str]:
    if not plan.hazards:
        return ["No hazards."]
    return ["### Hazards", ""] + [
        f"- {'**blocks**' if h.blocks(accepted) else 'noted'}: {h}"
        + (f" (may be accepted: `accept_hazards: [{h.code}]`)" if h.acceptable else "")
        for h in plan.hazards
    ]


def _statement_lines(plan: Plan) -> list[str]:
    if not plan.statements:
        return ["No statement would run."]
    lines, part = ["### Statements, in the order they run"], ("", "")
    for number, statement in enumerate(plan.statements, 1):
        if (statement.step, statement.pair or "") != part:
            lines += ["```"] if part[0] else []
            part = (statement.step, statement.pair or "")
            lines += ["", f"#### {' '.join(part).strip()}", "", "```sql"]
        lines.append(f"-- {number}: {statement.why}")
        lines += [f"-- only if: {statement.provided}"] if statement.provided else []
        lines.append(f"{statement.sql};")
    return [*lines, "```"]
