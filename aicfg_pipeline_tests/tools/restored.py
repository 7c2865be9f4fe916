"""Databases in which a rollback has happened, for tests of what is checked afterwards; and ways to spoil them."""

from __future__ import annotations

import tempfile
from pathlib import Path

import psycopg
from psycopg.types.json import Jsonb

from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.tables.personas import FACT, visible_rows_facts
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline_tests.tools.migration import running
from aicfg_pipeline_tests.tools.servers import Database

OUR_TRIGGERS = ("aicfg_rollback_change_log", "aicfg_rollback_change_log_truncate")


def cut_over_all(run: Run) -> None:
    """Every step of a rollback up to the cut-over, and what the personas saw before it."""
    before = {s.pair.old: visible_rows_facts(run.session, run.migration, s.new_table) for s in run.look().pairs}
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run)
    cut_over(run)
    for old, facts in before.items():
        run.session.execute(
            "UPDATE aicfg_rollback.ledger SET facts = facts || %s WHERE step = 'cut_over' AND pair = %s",
            (Jsonb({FACT: facts}), old),
        )


def fill_cut_over(database: Database) -> None:
    """Roll a migrated database back; the new tables stay parked."""
    with running(database.url) as run:
        cut_over_all(run)


def fill_dropped(database: Database) -> None:
    """Drop what is parked in a copy of the database before."""
    with running(database.url) as run, tempfile.TemporaryDirectory() as folder:
        drop_new_tables(run, Folder(Path(folder)), [], before_retention_ends=True)


def silently(connection: psycopg.Connection, table: str, *statements: str) -> None:
    """Write to a table past every trigger, so that the change log does not know of it."""
    connection.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    for statement in statements:
        connection.execute(statement)
    connection.execute(f"ALTER TABLE {table} ENABLE TRIGGER USER")
    for trigger in OUR_TRIGGERS:
        connection.execute(f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {trigger}")
