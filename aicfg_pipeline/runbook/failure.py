"""When something fails: start what is stopped, and say what is where and the ways on."""

from __future__ import annotations

from collections.abc import Callable

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import UNDOABLE, Look
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook.functions import start_services, told_states
from aicfg_pipeline.runbook.remembered import REDEPLOY, REVERT_CODE
from aicfg_pipeline.services.settings import ServicesSettings

Command = Callable[[str], str]
"""Returns the command that runs a job; how jobs are run is not known here."""


def after_failure(run: Run, services: ServicesSettings, command: Command) -> tuple[bool, list[str]]:
    """Start what is stopped, whatever has failed. Returns whether nothing is stopped now, and what to tell.

    Never raises what a person can mend.
    """
    told, running = [], True
    try:
        before = remembered.open_stop(run.look().ledger)
    except PipelineError as error:
        return False, _not_looked_up(error, services)  # what this process has stopped itself is started at its end
    try:
        if before is not None:
            start_services(run, services)
            told.append(f"The services were started again as they were before: {told_states(before)}.")
    except PipelineError as error:
        running = False
        told.append(f"THE SERVICES COULD NOT BE STARTED AGAIN: {error.found} " + " ".join(error.complaints))
        told.append("The ledger remembers what they were; running again, or undo_rollback, puts it back.")
    try:
        told += whereabouts(run.look(), services, command)
    except PipelineError as error:
        told.append(f"What is where could not be looked up: {error.found}")
    return running, told


def _not_looked_up(error: PipelineError, services: ServicesSettings) -> list[str]:
    """Say that nothing could be looked up, and of the services only what is known: not that any was stopped."""
    told = [f"What is where could not be looked up: {error.found}"]
    if services.lambdas is not None:
        told.append("So it is not known here whether an earlier run left the services stopped: look at them yourself.")
    return told


def whereabouts(look: Look, services: ServicesSettings, command: Command) -> list[str]:
    """Say what is where and the ways on, in one paragraph; nothing where no cut-over has happened."""
    cut = remembered.last_cut_over(look)
    if cut is None:
        return []
    database = ", ".join(f"{s.pair.old} is {s.state}" for s in remembered.restored(look))
    parked = bool(look.in_state(*UNDOABLE))
    text = (
        f"Where things are: in the database {database} (cut over {cut.at:%Y-%m-%d %H:%M:%S} UTC); "
        f"{_code(look, services, cut.id)}; {_deploy(look, services)}; {_services(look, services)}. "
        "Ways on: mend what is named and run again, it goes on from here"
    )
    ways = [f"  run again: {command('rollback')}"]
    if parked:
        ways.append(f"  take the rollback back: {command('undo_rollback')}")
    return ["\n".join([text + (", or take the rollback back:" if parked else ":"), *ways])]


def _code(look: Look, services: ServicesSettings, cut: int) -> str:
    if services.repository is None:
        return "the code is not configured here, so nobody but you has changed it"
    row = look.ledger.last(REVERT_CODE, outcome="done")
    if row is None or row.id < cut:
        return "the code still has the new names"
    return f"the code has the old names on branch {row.facts.get('branch')} ({str(row.facts.get('commit'))[:12]})"


def _deploy(look: Look, services: ServicesSettings) -> str:
    if services.deploy is None:
        return "deploying is left to you"
    row, last = remembered.redeployed(look), look.ledger.last(REDEPLOY)
    if row and last and row.id == last.id:
        return f"the old names are deployed since {row.at:%H:%M:%S} UTC"
    if last and last.outcome == "began":
        return "a deploy began and did not succeed, so what is deployed may be half done"
    return "what is deployed still has the new names"


def _services(look: Look, services: ServicesSettings) -> str:
    if services.lambdas is None:
        return "the functions are yours to stop and start"
    return "the functions are STOPPED" if remembered.open_stop(look.ledger) else "the functions run"
