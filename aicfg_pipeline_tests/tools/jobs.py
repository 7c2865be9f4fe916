"""Runs jobs as people do: `dagster job execute` in a process of its own, with real exit codes and output.

It is a fork of one that has imported Dagster. A new interpreter runs them too, in test_commands and test_services_kill.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from aicfg_pipeline_tests.tools.forking import PROJECT, run_module

__all__ = ["PROJECT", "Executed", "confirmed", "execute"]


@dataclass(frozen=True)
class Executed:
    """What a person sees of a run on the command line."""

    status: int
    output: str


def execute(
    job: str, *, home: Path, url: str | None = None, config: dict[str, Any] | None = None, **environment: str
) -> Executed:
    """Run `dagster job execute -m aicfg_pipeline.definitions -j JOB [-c run.yaml]`."""
    home.mkdir(parents=True, exist_ok=True)
    words = ["job", "execute", "-m", "aicfg_pipeline.definitions", "-j", job]
    if config is not None:
        file = home / "run.yaml"
        file.write_text(yaml.safe_dump(config), encoding="utf-8")
        words += ["-c", str(file)]
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("AICFG_", "DAGSTER_"))}
    kept |= {
        "AICFG_HOME": str(home),
        "AICFG_STORE_IS_DURABLE": "1",
        **({"AICFG_DATABASE_URL": url} if url else {}),
        **environment,
    }
    return Executed(*run_module("dagster", *words, environment=kept))


def confirmed(database: str, **settings: Any) -> dict[str, Any]:
    """A run.yaml that confirms a database: the same for every job."""
    return {"confirm_database": database, **settings}
