"""Every hazard, provoked on a real server: its code, its text, a gate that names all of them, an unchanged database.

Dependents are in test_dependents.py, locks in test_locks.py.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from aicfg_pipeline.embedded.cluster import Cluster
from aicfg_pipeline.embedded.programs import run_program, server_user
from aicfg_pipeline.errors import AlreadyRunningError, HazardError, PipelineError, SpecError, UnreachableError
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.hazards import CODES, server
from aicfg_pipeline.rollback.hazards.hazard import ACCEPTABLE, INFORMATIVE
from aicfg_pipeline.rollback.lock import take_run_lock
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.tools import servers as tools
from aicfg_pipeline_tests.tools.migration import roll_back, running
from aicfg_pipeline_tests.tools.planning import planned, refusal, refused, told, unchanged
from aicfg_pipeline_tests.tools.pooler import Pooler
from aicfg_pipeline_tests.tools.servers import Database, Server

NEW, OLD = "ai_cfg_org_prompts", "org_prompt_engineering"
HERE = Path(__file__).parent


def keys(database: Database, count: int, table: str = NEW) -> list[str]:
    return [str(row[0]) for row in database.query(f"SELECT id FROM {table} ORDER BY id LIMIT {count}")]


def shown(found: list[str]) -> str:
    return ", ".join(str([key]) for key in found)


# --- none, and all ---------------------------------------------------------------------------------------------


@pytest.mark.every_version
def test_the_migrated_demo_has_no_hazard(migrated_database: Database) -> None:
    with unchanged(migrated_database):
        found = planned(migrated_database.url)
        plan.gate(found, ())
    blocking = [h for h in found.hazards if not h.informative]
    assert blocking == []


def test_the_migrated_demo_reports_nothing_at_all_where_views_respect_their_readers_rights(
    migrated_database: Database,
) -> None:
    assert planned(migrated_database.url).hazards == ()


def test_every_code_is_provoked_by_a_test() -> None:
    text = "".join(path.read_text() for path in HERE.parents[1].rglob("test_*.py"))
    assert [code for code in sorted(CODES) if f'"{code}"' not in text] == []
    assert CODES >= ACCEPTABLE | INFORMATIVE


def test_the_gate_names_all_hazards_at_once(migrated_database: Database) -> None:
    migrated_database.execute(
        f"""ALTER TABLE {NEW} DROP CONSTRAINT ai_cfg_org_prompts_citation_style_check, ADD COLUMN tone_v2 text;
        UPDATE {NEW} SET citation_style = 'margin', tone_v2 = 'x' WHERE id = (SELECT min(id::text)::uuid FROM {NEW});
        CREATE VIEW report AS SELECT id FROM {NEW};"""
    )
    migrated_database.admin().execute("ALTER TABLE public.user_profiles RENAME TO profiles")
    hazards = refused(migrated_database, confirm_database="production")
    assert [h.code for h in hazards] == [
        "not_confirmed",
        "missing_reference",
        "dependents",
        "unmapped_column",
        "violates_check",
    ]


def test_what_is_accepted_by_name_does_not_block_and_the_rest_does(migrated_database: Database) -> None:
    migrated_database.execute(f"ALTER TABLE {NEW} ADD COLUMN tone_v2 text DEFAULT 'x'; CREATE VIEW v AS TABLE {NEW};")
    found = planned(migrated_database.url)
    assert refusal(found, ["unmapped_column"]).codes == ("dependents",)
    plan.gate(found, ["unmapped_column", "dependents"])


def test_a_code_that_can_not_be_accepted_is_refused_even_where_nothing_else_blocks(migrated_database: Database) -> None:
    error = refusal(planned(migrated_database.url), ["violates_check"])
    assert "accept_hazards names violates_check, which can't be accepted" in str(error)


# --- the server and the connection -----------------------------------------------------------------------------


def test_unreachable_server_is_told_by_name_and_port() -> None:
    with pytest.raises(UnreachableError, match=r"app at 127.0.0.1:1 as postgres") as caught:
        connect("postgresql://postgres:hunter2@127.0.0.1:1/app")
    assert (caught.value.code, "hunter2" in str(caught.value)) == ("unreachable", False)


def test_missing_confirmation(migrated_database: Database) -> None:
    with unchanged(migrated_database):
        found = planned(migrated_database.url, must_confirm=True)
        error = refusal(found)
    name = migrated_database.name
    assert error.codes == ("not_confirmed",)
    assert found.hazards[0].found == f"confirm_database is missing; the target is {name}@local."
    assert f"set confirm_database: {name}@local" in found.hazards[0].remedy


def test_wrong_confirmation(migrated_database: Database) -> None:
    hazards = refused(migrated_database, confirm_database="production")
    name = migrated_database.name
    assert told(hazards) == [("not_confirmed", None, f"confirm_database is 'production'; the target is {name}@local.")]


def test_right_confirmation_is_no_hazard(migrated_database: Database) -> None:
    found = planned(migrated_database.url, must_confirm=True, confirm_database=migrated_database.name)
    assert found.hazards == ()


def test_another_run_is_named(migrated_database: Database) -> None:
    with running(migrated_database.url, run_id="other") as other:
        pid = other.session.connection.info.backend_pid
        hazards = refused(migrated_database)
        with pytest.raises(AlreadyRunningError, match=f"pid {pid} as postgres .aicfg_pipeline other."):
            take_run_lock(connect(migrated_database.url))
    assert [h.code for h in hazards] == ["already_running"]
    assert hazards[0].found.startswith(f"Another run works here: pid {pid} as postgres (aicfg_pipeline other), since ")


@pytest.mark.parametrize("order", ["lifo", "fifo"])
@pytest.mark.parametrize("size", [1, 2, 3, 5])
def test_transaction_pooler_is_found_whichever_connection_it_hands_out(
    migrated_database: Database, size: int, order: str
) -> None:
    with Pooler(migrated_database, size=size, order=order) as pooler:  # type: ignore[arg-type]
        found = planned(pooler.url)
    assert [h.code for h in found.hazards] == ["pooled_connection"]
    assert "a pooler in transaction mode stands in between" in found.hazards[0].found
    assert "port 5432" in found.hazards[0].remedy


def test_session_pooler_is_no_hazard(migrated_database: Database) -> None:
    with Pooler(migrated_database, "session", size=5) as pooler:
        assert planned(pooler.url).hazards == ()


def test_a_run_through_a_transaction_pooler_takes_no_lock_and_changes_nothing(migrated_database: Database) -> None:
    with Pooler(migrated_database) as pooler, unchanged(migrated_database):
        with pytest.raises(HazardError) as caught, running(pooler.url):
            pass
        held = migrated_database.query("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'")
    assert (caught.value.codes, held) == (("pooled_connection",), [(0,)])


def test_a_writing_transaction_in_another_backend_than_the_lock_refuses(migrated_database: Database) -> None:
    with Pooler(migrated_database, size=2, order="fifo") as pooler, unchanged(migrated_database):
        session = connect(pooler.url)
        session.execute("SELECT pg_try_advisory_lock(%(class)s, %(key)s)", plan_lock())
        with pytest.raises(AlreadyRunningError, match="transaction pooler"), Run(session, spec.load(), "x").writing():
            raise AssertionError("it must not come this far")
        session.close()


def plan_lock() -> dict[str, int]:
    from aicfg_pipeline.rollback.lock import RUN_LOCK

    return RUN_LOCK


def test_server_older_than_14(migrated_database: Database) -> None:
    with Pooler(migrated_database, "session", size=5, server_version="13.22") as pooler:
        hazards = refused(migrated_database, url=pooler.url)
    assert told(hazards) == [("unsupported_version", None, "The server is PostgreSQL 13.22.")]
    assert hazards[0].remedy.startswith("PostgreSQL 14 to 18 are supported")


def test_server_14_is_supported(migrated_database: Database) -> None:
    with Pooler(migrated_database, "session", size=5, server_version="14.0") as pooler:
        assert planned(pooler.url).hazards == ()


def test_database_that_is_read_only_by_default(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute(f"ALTER DATABASE {migrated_database.name} SET default_transaction_read_only = on")
    hazards = refused(migrated_database)
    assert told(hazards) == [("replica", None, "The server is read-only by default.")]


@contextmanager
def standby(database: Database) -> Iterator[str]:
    """A streaming replica of the database's server; yields the URL of the same database there."""
    cluster = database.cluster
    folder = cluster.data_dir.with_name("replica")  # where the server's OS user can reach it
    owner = cluster.data_dir.stat()
    folder.mkdir(mode=0o700)
    os.chown(folder, owner.st_uid, owner.st_gid)
    done = run_program(
        cluster.bin_dir / "pg_basebackup", f"--pgdata={folder}", f"--dbname={cluster.url(tools.SUPERUSER, 'postgres')}",
        "--checkpoint=fast", "--write-recovery-conf", "--no-sync", "--wal-method=stream",
        user=server_user(cluster.data_dir), folder=Path("/"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    replica = Cluster(cluster.bin_dir, folder, settings=tools.FASTER, tcp_port=tools.free_port())
    try:
        replica.start()
        yield replica.url("postgres", database.name)
    finally:
        replica.stop("immediate")
        shutil.rmtree(folder, ignore_errors=True)


def test_replica(migrated_database: Database) -> None:
    with unchanged(migrated_database), standby(migrated_database) as url:
        found = planned(url)
        error = refusal(found)
    assert error.codes == ("replica",)
    assert found.hazards[0].found == "The server is a replica."
    assert found.hazards[0].remedy == "Connect to the primary, as a role that may write."


def test_transaction_that_has_held_a_lock_for_long(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server, "LONG_SECONDS", 0.05)
    holder = migrated_database.connect(application_name="nightly report")
    holder.execute(f"BEGIN; SELECT count(*) FROM {NEW}")
    pid = holder.info.backend_pid
    holder.execute("SELECT pg_sleep(0.1)")
    hazards = refused(migrated_database)
    assert [h.code for h in hazards] == ["long_transaction"]
    assert f"pid {pid} (postgres, nightly report, idle in transaction, since 20" in hazards[0].found
    assert hazards[0].found.endswith("SELECT pg_sleep(…).")
    ended = planned(migrated_database.url, terminate_blockers=True).hazards
    assert [h.code for h in ended if not h.informative] == []


def test_transaction_that_has_only_just_begun_is_no_hazard(migrated_database: Database) -> None:
    migrated_database.connect().execute(f"BEGIN; SELECT count(*) FROM {NEW}")
    assert planned(migrated_database.url).hazards == ()


def test_lock_so_strong_that_the_plan_can_not_read_is_named_and_not_waited_for(migrated_database: Database) -> None:
    holder = migrated_database.connect(application_name="alter table")
    with unchanged(migrated_database):
        holder.execute(f"BEGIN; LOCK TABLE {NEW} IN ACCESS EXCLUSIVE MODE")
        found = planned(migrated_database.url)
        error = refusal(found)
        holder.execute("ROLLBACK")
    assert error.codes == ("long_transaction",)
    assert found.hazards[0].facts["pids"] == [holder.info.backend_pid]
    assert f"pid {holder.info.backend_pid} (postgres, alter table, idle in transaction" in found.hazards[0].found


# --- what is around the tables ---------------------------------------------------------------------------------


def other_migration(tmp_path: Path, before: str, after: str, file: str = "migration.yaml") -> spec.Migration:
    """The demo's migration with one thing changed in one of its files."""
    folder = tmp_path / "migration"
    if not folder.exists():
        shutil.copytree(spec.bundled_sql(), folder)
    text = (folder / file).read_text()
    assert before in text
    (folder / file).write_text(text.replace(before, after))
    return spec.load(folder)


def test_missing_role(migrated_database: Database, tmp_path: Path) -> None:
    migration = other_migration(tmp_path, "service_role]", "service_role, dashboard_user, auditor]")
    hazards = refused(migrated_database, migration=migration)
    assert told(hazards) == [
        ("missing_role", None, "The role auditor does not exist."),
        ("missing_role", None, "The role dashboard_user does not exist."),
    ]


def test_missing_table_and_function_of_the_surroundings(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute("ALTER TABLE public.user_profiles RENAME TO profiles; ALTER FUNCTION auth.uid() RENAME TO who")
    hazards = refused(migrated_database)
    assert told(hazards) == [
        ("missing_reference", None, "The table public.user_profiles does not exist."),
        ("missing_reference", None, "The function auth.uid() does not exist."),
    ]


def test_missing_referenced_table(migrated_database: Database) -> None:
    migrated_database.admin().execute("ALTER TABLE auth.users RENAME TO people")
    hazards = refused(migrated_database)
    assert told(hazards) == [
        ("missing_reference", "sys_rag", "auth.users, which sys_rag_updated_by_fkey refers to, does not exist."),
        ("missing_reference", OLD, f"auth.users, which {OLD}_configured_by_fkey refers to, does not exist."),
    ]


def test_referenced_column_that_is_not_unique_any_more(migrated_database: Database) -> None:
    migrated_database.execute("ALTER TABLE orgs DROP CONSTRAINT orgs_pkey CASCADE")
    hazards = refused(migrated_database)
    found = f"public.orgs(id), which {OLD}_org_id_fkey refers to, is not unique or not there."
    assert told(hazards) == [("missing_reference", OLD, found)]


def test_referenced_table_that_may_not_be_referred_to(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute("REVOKE REFERENCES ON auth.users FROM postgres")
    hazards = refused(migrated_database)
    may_not = "This role may not SELECT from and REFERENCES auth.users, which {}_fkey needs."
    assert told(hazards) == [
        ("missing_reference", "sys_rag", may_not.format("sys_rag_updated_by")),
        ("missing_reference", OLD, may_not.format(f"{OLD}_configured_by")),
    ]
    assert hazards[0].remedy == 'GRANT SELECT, REFERENCES ON "auth"."users" TO "postgres";'


def test_missing_new_table(migrated_database: Database) -> None:
    migrated_database.execute(f"DROP VIEW {OLD}; DROP TABLE {NEW}")
    hazards = refused(migrated_database)
    found = f"{NEW} is not there and {OLD} is no table: neither a usable old nor a usable new table; there is: nothing."
    assert told(hazards) == [("missing_table", OLD, found)]


def test_tables_of_another_owner(migrated_database: Database) -> None:
    admin = migrated_database.admin()
    admin.execute("DO $$ BEGIN CREATE ROLE somebody; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    admin.execute(f"ALTER TABLE {NEW} OWNER TO somebody; ALTER VIEW {OLD} OWNER TO somebody")
    hazards = refused(migrated_database)
    assert told(hazards) == [
        ("not_owner", OLD, f"public.{NEW} (table) belongs to somebody, and this role is not a member of it."),
        ("not_owner", OLD, f"public.{OLD} (view) belongs to somebody, and this role is not a member of it."),
    ]
    assert hazards[0].remedy == 'Connect as somebody, or: GRANT "somebody" TO "postgres";'


def test_database_in_which_no_schema_may_be_made(migrated_database: Database) -> None:
    admin, name = migrated_database.admin(), migrated_database.name
    admin.execute(f"ALTER DATABASE {name} OWNER TO {tools.SUPERUSER}; REVOKE CREATE ON DATABASE {name} FROM postgres")
    hazards = refused(migrated_database)
    assert told(hazards) == [
        (
            "not_owner",
            None,
            "This role may not create a schema in the database, which is needed for the schema aicfg_rollback.",
        )
    ]


def test_schema_into_which_no_table_may_be_put(migrated_database: Database) -> None:
    migrated_database.admin().execute(
        f"ALTER SCHEMA public OWNER TO {tools.SUPERUSER}; REVOKE CREATE ON SCHEMA public FROM postgres;"
        "GRANT USAGE ON SCHEMA public TO postgres"
    )
    hazards = refused(migrated_database)
    found = "This role may not put tables into the schema public, which is needed for the old tables."
    assert told(hazards) == [("not_owner", None, found)]


def test_schema_in_which_others_may_create_is_told_and_does_not_block(migrated_database: Database) -> None:
    """S2: the REVOKE that is told closes it."""
    with migrated_database.admin() as admin:
        admin.execute("GRANT CREATE ON SCHEMA public TO PUBLIC, anon, postgres")
        found = planned(migrated_database.url)
        plan.gate(found, ())
        [hazard] = found.hazards
        assert hazard.code == "open_schema"
        assert hazard.found.startswith("Others may create functions and operators in the schema public: PUBLIC, anon. ")
        assert hazard.remedy == "REVOKE CREATE ON SCHEMA public FROM PUBLIC, anon;"
        admin.execute(hazard.remedy)
        may = admin.execute("SELECT has_schema_privilege('anon', 'public', 'CREATE')").fetchone()
    assert (may, planned(migrated_database.url).hazards) == ((False,), ())


@contextmanager
def without_bypass(database: Database) -> Iterator[str]:
    """A role that owns what `postgres` owns and has no BYPASSRLS; yields its URL."""
    admin = database.admin()
    admin.execute(
        "DO $$ BEGIN CREATE ROLE plain_owner LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$;"
        f"GRANT postgres TO plain_owner; GRANT CREATE ON DATABASE {database.name} TO plain_owner"
    )
    yield database.url.replace("postgres@", "plain_owner@").replace("user=postgres", "user=plain_owner")


def test_row_level_security_that_would_hide_rows(migrated_database: Database) -> None:
    migrated_database.execute(f"ALTER TABLE {NEW} FORCE ROW LEVEL SECURITY")
    with without_bypass(migrated_database) as url:
        hazards = refused(migrated_database, url=url)
    active = "Row level security is active for this role on"
    partly = "which {} refers to: whether every row still refers to something can't be told."
    assert told(hazards) == [
        ("rls_hides_rows", "sys_rag", f"{active} auth.users (table), {partly.format('sys_rag')}"),
        ("rls_hides_rows", OLD, f"{active} public.{NEW} (table): it would copy only the rows it may see."),
        ("rls_hides_rows", OLD, f"{active} auth.users (table), {partly.format(OLD)}"),
    ]
    assert 'ALTER ROLE "plain_owner" BYPASSRLS;' in hazards[1].remedy


def test_run_refuses_rather_than_copy_the_visible_rows_only(migrated_database: Database) -> None:
    migrated_database.execute(f"ALTER TABLE {NEW} FORCE ROW LEVEL SECURITY")
    refuses = pytest.raises(PipelineError, match="row-level security")
    with (
        without_bypass(migrated_database) as url,
        running(url) as run,
        unchanged_but_ledger(migrated_database),
        refuses,
    ):
        roll_back(run)


@contextmanager
def unchanged_but_ledger(database: Database) -> Iterator[None]:
    before = database.fingerprints()
    yield
    assert database.fingerprints() == before


def test_view_that_bypasses_row_level_security_is_reported_and_never_blocks(migrated_database: Database) -> None:
    migrated_database.execute(f"ALTER VIEW {OLD} RESET (security_invoker)")
    found = planned(migrated_database.url)
    plan.gate(found, ())
    text = (
        f"public.{OLD} (view) reads with its owner's rights: whoever may read the view passes by the row level security"
        f" of {NEW}."
    )
    assert told(found.hazards) == [("view_bypasses_rls", OLD, text)]


def test_old_table_kept_under_another_name_is_reported_and_left_alone(migrated_database: Database) -> None:
    migrated_database.execute(f"CREATE TABLE {OLD}_old AS SELECT 1 AS id")
    found = planned(migrated_database.url)
    plan.gate(found, ())
    text = f"public.{OLD}_old (table) is there, perhaps the old table under another name. It is left alone."
    assert told(found.hazards) == [("old_table_kept_aside", OLD, text)]
    with running(migrated_database.url) as run:
        roll_back(run)
    assert migrated_database.query(f"SELECT id FROM {OLD}_old") == [(1,)]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (f"CREATE TABLE archive () INHERITS ({NEW})", "has child tables whose rows show in it: public.archive."),
        (f"ALTER TABLE {NEW} SET UNLOGGED", "is not kept through a crash (unlogged or temporary)."),
    ],
)
def test_table_that_can_not_be_moved_as_a_whole(migrated_database: Database, change: str, found: str) -> None:
    migrated_database.execute(change)
    hazards = refused(migrated_database)
    assert "unsupported_table" in [h.code for h in hazards]
    assert [h.found.split(". Only")[0] + "." for h in hazards if h.code == "unsupported_table"] == [
        f"public.{NEW} (table) {found}"
    ]


def test_partitioned_new_table_is_refused(migrated_database: Database) -> None:
    migrated_database.execute(
        f"""CREATE TABLE parts (LIKE {NEW} INCLUDING DEFAULTS) PARTITION BY HASH (id);
        CREATE TABLE part_0 PARTITION OF parts FOR VALUES WITH (MODULUS 1, REMAINDER 0);
        INSERT INTO parts SELECT * FROM {NEW};
        DROP VIEW {OLD}; DROP TABLE {NEW}; ALTER TABLE parts RENAME TO {NEW};"""
    )
    hazards = refused(migrated_database)
    kind = [h for h in hazards if h.code == "unsupported_table"]
    assert len(kind) == 1
    assert kind[0].found.startswith(f"public.{NEW} (partitioned table) has the partitions public.part_0. Only ordinary")


# --- the rows --------------------------------------------------------------------------------------------------


def test_column_without_a_place_is_counted(migrated_database: Database) -> None:
    migrated_database.execute(f"ALTER TABLE {NEW} ADD COLUMN tone_v2 text")
    assert planned(migrated_database.url).hazards == ()  # nothing is lost while it is empty
    migrated_database.execute(f"UPDATE {NEW} SET tone_v2 = 'warm' WHERE id IN (SELECT id FROM {NEW} LIMIT 7)")
    hazards = refused(migrated_database)
    assert told(hazards) == [("unmapped_column", OLD, f"{NEW}.tone_v2 has values in 7 rows and no place in {OLD}.")]


def test_accepted_column_stays_in_the_parked_table(migrated_database: Database) -> None:
    migrated_database.execute(f"ALTER TABLE {NEW} ADD COLUMN tone_v2 text DEFAULT 'warm'")
    before = migrated_database.query(f"SELECT id, tone_v2 FROM {NEW} ORDER BY id")
    plan.gate(planned(migrated_database.url), ["unmapped_column"])
    with running(migrated_database.url, accept_hazards=("unmapped_column",)) as run:
        roll_back(run)
    assert migrated_database.query(f"SELECT id, tone_v2 FROM aicfg_rollback.{NEW} ORDER BY id") == before
    assert migrated_database.exists(OLD) == "r"


def test_check_that_rows_break(migrated_database: Database) -> None:
    first = keys(migrated_database, 6)
    migrated_database.execute(f"ALTER TABLE {NEW} DROP CONSTRAINT ai_cfg_org_prompts_citation_style_check")
    for key in first:
        migrated_database.query(f"UPDATE {NEW} SET citation_style = 'margin' WHERE id = %s", (key,))
    hazards = refused(migrated_database)
    found = f"6 rows of {NEW} break CHECK {OLD}_citation_style_check of {OLD}, for example {shown(first[:5])}."
    assert told(hazards) == [("violates_check", OLD, found)]


def test_unique_that_rows_break(migrated_database: Database) -> None:
    first, second = keys(migrated_database, 2)
    migrated_database.execute(f"ALTER TABLE {NEW} DROP CONSTRAINT ai_cfg_org_prompts_org_id_key")
    migrated_database.query(
        f"UPDATE {NEW} SET org_id = (SELECT org_id FROM {NEW} WHERE id = %s) WHERE id = %s", (first, second)
    )
    hazards = refused(migrated_database)
    found = f"1 values of {OLD}_org_id_key occur more than once, for example in {shown([first, second])}."
    assert told(hazards) == [("violates_unique", OLD, found)]


def test_partial_unique_index_that_rows_break(migrated_database: Database, tmp_path: Path) -> None:
    migration = other_migration(
        tmp_path,
        f"CREATE INDEX idx_{OLD}_org_id",
        f"CREATE UNIQUE INDEX only_casual ON {OLD} (response_tone) WHERE response_tone = 'casual';\n"
        f"CREATE INDEX idx_{OLD}_org_id",
        f"old/{OLD}.sql",
    )
    migrated_database.execute(f"UPDATE {NEW} SET response_tone = 'simple'")
    assert planned(migrated_database.url, migration=migration).hazards == ()
    two = keys(migrated_database, 2)
    migrated_database.query(f"UPDATE {NEW} SET response_tone = 'casual' WHERE id = ANY (%s::uuid[])", (two,))
    found = f"1 values of only_casual occur more than once, for example in {shown(two)}."
    assert told(refused(migrated_database, migration=migration)) == [("violates_unique", OLD, found)]


def test_foreign_key_that_rows_break(migrated_database: Database) -> None:
    (first,) = keys(migrated_database, 1)
    migrated_database.execute(f"ALTER TABLE {NEW} DROP CONSTRAINT ai_cfg_org_prompts_org_id_fkey")
    migrated_database.query(f"UPDATE {NEW} SET org_id = gen_random_uuid() WHERE id = %s", (first,))
    hazards = refused(migrated_database)
    found = f"1 row of {NEW} breaks foreign key {OLD}_org_id_fkey of {OLD}, for example {shown([first])}."
    assert told(hazards) == [("violates_foreign_key", OLD, found)]
    assert hazards[0].remedy == "Correct these rows, or restore the rows of public.orgs that they refer to."


def test_not_null_that_rows_break(migrated_database: Database) -> None:
    (first,) = keys(migrated_database, 1)
    migrated_database.execute(f"ALTER TABLE {NEW} ALTER COLUMN org_id DROP NOT NULL")
    migrated_database.query(f"UPDATE {NEW} SET org_id = NULL WHERE id = %s", (first,))
    hazards = refused(migrated_database)
    found = f"1 row of {NEW} breaks NOT NULL of org_id of {OLD}, for example {shown([first])}."
    assert told(hazards) == [("violates_not_null", OLD, found)]


def test_column_that_nothing_fills(migrated_database: Database) -> None:
    migrated_database.execute(f"DROP VIEW {OLD}; ALTER TABLE {NEW} DROP COLUMN org_id")
    hazards = refused(migrated_database)
    found = f"{OLD}.org_id must have a value, and {NEW} has no column for it."
    assert told(hazards) == [("violates_not_null", OLD, found)]


def test_value_that_the_old_type_would_cut(migrated_database: Database) -> None:
    migrated_database.execute(
        "DROP VIEW sys_rag; ALTER TABLE ai_cfg_sys_rag ALTER COLUMN default_similarity_threshold TYPE numeric(6,5);"
        "UPDATE ai_cfg_sys_rag SET default_similarity_threshold = 0.71234"
    )
    hazards = refused(migrated_database)
    (only,) = keys(migrated_database, 1, "ai_cfg_sys_rag")
    found = (
        "In 1 row of ai_cfg_sys_rag there is a value in default_similarity_threshold (numeric(6,5)) that is another one as"
        f" numeric(3,2) of sys_rag: it would be rounded or cut, for example {shown([only])}."
    )
    assert told(hazards) == [("values_change", "sys_rag", found)]


def test_value_that_is_not_of_the_old_type(migrated_database: Database) -> None:
    migrated_database.execute(
        "DROP VIEW sys_rag; ALTER TABLE ai_cfg_sys_rag ALTER COLUMN max_search_results_global DROP DEFAULT,"
        "ALTER COLUMN max_search_results_global TYPE text; UPDATE ai_cfg_sys_rag SET max_search_results_global = 'many'"
    )
    hazards = refused(migrated_database)
    assert [(h.code, h.pair) for h in hazards] == [("type_mismatch", "sys_rag")]
    assert 'invalid input syntax for type integer: "…"' in hazards[0].found


def test_mapped_column_that_the_old_table_does_not_have(migrated_database: Database, tmp_path: Path) -> None:
    with unchanged(migrated_database), pytest.raises(SpecError, match=r"configured_bye: .* has no such column"):
        other_migration(tmp_path, "configured_by: coalesce(", "configured_bye: coalesce(")


def test_more_than_one_row_of_settings(migrated_database: Database) -> None:
    migrated_database.execute(
        "DROP INDEX ai_cfg_sys_rag_singleton; INSERT INTO ai_cfg_sys_rag (id) VALUES (gen_random_uuid())"
    )
    both = keys(migrated_database, 2, "ai_cfg_sys_rag")
    hazards = refused(migrated_database)
    found = f"sys_rag may hold one row, and there are 2: {shown(both)}."
    assert told(hazards) == [("more_than_one_row", "sys_rag", found)]


def coexist(database: Database) -> None:
    """The old table stands beside the new one, without its first row and with two rows that differ."""
    columns = ", ".join(
        row[0]
        for row in database.query(
            "SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 AND NOT attisdropped"
            " AND attname NOT IN ('created_by', 'updated_by')",
            (NEW,),
        )
    )
    ddl = (spec.bundled_sql() / f"old/{OLD}.sql").read_text()
    database.execute(f"DROP VIEW {OLD}; {ddl}")
    database.execute(
        f"INSERT INTO {OLD} ({columns}, configured_by) SELECT {columns}, coalesce(updated_by, created_by) FROM {NEW};"
        f"ALTER TABLE {OLD} DISABLE TRIGGER USER"
    )
    first, second, third, fourth = keys(database, 4)
    database.query(f"DELETE FROM {OLD} WHERE id = %s", (first,))
    change = f"UPDATE {OLD} SET response_tone = 'casual', updated_at = updated_at + %s::interval WHERE id = %s"
    database.query(change, ("1 hour", second))
    database.query(change, ("-1 hour", third))
    database.query(f"DELETE FROM {NEW} WHERE id = %s", (fourth,))
    database.execute(f"ALTER TABLE {OLD} ENABLE TRIGGER USER")


def test_coexisting_tables_that_differ_are_counted_by_kind(migrated_database: Database) -> None:
    first, second, third, fourth = keys(migrated_database, 4)
    coexist(migrated_database)
    hazards = refused(migrated_database)
    assert [(h.code, h.pair) for h in hazards] == [("coexisting_conflict", OLD)]
    assert hazards[0].facts["kinds"] == {
        "new_is_later": 1,
        "old_is_later": 1,
        "only_in_new": 1,
        "only_in_old": 1,
        "same": tools.ORGANISATIONS - 4,
    }
    samples = hazards[0].facts["samples"]
    assert [samples[k] for k in ("only_in_new", "old_is_later", "new_is_later", "only_in_old")] == [
        [[first]],
        [[second]],
        [[third]],
        [[fourth]],
    ]
    assert f"the old table's version is later and wins: 1 (for example {[second]})" in hazards[0].found


def test_accepted_conflict_is_merged_by_key_and_the_later_version_wins(migrated_database: Database) -> None:
    first, second, third, fourth = keys(migrated_database, 4)
    coexist(migrated_database)
    tone = dict(migrated_database.query(f"SELECT id::text, response_tone FROM {NEW}"))
    plan.gate(planned(migrated_database.url), ["coexisting_conflict"])
    with running(migrated_database.url, accept_hazards=("coexisting_conflict",)) as run:
        roll_back(run)
    after = dict(migrated_database.query(f"SELECT id::text, response_tone FROM {OLD}"))
    assert len(after) == tools.ORGANISATIONS
    assert (after[first], after[second], after[third]) == (tone[first], "casual", tone[third])
    assert fourth in after


def test_coexisting_tables_that_are_the_same_are_no_hazard(migrated_database: Database) -> None:
    coexist(migrated_database)
    migrated_database.execute(f"ALTER TABLE {OLD} DISABLE TRIGGER USER; DELETE FROM {OLD}; DELETE FROM {NEW}")
    assert planned(migrated_database.url).hazards == ()


def test_plan_of_a_migration_with_nothing_left_to_do_looks_at_no_rows(old_database: Database) -> None:
    found = planned(old_database.url)
    assert (found.nothing_to_do, found.hazards, found.statements) == (True, (), ())


def test_pg_dump_is_not_older_than_the_server(server: Server) -> None:
    done = subprocess.run([str(tools.pg_dump(server.version)), "--version"], capture_output=True, text=True, check=True)
    assert f" {max(tools.available())}." in done.stdout
