"""O9: constraints that are looked at only at the end of a transaction do not hold up the swap, with writers at work."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

KEY = (
    "\n-- name: foreign_keys -- looked at when a transaction ends\n"
    "ALTER TABLE ONLY {table} ADD CONSTRAINT {table}_family_fkey FOREIGN KEY (family) REFERENCES public.families (id)"
    " DEFERRABLE INITIALLY DEFERRED NOT VALID;\n"
    "\n-- name: validate -- a scan\nALTER TABLE {table} VALIDATE CONSTRAINT {table}_family_fkey;\n"
)
COLUMNS = "id integer NOT NULL, family integer NOT NULL, said text, CONSTRAINT {}_u UNIQUE (said) DEFERRABLE INITIALLY DEFERRED"


@contextmanager
def writing(database: Database) -> Iterator[list[int]]:
    """Somebody who inserts child before parent, which only a deferred key lets pass, and changes all rows all the time."""
    stop, written = threading.Event(), [100]

    def write() -> None:
        with psycopg.connect(database.url, autocommit=True) as connection:
            while not stop.is_set():
                number = written[0] + 1
                with connection.transaction():
                    connection.execute("INSERT INTO thing VALUES (%s, %s, %s)", (number, number, f"row {number}"))
                    connection.execute("INSERT INTO families VALUES (%s)", (number,))
                written[0] = number

    thread = threading.Thread(target=write)
    thread.start()
    try:
        yield written
    finally:
        stop.set()
        thread.join()


@pytest.mark.two_versions
def test_o9_deferred_keys_and_writers_go_back_forth_and_back(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_up(
        plain_database,
        tmp_path,
        monkeypatch,
        COLUMNS.format("thing"),
        "INSERT INTO families SELECT generate_series(1, 100)",
        "INSERT INTO thing SELECT i, i, 'row ' || i FROM generate_series(1, 100) i",
        prelude="CREATE TABLE families (id integer PRIMARY KEY)",
        new_columns=COLUMNS.format("new_thing"),
        old_more=KEY.format(table="thing"),
        new_more=KEY.format(table="new_thing"),
    )
    migrate_forward(plain_database.url)
    with running(plain_database.url) as run, writing(plain_database) as written:
        roll_back(run)
        lifecycle.begin(run, "undo_rollback")
        undo_rollback(run)
        roll_back(run)
    assert written[0] > 100
    rows = plain_database.query("SELECT id, family, said FROM thing ORDER BY id")
    assert rows == [(n, n, f"row {n}") for n in range(1, written[0] + 1)]
    key = "SELECT condeferrable, condeferred, convalidated FROM pg_constraint WHERE conname = 'thing_family_fkey'"
    assert plain_database.query(key) == [(True, True, True)]
