"""A rehearsal goes through everything on a copy; the target is only read, and nothing of the copy stays on this machine."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from dagster import DagsterInstance, ExecuteInProcessResult
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from aicfg_pipeline.embedded.cluster import Cluster
from aicfg_pipeline.embedded.system import server_processes
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.rehearsal import copy as copying
from aicfg_pipeline.rehearsal import programs
from aicfg_pipeline.rehearsal.place import place, remove_leftovers
from aicfg_pipeline_tests.orchestration.test_approval import plans, refused_for
from aicfg_pipeline_tests.orchestration.test_events import run_job
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.servers import Database, Server, Servers, fill_migrated, fill_old

ROWS = 41
"""One platform row and 40 organisations."""


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as made:
        yield made


@pytest.fixture(autouse=True)
def at_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AICFG_HOME", str(tmp_path))
    for name in ("AICFG_REHEARSAL_URL", "AICFG_REQUIRE_REHEARSAL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def another_database(running_server: Server) -> Iterator[Database]:
    """A copy that somebody has: the same database under another name."""
    running_server.template("old", fill_old)
    with running_server.database("migrated", fill_migrated, parent="old") as database:
        yield database


def report(home: Path) -> dict[str, object]:
    (found,) = (home / "reports").glob("rehearse-*.json")
    return dict(json.loads(found.read_text()))


def remains(home: Path) -> list[Path]:
    return list((home / "rehearsal").glob("*"))


@dataclass(frozen=True)
class Rehearsed:
    """What one rehearsal has left, for several tests to look at."""

    done: ExecuteInProcessResult
    database: Database
    home: Path
    differing: list[str]


@pytest.fixture(scope="module")
def rehearsed(servers: Servers, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rehearsed]:
    home, server = tmp_path_factory.mktemp("rehearsed"), servers.get()
    server.template("old", fill_old)
    with (
        server.database("migrated", fill_migrated, parent="old") as database,
        DagsterInstance.ephemeral() as instance,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("AICFG_HOME", str(home))
        before = portrait(database)
        done = run_job("rehearse", database, instance, patch)
        yield Rehearsed(done, database, home, differing(before, portrait(database)))


def test_the_target_is_only_read_and_nothing_of_the_copy_stays(rehearsed: Rehearsed) -> None:
    assert rehearsed.done.success
    assert rehearsed.differing == []
    assert remains(rehearsed.home) == []


def test_the_report_says_first_what_production_can_expect_and_then_how_long_each_step_took(
    rehearsed: Rehearsed,
) -> None:
    told = report(rehearsed.home)
    assert str(told["verdict"]).startswith("Production can expect a rollback of ")
    assert [p["after"]["rows"] for p in told["pairs"]] == [1, ROWS - 1]  # type: ignore[attr-defined]
    times = list(told["step_times"])  # type: ignore[call-overload]
    jobs = list(dict.fromkeys(t["job"] for t in times))
    assert jobs == ["rollback", "undo_rollback", "rollback after the undo", "drop_new_tables"]
    assert all(0 < float(t["seconds"]) < 60 for t in times)
    done = {t["step"] for t in told["timeline"] if t["outcome"] == "done"}  # type: ignore[attr-defined]
    assert done >= {"cut_over", "undo", "drop"}


def test_what_is_remembered_is_for_this_user_alone_and_has_no_row_in_it(rehearsed: Rehearsed) -> None:
    (file,) = (rehearsed.home / "rehearsals").glob("*.json")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    ((value,),) = rehearsed.database.query("SELECT max(org_id::text) FROM ai_cfg_org_prompts")
    assert value not in file.read_text()


def test_the_next_plan_knows_of_it_and_the_ledger_learns_of_it_when_the_rollback_begins(
    rehearsed: Rehearsed, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_HOME", str(rehearsed.home))
    monkeypatch.setenv("AICFG_REQUIRE_REHEARSAL", "1")
    assert run_job("plan", rehearsed.database, instance, monkeypatch).success
    assert "same plan" in str(plans(rehearsed.home)["rollback"]["rehearsed"])
    assert run_job("rollback", rehearsed.database, instance, monkeypatch).success
    ((noted,),) = rehearsed.database.query(
        "SELECT facts->'rehearsed'->>'run_id' FROM aicfg_rollback.ledger"
        " WHERE step = 'run' AND outcome = 'started' AND facts->>'kind' = 'rollback'"
    )
    assert noted == rehearsed.done.run_id


def test_a_plan_that_was_not_rehearsed_says_so_and_blocks_only_where_that_is_asked_for(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert run_job("plan", migrated_database, instance, monkeypatch).success
    assert str(plans(tmp_path)["rollback"]["rehearsed"]).startswith("not rehearsed")
    monkeypatch.setenv("AICFG_REQUIRE_REHEARSAL", "1")
    before = portrait(migrated_database)
    refused_for(run_job("rollback", migrated_database, instance, monkeypatch), "not_rehearsed", "-j rehearse")
    assert differing(before, portrait(migrated_database)) == []
    accepting = {"accept_hazards": ["not_rehearsed"]}
    assert run_job("rollback", migrated_database, instance, monkeypatch, **accepting).success


# --- a copy that somebody gives --------------------------------------------------------------------------------


def test_a_copy_of_ones_own_is_taken_through_it_and_nothing_is_made_here(
    migrated_database: Database,
    another_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setenv("AICFG_REHEARSAL_URL", another_database.url)
    monkeypatch.setattr(programs, "find_pg_dump", None)
    before = portrait(migrated_database)
    assert run_job("rehearse", migrated_database, instance, monkeypatch).success
    assert differing(before, portrait(migrated_database)) == []
    assert another_database.query("SELECT relkind::text FROM pg_class WHERE oid = 'public.sys_rag'::regclass") == [
        ("r",)
    ]
    assert remains(tmp_path) == []
    # a copy is used up by its rehearsal
    refused_for(run_job("rehearse", migrated_database, instance, monkeypatch), "The copy is not the target's")


def test_a_copy_of_another_schema_version_is_refused_with_the_difference_and_left_alone(
    migrated_database: Database,
    another_database: Database,
    instance: DagsterInstance,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    another_database.admin().execute(
        "ALTER TABLE public.ai_cfg_sys_rag ADD COLUMN later integer; CREATE VIEW public.also AS TABLE public.sys_rag;"
        "ALTER TABLE public.ai_cfg_org_prompts DROP COLUMN updated_by CASCADE"
    )
    before = portrait(another_database)
    monkeypatch.setenv("AICFG_REHEARSAL_URL", another_database.url)
    refused_for(
        run_job("rehearse", migrated_database, instance, monkeypatch), "The copy is not the target's", "updated_by"
    )
    assert differing(before, portrait(another_database)) == []
    assert list((tmp_path / "rehearsals").glob("*")) == []


@pytest.mark.parametrize("way", ["the same URL", "another host name", "another user"])
def test_the_target_itself_is_refused_by_whatever_name(
    way: str, migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = conninfo_to_dict(migrated_database.url)
    if way == "another host name":
        folder = str(parts["host"])
        parts["host"] = f"{os.path.dirname(folder)}/./{os.path.basename(folder)}"
    if way == "another user":
        parts = conninfo_to_dict(migrated_database.admin_url)
    monkeypatch.setenv("AICFG_REHEARSAL_URL", make_conninfo(**parts))
    before = portrait(migrated_database)
    refused_for(run_job("rehearse", migrated_database, instance, monkeypatch), "is the target itself")
    assert differing(before, portrait(migrated_database)) == []


def test_a_url_that_leads_nowhere_is_told_by_its_own_name_and_never_shown(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AICFG_REHEARSAL_URL", "postgresql://me:hushhush@127.0.0.1:1/x")
    done = run_job("rehearse", migrated_database, instance, monkeypatch)
    refused_for(done, "can't be reached", "AICFG_REHEARSAL_URL")
    assert "hushhush" not in str([e.event_specific_data for e in done.all_events if e.is_step_failure])


# --- what keeps a copy from being made -------------------------------------------------------------------------


def test_nothing_to_rehearse_after_the_cut_over(
    cut_over_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused_for(run_job("rehearse", cut_over_database, instance, monkeypatch), "There is nothing to rehearse")


def test_no_room_for_the_copy_is_told_with_how_much_it_needs(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("aicfg_pipeline.rehearsal.what.SERVER_BYTES", 10**18)
    refused_for(run_job("rehearse", migrated_database, instance, monkeypatch), "no room for the copy", "MB free")
    assert remains(tmp_path) == []


def test_without_the_embedded_server_both_ways_on_are_told(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    done = run_job("rehearse", migrated_database, instance, monkeypatch)
    refused_for(done, "not installed", "pip install", "AICFG_REHEARSAL_URL")


def test_a_pg_dump_older_than_the_server_is_told_with_what_to_install(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    old = [programs.Program(Path("/usr/bin/pg_dump"), 13)]
    monkeypatch.setattr(programs, "_there", lambda: iter(old))
    done = run_job("rehearse", migrated_database, instance, monkeypatch)
    refused_for(done, "13 (/usr/bin/pg_dump)", "postgresql-client-18", "AICFG_REHEARSAL_URL")


def test_a_target_newer_than_the_embedded_server_is_told() -> None:
    with pytest.raises(ConfigError, match="a copy in an older server proves nothing"):
        programs.server_programs(99)


def test_a_table_that_somebody_holds_for_himself_is_told_and_the_target_left_alone(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Somebody else's table, so that only pg_dump meets the lock."""
    with migrated_database.admin() as admin:
        admin.execute("CREATE TABLE public.busy (); GRANT SELECT ON public.busy TO postgres")
    monkeypatch.setattr(copying, "LOCK_WAIT", "100ms")
    before = portrait(migrated_database)
    with migrated_database.admin() as holder, holder.transaction():
        holder.execute("LOCK TABLE public.busy IN ACCESS EXCLUSIVE MODE")
        done = run_job("rehearse", migrated_database, instance, monkeypatch)
    refused_for(done, "pg_dump could not read the target", "held a table for himself")
    assert differing(before, portrait(migrated_database)) == []
    assert remains(tmp_path) == []


def test_a_target_that_asks_for_tls_is_not_dumped_without_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel's pg_dump knows no TLS, and would go on without where the server lets it."""
    there = programs.find_pg_dump(18, tls=False)
    monkeypatch.setattr(programs, "_there", lambda: iter([there]))
    with pytest.raises(ConfigError, match="none of them can use TLS"):
        programs.find_pg_dump(18, tls=True)


def test_a_role_and_an_extension_that_the_copy_lacks_are_made_or_named(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    role = f"reader_{migrated_database.name}"
    with migrated_database.admin() as admin:
        admin.execute(f"CREATE ROLE {role}; GRANT SELECT ON public.ai_cfg_sys_rag, public.sys_rag TO {role}")
    try:
        monkeypatch.setattr(
            "aicfg_pipeline.rehearsal.copy._made_empty", _lacking(copying._made_empty, "an_extension_of_theirs")
        )
        accepting = {
            "accept_hazards": ["access_changes"]
        }  # that of the role: so it is there in the copy, with its right
        assert run_job("rehearse", migrated_database, instance, monkeypatch, **accepting).success
        notes = report(tmp_path)["rehearsal"]["notes"]  # type: ignore[index]
        assert notes == ["extension an_extension_of_theirs is not there"]
    finally:
        with migrated_database.admin() as admin:
            admin.execute(f"DROP OWNED BY {role}; DROP ROLE {role}")


def _lacking(made_empty: object, name: str) -> object:
    return lambda *words: [*made_empty(*words), name]  # type: ignore[operator]


def test_a_migration_that_is_not_the_first_of_its_database_is_rehearsed_where_it_is_the_first(
    migrated_database: Database, instance: DagsterInstance, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """It keeps its things in another schema there. What the first one keeps on the target is not copied."""
    migrated_database.execute(
        "UPDATE aicfg_rollback.ledger SET migration = 'another'; CREATE SCHEMA aicfg_rollback_of_a_third;"
        "CREATE FUNCTION aicfg_rollback_of_a_third.noted() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';"
        "CREATE TRIGGER aicfg_rollback_change_log AFTER UPDATE ON orgs"
        " FOR EACH ROW EXECUTE FUNCTION aicfg_rollback_of_a_third.noted()"
    )
    assert run_job("rehearse", migrated_database, instance, monkeypatch).success
    assert report(tmp_path)["rehearsal"]["notes"] == []  # type: ignore[index]


# --- killed in the middle --------------------------------------------------------------------------------------


def test_what_a_killed_rehearsal_has_left_is_taken_away_with_its_server_and_a_living_one_left_alone(
    tmp_path: Path,
) -> None:
    dead = tmp_path / "rehearsal" / "dead"
    dead.mkdir(parents=True)
    (dead / "structure.dump").write_text("rows")
    bin_dir, _ = programs.server_programs(18)
    cluster = Cluster(bin_dir, dead / "postgres")
    cluster.initialise()
    cluster.start()
    with place(tmp_path) as living:
        assert stat.S_IMODE(living.stat().st_mode) == 0o700
        assert remove_leftovers(tmp_path) == [dead]
        assert living.exists()
    assert server_processes(cluster.data_dir) == []
    assert remains(tmp_path) == []
