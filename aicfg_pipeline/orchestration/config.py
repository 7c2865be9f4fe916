"""The run config that a person fills in: every field with a description, because the launchpad shows nothing else.

All of it is optional on the embedded database. No field takes a secret.
"""

from typing import Any

from dagster import Config
from pydantic import Field, model_validator

from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.rollback.run import Settings

MOST_DAYS = 365
_CONFIRM = (
    "The name of the database you mean; must equal current_database(). Required on any server but the embedded demo:"
    " it is what keeps a tired thumb from rolling back the wrong one."
)


class _RunConfig(Config):
    """What all of them share."""

    @model_validator(mode="before")
    @classmethod
    def _left_empty(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`confirm_database:` with nothing after it is a field that was left out."""
        return {name: value for name, value in values.items() if value is not None}


class PlanConfig(_RunConfig):
    """What the operator asks for."""

    confirm_database: str = Field(default="", description=_CONFIRM)
    dry_run: bool = Field(default=False, description="Look and report, then stop: nothing is touched.")
    accept_hazards: list[str] = Field(
        default=[],
        description="Codes of hazards to accept: unmapped_column, values_change, time_zone, dependents, coexisting_conflict."
        " Read the plan first.",
    )
    retain_days: int = Field(
        default=7,
        description=f"Days to keep the new tables parked, so that the rollback can be undone, at most {MOST_DAYS}. 0 drops"
        " them at the end of this run.",
    )
    terminate_blockers: bool = Field(
        default=False, description="End sessions that are idle in a transaction and hold a lock the cut-over needs."
    )

    def settings(self) -> Settings:
        """Return these as the engine's settings. Raises `ConfigError`.

        Here and not in the field, because Dagster shows what pydantic says in a step as a traceback.
        """
        if not 0 <= self.retain_days <= MOST_DAYS:
            raise ConfigError(
                f"retain_days is {self.retain_days}. Nothing was touched.",
                expected=f"a number of days from 0 (drop at the end of this run) to {MOST_DAYS}",
                remedy="Correct it in the run config of the op plan.",
            )
        return Settings(
            confirm_database=self.confirm_database or None,
            dry_run=self.dry_run,
            accept_hazards=tuple(self.accept_hazards),
            retain_days=self.retain_days,
            terminate_blockers=self.terminate_blockers,
        )


class ConfirmConfig(_RunConfig):
    """Which database is meant."""

    confirm_database: str = Field(default="", description=_CONFIRM)
    terminate_blockers: bool = Field(
        default=False, description="End sessions that are idle in a transaction and hold a lock this step needs."
    )

    def settings(self) -> Settings:
        """Return these as the engine's settings."""
        return Settings(confirm_database=self.confirm_database or None, terminate_blockers=self.terminate_blockers)


class DropConfig(ConfirmConfig):
    """When the parked tables may go."""

    before_retention_ends: bool = Field(
        default=False, description="Drop although the retention time has not ended. Undo is impossible afterwards."
    )
