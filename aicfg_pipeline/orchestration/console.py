"""The log on the console, for a person: what was done and what is wrong, from INFO on, each line once.

Dagster's own events (a step starts, an output is handled) stay in the run's event log, where the UI shows them.
"""

import logging
import re
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from dagster import DagsterEvent, InitLoggerContext, LoggerDefinition

from aicfg_pipeline.orchestration.terminal import bold, wrapped

_FOLLOWS = re.compile(r"^(Dependencies for step \S+ (failed|were not executed)|Skipping step \S+ due to skipped)")
_PRINTED = "aicfg_printed"
_STAMP = len("00:00:00Z ")


def quietly(log: logging.Logger, level: int, line: str) -> None:
    """Log a line for the run's page only: on the console it is told elsewhere."""
    log.log(level, line, extra={_PRINTED: True})


def console() -> LoggerDefinition:
    """Return the logger that every job has."""

    return LoggerDefinition(_logger, description="The console: what was done and what is wrong, a line each.")


def _logger(context: InitLoggerContext) -> logging.Logger:
    made = logging.Logger("aicfg_pipeline", level=logging.INFO)
    made.addHandler(_Console())
    return made


class _Console(logging.Handler):
    """Writes to stderr as it is when a line comes: tests and shells put others in its place."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            for line in _lines(record):
                print(line, file=sys.stderr, flush=True)
        except Exception:  # a log that can't be written must not stop a run
            self.handleError(record)


def _lines(record: logging.LogRecord) -> Iterator[str]:
    meta: dict[str, Any] = getattr(record, "dagster_meta", {})
    message = str(meta.get("orig_message") or record.getMessage())
    event = meta.get("dagster_event")
    if getattr(record, _PRINTED, False):
        return
    if event is not None:
        yield from _event_lines(event, message, record.levelno)
    elif not _FOLLOWS.match(message):  # a step that did not run because an earlier one failed
        stamp = f"{datetime.fromtimestamp(record.created, UTC):%H:%M:%S}Z "
        mark = "" if record.levelno < logging.WARNING else f"{record.levelname}: "
        yield from wrapped(mark + message, " " * _STAMP, first=stamp)


def _event_lines(event: DagsterEvent, message: str, level: int) -> Iterator[str]:
    if event.is_step_failure:
        error = event.step_failure_data.error
        yield bold(f"FAILED in {event.step_key}", "bad", sys.stderr)
        if error is None:
            yield message
        elif error.stack:
            yield error.to_string()
        else:  # what a person can mend is told without a stack
            yield from wrapped(error.message)
    elif event.is_run_failure:
        if event.job_failure_data.first_step_failure_event is None:
            yield message
    elif level >= logging.WARNING:
        yield message
