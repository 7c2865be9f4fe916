"""The runbook's step 5: deploy what the code is now, once."""

from __future__ import annotations

from dataclasses import asdict

from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook.by_hand import Facts, Way, by_hand
from aicfg_pipeline.runbook.remembered import BACK, FORTH, NO_CUT_OVER, REDEPLOY
from aicfg_pipeline.services.settings import ServicesSettings


def redeploy(run: Run, services: ServicesSettings, direction: str = BACK) -> Facts:
    """Run the deploy script, unless the ledger has a deploy of this very commit since the last cut-over."""
    if services.deploy is None:
        return by_hand(run, services, "deploy", Way.FORTH if direction == FORTH else Way.BACK)
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
