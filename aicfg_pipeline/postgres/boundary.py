"""The error boundary: what the driver raises becomes one of our errors, told by its SQLSTATE without secrets and without rows."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from aicfg_pipeline.errors import (
    ConnectionLostError,
    DatabaseError,
    LockTimeoutError,
    PipelineError,
    TimedOutError,
    redact,
)
from aicfg_pipeline.postgres import wording
from aicfg_pipeline.postgres.address import secrets_of

BROKE = "The connection to the database broke: "

CANCELLED = "57014"
_NO_LOCK = {"55P03", "40P01"}
_ENDED_BY_A_TIMEOUT = {"25P03", "25P04"}  # a setting for idle or long transactions: the connection is gone


@contextmanager
def server_errors(url: str, *, for_locks: bool = False) -> Iterator[None]:
    """Turn the driver's errors into ours, without secrets; keep the SQLSTATE in `sqlstate`.

    `for_locks` says that the time limit of the statement is what it may wait for locks.
    """
    try:
        yield
    except psycopg.Error as error:
        if not error.sqlstate and not isinstance(error, psycopg.OperationalError):
            raise  # the client library's own complaint: a mistake in this program
        raise _translated(error, url, for_locks) from None


def _translated(error: psycopg.Error, url: str, for_locks: bool) -> PipelineError:
    secrets = secrets_of(url)
    words, all_words = wording.shown(error)
    message, state = redact(words, secrets), error.sqlstate or ""
    ours: DatabaseError | LockTimeoutError
    if state in _NO_LOCK:
        ours = LockTimeoutError(f"A lock was not to be had: {message}")
    elif state == CANCELLED:
        ours = _cancelled(message, for_locks)
    elif not state or state.startswith(("08", "57P")) or state in _ENDED_BY_A_TIMEOUT:
        ours = ConnectionLostError(
            f"{BROKE}{message}",
            remedy="What was committed stands, the rest was rolled back. Run the same job again: it goes on from"
            " there.",
        )
    else:
        kept = wording.keep_apart(redact(all_words, secrets)) if all_words else None
        ours = DatabaseError(f"{message} (SQLSTATE {state})" + (f"; all that the server said: {kept}" if kept else ""))
    ours.sqlstate = state  # type: ignore[union-attr]
    return ours


def _cancelled(message: str, for_locks: bool) -> DatabaseError | LockTimeoutError:
    """Tell a person's cancel from a time limit, and one for locks from any other: their SQLSTATE is the same."""
    if "user request" in message:
        return DatabaseError(
            f"Someone cancelled the statement on the server: {message}",
            remedy="Its transaction was rolled back. Find out who cancelled it and why; then run the same job again.",
        )
    if for_locks:
        return LockTimeoutError(f"A lock was not to be had: {message}")
    return TimedOutError(
        f"The server ended a statement before it was done: {message}",
        expected="no time limit: the pipeline sets statement_timeout to 0 for itself",
        remedy="Its transaction was rolled back. Find out what limits or cancels statements (a pooler, a watchdog);"
        " then run the same job again.",
    )
