"""A block's percent signs mean the same whether its caller has parameters or not, and so do those of names in it."""

from __future__ import annotations

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

import aicfg_pipeline
from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.postgres import statements
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.postgres.statements import engine, ident
from aicfg_pipeline_tests.tools.servers import Database


@pytest.fixture
def session(empty_database: Database) -> Iterator[Session]:
    """A session on an empty database."""
    session = connect(empty_database.url)
    yield session
    session.close()


@pytest.fixture
def blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of engine blocks of the test's own."""
    statements._blocks.cache_clear()
    (tmp_path / "engine").mkdir()
    monkeypatch.setattr(statements, "bundled_sql", lambda: tmp_path)
    yield tmp_path / "engine" / "test.sql"
    statements._blocks.cache_clear()


def test_a_percent_sign_stands_once_with_parameters_and_without(session: Session, blocks: Path) -> None:
    blocks.write_text(
        "-- name: without -- no parameter\nSELECT format('%s %%', 'x') LIKE 'x%';".replace("%%", "p")
        + "\n\n-- name: with -- a parameter\nSELECT format('%s p', %(word)s::text) LIKE 'x%';\n"
        "\n\n-- name: named -- a name and a value with percent signs\n"
        "SELECT {part} AS {name}, 7 % 4, %(word)s::text;\n"
    )
    assert session.scalar(engine("without")) is True
    assert session.scalar(engine("with"), {"word": "x"}) is True
    row = session.execute(engine("named", name=ident("50 % %(x)s"), part=sql.Literal("%s")), {"word": "%"})
    assert row.description is not None
    assert row.description[0].name == "50 % %(x)s"
    assert tuple(row.fetchone() or ()) == ("%s", 3, "%")


def test_a_part_without_parameters_in_a_block_with_them(session: Session, blocks: Path) -> None:
    blocks.write_text(
        "-- name: part -- a part\n'abc' LIKE 'a%';\n\n-- name: whole -- the whole\nSELECT {part} AND %(yes)s;\n"
    )
    assert session.scalar(engine("whole", part=engine("part")), {"yes": True}) is True


def test_a_doubled_percent_sign_is_refused_when_the_block_is_loaded(blocks: Path) -> None:
    blocks.write_text("-- name: old_way -- doubled for the driver\nSELECT 'a' LIKE 'a%%';\n")
    with pytest.raises(SpecError, match="block old_way: a percent sign stands once"):
        engine("old_way")


def calls_of_engine() -> list[tuple[str, str, set[str] | None]]:
    """Return where the package calls `engine` with a name as it stands: place, name, parts (None where some are unpacked)."""
    found = []
    for path in sorted(Path(aicfg_pipeline.__file__).parent.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "engine"):
                continue
            if node.args and isinstance(node.args[0], ast.Constant):
                parts = [k.arg for k in node.keywords]
                named = None if None in parts else {str(p) for p in parts}
                found.append((f"{path.name}:{node.lineno}", str(node.args[0].value), named))
    return found


def test_every_caller_fills_the_block_with_the_parts_that_it_has() -> None:
    blocks = statements._blocks()
    wrong = []
    for place, name, named in calls_of_engine():
        wanted = {p for _, p, _, _ in string.Formatter().parse(blocks[name].sql) if p is not None}
        wanted -= {"private", "migration"}  # these the connection fills
        if named is not None and named != wanted:
            wrong.append(f"{place}: {name} wants {sorted(wanted)}, is given {sorted(named)}")
    assert wrong == []


def test_every_block_is_used() -> None:
    code = "\n".join(p.read_text(encoding="utf-8") for p in Path(aicfg_pipeline.__file__).parent.rglob("*.py"))
    assert [name for name in statements._blocks() if f'"{name}"' not in code] == []
