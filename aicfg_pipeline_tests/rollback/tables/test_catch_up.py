"""Catching up: how a replay reads, whatever the change log has been through. What it writes is in the other files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from psycopg import sql

from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.copy_back import copy_back, replay_back
from aicfg_pipeline.rollback.steps.undo import catch_up_forth, replay_forth
from aicfg_pipeline.rollback.tables import change_log
from aicfg_pipeline.rollback.tables.catch_up import MANY_DEAD, Replay, catch_up
from aicfg_pipeline.rollback.tables.change_log import FEW_ENTRIES, PAGES_PER_LOOK_UP, Waiting
from aicfg_pipeline.rollback.tables.forth import way_forth
from aicfg_pipeline_tests.rollback.steps.test_coexisting import let_coexist
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
LOG = "aicfg_rollback.change_log_org_prompt_engineering"
FEW = 3


def write(database: Database, table: str, rows: int) -> None:
    database.execute(
        f"UPDATE {table} SET response_tone = 'casual' WHERE id IN (SELECT id FROM {table} ORDER BY id LIMIT {rows})"
    )


def mislead(database: Database, table: str) -> None:
    """Let the server believe that the log is long: every row waits in it while it is analysed."""
    for _ in range(10):
        database.execute(f"UPDATE {table} SET response_tone = 'simple'")
    database.admin().execute(f"ANALYZE {LOG}")


def most_rows_read(run: Run, replay: Replay) -> int:
    """Replay, and return how many rows the busiest scan of the pair's tables has read."""
    busiest = 0

    with run.writing() as session:
        (waiting,) = change_log.counted(session.script_rows(change_log.count_waiting([(replay.pair, replay.target)])))
        assert waiting.entries == FEW
        for statement in replay.script(waiting):
            if statement.as_string(session.connection).startswith("SET"):
                session.execute(statement)
            else:
                plan = session.scalar(sql.SQL("EXPLAIN (ANALYZE, FORMAT JSON) ") + statement)[0]["Plan"]
                busiest = max(busiest, *(_read(node) for node in _nodes(plan)))
    return busiest


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for child in plan.get("Plans", []):
        yield from _nodes(child)


def _read(node: dict[str, Any]) -> int:
    if node.get("Relation Name") not in (OLD, NEW, LOG.split(".")[1]):
        return 0
    filtered = node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return int((node["Actual Rows"] + filtered) * node["Actual Loops"])


@pytest.mark.two_versions
@pytest.mark.parametrize("coexisting", [False, True], ids=["new_table_alone", "old_table_beside_it"])
def test_few_keys_are_looked_up_on_the_way_back(migrated_database: Database, coexisting: bool) -> None:
    if coexisting:
        let_coexist(migrated_database)
    with running(migrated_database.url) as run:
        copy_back(run, OLD)
        replay = replay_back(run, run.look()[OLD])
        mislead(migrated_database, NEW)
        catch_up(run, replay)
        write(migrated_database, NEW, FEW)
        assert most_rows_read(run, replay) <= 2 * FEW


@pytest.mark.two_versions
def test_few_keys_are_looked_up_on_the_way_forth(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        roll_back(run)
        mislead(migrated_database, OLD)
        catch_up_forth(run, OLD)
        write(migrated_database, OLD, FEW)
        look = run.look()
        replay = replay_forth(way_forth(run.session, look[OLD], look.ledger))
        assert most_rows_read(run, replay) <= 2 * FEW * 10  # ten entries of each key were replayed before


def test_many_keys_are_read_as_the_planner_likes() -> None:
    pages = 100 * PAGES_PER_LOOK_UP * FEW_ENTRIES
    assert Waiting(100 * FEW_ENTRIES, False, pages).few
    assert not Waiting(100 * FEW_ENTRIES + 1, False, pages).few
    assert Waiting(FEW_ENTRIES, False, 1).few
    assert not Waiting(FEW_ENTRIES + 1, False, 1).few
    assert not Waiting(1, True, pages).few


def test_a_log_is_vacuumed_after_many_entries(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        copy_back(run, OLD)
        replay = replay_back(run, run.look()[OLD])
        rows = migrated_database.query(f"SELECT count(*) FROM {NEW}")[0][0]
        for _ in range(MANY_DEAD // rows + 1):
            migrated_database.execute(f"UPDATE {NEW} SET response_tone = 'simple'")
        assert catch_up(run, replay) >= MANY_DEAD
    found = migrated_database.query(f"SELECT reltuples FROM pg_class WHERE oid = '{LOG}'::regclass")
    assert found == [(0,)]


def test_updates_are_replayed_once_each(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        copy_back(run, OLD)
        replay = replay_back(run, run.look()[OLD])
        write(migrated_database, NEW, FEW)
        assert (catch_up(run, replay), catch_up(run, replay)) == (FEW, 0)
