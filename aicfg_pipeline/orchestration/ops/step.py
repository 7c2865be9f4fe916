"""What every op begins with, in one place and in one order: request, target, session, run lock, whose run it is, guard.

What a step does is given to it; how steps follow each other is in `jobs`.
"""

import enum
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from dagster import OpExecutionContext

from aicfg_pipeline.orchestration.commands import Commands, commands_for
from aicfg_pipeline.orchestration.config import Request, RequestResource
from aicfg_pipeline.orchestration.home import Target
from aicfg_pipeline.orchestration.keeping import must_answer
from aicfg_pipeline.orchestration.metadata import failures
from aicfg_pipeline.orchestration.ops.guard import services_guarded
from aicfg_pipeline.orchestration.ops.stopping import stopped_while_looking
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.orchestration.who import origin
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.lock import application_name
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.spec.model import Migration

RESOURCES = frozenset({"postgres", "services", "request"})
"""What every op asks Dagster for."""


NEED_SERVICES = frozenset({"plan", "rollback", "verify", "undo_rollback"})
"""The jobs that work with services, or tell of them. The others go on whatever stands in the services' file."""


class Opens(enum.Enum):
    """How a step is opened."""

    LOOKS = "reads only: no lock is taken, and no run has to be under way"
    PLANS = "the first of a rollback: holds the run lock, and confirms the target among all other hazards"
    BEGINS = "the first of another job that writes: holds the run lock, on a target that is confirmed"
    FOLLOWS = "goes on with the run under way, which has to be its own"


@dataclass(frozen=True)
class Step:
    """An open step: the run, and what Dagster and the operator gave it.

    `looks` says that nothing may be touched: it is a look, or a dry run.
    """

    context: OpExecutionContext
    migration: Migration
    run: Run
    request: Request
    services: ServicesResource
    target: Target
    commands: Commands
    looks: bool

    @property
    def job(self) -> str:
        """Which job this is, without the prefix of its instance."""
        return self.migration.instance.of(self.context.job_name)

    @property
    def origin(self) -> dict[str, Any]:
        """Who launched this run, why, and with which settings."""
        return origin(self.context.run.tags, self.request)

    @property
    def must_confirm(self) -> bool:
        """The operator has to name the target."""
        return not self.target.embedded


@contextmanager
def step(context: OpExecutionContext, migration: Migration, opens: Opens) -> Iterator[Step]:
    """Open a step. What a person can mend becomes a failed step that says so, and names the target.

    Raises `StepFailure`.
    """
    postgres: PostgresResource = resource(context, migration.instance, "postgres")
    services: ServicesResource = resource(context, migration.instance, "services")
    requested: RequestResource = resource(context, migration.instance, "request")
    with failures() as failing:
        settings = requested.asked.settings()
        if opens is not Opens.FOLLOWS and migration.instance.of(context.job_name) in NEED_SERVICES:
            services.settings()  # a mistake in their file is told before anything else is done
        target = postgres.target()
        if migration.instance.prefix:
            target = replace(target, migration=migration.name)
        failing.target = target.told
        if opens in (Opens.PLANS, Opens.BEGINS):
            must_answer()
        if opens is not Opens.FOLLOWS:
            print(f"Target: {target.told}", flush=True)
        commands = commands_for(target, migration.instance)

        def opened(session: Session, *, looks: bool) -> Step:
            run = Run(session, migration, context.run_id, settings=settings, say=context.log.info)
            return Step(context, migration, run, requested.asked, services, target, commands, looks)

        name = application_name(migration.instance.of(context.job_name), context.run_id, migration.name)

        def locked() -> Step:
            return opened(postgres.locked_session(name), looks=False)

        if opens is Opens.LOOKS or settings.dry_run:
            with postgres.session(name) as session, stopped_while_looking(context, migration):
                yield opened(session, looks=True)
            print(f"Target: {target.told}", flush=True)
            return
        found = locked()
        if opens is Opens.BEGINS:
            lifecycle.confirm(found.run, must_confirm=found.must_confirm)
        with services_guarded(context, migration, lambda: locked().run, services, commands, requested.asked):
            if opens is Opens.FOLLOWS:
                lifecycle.must_be_ours(found.run, [context.run.parent_run_id, context.run.root_run_id])
            yield found
