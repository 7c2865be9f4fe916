"""Makes an op of a step: what an op is in this pipeline, once.

Ops depend on each other by order only. What the operator asked for is the request, what was done is in the ledger: so a
step can be run again in another process or pod, and with any IO manager.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from dagster import In, Nothing, OpDefinition, OpExecutionContext, Out, Output, op

from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.approve import must_be_approved
from aicfg_pipeline.orchestration.ops.dry_run import show_plan
from aicfg_pipeline.orchestration.ops.step import RESOURCES, Opens, Step, step
from aicfg_pipeline.spec.model import Migration

GO_ON = "result"
"""The output that the next step waits for."""

Act = Callable[[Step], Mapping[str, Any] | None]
"""Does a step's work; returns what the op's page shows, or None where the run ends here."""


def step_op(
    migration: Migration,
    name: str,
    act: Act,
    description: str,
    *,
    opens: Opens = Opens.FOLLOWS,
    kind: str = "postgres",
    only_if: Mapping[str, Callable[[Step], bool]] | None = None,
) -> OpDefinition:
    """Return the op that opens a step, acts, and lets the next ones go on.

    `only_if` are further outputs: what hangs on one is skipped where its condition does not hold once the step has acted.
    """
    further = only_if or {}

    @op(
        name=migration.instance.named(name),
        ins={"after": In(Nothing)} if opens is Opens.FOLLOWS else {},
        out={name: Out(Nothing, is_required=False) for name in (GO_ON, *further)},
        required_resource_keys={migration.instance.named(key) for key in RESOURCES},
        description=description,
        tags={"kind": kind},
    )
    def op_(context: OpExecutionContext) -> Iterator[Output[None]]:
        with step(context, migration, opens) as opened:
            if opened.looks and opens is not Opens.LOOKS:
                show_plan(opened, opened.job)  # a dry run: the plan is all there is of it
                return
            if opens in (Opens.PLANS, Opens.BEGINS):
                must_be_approved(opened, opened.job)
            facts = act(opened)
            goes_on = [] if facts is None else [name for name, holds in further.items() if holds(opened)]
        if facts is not None:
            yield Output(None, GO_ON, metadata=metadata(facts))
            for name in goes_on:
                yield Output(None, name)

    return op_
