"""The runbook's steps 3 and 4: code and schema files taken back, and put back."""

from __future__ import annotations

from dataclasses import asdict

from aicfg_pipeline.errors import ServiceError
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look
from aicfg_pipeline.runbook import remembered
from aicfg_pipeline.runbook.by_hand import Facts, Way, by_hand, names_of
from aicfg_pipeline.runbook.remembered import NO_CUT_OVER, REVERT_CODE, UNDO_CODE
from aicfg_pipeline.services.repository import Repository
from aicfg_pipeline.services.reverted import Reference
from aicfg_pipeline.services.settings import RepositorySettings, ServicesSettings
from aicfg_pipeline.spec.model import Migration


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
        return by_hand(run, services, "repository", Way.FORTH)
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
