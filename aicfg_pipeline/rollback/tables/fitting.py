"""A row that stops fitting while a job is on its way is told as a gate, not as the server's bare error.

Which rows do not fit beforehand is for the hazards. Here it is what somebody has written since: a key renamed beside a
coexisting old table, a value that only one of the two tables takes.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from aicfg_pipeline.errors import DatabaseError, GateError

OF_ROWS = ("22", "23")
"""Classes of SQLSTATE: a value that a type does not take, a row that a constraint does not."""


@contextmanager
def rows_must_fit(which: str) -> Iterator[None]:
    """Around what writes rows and indexes of `which` pair, in one transaction. Raises `GateError` where one does not fit."""
    try:
        yield
    except DatabaseError as error:
        if not (getattr(error, "sqlstate", None) or "").startswith(OF_ROWS):
            raise
        raise GateError(
            f"{which}: a row does not fit into the table that it would go into. The names are as before. The server says:"
            f" {error.found}",
            expected="rows that fit into both tables, as they did when it was planned",
            remedy="Mend that row, or what it breaks (the job plan names rows that do not fit into an old table); then run"
            " the same job again.",
        ) from None
