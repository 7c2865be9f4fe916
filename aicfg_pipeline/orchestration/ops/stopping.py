"""A person stops a run: Ctrl-C, `kill`, or Terminate in the UI. What is put in order then, and what is said.

Dagster raises an interrupt wherever the step is; the engine has let go of its connection by then.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from dagster import DagsterExecutionInterruptedError, OpExecutionContext

from aicfg_pipeline.errors import PipelineError, StoppedError
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.config import USED_BY, Request
from aicfg_pipeline.orchestration.failure_reports import Ended, report_looked
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import UNDOABLE, State
from aicfg_pipeline.spec.model import Migration

INTERRUPTS = (KeyboardInterrupt, DagsterExecutionInterruptedError)

NOTHING_CHANGED = "Nothing has changed for anyone: names and rows are as they were."


@contextmanager
def not_again() -> Iterator[None]:
    """From here on another Ctrl-C is answered and changes nothing: what is being put in order is short, and needed.

    Dagster puts its own handling back when it leaves the step.
    """
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, _answer)
        signal.signal(signal.SIGTERM, _answer)
    yield


def _answer(number: int, frame: FrameType | None) -> None:
    with suppress(OSError, RuntimeError):  # in the middle of another print
        print("Stopping already. A few seconds: what was begun is put in order.", flush=True)


def stopped(context: OpExecutionContext) -> StoppedError:
    """Return what is said of a step that a person stopped."""
    return StoppedError(
        f"Stopped by you in {context.op_handle.name}. What was committed stands, the rest was rolled back."
    )


@contextmanager
def stopped_while_looking(context: OpExecutionContext, migration: Migration) -> Iterator[None]:
    """Say that nothing was touched where a step that only reads is stopped. Raises `StoppedError`."""
    try:
        yield
    except INTERRUPTS:
        with not_again():
            error = StoppedError(f"Stopped by you in {context.op_handle.name}. It only reads: nothing was touched.")
            report_looked(Ended.of_step(context, migration, str(error)))
        raise error from None


def ways_on(run: Run, job: str, request: Request, commands: Commands) -> str:
    """Say what is where in the database, how to go on, and how to give up."""
    try:
        look = run.look()
    except PipelineError as error:
        where, changed = f"what is where could not be looked up: {error.found}", True
    else:
        where = ", ".join(f"{old} is {state}" for old, state in look.summary.items())
        changed = bool(look.in_state(*UNDOABLE, State.ROLLED_BACK))
    unchanged = f" {NOTHING_CHANGED}" if job == "rollback" and not changed else ""
    lines = [f"In the database: {where}.{unchanged}", f"  go on: {commands.job(job, **_asked(job, request))}"]
    if job == "rollback":
        give_up = "undo_rollback" if changed else "abandon"
        lines.append(f"  give up: {commands.job(give_up)}")
    return "\n".join(lines)


def _asked(job: str, request: Request) -> dict[str, object]:
    """Return what the operator asked for besides the target, so that the command goes on with the same."""
    usual = Request().as_config()
    asked = {name: value for name, value in request.as_config().items() if value != usual[name]}
    return {n: v for n, v in asked.items() if n in USED_BY[job] and n != "confirm_database"}
