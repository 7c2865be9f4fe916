"""The request: what the operator asks for, one flat run.yaml for every job. Each job uses what concerns it.

Every field has a description, because the launchpad shows nothing else. All of it is optional on the embedded demo.
No field takes a secret. It reaches the ops as a resource, so that no op hands it to the next.
"""

import enum
from typing import Any, ClassVar

from dagster import Config, ConfigMapping, ConfigurableResource, DagsterInvalidConfigError, config_mapping
from dagster._config import EvaluationError
from dagster._config.errors import DagsterEvaluationErrorReason
from dagster._config.stack import EvaluationStackRoot
from dagster._utils.error import SerializableErrorInfo
from pydantic import Field, model_validator

from aicfg_pipeline import environment
from aicfg_pipeline.environment import REQUIRE_APPROVAL
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.orchestration.home import DEMO, named_target
from aicfg_pipeline.rollback.hazards import ACCEPTABLE
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.spec.model import ALONE, Instance

CONSOLE = "console"
"""What every job calls its logger; without its name in the run config Dagster takes its own, with every debug line."""

MOST_DAYS = 365
HazardCode = enum.Enum("HazardCode", {code: code for code in sorted(ACCEPTABLE)})  # type: ignore[misc]
"""The hazards that an operator may accept, for the launchpad to offer and for Dagster to refuse all others."""


class Request(Config):
    """What the operator asks for."""

    confirm_database: str = Field(
        default="",
        description="The target you mean, by the name that the plan prints (the database's own name is enough where that"
        " is not postgres). Required on any server but the embedded demo: it is what keeps a tired thumb from the wrong"
        " one.",
    )
    reason: str = Field(
        default="",
        description="Why, in your own words: it stands in the ledger and in the report. No secrets.",
    )
    dry_run: bool = Field(default=False, description="Show the plan of this job, then stop: nothing is touched.")
    accept_hazards: list[HazardCode] = Field(
        default=[],
        description=f"Codes of hazards to accept: {', '.join(sorted(ACCEPTABLE))}. Read the plan first.",
    )
    retain_days: int = Field(
        default=7,
        description=f"Days to keep the new tables parked, so that the rollback can be undone: 0 to {MOST_DAYS}. 0 drops"
        " them at the end of the rollback.",
    )
    terminate_blockers: bool = Field(
        default=False, description="End sessions that are idle in a transaction and hold a lock this job needs."
    )
    before_retention_ends: bool = Field(
        default=False, description="Drop although the retention time has not ended. Undo is impossible afterwards."
    )
    approved_plan: str = Field(
        default="",
        description="The hash of the plan that was approved, from its first line. What would do anything else is refused,"
        f" with the difference. Required where {REQUIRE_APPROVAL.name} is 1.",
    )
    approved_by: str = Field(default="", description="Who approved that plan. Ledger and report have it.")

    @model_validator(mode="before")
    @classmethod
    def _left_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`confirm_database:` with nothing after it is a field that was left out."""
        return {name: value for name, value in values.items() if value is not None}

    def complaints(self) -> list[str]:
        """Say what can't be meant, besides what the types say: Dagster's schema has no bounds."""
        told = []
        if not 0 <= self.retain_days <= MOST_DAYS:
            told.append(
                f"retain_days is {self.retain_days}: a number of days from 0 (drop at the end of this run) to {MOST_DAYS}"
            )
        if self.approved_by.strip() and not self.approved_plan.strip():
            told.append("approved_by says who approved, but approved_plan does not say what: the hash of a plan")
        return told

    def settings(self) -> Settings:
        """Return these as the engine's settings. Raises `ConfigError`."""
        complaints = self.complaints()
        if complaints:
            raise ConfigError(f"{'; '.join(complaints)}. Nothing was touched.", remedy="Correct it in run.yaml.")
        return Settings(
            confirm_database=self.confirm_database or None,
            dry_run=self.dry_run,
            accept_hazards=tuple(code.value for code in self.accept_hazards),
            retain_days=self.retain_days,
            terminate_blockers=self.terminate_blockers,
            before_retention_ends=self.before_retention_ends,
        )

    def as_config(self) -> dict[str, Any]:
        """Return these as run config."""
        return {**self.model_dump(), "accept_hazards": [code.name for code in self.accept_hazards]}


class ConfirmedRequest(Request):
    """The same where a database is configured: the launchpad does not launch before it is named."""

    url_variable: ClassVar[str] = environment.DATABASE_URL.name

    confirm_database: str = Field(description=Request.model_fields["confirm_database"].description)

    def complaints(self) -> list[str]:
        """Say the same, and that a name is missing."""
        missing = [] if self.confirm_database.strip() else [CONFIRM.format(target=named_target(self.url_variable))]
        return [*missing, *super().complaints()]


CONFIRM = (
    "not_confirmed: confirm_database is missing; if {target} is the database you mean, set confirm_database: {target}"
)

FIELDS = tuple(Request.model_fields)

USED_BY = {
    "plan": ("confirm_database", "accept_hazards", "retain_days", "terminate_blockers"),
    "rollback": (
        "confirm_database",
        "reason",
        "dry_run",
        "accept_hazards",
        "retain_days",
        "terminate_blockers",
        "approved_plan",
        "approved_by",
    ),
    "prepare": ("confirm_database", "reason", "dry_run", "accept_hazards", "terminate_blockers"),
    "rehearse": ("reason", "dry_run", "accept_hazards", "retain_days"),
    "verify": (),
    "undo_rollback": (
        "confirm_database",
        "reason",
        "dry_run",
        "accept_hazards",
        "terminate_blockers",
        "approved_plan",
        "approved_by",
    ),
    "drop_new_tables": (
        "confirm_database",
        "reason",
        "dry_run",
        "terminate_blockers",
        "before_retention_ends",
        "approved_plan",
        "approved_by",
    ),
    "abandon": ("confirm_database", "reason", "dry_run", "terminate_blockers"),
    "migrate": ("confirm_database", "reason", "dry_run", "terminate_blockers", "approved_plan", "approved_by"),
}
"""What each job makes use of. The rest of a run.yaml is accepted and means nothing to it."""


def told_use(job: str) -> str:
    """Return the sentence of a job's description that says what it uses of run.yaml."""
    used = USED_BY[job]
    return f"Of run.yaml it uses {', '.join(used)}." if used else "Of run.yaml it uses nothing: it only reads."


class RequestResource(ConfigurableResource[Any]):
    """The request of this run, for every op of it."""

    asked: Request = Request()


def flat_run_config(job: str, instance: Instance = ALONE) -> ConfigMapping:
    """Return the mapping that lets run.yaml be the request and nothing around it."""
    kind = _confirmed(instance.url_variable) if must_confirm(job, instance.url_variable) else Request
    resource = instance.named("request")

    def request(asked: Request) -> dict[str, Any]:
        complaints = asked.complaints()
        if complaints:
            errors = [_refused(c) for c in complaints]
            raise DagsterInvalidConfigError("The run config can't be used.", errors, {})  # type: ignore[no-untyped-call]
        asking = {"resources": {resource: {"config": {"asked": asked.as_config()}}}}
        return {**asking, "loggers": {CONSOLE: {}}}

    request.__annotations__["asked"] = kind  # Dagster makes the launchpad's schema of it
    return config_mapping(request)


def _confirmed(variable: str) -> type[ConfirmedRequest]:
    """Return the request that names the target of this variable where it is not confirmed."""
    return type("ConfirmedRequest", (ConfirmedRequest,), {"url_variable": variable, "__module__": __name__})


def must_confirm(job: str, variable: str) -> bool:
    """Whether a job is not launched without a name: it writes, and the environment names a database that is not the demo."""
    named = (environment.named(variable) or "").strip()
    return "confirm_database" in USED_BY[job] and job != "plan" and named not in ("", DEMO)


def _refused(complaint: str) -> EvaluationError:
    """Return a complaint as Dagster has its own of a run config, so that the launchpad shows it as one."""
    return EvaluationError(
        stack=EvaluationStackRoot(),
        reason=DagsterEvaluationErrorReason.FAILED_POST_PROCESSING,
        message=complaint,
        error_data=SerializableErrorInfo(message=complaint, stack=[], cls_name="bad_config"),
    )
