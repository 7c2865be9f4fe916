"""`verify` where nothing may be written: for a role with SELECT only, in a read-only session, on a hot standby (B8)."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import pytest

from aicfg_pipeline.embedded.cluster import SUPERUSER, Cluster
from aicfg_pipeline.embedded.programs import run_program, server_user
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.verify import run_checks
from aicfg_pipeline.runbook.failure import after_failure
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import restored
from aicfg_pipeline_tests.tools.planning import unchanged
from aicfg_pipeline_tests.tools.servers import Database, Servers, available, fill_migrated, fill_old, free_port

MADE_BY_FILES = {"structure", "row_level_security", "grants"}


@pytest.fixture
def reader(cut_over_database: Database) -> Iterator[str]:
    """The URL of a role that may read the tables, and nothing else, after a cut-over."""
    admin = cut_over_database.admin()
    admin.execute("CREATE ROLE only_reader LOGIN; GRANT SELECT ON ALL TABLES IN SCHEMA public TO only_reader")
    yield cut_over_database.cluster.url("only_reader", cut_over_database.name)
    admin.execute("DROP OWNED BY only_reader; DROP ROLE only_reader")


def verified(url: str) -> list[Check]:
    session = connect(url, "verify")
    try:
        return run_checks(session, spec.load())
    finally:
        session.close()


def not_looked_at(checks: list[Check]) -> set[str]:
    return {c.name for c in checks if not c.applies and c.summary.startswith("Not looked at")}


def test_for_a_role_with_select_only_nothing_fails_and_what_was_not_looked_at_says_so(
    cut_over_database: Database, reader: str
) -> None:
    with unchanged(cut_over_database):
        checks = verified(reader)
    assert [f"{c.name}: {c.summary}" for c in checks if c.failed] == []
    assert not_looked_at(checks) >= {*MADE_BY_FILES, "rows", "row_count", "checksum", "new_table_kept"}
    assert any(c.passed for c in checks)


def test_a_read_only_session_of_the_owner_looks_at_all_but_what_has_to_be_made(cut_over_database: Database) -> None:
    cut_over_database.admin().execute(f"ALTER DATABASE {cut_over_database.name} SET default_transaction_read_only = on")
    checks = verified(cut_over_database.url)
    assert [f"{c.name}: {c.summary}" for c in checks if c.failed] == []
    assert not_looked_at(checks) == MADE_BY_FILES
    assert {c.name for c in checks if c.passed} >= {"rows", "row_count", "checksum", "visible_rows", "references"}


@contextmanager
def standby(primary: Cluster) -> Iterator[str]:
    """A hot standby beside its primary, made by pg_basebackup; the folder of its socket."""
    user, folder = server_user(primary.data_dir), primary.data_dir.parent / "standby"
    programs, port = available()[15], str(free_port())

    def run(program: str, *words: str) -> None:
        done = run_program(programs / program, *words, user=user, folder=primary.data_dir)
        assert done.returncode == 0, done.stdout + done.stderr

    folder.mkdir(mode=0o700)
    if user is not None:
        os.chown(folder, user.uid, user.gid)
    from_primary = ["-h", str(primary.socket_dir), "-p", str(primary.port), "-U", SUPERUSER]
    run("pg_basebackup", *from_primary, "-D", str(folder), "-R", "-X", "stream", "-c", "fast")
    (folder / "server.log").touch()
    if user is not None:
        os.chown(folder / "server.log", user.uid, user.gid)
    options = f"-c port={port} -c unix_socket_directories={folder} -c listen_addresses="
    run("pg_ctl", "-D", str(folder), "-l", str(folder / "server.log"), "-o", options, "-w", "start")
    try:
        yield f"host={folder} port={port} user=postgres"
    finally:
        run("pg_ctl", "-D", str(folder), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.mark.skipif(15 not in available(), reason="pg_basebackup is in Debian's package of PostgreSQL 15 only")
def test_on_a_hot_standby_nothing_fails_that_does_not_fail_on_its_primary(servers: Servers) -> None:
    server = servers.get(15)
    server.template("old", fill_old)
    server.template("migrated", fill_migrated, parent="old")
    with (
        server.database("cut_over", restored.fill_cut_over, parent="migrated") as database,
        standby(server.cluster) as place,
    ):
        url = f"{place} dbname={database.name}"
        with psycopg.connect(url) as connection:
            assert connection.execute("SELECT pg_is_in_recovery()").fetchone() == (True,)
        checks = verified(url)
    assert [f"{c.name}: {c.summary}" for c in checks if c.failed] == []
    assert not_looked_at(checks) == MADE_BY_FILES
    assert {c.name for c in checks if c.passed} >= {"rows", "row_count", "checksum", "visible_rows", "references"}


def test_an_error_without_rights_does_not_say_that_services_could_not_be_started(reader: str) -> None:
    session = connect(reader, "fails")
    try:
        run = Run(session, spec.load(), "x", say=lambda line: None)
        _, told = after_failure(run, ServicesSettings(), lambda job: job)
    finally:
        session.close()
    assert "SERVICES" not in " ".join(told)
