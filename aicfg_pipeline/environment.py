"""Every environment variable that the pipeline reads: name, default, meaning. All reading of the environment is here.

`python -m aicfg_pipeline.environment` prints the table of the README. A variable is read when it is asked for, never at
import. What is done with a value belongs to whoever asks.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

from aicfg_pipeline.errors import ConfigError


@dataclass(frozen=True)
class Variable:
    """One variable. `default` is what a person reads of what holds where it is not set."""

    name: str
    meaning: str
    default: str
    empty_is_unset: bool = False
    """Where set and empty is a mistake, and not the same as unset, this is false."""

    def value(self) -> str | None:
        """Return the value, or None where it is not set. Raises `ConfigError` where it is set but empty."""
        value = os.environ.get(self.name)
        if value is None or value.strip():
            return value
        if self.empty_is_unset:
            return None
        raise ConfigError(f"{self.name} is set but empty.", expected=f"{self.meaning}, or no variable of that name")

    def is_on(self) -> bool:
        """Say whether a variable that is 1 or 0 is 1. Raises `ConfigError` for anything else."""
        value = (self.value() or "0").strip()
        if value not in ("0", "1"):
            raise ConfigError(f"{self.name} is neither 0 nor 1.", expected=f"{self.name}=1 or {self.name}=0")
        return value == "1"


DATABASE_URL = Variable(
    "AICFG_DATABASE_URL",
    "the target: a PostgreSQL URL, or `demo` for the embedded demo",
    "none: without it every job refuses",
)
HOME = Variable(
    "AICFG_HOME", "embedded server, reports, exports, Dagster's home", "`.aicfg`", empty_is_unset=True
)  # fmt: skip
STORE = Variable(
    "AICFG_STORE",
    "where exports are kept: a folder; or `s3://`, `gs://`, `az://` (extra `store`), which keeps reports too",
    "`$AICFG_HOME`",
    empty_is_unset=True,
)
STORE_IS_DURABLE = Variable(
    "AICFG_STORE_IS_DURABLE",
    "1: exports may go to a disk that looks like a container's own, or like memory",
    "0",
    empty_is_unset=True,
)
EXPORT_DIR = Variable("AICFG_EXPORT_DIR", "where exports go instead", "`$AICFG_STORE/exports`", empty_is_unset=True)
S3_ENDPOINT = Variable("AWS_ENDPOINT_URL_S3", "where S3 is spoken to", "AWS's own", empty_is_unset=True)
MIGRATION_DIR = Variable(
    "AICFG_MIGRATION_DIR", "the folder with `migration.yaml`", "the bundled `sql`", empty_is_unset=True
)
SERVICES = Variable(
    "AICFG_SERVICES",
    "a YAML file with Lambda, repository, deploy, endpoints, logs ([docs/services.md](docs/services.md))",
    'none: those steps are shown as "by hand"',
)
API_TOKEN = Variable(
    "AICFG_API_TOKEN", "the bearer token for the endpoints (the services' file may name another)", "none"
)
REQUIRE_APPROVAL = Variable(
    "AICFG_REQUIRE_APPROVAL",
    "1: no job that changes names or drops runs without `approved_plan`",
    "0",
    empty_is_unset=True,
)
REHEARSAL_URL = Variable(
    "AICFG_REHEARSAL_URL",
    "a copy of the target to rehearse on: a branch with data, a restored backup; it is rolled back there",
    "none: the job rehearse makes a copy in the embedded server",
    empty_is_unset=True,
)
REQUIRE_REHEARSAL = Variable(
    "AICFG_REQUIRE_REHEARSAL",
    "1: a rollback whose very plan was not rehearsed is a hazard, `not_rehearsed`, which may be accepted",
    "0",
    empty_is_unset=True,
)
SENSOR_SECONDS = Variable("AICFG_SENSOR_SECONDS", "seconds between the sensor's looks", "300")
WEBHOOK_URL = Variable("AICFG_WEBHOOK_URL", "where failures are posted", "none", empty_is_unset=True)
HEARTBEAT_URL = Variable(
    "AICFG_HEARTBEAT_URL",
    "called (GET) by the sensor after each tick that could look and knows of nothing wrong, so that a monitor outside"
    " notices silence",
    "none",
    empty_is_unset=True,
)
UI_URL = Variable(
    "AICFG_UI_URL",
    "where people open Dagster's UI: for the links to a run in messages and reports (`make dev` sets it)",
    "none: the run's id is told",
    empty_is_unset=True,
)
REPORTS_URL = Variable(
    "AICFG_REPORTS_URL",
    "under which address the reports' folder is served, so that the UI opens one by a click (`make dev` sets it)",
    "none: the path is shown",
    empty_is_unset=True,
)
DAGSTER_POSTGRES_URL = Variable(
    "DAGSTER_POSTGRES_URL", "where `make dev` keeps runs and events", "the embedded server", empty_is_unset=True
)
NO_COLOR = Variable(
    "NO_COLOR", "set to anything: no bold or coloured line on a terminal", "not set", empty_is_unset=True
)  # fmt: skip

VARIABLES = (
    DATABASE_URL,
    HOME,
    STORE,
    STORE_IS_DURABLE,
    EXPORT_DIR,
    MIGRATION_DIR,
    SERVICES,
    API_TOKEN,
    REQUIRE_APPROVAL,
    REHEARSAL_URL,
    REQUIRE_REHEARSAL,
    SENSOR_SECONDS,
    WEBHOOK_URL,
    HEARTBEAT_URL,
    UI_URL,
    REPORTS_URL,
    DAGSTER_POSTGRES_URL,
    S3_ENDPOINT,
    NO_COLOR,
)


def named(name: str) -> str | None:
    """Return the value of a variable that a setting names (a token, a URL that is a secret), or None."""
    return os.environ.get(name)


def everything() -> dict[str, str]:
    """Return the whole environment as it is now, to start another program with."""
    return dict(os.environ)


def table() -> str:
    """Return the variables as the README's Markdown table."""
    rows = [f"| `{v.name}` | {v.meaning} | {v.default} |" for v in VARIABLES]
    return "\n".join(["| variable | what it is | default |", "|---|---|---|", *rows])


if __name__ == "__main__":
    print(table())
