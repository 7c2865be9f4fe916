"""A table's DDL from the catalogs is exact: what is made from it is the same, by pg_dump and by the pipeline's own comparison."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.inspection import ddl
from aicfg_pipeline.inspection.difference import differ
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools.servers import Database

RICH = Path(__file__).with_name("rich.sql")

SINCE = {
    15: "ALTER TABLE rich ADD CONSTRAINT one_nothing UNIQUE NULLS NOT DISTINCT (owner_id);",
    18: "ALTER TABLE rich ADD COLUMN shown text GENERATED ALWAYS AS (upper(said)) VIRTUAL;"
    "ALTER TABLE rich ADD CONSTRAINT named_not_null NOT NULL cents;"
    "ALTER TABLE rich ADD CONSTRAINT not_yet NOT NULL doc NOT VALID;"
    "ALTER TABLE rich ADD CONSTRAINT not_meant CHECK (count_ <> 5) NOT ENFORCED;",
}


def filled(database: Database) -> None:
    more = [statement for version, statement in SINCE.items() if database.cluster.version >= version]
    database.execute("\n".join([RICH.read_text(), *more]))


def read(url: str, *names: str) -> dict[str, ddl.Statements]:
    session = connect(url)
    try:
        with session.transaction(read_only=True):
            oids = {n: int(session.scalar("SELECT to_regclass('public.' || %s)::oid::int8", [n])) for n in names}
            made = ddl.table_statements(session, list(oids.values()))
    finally:
        session.close()
    return {name: made[oid] for name, oid in oids.items()}


@pytest.fixture
def rich(plain_database: Database) -> Database:
    for role in ("anon", "authenticated", "service_role"):
        plain_database.execute(f"DO $$ BEGIN IF to_regrole('{role}') IS NULL THEN CREATE ROLE {role}; END IF; END $$")
    filled(plain_database)
    return plain_database


@pytest.mark.two_versions
def test_table_made_from_it_is_the_same_by_pg_dump(rich: Database) -> None:
    before = in_order(rich.schema_dump())
    statements = [s for found in read(rich.url, "rich")["rich"].values() for s in found]
    connection = psycopg.connect(rich.url, autocommit=True)
    with connection:
        connection.execute("DROP TABLE rich; DROP FUNCTION rich_stamp(); SET search_path = pg_catalog")
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]
    assert in_order(rich.schema_dump()) == before


def in_order(dump: str) -> list[str]:
    """A dump's lines, with those that grant in one order: that in which they were given says nothing."""
    lines = dump.splitlines()
    granting = sorted(line for line in lines if line.startswith("GRANT "))
    return [line for line in lines if line and not line.startswith("GRANT ")] + granting


def test_files_made_from_it_make_the_same_by_the_pipelines_own_comparison(rich: Database, tmp_path: Path) -> None:
    """The folder's loader takes every statement, and its scratch tables are as the live one, odd names included."""
    made = read(rich.url, "rich")["rich"]
    for place, name in (("old", "gone"), ("new", "rich")):
        (tmp_path / place).mkdir()
        renamed = ddl.under_other_names(
            made, ddl.renaming({("public", "rich"): "gone"}, ("public", "rich"), ["rich_pkey"])
        )
        text = ddl.file_text(["a test"], made if place == "new" else renamed)
        (tmp_path / place / f"{name}.sql").write_text(text)
    (tmp_path / "migration.yaml").write_text("name: x\npairs: {gone: rich}\n")
    session = connect(rich.url)
    try:
        new, _old = differ(session, spec.load(tmp_path))[0].sides
    finally:
        session.close()
    assert (new.differences, new.what) == ((), "new table")
