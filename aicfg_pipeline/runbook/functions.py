"""The runbook's first step and its last: stop the functions, start them again with exactly what was there before."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, replace

from aicfg_pipeline.errors import ServiceError
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook.by_hand import Facts, by_hand
from aicfg_pipeline.runbook.remembered import SERVICES
from aicfg_pipeline.services.lambda_states import LambdaStates
from aicfg_pipeline.services.lambdas import LambdaService
from aicfg_pipeline.services.settings import LambdaSettings, ServicesSettings


def stop_services(run: Run, services: ServicesSettings, *states: State) -> Facts:
    """Stop the functions where a pair is in one of `states`; what they were is in the ledger before."""
    if services.lambdas is None:
        return by_hand(run, services, "lambdas")
    look = run.look()
    if not services.lambdas.stop:
        run.say("the functions are left running, as configured: their writers wait for milliseconds at the cut-over")
        return {"configured": True, "stopped": [], "why_not": "configured to be left running"}
    if not look.in_state(*states):
        run.say("nothing is to be swapped, so nothing is stopped")
        return {"configured": True, "stopped": [], "why_not": "nothing is to be swapped"}
    service = services.lambdas.service(run.say)
    before = service.read()
    earlier = remembered.open_stop(look.ledger)
    if earlier is not None:
        run.say("an earlier run stopped the functions and never started them: what they were before it counts")
        before = _all_of(before.with_earlier(earlier), earlier)
    remembered.note(run, SERVICES, "remembered", {"lambdas": asdict(before)})
    stopped = service.stop(before)
    facts = asdict(stopped)
    remembered.note(run, SERVICES, "stopped", facts)
    return {"configured": True, "stopped": [f.name for f in before.functions], **facts}


def _all_of(now: LambdaStates, earlier: LambdaStates) -> LambdaStates:
    """Keep what was stopped earlier and is not configured any more: it must be started all the same."""
    known = {f.name for f in now.functions}
    return replace(now, functions=(*now.functions, *(f for f in earlier.functions if f.name not in known)))


def start_services(run: Run, services: ServicesSettings) -> Facts:
    """Start what a stop of this or an earlier run left stopped, with exactly what was there before. Idempotent."""
    before = remembered.open_stop(run.look().ledger)
    if before is None:
        if services.lambdas is None:
            return by_hand(run, services, "lambdas")
        run.say("no function is stopped by this pipeline")
        return {"configured": True, "started": []}
    facts = start_remembered(before, services, run.say)
    remembered.note(run, SERVICES, "started", facts)
    return {"configured": True, "started": facts["functions"], **facts}


def start_remembered(before: LambdaStates, services: ServicesSettings, say: Callable[[str], None]) -> Facts:
    """Start the functions as they were. Raises `ServiceError` naming those that could not be started."""
    if services.lambdas is None:
        raise ServiceError(
            f"stopped functions are to be started, but lambdas is not configured any more: {told_states(before)}",
            remedy="configure them again and run again, or put these back by hand",
        )
    before = _still_there(before, services.lambdas, say)
    service = services.lambdas.service(say)
    started = service.start(_as_of_now(service, before))
    return {"functions": [f.name for f in before.functions], **asdict(started)}


def _as_of_now(service: LambdaService, before: LambdaStates) -> LambdaStates:
    """What someone has set since the stop stays; only what looks as a stop leaves it is put back."""
    try:
        return _all_of(service.read().with_earlier(before), before)
    except ServiceError:
        return before  # one is gone: `start` names it after it has started the others


def _still_there(before: LambdaStates, settings: LambdaSettings, say: Callable[[str], None]) -> LambdaStates:
    """Leave out functions that are neither configured nor there any more."""
    kept = []
    for function in before.functions:
        if function.name not in settings.function_names:
            try:
                LambdaService([function.name], target=settings.target()).read()
            except ServiceError as error:
                say(f"{function.name} is not configured any more and can't be started: {error.found}")
                continue
        kept.append(function)
    return replace(before, functions=tuple(kept))


def told_states(before: LambdaStates) -> str:
    """Return in words what each function is put back to."""
    return "; ".join(
        f"{f.name} with reserved concurrency {concurrency_in_words(f.reserved_concurrency)}" for f in before.functions
    )


def concurrency_in_words(concurrency: int | None) -> str:
    """Return a reserved concurrency as a person reads it."""
    return "none" if concurrency is None else str(concurrency)
