"""The operator's commands, composed in one place: complete, and runnable as printed in a POSIX shell.

What a command does is the jobs'. Whoever prints one (summary, plan, report, an error) takes it from here or is given it.
"""

from __future__ import annotations

import json
import shlex
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster
import yaml

from aicfg_pipeline.environment import HOME, MIGRATION_DIR, SERVICES
from aicfg_pipeline.orchestration.config import Request
from aicfg_pipeline.orchestration.home import DEMO, Target, home
from aicfg_pipeline.spec.model import ALONE, Instance

MODULE = ALONE.module


@dataclass(frozen=True)
class Commands:
    """The commands for one target. Each names the target, so that it does nothing on another one."""

    target: str
    embedded: bool = False
    demo: Path | None = None
    """The home of the demo, where its services are in use: a command has to bring them along."""
    instance: Instance = ALONE
    folder: Path | None = None
    """The migration's folder, where it is another than the environment names: a command has to name it."""

    def job(self, job: str, **asked: Any) -> str:
        """Return the line that runs a job by `dagster job execute`, which takes its run config from a file only."""
        words = (
            self._of_the_demo(job)
            or f"{self._program('dagster')} job execute -m {self.instance.module} -j {self.instance.named(job)}"
        )
        fields = self._fields(job, asked)
        if not fields:
            return words
        lines = " ".join(shlex.quote(f"{name}: {json.dumps(value)}") for name, value in fields.items())
        return f"printf '%s\\n' {lines} | {words} -c /dev/stdin"

    def dg(self, job: str, **asked: Any) -> str:
        """Return the line that runs a job by `dg launch`; where dg is not installed, it says what to install first."""
        if self.demo:
            return self.job(job, **asked)
        words = f"{self._program('dg')} launch -m {self.instance.module} --job {self.instance.named(job)}"
        if fields := self._fields(job, asked):
            words += f" --config-json {shlex.quote(json.dumps(fields))}"
        return words if _installed("dg") else f"{words}  # first: pip install dagster-dg-cli=={dagster.__version__}"

    def run_yaml(self, request: Request) -> str:
        """Return a complete run.yaml for this target: every field, with what it is for."""
        asked = {**request.as_config(), "confirm_database": self.target}
        lines = []
        for name, info in Request.model_fields.items():
            lines += [f"# {info.description}", yaml.safe_dump({name: asked[name]}).strip()]
        return "\n".join(lines)

    def _fields(self, job: str, asked: Mapping[str, Any]) -> dict[str, Any]:
        confirmed = {} if self.embedded or job == "verify" else {"confirm_database": self.target}
        return {**confirmed, **asked}

    def _of_the_demo(self, job: str) -> str | None:
        if self.demo is None:
            return None
        return (
            f"{HOME.name}={shlex.quote(str(self.demo))} {shlex.quote(sys.executable)} -m aicfg_pipeline.local run {job}"
        )

    def _program(self, name: str) -> str:
        """The program that belongs to this Python, by its bare name where that finds it."""
        beside = Path(sys.executable).with_name(name)
        found = shutil.which(name)
        path = name if not beside.exists() or (found and Path(found) == beside) else str(beside)
        place = f"{MIGRATION_DIR.name}={shlex.quote(str(self.folder))} " if self.folder else ""
        on = f"{self.instance.url_variable}={DEMO} " if self.embedded else ""
        return f"{on}{place}{shlex.quote(path)}"


def _installed(name: str) -> bool:
    return Path(sys.executable).with_name(name).exists() or shutil.which(name) is not None


def commands_for(target: Target, instance: Instance) -> Commands:
    """Return the commands for a target."""
    services = SERVICES.value() if target.embedded else None
    of_the_demo = services is not None and Path(services) == home() / "demo" / "services.yaml"
    return Commands(target.name, target.embedded, home() if of_the_demo else None, instance)
