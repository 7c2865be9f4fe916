"""O15: databases in other encodings, and rows that an exclusion constraint of the old table would not let stand."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import migrate_forward
from aicfg_pipeline_tests.tools.planning import planned, refusal, refused
from aicfg_pipeline_tests.tools.servers import Database, Server


@pytest.fixture(params=["LATIN1", "SQL_ASCII"])
def encoded(running_server: Server, request: pytest.FixtureRequest) -> Iterator[Database]:
    """An empty database in another encoding."""
    name, cluster = f"in_{request.param.lower()}", running_server.cluster
    with psycopg.connect(cluster.url("supabase_admin", "postgres"), autocommit=True) as connection:
        connection.execute(
            f"CREATE DATABASE {name} TEMPLATE template0 ENCODING '{request.param}' LC_COLLATE 'C' LC_CTYPE 'C'"
        )
    database = Database(cluster.url("postgres", name), cluster.url("supabase_admin", name), name, cluster)
    yield database
    running_server.drop(database)


def test_o15_another_encoding_is_refused_before_anything_is_touched(
    encoded: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded.admin().execute(f"ALTER DATABASE {encoded.name} OWNER TO postgres; ALTER SCHEMA public OWNER TO postgres")
    raw = encoded.connect(client_encoding="sql_ascii")
    set_up(encoded, tmp_path, monkeypatch, "id integer NOT NULL, said text", "INSERT INTO thing VALUES (1, 'x')")
    raw.execute("ALTER TABLE thing RENAME TO new_thing; CREATE VIEW thing AS SELECT * FROM new_thing")
    raw.execute(b"UPDATE new_thing SET said = 'caf\\xe9'".replace(b"\\xe9", b"\xe9"))
    before = encoded.schema_dump()
    found = planned(encoded.url)
    assert refusal(found).codes == ("unsupported_encoding",)
    (hazard,) = [h for h in found.hazards if h.code == "unsupported_encoding"]
    assert str(hazard.facts["encoding"]) in hazard.found
    assert encoded.schema_dump() == before


def test_o15_rows_that_exclude_each_other_in_the_old_table_are_told_by_the_plan(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = "id integer NOT NULL, during int4range"
    excluding = f"{columns}, CONSTRAINT one_at_a_time EXCLUDE USING gist (during WITH &&) DEFERRABLE INITIALLY DEFERRED"
    set_up(
        plain_database, tmp_path, monkeypatch, excluding, "INSERT INTO thing VALUES (1, '[1,3)'), (2, '[3,5)'), (3, NULL)",
        new_columns=columns,
    )  # fmt: skip
    migrate_forward(plain_database.url)
    assert planned(plain_database.url).hazards == ()
    plain_database.execute("INSERT INTO thing VALUES (4, '[4,6)'), (5, NULL), (6, '[20,30)')")
    (hazard,) = refused(plain_database)
    assert (hazard.code, hazard.facts["rule"], hazard.facts["rows"]) == ("violates_exclusion", "one_at_a_time", 1)
    assert hazard.facts["keys"] in ([[2]], [[4]])  # which of the two came first is the heap's affair
