"""The configuration of each service.

Every service is optional: `None` is "not configured", which is legal. What is configured must be right, and every
mistake is named at once. Where the settings come from (run config, a file, the environment) and what a person does where
a service has none (`runbook.by_hand`) do not belong here. No setting holds a secret: those are named by environment
variable.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PositiveFloat, PositiveInt, ValidationError, field_validator

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.services.aws import AwsTarget, Log, silent
from aicfg_pipeline.services.deploy import DEFAULT_COMMAND, DeployService, words_of
from aicfg_pipeline.services.endpoints import EndpointService
from aicfg_pipeline.services.lambdas import LambdaService
from aicfg_pipeline.services.logs import LogService
from aicfg_pipeline.services.probes import Probe
from aicfg_pipeline.services.repository import Repository
from aicfg_pipeline.services.reverted import Move
from aicfg_pipeline.services.webhook import WebhookService


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True)


class AwsSettings(_Settings):
    """Which AWS account and region."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    max_attempts: PositiveInt = 8

    def target(self) -> AwsTarget:
        """Return these settings as what the AWS services take."""
        return AwsTarget(self.region, self.profile, self.endpoint_url, self.max_attempts)


class LambdaSettings(AwsSettings):
    """The functions to stop and start. `stop: false` leaves them running: the cut-over does not need it."""

    function_names: tuple[str, ...] = Field(min_length=1)
    stop: bool = True
    drain_seconds: float | None = Field(default=None, ge=0)
    settle_seconds: PositiveFloat = 120.0

    def service(self, log: Log = silent) -> LambdaService:
        """Return the service that these settings describe."""
        return LambdaService(
            self.function_names,
            target=self.target(),
            drain_seconds=self.drain_seconds,
            settle_seconds=self.settle_seconds,
            log=log,
        )


class LogSettings(AwsSettings):
    """The log groups to look through."""

    log_groups: tuple[str, ...] = Field(min_length=1)
    margin_seconds: float = Field(default=2.0, ge=0)
    max_lines: PositiveInt = 20_000

    def service(self) -> LogService:
        """Return the service that these settings describe."""
        return LogService(
            self.log_groups, target=self.target(), margin_seconds=self.margin_seconds, max_lines=self.max_lines
        )


class MoveSettings(_Settings):
    """One file that comes back from the archive."""

    source: str = Field(min_length=1)
    target: str = Field(min_length=1)


class RepositorySettings(_Settings):
    """The working copy, and what is to be taken back in it. Nothing is pushed unless `push_to` names a remote."""

    path: str = Field(min_length=1)
    commit: str = Field(min_length=1)
    code_paths: tuple[str, ...] = ()
    moves: tuple[MoveSettings, ...] = ()
    removals: tuple[str, ...] = ()
    branch: str = "aicfg-rollback"
    push_to: str | None = None

    @property
    def file_moves(self) -> tuple[Move, ...]:
        """The moves as `Repository.revert_paths` takes them."""
        return tuple(Move(move.source, move.target) for move in self.moves)

    def service(self) -> Repository:
        """Return the service that these settings describe."""
        return Repository(self.path)


class DeploySettings(_Settings):
    """The deploy command and the directory it runs in."""

    directory: str = Field(min_length=1)
    command: str | tuple[str, ...] = DEFAULT_COMMAND
    timeout_seconds: PositiveFloat = 900.0
    environment: dict[str, str] = Field(default_factory=dict)

    @field_validator("command")
    @classmethod
    def _splits(cls, command: str | tuple[str, ...]) -> tuple[str, ...]:
        try:
            return words_of(command)
        except ConfigError as error:
            raise ValueError(error.found) from error

    def service(self) -> DeployService:
        """Return the service that these settings describe."""
        return DeployService(
            self.directory, self.command, timeout_seconds=self.timeout_seconds, environment=self.environment
        )


class ColumnSettings(_Settings):
    """What a value of an answer must be: one column of one row. `table` is the old name, whichever is in use."""

    table: str = Field(min_length=1)
    column: str = Field(min_length=1)
    where: dict[str, str] = Field(default_factory=dict)


class ProbeSettings(_Settings):
    """One probe of an endpoint. `values` and `columns` are by JSON path; `columns` are read from the database."""

    name: str = Field(min_length=1)
    path: str = Field(min_length=1)
    method: str = Field(default="GET", pattern=r"^[A-Z]+$")
    expected_status: int = Field(default=200, ge=100, le=599)
    expect_json: bool = True
    required: tuple[str, ...] = ()
    values: dict[str, Any] = Field(default_factory=dict)
    columns: dict[str, ColumnSettings] = Field(default_factory=dict)
    max_latency_ms: PositiveFloat | None = None

    def probe(self) -> Probe:
        """Return the probe that these settings describe."""
        return Probe(**self.model_dump(exclude={"columns"}))


class EndpointSettings(_Settings):
    """The API to probe. `token_variable` names the environment variable that holds the bearer token."""

    base_url: str = Field(min_length=1)
    probes: tuple[ProbeSettings, ...]
    placeholders: dict[str, str] = Field(default_factory=dict)
    token_variable: str | None = environment.API_TOKEN.name
    timeout_seconds: PositiveFloat = 10.0
    attempts: PositiveInt = 5
    backoff_seconds: PositiveFloat = 1.0
    verify_tls: bool | str = True

    @field_validator("probes")
    @classmethod
    def _some_and_names_differ(cls, probes: tuple[ProbeSettings, ...]) -> tuple[ProbeSettings, ...]:
        # Not `min_length`: that would complain of an empty list too whenever a probe in it is wrong.
        if not probes:
            raise ValueError("there is no probe")
        names = [probe.name for probe in probes]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two probes have the same name: {', '.join(twice)}")
        return probes

    def service(self) -> EndpointService:
        """Return the service that these settings describe."""
        return EndpointService(
            self.base_url,
            token=self.token_variable,
            placeholders=self.placeholders,
            timeout_seconds=self.timeout_seconds,
            attempts=self.attempts,
            backoff_seconds=self.backoff_seconds,
            verify=self.verify_tls,
        )


class WebhookSettings(_Settings):
    """Where to tell people. The URL is a secret, so the environment variable that holds it is named here."""

    url_variable: str = environment.WEBHOOK_URL.name
    timeout_seconds: PositiveFloat = 5.0
    attempts: PositiveInt = 3

    def service(self) -> WebhookService | None:
        """Return the service, or None where the variable is not set: then there is nobody to tell."""
        url = (environment.named(self.url_variable) or "").strip()
        return WebhookService(url, timeout_seconds=self.timeout_seconds, attempts=self.attempts) if url else None


class WatchSettings(_Settings):
    """When failures in a row become advice to roll back. Looks closer together than `spacing_seconds` count once."""

    consecutive: PositiveInt = 3
    spacing_seconds: float = Field(default=60.0, ge=0)
    window_minutes: PositiveFloat = 15.0


class ServicesSettings(_Settings):
    """All services. Each that is None is done by hand."""

    lambdas: LambdaSettings | None = None
    logs: LogSettings | None = None
    repository: RepositorySettings | None = None
    deploy: DeploySettings | None = None
    endpoints: EndpointSettings | None = None
    webhook: WebhookSettings | None = None
    watch: WatchSettings = WatchSettings()

    @classmethod
    def load(cls, values: Mapping[str, Any]) -> ServicesSettings:
        """Read the settings; a `ConfigError` names every mistake and shows none of the values."""
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            complaints = [
                f"{'.'.join(map(str, mistake['loc'])) or 'services'}: {mistake['msg']}"
                for mistake in error.errors(include_input=False, include_url=False)
            ]
            raise ConfigError(
                "the configuration of the services can't be used",
                complaints=complaints,
                remedy="correct these settings; a service that is left out is done by hand",
            ) from error
