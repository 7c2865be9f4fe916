"""What is done for stopped services when a step fails: they are started again at once, and the failure says what is where."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

from dagster import OpExecutionContext

from aicfg_pipeline.errors import AlreadyRunningError, HazardError, PipelineError
from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.config import Request
from aicfg_pipeline.orchestration.failure_reports import Ended, report_ended
from aicfg_pipeline.orchestration.ops.stopping import INTERRUPTS, not_again, stopped, ways_on
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.runbook.failure import after_failure
from aicfg_pipeline.spec.model import Migration

OpenAgain = Callable[[], Run]
"""Opens the run anew, with the run lock: the session of the step that failed may be broken."""


@contextmanager
def services_guarded(
    context: OpExecutionContext,
    migration: Migration,
    open_again: OpenAgain,
    services: ServicesResource,
    commands: Commands,
    request: Request,
) -> Iterator[None]:
    """Whatever fails within: start stopped services again at once, and let the failure say what is where.

    Raises `StoppedError` where a person stops it, and writes the report, which Dagster's hooks do for failures only.
    """
    try:
        yield
    except PipelineError as error:
        told = _after_failure(open_again, services, commands, error)
        error.aftermath = "\n".join(told) or None
        raise
    except INTERRUPTS:
        with not_again():
            stop = stopped(context)
            told = _after_failure(open_again, services, commands, stop)
            with suppress(PipelineError):
                told.append(ways_on(open_again(), migration.instance.of(context.job_name), request, commands))
            stop.aftermath = "\n".join(told) or None
            report_ended(Ended.of_step(context, migration, str(stop)), open_again)
        raise stop from None
    except Exception as error:
        for line in _after_failure(open_again, services, commands, error):
            context.log.error(line)
        raise


def _after_failure(
    open_again: OpenAgain, services: ServicesResource, commands: Commands, error: BaseException
) -> list[str]:
    """Only a run that holds the run lock may start anything: else another run is at work, and has stopped them.

    Nor is anything done for a database that is not the one the operator named.
    """
    unconfirmed = isinstance(error, HazardError) and "not_confirmed" in error.codes
    if unconfirmed or isinstance(error, AlreadyRunningError):
        return []
    try:
        settings, run = services.settings(), open_again()
    except PipelineError:
        return []  # what this process has stopped itself is started by the resource's teardown
    running, told = after_failure(run, settings, commands.job)
    if running:
        services.note_stopped(None)
    return told
