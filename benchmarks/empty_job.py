"""A Dagster job with as many ops as `rollback` has, in the same order, that do nothing: what Dagster itself costs."""

from __future__ import annotations

from dagster import Definitions, In, OpDefinition, in_process_executor, job, op


def _empty(name: str, **ins: In) -> OpDefinition:
    @op(name=name, ins=ins)
    def nothing(context, **passed):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN003, ANN202
        return {}

    return nothing


FIRST = _empty("first")
COPIES = [_empty(f"copy_{n}", planned=In(dict)) for n in (1, 2)]
COMPARE = _empty("compare_copies", copied=In(list))
CUT_OVER, VERIFY, END = (_empty(name, before=In(dict)) for name in ("swap", "check", "end"))


@job(executor_def=in_process_executor)
def empty() -> None:
    """As many ops as the job rollback."""
    planned = FIRST()
    END(VERIFY(CUT_OVER(COMPARE([copied(planned) for copied in COPIES]))))


defs = Definitions(jobs=[empty])
