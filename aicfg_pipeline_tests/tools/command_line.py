"""The command line `python -m aicfg_pipeline`, called in this process: what it prints, and its exit status."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from click.testing import CliRunner

from aicfg_pipeline.cli import main


@dataclass(frozen=True)
class Said:
    """What a command has printed, and how it ended."""

    status: int
    out: str
    err: str


def call(monkeypatch: pytest.MonkeyPatch, url: str | None, *words: object) -> Said:
    """Call a command on a database (none where `url` is None)."""
    if url is None:
        monkeypatch.delenv("AICFG_DATABASE_URL", raising=False)
    else:
        monkeypatch.setenv("AICFG_DATABASE_URL", url)
    done = CliRunner().invoke(main, [str(w) for w in words])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        raise done.exception
    return Said(done.exit_code, done.stdout, done.stderr)
