"""The pipeline in a process of its own: `python -m benchmarks.child URL STEP…`; a line of JSON for each step.

Steps: rollback (copy_back, compare, cut_over, verify), undo; prepare, wait, switch (copy_back, compare, cut_over).
The last line has the process's peak memory.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from contextlib import contextmanager
from typing import Any

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.lock import release_run_lock, take_run_lock
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.rollback.steps import undo, verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.prepare import prepare
from aicfg_pipeline.spec import load as spec

WRITTEN_SECONDS = 5.0
"""So long the writers write between a preparation and its switch."""


def _tell(step: str, began: float, **more: Any) -> None:
    print(json.dumps({"step": step, "began": began, "ended": time.time(), **more}), flush=True)


@contextmanager
def _timed(step: str):  # type: ignore[no-untyped-def]
    began = time.time()
    yield
    _tell(step, began)


def _copied(run: Run) -> None:
    lifecycle.begin(run, "rollback")
    began = time.time()
    facts = [copy_back(run, pair.old) for pair in run.migration.pairs]
    _tell("copy_back", began, facts=facts[-1])


def _compared(run: Run) -> None:
    with _timed("compare"):
        compare(run)


def _finished(run: Run) -> None:
    with _timed("cut_over"):
        cut_over(run)
    with _timed("verify"):
        on = verify.inspect(run.session, run.migration, just_proven=True)  # as the job rollback does
        verify.gate(verify.run_checks(run.session, run.migration, on=on), remedy="")
    lifecycle.finish(run)


def _prepared(run: Run) -> None:
    lifecycle.begin(run, "prepare")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run, anew=True)
    prepare(run)
    lifecycle.finish(run)


def _switched(run: Run) -> None:
    _copied(run)
    _compared(run)
    with _timed("cut_over"):
        cut_over(run)


def _undone(run: Run) -> None:
    lifecycle.begin(run, "undo")
    with _timed("undo"):
        undo.undo_rollback(run)
    lifecycle.finish(run)


STEPS: dict[str, tuple[Callable[[Run], None], ...]] = {
    "shadow": (_copied, _compared),
    "rollback": (_copied, _compared, _finished),
    "finish": (_finished,),
    "undo": (_undone,),
    "prepare": (_prepared,),
    "wait": (lambda run: time.sleep(WRITTEN_SECONDS),),
    "switch": (_switched,),
}


def main(url: str, *names: str) -> None:
    """Run the named steps."""
    session = connect(url, "aicfg_pipeline bench")
    take_run_lock(session)
    run = Run(session, spec.load(), "bench", settings=Settings(), say=lambda line: None)
    for name in names:
        began = time.time()
        for step in STEPS[name]:
            step(run)
        _tell(f"whole_{name}", began)
    release_run_lock(session)
    session.close()
    _tell("memory", time.time(), kilobytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


if __name__ == "__main__":
    main(*sys.argv[1:])
