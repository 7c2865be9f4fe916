"""The house: small files, and a table of rooms (CONTRIBUTING.md) that is the tree."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "aicfg_pipeline"
LONGEST = 400
ROOM = re.compile(r"^\| ((?:`[^`]+`(?:, )?)+) \|", re.MULTILINE)
"""A row of the table: its first cell, which names one room or several."""


def rooms(text: str) -> set[str]:
    return {room.rstrip("/") for row in ROOM.findall(text) for room in re.findall(r"`([^`]+)`", row)}


def folders() -> set[str]:
    """The package's folders with code in them, but for the application that the demo deploys."""
    found = {file.parent.relative_to(PROJECT) for file in PACKAGE.rglob("*.py")}
    return {f.as_posix() for f in found if f != Path("aicfg_pipeline") and "template" not in f.parts}


def test_no_file_of_the_package_is_longer_than_can_be_read_at_a_sitting() -> None:
    lines = {f.relative_to(PROJECT).as_posix(): len(f.read_text("utf-8").splitlines()) for f in PACKAGE.rglob("*.py")}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("folder", sorted(folders()))
def test_the_table_of_rooms_names_every_folder_of_the_package(folder: str) -> None:
    named = rooms((PROJECT / "CONTRIBUTING.md").read_text("utf-8"))
    assert folder in named


@pytest.mark.parametrize(("start", "container"), [("", "aicfg_pipeline"), ("rollback: ", "aicfg_pipeline.rollback")])
def test_the_floors_are_those_that_import_linter_checks(start: str, container: str) -> None:
    """Lowest first, as data flows."""
    settings = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
    (layers,) = [
        c["layers"] for c in settings["tool"]["importlinter"]["contracts"] if c.get("containers") == [container]
    ]
    assert f"\n{start}{' → '.join(reversed(layers))}\n" in (PROJECT / "CONTRIBUTING.md").read_text("utf-8")


def test_the_table_of_rooms_names_nothing_that_is_not_there() -> None:
    named = rooms((PROJECT / "CONTRIBUTING.md").read_text("utf-8"))
    assert named
    assert {room for room in named if not (PROJECT / room).exists()} == set()
