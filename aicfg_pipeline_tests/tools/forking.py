"""Python modules run as `python -m MODULE WORDS` would run them, in a fork of a process that has imported Dagster already.

Importing it takes longer than most jobs do. A fork has the environment, the working directory, the standard streams and
the end of a process of its own: status, output and uncaught exceptions are what a person gets. `definitions`, which reads
the environment, is imported in the fork. Each xdist worker has one such process.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import subprocess
import sys
import tempfile
import threading
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

PROJECT = Path(__file__).resolve().parents[2]
SECONDS = 300


def main() -> None:
    """Read one JSON object a line (module, words, folder, environment, output); answer with the exit status."""
    import dagster._cli

    from aicfg_pipeline.orchestration import assets, checks, jobs, sensors, service_checks, service_sensor  # noqa: F401

    with dagster.DagsterInstance.local_temp():
        pass  # its storage imports more than Dagster itself
    assert threading.active_count() == 1, "a fork has one thread only"
    gc.collect()
    gc.freeze()  # a fork that went through all of it would copy it
    for line in sys.stdin:
        asked = json.loads(line)
        pid = os.fork()
        if pid == 0:
            _become(asked)
        _, status = os.waitpid(pid, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(asked: dict[str, Any]) -> NoReturn:
    """Be what was asked for."""
    signal.alarm(SECONDS)
    os.chdir(asked["folder"])
    os.environ.clear()
    os.environ.update(asked["environment"])
    output = os.open(asked["output"], os.O_WRONLY | os.O_APPEND)
    nothing = os.open(os.devnull, os.O_RDONLY)
    for source, stream in ((nothing, 0), (output, 1), (output, 2)):
        os.dup2(source, stream)
    sys.argv = [asked["module"], *asked["words"]]
    status: object = None
    try:
        runpy.run_module(asked["module"], run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        sys.excepthook(*sys.exc_info())  # as Python does it; ours shows no traceback of what a person can mend
        status = 1
    if isinstance(status, str):
        print(status, file=sys.stderr)
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status if isinstance(status, int) else int(status is not None))  # without taking all that apart


@cache
def _process() -> subprocess.Popen[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))}
    words = [sys.executable, "-m", "aicfg_pipeline_tests.tools.forking"]
    process = subprocess.Popen(
        words, cwd=PROJECT, env=kept, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
    )
    atexit.register(_end, process)
    return process


def _end(process: subprocess.Popen[str]) -> None:
    assert process.stdin is not None
    process.stdin.close()
    process.wait(timeout=20)


def run_module(module: str, *words: str, environment: dict[str, str], folder: Path = PROJECT) -> tuple[int, str]:
    """Run `python -m MODULE WORDS` in a fork; return its exit status (negative for a signal) and what it said."""
    process = _process()
    assert process.stdin is not None
    assert process.stdout is not None
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as output:
        asked = {"module": module, "words": words, "folder": str(folder), "environment": environment}
        process.stdin.write(json.dumps(asked | {"output": output.name}) + "\n")
        return int(process.stdout.readline()), output.read()


if __name__ == "__main__":
    main()
