"""O15: a limit on connections that is too low for a run is told by the plan, with how many are needed."""

from __future__ import annotations

import time

import psycopg
import pytest

from aicfg_pipeline.embedded.cluster import SUPERUSER
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database


def nobody_left(database: Database) -> None:
    """Wait until the backends of connections that were closed are gone, too."""
    with psycopg.connect(database.cluster.url(SUPERUSER, "postgres"), autocommit=True) as admin:
        for _ in range(200):
            rows = admin.execute("SELECT FROM pg_stat_activity WHERE datname = %s", (database.name,)).fetchall()
            if not rows:
                return
            time.sleep(0.05)
    raise AssertionError(f"{database.name} still has {len(rows)} connections")


@pytest.mark.parametrize(
    ("limit", "others", "told"), [(1, 0, True), (2, 0, False), (2, 1, True), (3, 1, False), (-1, 2, False)]
)
def test_o15_connection_limit_of_the_database(migrated_database: Database, limit: int, others: int, told: bool) -> None:
    migrated_database.admin().execute(f"ALTER DATABASE {migrated_database.name} CONNECTION LIMIT {limit}")
    migrated_database.close()
    nobody_left(migrated_database)
    for _ in range(others):
        migrated_database.connect()
    found = [h for h in planned(migrated_database.url).hazards if h.code == "too_few_connections"]
    assert [h.facts for h in found] == ([{"limit": limit, "others": others, "needed": 2}] if told else [])
    assert all("a run needs 2 at a time" in h.found for h in found)


def test_b9_a_connection_over_a_network_without_tls_is_a_hazard_that_can_be_accepted(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not [h for h in planned(migrated_database.tcp_url).hazards if h.code == "not_encrypted"]
    monkeypatch.setattr("aicfg_pipeline.postgres.session.over_network", lambda host, address: True)
    (hazard,) = [h for h in planned(migrated_database.tcp_url).hazards if h.code == "not_encrypted"]
    assert "127.0.0.1" in hazard.found
    assert hazard.blocks(())
    assert not hazard.blocks(("not_encrypted",))
