"""Foreign keys of tables outside, publications and replica identity follow the table in use: back, forth, and back.

What is expected is what the server's own catalogs said before, with the one name in the place of the other.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.errors import GateError, LockTimeoutError
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import plan_and_run, undo
from aicfg_pipeline_tests.tools.folders import set_up
from aicfg_pipeline_tests.tools.migration import drop_parked, migrate_forward, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

COLUMNS = "id integer NOT NULL, code text NOT NULL, said text, CONSTRAINT {}_code UNIQUE (code)"
KEYS = (
    "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid), convalidated, obj_description(oid, 'pg_constraint')"
    " FROM pg_constraint WHERE contype = 'f' ORDER BY 1, 2"
)
PUBLISHED = (
    "SELECT pubname, tablename, to_jsonb(t) - 'pubname' - 'tablename' FROM pg_publication_tables t ORDER BY 1, 2"
)
IDENTITY = "SELECT relreplident::text FROM pg_class WHERE oid = %s::regclass"
OUTSIDE = (
    "CREATE TABLE orders (id serial PRIMARY KEY, thing integer, code text);"
    "ALTER TABLE orders ADD CONSTRAINT of_thing FOREIGN KEY (thing) REFERENCES new_thing (id) ON DELETE CASCADE"
    " ON UPDATE SET NULL,"
    " ADD CONSTRAINT of_code FOREIGN KEY (code) REFERENCES new_thing (code) DEFERRABLE INITIALLY DEFERRED;"
    "COMMENT ON CONSTRAINT of_thing ON orders IS 'it''s whose';"
    "INSERT INTO orders (thing, code) SELECT i, 'c' || i FROM generate_series(1, 30) i;"
    'CREATE TABLE "Old Orders" (thing integer);'
    'INSERT INTO "Old Orders" VALUES (1), (999);'
    'ALTER TABLE "Old Orders" ADD CONSTRAINT "of Thing" FOREIGN KEY (thing) REFERENCES new_thing NOT VALID'
)


@pytest.fixture
def things(plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """One pair, migrated: thing is new_thing now."""
    rows = "INSERT INTO thing SELECT i, 'c' || i, 'x' FROM generate_series(1, 40) i"
    new = COLUMNS.format("new_thing")
    given = {"new_columns": new, "pair": {"way": "copy"}}
    set_up(plain_database, tmp_path / "sql", monkeypatch, COLUMNS.format("thing"), rows, **given)
    migrate_forward(plain_database.url)
    return plain_database


def back(found: list[tuple[object, ...]]) -> list[tuple[object, ...]]:
    """What the catalogs say with the old table in the new one's place."""
    return [tuple(v.replace("new_thing", "thing") if isinstance(v, str) else v for v in row) for row in found]


@pytest.mark.two_versions
def test_keys_of_tables_outside_follow_the_table_in_use_exactly_as_they_were(things: Database, tmp_path: Path) -> None:
    things.execute(OUTSIDE)
    before = things.query(KEYS)
    assert not [h for h in planned(things.url).hazards if h.code == "dependents"]

    plan_and_run(things, "rollback", roll_back)
    assert things.query(KEYS) == back(before)
    things.execute("DELETE FROM thing WHERE id = 30")
    assert things.query("SELECT count(*) FROM orders") == [(29,)]
    plan_and_run(things, "undo_rollback", undo)
    assert things.query(KEYS) == before
    plan_and_run(things, "rollback", roll_back)
    plan_and_run(things, "drop_new_tables", lambda run: drop_parked(run, tmp_path))
    assert things.query(KEYS) == back(before)


def test_a_key_that_came_since_the_cut_over_goes_along_at_the_undo(things: Database) -> None:
    with running(things.url) as run:
        roll_back(run)
    things.execute(
        "CREATE TABLE late (thing integer CONSTRAINT of_thing REFERENCES thing (id) MATCH FULL ON DELETE SET DEFAULT)"
    )
    late = things.query(KEYS)
    plan_and_run(things, "undo_rollback", undo)
    assert back(things.query(KEYS)) == late
    assert things.query("SELECT to_regclass('aicfg_rollback.thing')") == [(None,)]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("RESET ROLE; CREATE TABLE orders (thing integer REFERENCES new_thing (id))",
         "the table belongs to supabase_admin, and this role is not a member of it"),
        ("CREATE TABLE orders (thing integer REFERENCES new_thing (id), n integer) PARTITION BY LIST (n)",
         "the table is partitioned"),
        ("CREATE TABLE orders (thing integer REFERENCES new_thing (id)); RESET ROLE; ALTER TABLE orders DISABLE TRIGGER ALL",
         "its triggers are disabled"),
        ("ALTER TABLE new_thing ADD COLUMN extra integer UNIQUE;"
         "CREATE TABLE orders (thing integer REFERENCES new_thing (extra))",
         "extra of new_thing has no column of thing with the same values and the same type"),
        ("DROP VIEW thing; ALTER TABLE new_thing ALTER id TYPE bigint;"
         "CREATE TABLE orders (thing integer REFERENCES new_thing (id))",
         "id of new_thing has no column of thing with the same values and the same type"),
        ("UPDATE new_thing SET said = code; ALTER TABLE new_thing ADD CONSTRAINT u UNIQUE (said);"
         "CREATE TABLE orders (said text REFERENCES new_thing (said))",
         "said of thing is not unique"),
    ],
    ids=["of_another_role", "partitioned", "disabled", "no_counterpart", "another_type", "not_unique"],
)  # fmt: skip
def test_a_key_that_can_not_go_along_is_a_hazard_that_says_why(things: Database, made: str, why: str) -> None:
    things.admin().execute("SET ROLE postgres; " + made)
    told = [h for h in planned(things.url).hazards if h.code == "dependents"]
    assert [h.found.split("can't go along: ")[1].split(". It would")[0] for h in told] == [why]


def test_nobody_queues_for_a_table_outside_that_somebody_reads(things: Database) -> None:
    things.execute(OUTSIDE)
    before = things.query(KEYS)
    reader = things.connect()
    with reader.transaction():
        reader.execute("SELECT * FROM orders")
        with running(things.url, lock_attempts=2) as run, pytest.raises(LockTimeoutError):
            roll_back(run)
        with psycopg.connect(things.url, options="-c lock_timeout=10ms") as other:
            other.execute("INSERT INTO orders (thing) VALUES (1)")
    assert things.query(KEYS) == before
    with running(things.url) as run:
        roll_back(run)
    assert things.query(KEYS) == back(before)


def test_a_key_that_comes_while_the_locks_are_waited_for_stops_the_swap(
    things: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    from aicfg_pipeline.rollback.steps import cut_over

    original = cut_over.along_back
    calls: list[int] = []

    def late(*given: object) -> object:
        found = original(*given)  # type: ignore[arg-type]
        if not calls:
            things.execute("CREATE TABLE late (thing integer CONSTRAINT of_thing REFERENCES new_thing (id))")
        calls.append(1)
        return found

    monkeypatch.setattr(cut_over, "along_back", late)
    with running(things.url) as run, pytest.raises(GateError, match=r"of_thing of public\.late"):
        roll_back(run)
    assert things.exists("new_thing") == "r"


def test_a_run_that_was_ended_before_it_validated_is_gone_on_with(
    things: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    things.execute(OUTSIDE)
    before = things.query(KEYS)
    from aicfg_pipeline.rollback.steps import cut_over

    with monkeypatch.context() as patch:
        patch.setattr(cut_over, "settle", lambda run: {})
        with running(things.url) as run, pytest.raises(GateError):  # verify says so
            roll_back(run)
    assert [row[3] for row in things.query(KEYS)] == [False, False, False]
    with running(things.url) as run:
        undo(run)
    assert things.query(KEYS) == before


@pytest.mark.every_version
def test_publications_and_replica_identity_follow_the_table_in_use(things: Database, tmp_path: Path) -> None:
    parts = things.connect().info.server_version >= 150_000
    things.admin().execute(
        "CREATE PUBLICATION whole FOR TABLE new_thing; ALTER PUBLICATION whole OWNER TO postgres;"
        "ALTER TABLE new_thing REPLICA IDENTITY FULL"
    )
    if parts:
        things.admin().execute(
            "CREATE PUBLICATION part FOR TABLE new_thing WHERE (id > 3 AND said IS DISTINCT FROM 'said');"
            "CREATE PUBLICATION columns FOR TABLE new_thing (id, code, said) WITH (publish = 'insert');"
            "ALTER PUBLICATION part OWNER TO postgres; ALTER PUBLICATION columns OWNER TO postgres"
        )
    before = things.query(PUBLISHED)
    assert not [h for h in planned(things.url).hazards if h.code == "dependents"]

    plan_and_run(things, "rollback", roll_back)
    assert (things.query(PUBLISHED), things.query(IDENTITY, ("thing",))) == (back(before), [("f",)])
    things.execute("UPDATE thing SET said = 'told' WHERE id < 10")
    plan_and_run(things, "undo_rollback", undo)
    assert (things.query(PUBLISHED), things.query(IDENTITY, ("new_thing",))) == (before, [("f",)])
    plan_and_run(things, "rollback", roll_back)
    plan_and_run(things, "drop_new_tables", lambda run: drop_parked(run, tmp_path))
    assert (things.query(PUBLISHED), things.query(IDENTITY, ("thing",))) == (back(before), [("f",)])


@pytest.mark.parametrize(
    ("said", "identity"), [("NOTHING", "n"), ("USING INDEX new_thing_code", "i")], ids=["nothing", "index"]
)
def test_replica_identity_goes_along(things: Database, said: str, identity: str) -> None:
    things.execute(f"ALTER TABLE new_thing REPLICA IDENTITY {said}")
    plan_and_run(things, "rollback", roll_back)
    assert things.query(IDENTITY, ("thing",)) == [(identity,)]
    plan_and_run(things, "undo_rollback", undo)
    assert things.query(IDENTITY, ("new_thing",)) == [(identity,)]


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ("CREATE PUBLICATION p FOR TABLE new_thing", "the publication belongs to supabase_admin, and this role is not"),
        ("ALTER TABLE new_thing ADD COLUMN extra integer; CREATE PUBLICATION p FOR TABLE new_thing (id, extra);"
         "ALTER PUBLICATION p OWNER TO postgres", "extra of new_thing has no column of thing"),
        ("ALTER TABLE new_thing ADD COLUMN extra integer; CREATE PUBLICATION p FOR TABLE new_thing WHERE (extra > 1);"
         "ALTER PUBLICATION p OWNER TO postgres", "extra of new_thing has no column of thing"),
        ("ALTER TABLE new_thing ADD COLUMN extra integer NOT NULL DEFAULT 1;"
         "ALTER TABLE new_thing ADD CONSTRAINT e UNIQUE (id, extra);"
         "ALTER TABLE new_thing REPLICA IDENTITY USING INDEX e", "thing has no unique index of id, extra"),
    ],
    ids=["of_another_role", "column", "filter", "identity"],
)  # fmt: skip
def test_what_subscribers_would_miss_is_a_hazard_that_says_why(things: Database, made: str, why: str) -> None:
    things.admin().execute(made)
    told = [h for h in planned(things.url).hazards if h.code == "dependents"]
    assert len(told) == 1
    assert why in told[0].found


def test_going_forward_takes_them_along_too_and_says_who_has_to_wait(things: Database, tmp_path: Path) -> None:
    things.execute(OUTSIDE)
    things.admin().execute("CREATE PUBLICATION whole FOR TABLE new_thing; ALTER PUBLICATION whole OWNER TO postgres")
    before = things.query(KEYS), things.query(PUBLISHED)
    with running(things.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
        told = [h for h in plan.make_plan(run, must_confirm=False, job="migrate").hazards if h.code == "dependents"]
    assert ["nobody can use public." in h.found for h in told] == [True, True, True]
    plan_and_run(things, "migrate", migrate, accept_hazards=("dependents",))
    assert (things.query(KEYS), things.query(PUBLISHED)) == before
    assert things.exists("thing") == "v"
    ours = "SELECT relname FROM pg_class WHERE relnamespace = 'aicfg_rollback'::regnamespace AND relkind = 'r'"
    assert things.query(ours) == [("ledger",)]


def test_what_needs_an_index_of_the_new_table_goes_forward_though_the_index_comes_after_the_rows(
    things: Database, tmp_path: Path
) -> None:
    """The key of both tables is made in the block `indexes`; at the first look of the migration it is not there yet."""
    with running(things.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
    things.execute("ALTER TABLE thing REPLICA IDENTITY USING INDEX thing_pkey")
    with running(things.url) as run:
        assert [
            h for h in plan.make_plan(run, must_confirm=False, job="migrate").hazards if h.code == "dependents"
        ] == []
        migrate(run)
    assert things.query(IDENTITY, ("new_thing",)) == [("i",)]
