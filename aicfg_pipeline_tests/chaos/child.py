"""What runs in a process of its own, so that a SIGKILL is one: an action of the engine, its outcome in a file."""

from __future__ import annotations

import json
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aicfg_pipeline.errors import PipelineError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import undo, verify
from aicfg_pipeline.rollback.steps.abandon import abandon
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.tables import pieces
from aicfg_pipeline_tests.tools.migration import drop_parked, prepared, roll_back, running


def _undo(run: Run) -> None:
    lifecycle.begin(run, "undo")
    undo.undo_rollback(run)


def _migrate(run: Run) -> None:
    migrate(run)


def _abandon(run: Run) -> None:
    lifecycle.begin(run, "abandon")
    abandon(run)


def actions(exports: Path) -> dict[str, Callable[[Run], None]]:
    """Return what can be done to a database, by name."""

    def drop(run: Run) -> None:
        lifecycle.begin(run, "drop")
        drop_parked(run, exports)

    return {
        "prepare": prepared,
        "abandon": _abandon,
        "rollback": roll_back,
        "undo": _undo,
        "drop": drop,
        "migrate": _migrate,
        "verify": check,
    }


def check(run: Run) -> None:
    """Every check passes."""
    verify.gate(verify.run_checks(run.session, run.migration), remedy="")


def act(action: str, url: str, outcome: Path, exports: Path, run_id: str, settings: dict[str, Any]) -> None:
    """Do it and write how it ended: done, the pipeline's own refusal, or anything else: a bug."""
    said: list[str] = []
    pieces.PIECE_PAGES = 1  # so that there are several
    try:
        with running(url, run_id=run_id, say=said.append, **settings) as run:
            actions(exports)[action](run)
        told = {"kind": "done", "text": ""}
    except PipelineError as error:
        told = {"kind": error.code, "text": str(error)}
    except BaseException:
        told = {"kind": "bug", "text": traceback.format_exc()}
    outcome.write_text(json.dumps({**told, "said": said[-20:]}), encoding="utf-8")
