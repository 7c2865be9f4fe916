"""Runs jobs in processes that are killed at a chosen moment: `python -m aicfg_pipeline_tests.tools.killing`.

Reads one JSON object a line (job, config, environment, kill_after) and answers with one (status: exit status, negative
for a signal; error). Each job runs in a fork, so that Dagster is imported once; the parent has no threads.
`kill_after` is a step's name, or `ledger:OUTCOME` for the moment after that row of the services is committed.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def main() -> None:
    from aicfg_pipeline.definitions import defs

    jobs = {name: defs.resolve_job_def(name) for name in ("rollback", "undo_rollback")}
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            os._exit(_run(jobs[asked["job"]], asked))
        _, status = os.waitpid(pid, 0)
        print(json.dumps({"status": os.waitstatus_to_exitcode(status)}), flush=True)


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _run(job: Any, asked: dict[str, Any]) -> int:
    log = os.open(asked["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.environ.update(asked["environment"])
    _arrange(asked.get("kill_after") or "")
    try:
        from dagster import DagsterInstance

        with DagsterInstance.ephemeral() as instance:
            done = job.execute_in_process(instance=instance, run_config=asked["config"], raise_on_error=False)
        return 0 if done.success else 1
    except BaseException:
        traceback.print_exc()
        return 2


def _arrange(kill_after: str) -> None:
    from dagster import DagsterInstance

    from aicfg_pipeline.runbook import remembered

    if kill_after.startswith("ledger:"):
        note = remembered.note

        def noting(run: Any, step: str, outcome: str, facts: Any) -> None:
            note(run, step, outcome, facts)
            if outcome == kill_after.removeprefix("ledger:"):
                _die()

        remembered.note = noting  # type: ignore[assignment]
        return
    handle = DagsterInstance.handle_new_event

    def handling(self: Any, event: Any, **options: Any) -> Any:
        handle(self, event, **options)
        seen = event.dagster_event
        if seen is not None and seen.is_step_success and seen.step_key == kill_after:
            _die()

    DagsterInstance.handle_new_event = handling  # type: ignore[method-assign]


class Killer:
    """The other end: asks the process above."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, job: str, config: dict[str, Any], environment: dict[str, str], log: str, kill_after: str | None = None
    ) -> int:
        """Run a job; returns its exit status, -9 if it was killed."""
        asked = {"job": job, "config": config, "environment": environment, "log": log, "kill_after": kill_after}
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        return int(json.loads(answer)["status"])


@contextmanager
def killer() -> Iterator[Killer]:
    """Start the process above; end it after."""
    words = [sys.executable, "-m", "aicfg_pipeline_tests.tools.killing"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        while "ready" not in process.stdout.readline():
            assert process.poll() is None
        try:
            yield Killer(process)
        finally:
            assert process.stdin is not None
            process.stdin.close()
            process.wait(timeout=20)


if __name__ == "__main__":
    main()
