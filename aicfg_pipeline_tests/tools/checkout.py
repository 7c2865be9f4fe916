"""The files of the checkout, to see that tests leave nothing in it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[2]
CACHES = {".cache", "__pycache__", ".hypothesis", ".import_linter_cache", ".mypy_cache", ".pytest_cache", ".ruff_cache"}
NOT_OURS = {".git", ".venv", *CACHES}
"""What git and the tools keep there."""
DEMO = ".aicfg"
WRITTEN_BY_PEOPLE = {".py", ".sql", ".md"}
"""Who adds a file of these while tests run is a person."""


def of_a_demo(root: Path = PROJECT) -> set[str]:
    """Return the folder of a demo that is there already: its server goes on writing into it while tests run."""
    return {DEMO} if (root / DEMO).exists() else set()


def files(root: Path = PROJECT, but: Collection[str] = ()) -> set[str]:
    """Return the paths of all files but those of tools, of `but`, and those that a person may be adding just now."""
    found: set[str] = set()
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in {*NOT_OURS, *but} and not f.endswith(".egg-info")]
        found |= {str(Path(folder, name).relative_to(root)) for name in names}
    return {name for name in found if Path(name).suffix not in WRITTEN_BY_PEOPLE}
