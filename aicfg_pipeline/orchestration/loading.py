"""Loads the migration for the code location; a malformed one ends `dagster job execute` with its complaints only.

What may be wrong with a migration is `spec`'s to say.
"""

import sys
from types import TracebackType

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration


def load_or_explain() -> Migration:
    """Return the migration. Raises `SpecError`, which the command line then shows without a traceback."""
    try:
        return spec.load()
    except PipelineError:
        sys.excepthook = _explain
        raise


def _explain(kind: type[BaseException], error: BaseException, traceback: TracebackType | None) -> None:
    """Print what a person can mend as it is; everything else as Python would."""
    if isinstance(error, PipelineError):
        print(f"{kind.__name__} ({error.code}): {error}", file=sys.stderr)
    else:
        sys.__excepthook__(kind, error, traceback)
