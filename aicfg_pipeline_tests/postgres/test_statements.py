"""A block's percent signs mean the same whether its caller has parameters or not, and so do those of names in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from psycopg import sql

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
