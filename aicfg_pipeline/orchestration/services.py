"""The resource of the services: their settings, from a YAML file that the environment names; read when first asked for.

No setting is a secret: tokens are named by environment variable. What is done with the services is in `runbook`.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import yaml
from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr

from aicfg_pipeline.environment import SERVICES
from aicfg_pipeline.errors import ConfigError, PipelineError
from aicfg_pipeline.runbook.functions import start_remembered
from aicfg_pipeline.services.lambda_states import LambdaStates
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.document import Document, read_places


def load_services(variable: str = SERVICES.name) -> ServicesSettings:
    """Read the settings of all services. Unset means that nothing is configured; every mistake is a `ConfigError`."""
    named = replace(SERVICES, name=variable).value()
    if named is None:
        return ServicesSettings()
    return read_services_file(named, of=f"{variable} names ")


def read_services_file(named: str, of: str = "") -> ServicesSettings:
    """Read the settings of all services from a file. Every mistake is a `ConfigError`; `of` says who named it."""
    file = Path(named).expanduser()
    expected = "the path of a YAML file with the settings of the services, or no variable of that name"
    try:
        values, marks, twice = read_places(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{of}{named!r}, which can't be read: {error.strerror}", expected=expected) from error
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise ConfigError(f"{named} is not YAML: {_place(error)}", expected=expected) from None
    if values is None:
        return ServicesSettings()
    if not isinstance(values, dict):
        raise ConfigError(f"{named} holds no mapping but {type(values).__name__}", expected="services by name")
    document = Document(file, values, marks, twice)
    if twice:
        raise ConfigError(f"{named} can't be used", complaints=document.doubles(), remedy="Keep one of them.")
    return ServicesSettings.load(values, document.complaint)


def _place(error: Exception) -> str:
    """Say where, and never what stands there."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "it can't be decoded"
    return f"line {mark.line + 1}, column {mark.column + 1}: {problem}" if mark else str(problem)


class ServicesResource(ConfigurableResource[Any]):
    """The services of the runbook. What is not configured is done by hand."""

    file_variable: str = Field(
        default=SERVICES.name,
        description="Name of the environment variable that holds the path of the services' YAML file (see"
        " docs/services.md). Where that is unset nothing is configured, and the plan says what is left to do by hand.",
    )

    file: str = Field(default="", description="The path of that file itself, which goes before the variable.")

    _settings: ServicesSettings | None = PrivateAttr(default=None)
    _stopped: LambdaStates | None = PrivateAttr(default=None)

    def settings(self) -> ServicesSettings:
        """Return the settings, read at the first call. Raises `ConfigError` naming every mistake."""
        if self._settings is None:
            self._settings = read_services_file(self.file) if self.file else load_services(self.file_variable)
        return self._settings

    def note_stopped(self, before: LambdaStates | None) -> None:
        """Keep in mind what this process has stopped (None: nothing any more), in case that it ends early."""
        self._stopped = before

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Start what is still stopped: the run ended outside of a step, where nobody else does it.

        The ledger is not written here: whoever comes next sees a stop without a start, looks, and finds them running.
        """
        before, self._stopped = self._stopped, None
        if before is None:
            return
        say: Any = context.log.warning if context.log else print
        try:
            start_remembered(before, self.settings(), say)
            say("the run ended while services were stopped: they were started again")
        except PipelineError as error:
            say(f"SERVICES ARE STILL STOPPED: {error}")
