"""Every setting that a role or a database can have, set to something unusual: nothing of what is done may depend on it.

The settings are asked of the server, so that a new version's are tried too. Those of one kind of unusual value are
set together, and a batch that fails is halved until the settings that break it are found. What is expected comes from
the database before the migration and before the rollback.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.glance import glance
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import servers as tools
from aicfg_pipeline_tests.tools.everything import EVERYTHING
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database, Server

OLD_TABLES = ("public.sys_rag", "public.org_prompt_engineering")

LEFT_OUT = {
    "default_transaction_read_only": "whoever sets it does not want to be written to; the plan says so (test_hazards)",
    "transaction_read_only": "it is of one transaction, and nothing that a role or database can have",
    "transaction_isolation": "the same",
    "transaction_deferrable": "the same",
    "role": "it says who we are; owners and privileges are then that role's",
    "session_authorization": "the same",
    "local_preload_libraries": "any library that is not there ends every connection; none of ours is concerned",
    "session_preload_libraries": "the same",
    "default_tablespace": "where files lie is the administrator's choice, and holds for our tables as for all",
    "temp_tablespaces": "the same",
    "default_table_access_method": "there is only one here",
    "dynamic_library_path": "where the server's own plpgsql is not found, no trigger of anybody works",
    "application_name": "we give our own when we connect",
    "seed": "it is drawn anew for each session",
}
"""Settings that are not tried, each with the reason."""

STRINGS: Mapping[str, tuple[str, ...]] = {
    "DateStyle": ("German", "SQL, DMY", "Postgres, MDY"),
    "TimeZone": ("Asia/Kathmandu", "America/St_Johns"),
    "timezone_abbreviations": ("Australia",),
    "search_path": ("", "auth, pg_catalog", '"$user", public, pg_catalog'),
    "client_encoding": ("LATIN1", "WIN1252"),
    "default_text_search_config": ("pg_catalog.german",),
    "lc_messages": ("C",),
    "lc_monetary": ("C",),
    "lc_numeric": ("C",),
    "lc_time": ("C",),
    "plpgsql.extra_errors": ("all",),
    "plpgsql.extra_warnings": ("all",),
    "restrict_nonsystem_relation_kind": ("view, foreign-table",),
    "wal_consistency_checking": ("all",),
    "extension_control_path": ("/nowhere",),
    "extension_destdir": ("/nowhere",),
    "backtrace_functions": ("nothing",),
    "createrole_self_grant": ("set, inherit",),
    "log_connections": ("all",),
    "event_source": ("x",),
}
NUMBERS: Mapping[str, tuple[str, ...]] = {
    "max_stack_depth": ("100",),
    "statement_timeout": ("300",),  # what ends the very first statement can't be helped
    "transaction_timeout": ("300",),
    "lock_timeout": ("1",),
    "idle_in_transaction_session_timeout": ("50",),
    "idle_session_timeout": ("300",),
    "deadlock_timeout": ("100", "60000"),
    "temp_buffers": ("100", "10000"),
    "work_mem": ("64", "1000000"),
    "commit_delay": ("1",),
    "post_auth_delay": ("0",),
    "vacuum_cost_delay": ("1",),
}
LARGEST = 10_000_000
BATCHES = 11  # as many as the values of client_min_messages; the planner's are spread, or no query would end
SETTABLE = (
    " FROM pg_settings WHERE context IN ('user', 'superuser')"
    " AND min_val IS DISTINCT FROM coalesce(max_val, '-') AND coalesce(cardinality(enumvals), 2) > 1 ORDER BY name"
)
"""What a role or a database can set to more than one value."""


def unusual(name: str, kind: str, least: str, most: str, choices: list[str] | None, value: str) -> tuple[str, ...]:
    """Return what the setting is set to: each choice, the other switch, the least and the most."""
    if name in NUMBERS:
        return NUMBERS[name]
    if kind == "bool":
        return ("off" if value == "on" else "on",)
    if kind == "enum":
        return tuple(c for c in choices or () if c != value)
    if kind == "string":
        return STRINGS.get(name, ())
    return tuple(dict.fromkeys(v for v in (least, str(min(float(most), LARGEST)).removesuffix(".0")) if v != value))


def batches(admin: psycopg.Connection) -> list[dict[str, str]]:
    """Return which settings are set to what, together. Every setting has each of its values in one of them."""
    rows = admin.execute("SELECT name, vartype, min_val, max_val, enumvals, setting" + SETTABLE).fetchall()
    found: list[dict[str, str]] = [{} for _ in range(BATCHES)]
    for place, row in enumerate(r for r in rows if r[0] not in LEFT_OUT):
        for number, value in enumerate(unusual(*row)):
            found[(place + number) % BATCHES][row[0]] = value
    return found


def all_at_once(admin: psycopg.Connection) -> list[dict[str, str]]:
    """Return one batch for a second version: all that is no number, but what switches the planner's ways off."""
    named = [(n, v) for batch in batches(admin) for n, v in batch.items()]
    return [{n: v for n, v in named if not n.startswith("enable_") and _is_word(v)}]


def _is_word(value: str) -> bool:
    return not value.lstrip("-").replace(".", "").isdigit()


NEW_COLUMN = "ALTER TABLE {0} ADD COLUMN marks text[] DEFAULT ARRAY['x', NULL, 'NULL']"
ACCEPTED = ("unmapped_column",)


def story(database: Database, before: tuple[dict[str, tuple[int, int]], str]) -> None:
    """Plan, rollback, undo, rollback, drop, with a writer and the sensor's look in between."""
    as_migrated = portrait(database)
    found = planned(database.url)
    plan.gate(found, ACCEPTED)
    with running(database.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
    with running(database.url) as run:
        undo_rollback(run)
    assert differing(as_migrated, portrait(database)) == []
    with running(database.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
    rows = {t: database.fingerprints(("public",))[t] for t in OLD_TABLES}
    with psycopg.connect(database.url, autocommit=True) as writer:  # our triggers run under the writer's settings
        assert writer.execute("UPDATE public.org_prompt_engineering SET id = id").rowcount == tools.ORGANISATIONS
    session = connect(database.url)
    assert set(glance(session, spec.load()).states.values()) == {"cut_over"}
    session.close()
    with running(database.url) as run, tempfile.TemporaryDirectory() as folder:
        drop_parked(run, Path(folder))
    assert (rows, database.schema_dump(*OLD_TABLES)) == before


def trial(server: Server, settings: Mapping[str, str], before: tuple[dict[str, tuple[int, int]], str]) -> str | None:
    """Run the story under these settings of the role in a database of its own; return what went wrong."""
    with server.database("migrated", tools.fill_migrated) as database:
        database.execute(NEW_COLUMN.format("ai_cfg_org_prompts"))
        with database.admin() as admin:
            for name, value in settings.items():
                admin.execute(
                    sql.SQL("ALTER ROLE postgres IN DATABASE {} SET {} = {}").format(
                        sql.Identifier(database.name), sql.Identifier(*name.split(".")), sql.Literal(value)
                    )
                )
        try:
            story(database, before)
        except Exception as error:
            return f"{type(error).__name__}: {error}"[:1000]
    return None


def culprits(settings: Mapping[str, str], fails: Callable[[Mapping[str, str]], str | None]) -> Iterator[str]:
    """Halve what fails until one setting is left, or several that fail only together."""
    said = fails(settings)
    if said is None:
        return
    names = sorted(settings)
    halves = [{n: settings[n] for n in part} for part in (names[: len(names) // 2], names[len(names) // 2 :]) if part]
    found = [c for half in halves for c in culprits(half, fails)] if len(names) > 1 else []
    yield from found or [f"{dict(settings)}: {said}"]


@pytest.fixture
def before(old_database: Database, server: Server) -> tuple[dict[str, tuple[int, int]], str]:
    """Rows and definitions of the old tables before the migration."""
    server.template("migrated", tools.fill_migrated, parent="old")
    rows = old_database.fingerprints(("public",))
    return {t: rows[t] for t in OLD_TABLES}, old_database.schema_dump(*OLD_TABLES)


@pytest.fixture
def settable(empty_database: Database) -> Iterator[psycopg.Connection]:
    with empty_database.admin() as admin:
        admin.execute("DO 'BEGIN END'")  # plpgsql's own settings are there once it is loaded
        yield admin


@pytest.mark.slow
@pytest.mark.two_versions
def test_no_setting_of_role_or_database_changes_what_is_done(
    server: Server, settable: psycopg.Connection, before: tuple[dict[str, tuple[int, int]], str]
) -> None:
    """D7 (array_nulls), O8 (DateStyle), O12 (statement_timeout), and every other."""
    whole = EVERYTHING or server.version == tools.DEFAULT_VERSION
    tried = batches(settable) if whole else all_at_once(settable)
    wrong = [c for batch in tried for c in culprits(batch, lambda s: trial(server, s, before))]
    assert wrong == []


@pytest.mark.every_version
def test_every_setting_is_tried_or_left_out_for_a_reason(settable: psycopg.Connection) -> None:
    """A setting that a new version of PostgreSQL brings must be given a value here."""
    names = {name for (name,) in settable.execute("SELECT name" + SETTABLE).fetchall()}
    tried = {name for batch in batches(settable) for name in batch}
    assert names - tried - LEFT_OUT.keys() == set()
    assert all(LEFT_OUT.values())
