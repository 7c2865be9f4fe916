"""The runbook's steps outside the database: stop, revert the code, redeploy, start; each looks, acts and records.

Each takes the settings of all services and does nothing where its own is not configured, which it says. The services
themselves are in `services`, what they were before in `remembered`, when each step runs is the orchestration's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

from aicfg_pipeline.errors import PipelineError, ServiceError
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, State
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook.remembered import BACK, FORTH, REDEPLOY, REVERT_CODE, SERVICES, UNDO_CODE
from aicfg_pipeline.services.lambdas import LambdaService, LambdaStates
from aicfg_pipeline.services.repository import Repository
from aicfg_pipeline.services.reverted import Reference
from aicfg_pipeline.services.settings import LambdaSettings, RepositorySettings, ServicesSettings
from aicfg_pipeline.spec.model import Migration

Facts = dict[str, Any]
Command = Callable[[str], str]
"""Returns the command that runs a job; how jobs are run is not known here."""
NO_CUT_OVER = "no pair is in use at its old name because of this pipeline, so the code keeps the new names"


def names_of(migration: Migration) -> dict[str, str]:
    """Return old → new table name."""
    return {pair.old: pair.new for pair in migration.pairs}


def by_hand(run: Run, services: ServicesSettings, service: str) -> Facts:
    """Say that a service is not configured, with the command for a person."""
    step = next(s for s in services.manual_steps(names_of(run.migration)) if s.service == service)
    return {"configured": False, "not_configured": service, "do_by_hand": f"{step.title}\n{step.command}"}


# --- before anything is touched --------------------------------------------------------------------------------


def check_services(services: ServicesSettings) -> tuple[list[str], list[str]]:
    """Try everything that is configured without changing it. Returns what was found, and what is wrong.

    An endpoint that fails is no complaint: that is why someone rolls back. One that can't be asked at all is.
    """
    found: list[str] = []
    wrong: list[str] = []
    for name, check in _CHECKS.items():
        if getattr(services, name) is not None:
            with _complaining(name, wrong):
                found += [f"{name}: {line}" for line in check(services)]
    return found, wrong


def refuse(wrong: Sequence[str]) -> None:
    """Raise `ServiceError` with every complaint at once, if there is one."""
    if wrong:
        raise ServiceError(
            f"{len(wrong)} of the configured services can't be used. Nothing was touched.",
            complaints=wrong,
            expected="every service that is configured to be ready",
            remedy="Mend what is named; a service that is left out of the file (AICFG_SERVICES) is done by hand.",
        )


@contextmanager
def _complaining(name: str, wrong: list[str]) -> Iterator[None]:
    try:
        yield
    except PipelineError as error:
        told = "; ".join([error.found, *error.complaints])
        wrong.append(f"{name}: {told}" + (f" (what to do: {error.remedy})" if error.remedy else ""))


def _check_lambdas(services: ServicesSettings) -> list[str]:
    assert services.lambdas is not None
    states = services.lambdas.service().look().functions
    return [f"{s.name}: reserved concurrency {_shown(s.reserved_concurrency)}, {s.state}" for s in states]


def _check_logs(services: ServicesSettings) -> list[str]:
    assert services.logs is not None
    skew = services.logs.service().look()
    return [f"{', '.join(services.logs.log_groups)}" + (f"; its clock is {skew:+g} s off" if skew else "")]


def _check_repository(services: ServicesSettings) -> list[str]:
    assert services.repository is not None
    settings = services.repository
    repository = settings.service()
    moved = [path for move in settings.file_moves for path in (move.source, move.target)]
    commit = repository.check([*settings.code_paths, *moved, *settings.removals], settings.commit)
    branch, head = repository.head()
    return [f"{repository.root} on {branch or head[:12]}, to be taken back to {(commit or '')[:12]}"]


def _check_deploy(services: ServicesSettings) -> list[str]:
    assert services.deploy is not None
    return [f"{services.deploy.service().check()}"]


def _check_endpoints(services: ServicesSettings) -> list[str]:
    assert services.endpoints is not None
    service = services.endpoints.service()
    results = [service.probe(probe.probe(), attempts=1) for probe in services.endpoints.probes]
    hopeless = [f"{r.name}: {r.reason}" for r in results if r.kind in ("unauthorized", "tls")]
    if hopeless:
        raise ServiceError(
            "the endpoints can't be asked, so the rollback could not be verified",
            complaints=hopeless,
            remedy=f"set {services.endpoints.token_variable} to a token that is valid, or mend the certificate",
        )
    return [f"{r.name}: {'answers' if r.ok else r.kind}: {r.reason}" for r in results]


_CHECKS: dict[str, Callable[[ServicesSettings], list[str]]] = {
    "lambdas": _check_lambdas,
    "repository": _check_repository,
    "deploy": _check_deploy,
    "endpoints": _check_endpoints,
    "logs": _check_logs,
}


def _shown(concurrency: int | None) -> str:
    return "none" if concurrency is None else str(concurrency)


# --- stop and start --------------------------------------------------------------------------------------------


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
    before = service.look()
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
            f"stopped functions are to be started, but lambdas is not configured any more: {_told(before)}",
            remedy="configure them again and run again, or put these back by hand",
        )
    before = _still_there(before, services.lambdas, say)
    service = services.lambdas.service(say)
    started = service.start(_as_of_now(service, before))
    return {"functions": [f.name for f in before.functions], **asdict(started)}


def _as_of_now(service: LambdaService, before: LambdaStates) -> LambdaStates:
    """What someone has set since the stop stays; only what looks as a stop leaves it is put back."""
    try:
        return _all_of(service.look().with_earlier(before), before)
    except ServiceError:
        return before  # one is gone: `start` names it after it has started the others


def _still_there(before: LambdaStates, settings: LambdaSettings, say: Callable[[str], None]) -> LambdaStates:
    """Leave out functions that are neither configured nor there any more."""
    kept = []
    for function in before.functions:
        if function.name not in settings.function_names:
            try:
                LambdaService([function.name], target=settings.target()).look()
            except ServiceError as error:
                say(f"{function.name} is not configured any more and can't be started: {error.found}")
                continue
        kept.append(function)
    return replace(before, functions=tuple(kept))


def _told(before: LambdaStates) -> str:
    return "; ".join(f"{f.name} with reserved concurrency {_shown(f.reserved_concurrency)}" for f in before.functions)


# --- the code --------------------------------------------------------------------------------------------------


def revert_code(run: Run, services: ServicesSettings) -> Facts:
    """Take code and schema files back in one commit on a branch, and see that no new table name is left."""
    if services.repository is None:
        return by_hand(run, services, "repository")
    look = run.look()
    if not remembered.restored(look):
        run.say(f"code: nothing to revert, {NO_CUT_OVER}")
        return {"configured": True, "done": False, "why_not": NO_CUT_OVER}
    settings, repository = services.repository, services.repository.service()
    result = repository.revert_paths(
        settings.code_paths,
        settings.commit,
        moves=settings.file_moves,
        removals=settings.removals,
        branch=settings.branch,
        message=f"Roll back the migration {run.migration.name}\n\nMade by aicfg_pipeline, run {run.run_id}.",
    )
    left = references_left(repository, settings, run.migration)
    if left:
        raise ServiceError(
            f"new table names are left in the reverted files ({len(left)} places)",
            complaints=[f"{r.path}:{r.line}: {r.name} should be {r.instead}: {r.text}" for r in left[:20]],
            expected=f"files as of {settings.commit}, which know the old names only",
            remedy="configure a commit from before the migration",
        )
    facts = asdict(result)
    if _is_news(look, facts):
        remembered.note(run, REVERT_CODE, "done", facts)
    done = "was already taken back" if result.already_done else f"is taken back in commit {str(result.commit)[:12]}"
    run.say(f"code: {repository.root} {done}, branch {result.branch}")
    if settings.push_to and result.commit:
        pushed = repository.push(settings.push_to, settings.branch)
        run.say(f"code: pushed {pushed.branch} to {pushed.remote}")
    return {"configured": True, "done": True, "references_left": 0, **facts}


def _is_news(look: Look, facts: Facts) -> bool:
    row, cut = look.ledger.last(REVERT_CODE, outcome="done"), remembered.last_cut_over(look)
    if row is None or cut is None or row.id < cut.id:
        return True
    return any(row.facts.get(k) != facts[k] for k in ("commit", "earlier_commit"))


def references_left(
    repository: Repository, settings: RepositorySettings, migration: Migration
) -> tuple[Reference, ...]:
    """Return every new table name in the code and in the schema files that came back."""
    paths = [*settings.code_paths, *(move.target for move in settings.file_moves)]
    return repository.references(paths, names_of(migration))


def undo_code(run: Run, services: ServicesSettings) -> Facts:
    """Put the working copy back on the branch it was on before the revert; the branch of the revert stays."""
    if services.repository is None:
        return by_hand(run, services, "repository")
    look = run.look()
    if remembered.restored(look):
        why = "a pair is still in use at its old name"
        run.say(f"code: left as it is, {why}")
        return {"configured": True, "done": False, "why_not": why}
    result = services.repository.service().undo(services.repository.branch)
    facts = asdict(result)
    if not result.already_done:
        remembered.note(run, UNDO_CODE, "done", facts)
    run.say(f"code: on {result.branch or result.commit[:12]}" + (", as it was" if result.already_done else " again"))
    return {"configured": True, "done": True, **facts}


# --- deploy ----------------------------------------------------------------------------------------------------


def redeploy(run: Run, services: ServicesSettings, direction: str = BACK) -> Facts:
    """Run the deploy script, unless the ledger has a deploy of this very commit since the last cut-over."""
    if services.deploy is None:
        return by_hand(run, services, "deploy")
    look = run.look()
    why_not = _why_not_deploy(look, services, direction)
    if why_not:
        run.say(f"deploy: not needed, {why_not}")
        return {"configured": True, "done": False, "why_not": why_not}
    facts: Facts = {"direction": direction, "commit": _commit(look, services, direction)}
    remembered.note(run, REDEPLOY, "began", facts)  # one that dies half way is known to have begun
    result = services.deploy.service().run(lambda line: run.say(f"deploy: {line}"))
    facts |= asdict(result)
    remembered.note(run, REDEPLOY, "done", facts)
    run.say(f"deploy: done in {result.seconds:g} s")
    return {"configured": True, "done": True, **facts}


def _why_not_deploy(look: Look, services: ServicesSettings, direction: str) -> str | None:
    last = look.ledger.last(REDEPLOY)
    if direction == FORTH:
        if remembered.restored(look):
            return "a pair is still in use at its old name"
        back = last is not None and not (last.facts.get("direction") == FORTH and last.outcome == "done")
        return None if back else "this pipeline has not deployed the old names"
    if not remembered.restored(look):
        return NO_CUT_OVER
    done = remembered.redeployed(look)
    if done and last and last.id == done.id and services.repository is not None:
        commit = remembered.code_commit(look.ledger)
        if done.facts.get("commit") == commit:
            return f"commit {str(commit)[:12]} was deployed by run {done.run_id[:8]} since the cut-over"
    return None


def _commit(look: Look, services: ServicesSettings, direction: str) -> str | None:
    if services.repository is None:
        return None
    if direction == BACK:
        return remembered.code_commit(look.ledger)
    return services.repository.service().head()[1]


# --- when something fails --------------------------------------------------------------------------------------


def after_failure(run: Run, services: ServicesSettings, command: Command) -> tuple[bool, list[str]]:
    """Start what is stopped, whatever has failed. Returns whether nothing is stopped now, and what to tell.

    Never raises what a person can mend.
    """
    told, running = [], True
    try:
        before = remembered.open_stop(run.look().ledger)
        if before is not None:
            start_services(run, services)
            told.append(f"The services were started again as they were before: {_told(before)}.")
    except PipelineError as error:
        running = False
        told.append(f"THE SERVICES COULD NOT BE STARTED AGAIN: {error.found} " + " ".join(error.complaints))
        told.append("The ledger remembers what they were; running again, or undo_rollback, puts it back.")
    try:
        told += whereabouts(run.look(), services, command)
    except PipelineError as error:
        told.append(f"What is where could not be looked up: {error.found}")
    return running, told


def whereabouts(look: Look, services: ServicesSettings, command: Command) -> list[str]:
    """Say what is where and the ways on, in one paragraph; nothing where no cut-over has happened."""
    cut = remembered.last_cut_over(look)
    if cut is None:
        return []
    database = ", ".join(f"{s.pair.old} is {s.state}" for s in remembered.restored(look))
    parked = bool(look.in_state(State.CUT_OVER))
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


def manual_lines(services: ServicesSettings, migration: Migration, *, only: Sequence[str] = ()) -> list[str]:
    """Return what is left to a person, a line each."""
    steps = services.manual_steps(names_of(migration))
    return [f"{s.service} is not configured: do it by hand (runbook step {s.runbook_step}). {s.title}" for s in steps
            if not only or s.service in only]  # fmt: skip
