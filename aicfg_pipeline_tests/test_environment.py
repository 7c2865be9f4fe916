"""The environment variables: each is said once, read in one place, and the README's table is that list."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from aicfg_pipeline import environment
from aicfg_pipeline.environment import VARIABLES, Variable
from aicfg_pipeline.errors import ConfigError

PROJECT = Path(__file__).resolve().parents[1]
PACKAGE = PROJECT / "aicfg_pipeline"
NOT_OURS = PACKAGE / "demo" / "template"  # the application that the demo deploys
OF_TESTS = {"AICFG_SCREENSHOTS", "AICFG_EVERYTHING", "AICFG_WRITE_PLAN"}


def sources() -> list[Path]:
    return [f for f in PACKAGE.rglob("*.py") if NOT_OURS not in f.parents and f != PACKAGE / "environment.py"]


def test_nothing_else_reads_the_environment() -> None:
    reading = {
        f"{file.relative_to(PROJECT)}:{node.lineno}"
        for file in sources()
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "environb", "getenv"}
    }
    assert reading == set()


def test_every_variable_that_is_named_anywhere_is_in_the_list() -> None:
    known = {v.name for v in VARIABLES} | OF_TESTS
    files = [*PACKAGE.rglob("*.py"), PROJECT / "Makefile", PROJECT / "README.md", *(PROJECT / "docs").glob("*.md")]
    named = {name for f in files for name in re.findall(r"\bAICFG_[A-Z_]+", f.read_text(encoding="utf-8"))}
    assert named - known - {"AICFG_"} == set()


def test_the_table_of_the_readme_is_the_list() -> None:
    assert environment.table() in (PROJECT / "README.md").read_text(encoding="utf-8"), (
        "python -m aicfg_pipeline.environment prints the table as it should be"
    )


@pytest.mark.parametrize("variable", VARIABLES, ids=lambda v: v.name)
def test_what_is_set_but_empty_is_unset_or_a_mistake_and_never_a_value(
    variable: Variable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(variable.name, raising=False)
    assert variable.value() is None
    monkeypatch.setenv(variable.name, "  ")
    if variable.empty_is_unset:
        assert variable.value() is None
    else:
        with pytest.raises(ConfigError, match=f"{variable.name} is set but empty"):
            variable.value()
