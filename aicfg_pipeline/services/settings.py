"""The configuration of each service.

Every service is optional: `None` is "not configured", which is legal. What is configured must be right, and every
mistake is named at once. Where the settings come from (run config, a file, the environment) and what a person does where
a service has none (`runbook.by_hand`) do not belong here. No setting holds a secret: those are named by environment
variable.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_args

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
from aicfg_pipeline.spec.document import nearest

Complaint = Callable[[Sequence[int | str], str], str]
"""Tells what is wrong at a place of the file."""


class _Settings(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, hide_input_in_errors=True, use_attribute_docstrings=True)


class AwsSettings(_Settings):
    """Which AWS account and region."""

    region: str | None = None
    """The AWS region. Where it is left out, boto3 finds it as usual."""
    profile: str | None = None
    """A profile of the AWS configuration. Where it is left out, boto3 finds the credentials as usual."""
    endpoint_url: str | None = None
    """Where AWS is spoken to, if not at AWS: a stand-in of your own."""
    max_attempts: PositiveInt = 8
    """So often a call is tried before it counts as failed."""

    def target(self) -> AwsTarget:
        """Return these settings as what the AWS services take."""
        return AwsTarget(self.region, self.profile, self.endpoint_url, self.max_attempts)


class LambdaSettings(AwsSettings):
    """The functions to stop and start. `stop: false` leaves them running: the cut-over does not need it."""

    function_names: tuple[str, ...] = Field(min_length=1)
    """The functions that use these tables, by name or ARN."""
    stop: bool = True
    """Whether they are stopped for the swap; false leaves them running, and their writers wait for milliseconds."""
    drain_seconds: float | None = Field(default=None, ge=0)
    """How long to wait for invocations in flight. Default: the longest timeout of these functions."""
    settle_seconds: PositiveFloat = 120.0
    """How long at most to wait until a change of a function is in effect."""

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
    """The log groups of CloudWatch to look through."""
    margin_seconds: float = Field(default=2.0, ge=0)
    """So much earlier than the moment asked for is looked, as clocks differ."""
    max_lines: PositiveInt = 20_000
    """So many lines are read at most; the check says where that was not all."""

    def service(self) -> LogService:
        """Return the service that these settings describe."""
        return LogService(
            self.log_groups, target=self.target(), margin_seconds=self.margin_seconds, max_lines=self.max_lines
        )


class MoveSettings(_Settings):
    """One file that comes back from the archive."""

    source: str = Field(min_length=1)
    """The file as it lies in the archive, by its path in the working copy."""
    target: str = Field(min_length=1)
    """Where it comes back to."""


class RepositorySettings(_Settings):
    """The working copy, and what is to be taken back in it. Nothing is pushed unless `push_to` names a remote."""

    path: str = Field(min_length=1)
    """The folder of the working copy."""
    commit: str = Field(min_length=1)
    """A commit or tag from before the migration, from which the code comes."""
    code_paths: tuple[str, ...] = ()
    """Files that are taken from that commit."""
    moves: tuple[MoveSettings, ...] = ()
    """Schema files that come back from the archive."""
    removals: tuple[str, ...] = ()
    """Schema files of the new tables that go."""
    branch: str = "aicfg-rollback"
    """The branch on which all of it becomes one commit."""
    push_to: str | None = None
    """The remote to which the branch is pushed. Left out: nothing is ever pushed."""

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
    """The folder in which the command runs."""
    command: str | tuple[str, ...] = DEFAULT_COMMAND
    """The deploy command, as one line or as a list of words. No shell is used."""
    timeout_seconds: PositiveFloat = 900.0
    """After so long the command is ended, and the step fails."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables that the command gets in addition. No secrets: this file is no place for them."""

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
    """The old name of the table."""
    column: str = Field(min_length=1)
    """The column."""
    where: dict[str, str] = Field(default_factory=dict)
    """Which row: values by column. Left out: the only row."""


class ProbeSettings(_Settings):
    """One probe of an endpoint. `values` and `columns` are by JSON path; `columns` are read from the database."""

    name: str = Field(min_length=1)
    """What this probe is called in checks and reports."""
    path: str = Field(min_length=1)
    """The path under `base_url`; `{name}` is filled in from `placeholders`."""
    method: str = Field(default="GET", pattern=r"^[A-Z]+$")
    """The HTTP method."""
    expected_status: int = Field(default=200, ge=100, le=599)
    """The status that means that all is well."""
    expect_json: bool = True
    """Whether the answer has to be JSON."""
    required: tuple[str, ...] = ()
    """JSON paths that the answer must have."""
    values: dict[str, Any] = Field(default_factory=dict)
    """What stands at a JSON path."""
    columns: dict[str, ColumnSettings] = Field(default_factory=dict)
    """What stands at a JSON path, read from the database when it is asked."""
    max_latency_ms: PositiveFloat | None = None
    """A slower answer counts as wrong."""

    def probe(self) -> Probe:
        """Return the probe that these settings describe."""
        return Probe(**self.model_dump(exclude={"columns"}))


class EndpointSettings(_Settings):
    """The API to probe. `token_variable` names the environment variable that holds the bearer token."""

    base_url: str = Field(min_length=1)
    """Where the API is."""
    probes: tuple[ProbeSettings, ...]
    """What is asked there."""
    placeholders: dict[str, str] = Field(default_factory=dict)
    """What is filled into the paths."""
    token_variable: str | None = environment.API_TOKEN.name
    """The environment variable with the bearer token; null: none is sent."""
    timeout_seconds: PositiveFloat = 10.0
    """How long to wait for an answer."""
    attempts: PositiveInt = 5
    """So often a probe is tried before it counts as failed."""
    backoff_seconds: PositiveFloat = 1.0
    """The pause before the second try; it doubles each time."""
    verify_tls: bool | str = True
    """Whether the certificate is checked; or the file with the certificates to trust."""

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
    """The environment variable with the address, which is a secret."""
    timeout_seconds: PositiveFloat = 5.0
    """How long to wait for an answer."""
    attempts: PositiveInt = 3
    """So often a message is tried."""

    def service(self) -> WebhookService | None:
        """Return the service, or None where the variable is not set: then there is nobody to tell."""
        url = (environment.named(self.url_variable) or "").strip()
        return WebhookService(url, timeout_seconds=self.timeout_seconds, attempts=self.attempts) if url else None


class WatchSettings(_Settings):
    """When failures in a row become advice to roll back. Looks closer together than `spacing_seconds` count once."""

    consecutive: PositiveInt = 3
    """So many looks in a row have to see the same before a rollback is advised."""
    spacing_seconds: float = Field(default=60.0, ge=0)
    """Looks closer together than this count once."""
    window_minutes: PositiveFloat = 15.0
    """How far back the logs are read."""


class ServicesSettings(_Settings):
    """All services. Each that is None is done by hand."""

    lambdas: LambdaSettings | None = None
    """Runbook 1 and 5: the functions that are stopped and started."""
    logs: LogSettings | None = None
    """Runbook 6: the logs that must name no missing table."""
    repository: RepositorySettings | None = None
    """Runbook 3 and 4: code and schema files."""
    deploy: DeploySettings | None = None
    """Runbook 5: the deploy."""
    endpoints: EndpointSettings | None = None
    """Runbook 6: the API that must answer."""
    webhook: WebhookSettings | None = None
    """Where people are told."""
    watch: WatchSettings = WatchSettings()
    """When failures become advice."""

    @classmethod
    def load(cls, values: Mapping[str, Any], complaint: Complaint | None = None) -> ServicesSettings:
        """Read the settings; a `ConfigError` names every mistake and shows none of the values.

        `complaint` tells a mistake with its place in the file.
        """
        told = complaint or _without_file
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            complaints = [
                told(mistake["loc"], _why(cls, mistake["loc"], mistake["msg"], mistake["type"]))
                for mistake in error.errors(include_input=False, include_url=False)
            ]
            raise ConfigError(
                "the configuration of the services can't be used",
                complaints=complaints,
                remedy="correct these settings; a service that is left out is done by hand",
            ) from error


def _without_file(place: Sequence[int | str], why: str) -> str:
    return f"{'.'.join(map(str, place)) or 'services'}: {why}"


def _why(model: type[BaseModel], place: Sequence[int | str], said: str, kind: str) -> str:
    """Say what is wrong; of a key that there is not, which one was meant."""
    if kind != "extra_forbidden":
        return said
    known: type[BaseModel] | None = model
    for word in place[:-1]:
        known = _inner(known, word) if known is not None else None
    return f"there is no such key; {nearest(str(place[-1]), list(known.model_fields))}" if known else said


def _inner(model: type[BaseModel], word: int | str) -> type[BaseModel] | None:
    """Return the model that a key holds, alone or in a list or mapping."""
    if isinstance(word, int) or word not in model.model_fields:
        return model
    return next(iter(models_in(model.model_fields[word].annotation)), None)


def models_in(annotation: Any) -> list[type[BaseModel]]:
    """Return the models that a type is made of."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for part in get_args(annotation) for m in models_in(part)]
