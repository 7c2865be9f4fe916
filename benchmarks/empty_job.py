"""A Dagster job with as many ops as `rollback` has, one after the other, that do nothing: what Dagster itself costs."""

from __future__ import annotations

import os

from dagster import Definitions, In, OpDefinition, in_process_executor, job, op

OPS = int(os.environ.get("BENCH_OPS", "11"))
"""As many as the job rollback has: the benchmark says how many that are."""


def _empty(number: int) -> OpDefinition:
    @op(name=f"empty_{number}", ins={"before": In(dict)} if number else {})
    def nothing(context, **passed):  # type: ignore[no-untyped-def]
        return {}

    return nothing


@job(executor_def=in_process_executor)
def empty() -> None:
    """As many ops as the job rollback."""
    passed = _empty(0)()
    for number in range(1, OPS):
        passed = _empty(number)(passed)


defs = Definitions(jobs=[empty])
