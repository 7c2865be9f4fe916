"""Loads the migration for the code location, and says plainly what stopped a command line before any step ran.

A malformed migration or run.yaml ends `dagster job execute` and `dg launch` with its complaints only. What may be wrong
with a migration is `spec`'s to say, and with a run.yaml `config`'s.
"""

import sys
from types import TracebackType

from dagster import DagsterInvalidConfigError

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ConfigError, PipelineError
from aicfg_pipeline.orchestration.config import CONFIRM, FIELDS
from aicfg_pipeline.orchestration.home import named_target
from aicfg_pipeline.rollback.hazards import ACCEPTABLE
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration


def load_or_explain() -> Migration:
    """Return the migration. Raises `SpecError`, which the command line then shows without a traceback."""
    if sys.excepthook is sys.__excepthook__:
        sys.excepthook = _explain
    return spec.load()


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print what a person can mend as it is; everything else as Python would."""
    mendable = refused_config(error) if isinstance(error, DagsterInvalidConfigError) else error
    if isinstance(mendable, PipelineError):
        print(f"{type(mendable).__name__} ({mendable.code}): {mendable}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)


def refused_config(error: DagsterInvalidConfigError) -> ConfigError:
    """Return Dagster's complaints about a run.yaml in our form."""
    return ConfigError(
        "The run config can't be used. Nothing was touched.",
        complaints=[told(e.message) for e in error.errors],
        expected=f"only the fields {', '.join(FIELDS)}, with nothing around them; in accept_hazards only"
        f" {', '.join(sorted(ACCEPTABLE))}",
        remedy="Correct run.yaml. The job plan prints a complete one.",
    )


def told(message: str) -> str:
    """Return what Dagster says of one field, without the whole schema; of the missing confirmation what to write."""
    if message.startswith('Missing required config entry "confirm_database"'):
        if not environment.named(environment.DATABASE_URL.name):  # an instance that has a variable of its own
            return "not_confirmed: confirm_database is missing: the name of the target, as its plan's first line has it"
        return CONFIRM.format(target=named_target())
    return message.split(" Expected: ")[0]
