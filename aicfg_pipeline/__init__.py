"""Takes a live PostgreSQL database back across a table-rename migration, with nothing lost and everything undoable.

Data flows one way: spec -> postgres -> rollback -> orchestration. This module holds the version, and the component by
the name that a defs.yaml has for it; Dagster is imported only where that is asked for.
"""

from importlib import import_module

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Return the component `RenameRollback`."""
    if name == "RenameRollback":
        return import_module("aicfg_pipeline.orchestration.component").RenameRollback
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """Name the component too: this is how `dg` finds it."""
    return [*globals(), "RenameRollback"]
