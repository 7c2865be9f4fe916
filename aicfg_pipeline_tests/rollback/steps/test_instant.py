"""The instant way: tables are renamed where they are. What is expected is what pg_dump said before, or of the copying way."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.errors import GateError, HazardError, StateError
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import State, look
from aicfg_pipeline.rollback.steps import abandon, plan, prepare, verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.tables.way import decide
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import plan_and_run, undo
from aicfg_pipeline_tests.tools import renamed
from aicfg_pipeline_tests.tools.everything import EVERYTHING
from aicfg_pipeline_tests.tools.kills import counting, differing, portrait, survived
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.planning import planned
from aicfg_pipeline_tests.tools.servers import Database

ACCEPTED = ("access_changes", "visibility_changes", "dependents")
OURS = re.compile(r"aicfg_rollback\.|SCHEMA aicfg_rollback\b")
FILE = "SELECT relfilenode FROM pg_class WHERE oid = to_regclass(%s)"


def files_of(database: Database, *tables: str) -> list[object]:
    """Return in which files tables are, as the server has it."""
    return [database.query(FILE, (t,)) for t in tables]


def public(database: Database) -> list[str]:
    """Return what pg_dump says of everything but the private schema, statement by statement."""
    statements = database.schema_dump().split(";\n")
    return sorted(" ".join(s.split()) for s in statements if s.strip() and not OURS.search(s))


def just_swapped(run: Run) -> Inspection:
    """Return what the job rollback looks with right after its own swap."""
    return verify.inspect(run.session, run.migration, just_proven=True)


def checks_of(run: Run) -> dict[tuple[str, str], Check]:
    return {(c.pair, c.name): c for c in verify.run_checks(run.session, run.migration)}


def make(database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch, **options: object) -> Database:
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(renamed.write(folder, **options)))  # type: ignore[arg-type]
    renamed.fill(database, folder)
    return database


@pytest.fixture
def profiles(plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Two pairs that refer to each other, migrated, with views at the old names; a column has another name."""
    return make(plain_database, tmp_path / "migration", monkeypatch)


@pytest.fixture
def few(plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Database:
    """The same with ten rows and no view, renamed in place."""
    folder = renamed.write(tmp_path / "migration", views=False)
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(folder))
    renamed.fill(plain_database, folder, rows=10)
    return plain_database


@pytest.mark.every_version
def test_there_and_back_and_for_good_is_what_the_plans_say_and_moves_no_row(profiles: Database, tmp_path: Path) -> None:
    before, files = public(profiles), files_of(profiles, "user_profiles", "user_visits")
    ways = {w.old: w.way for w in planned(profiles.url).ways}
    assert ways == {"profiles": "instant", "visits": "instant"}
    plan_and_run(profiles, "rollback", roll_back, accept_hazards=ACCEPTED)
    rolled_back = public(profiles)
    assert files_of(profiles, "profiles", "visits") == files
    assert profiles.query("SELECT to_regclass('user_profiles'), count(*) FROM profiles WHERE full_name <> ''") == [
        (None, 200)
    ]
    plan_and_run(profiles, "undo_rollback", undo)
    assert public(profiles) == before
    assert files_of(profiles, "user_profiles", "user_visits") == files
    plan_and_run(profiles, "rollback", roll_back, accept_hazards=ACCEPTED)
    plan_and_run(profiles, "drop_new_tables", lambda run: drop_parked(run, tmp_path))
    assert public(profiles) == rolled_back
    assert files_of(profiles, "profiles", "visits") == files


@pytest.mark.two_versions
def test_it_makes_the_very_tables_that_copying_makes(
    profiles: Database, running_server: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with running(profiles.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
    renamed_back = public(profiles)
    with running(profiles.url) as run:
        undo_rollback(run)
    monkeypatch.setenv("AICFG_MIGRATION_DIR", str(renamed.write(tmp_path / "copied", way="copy")))
    with running(profiles.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
        assert run.look()["profiles"].state == State.CUT_OVER
        drop_parked(run, tmp_path)
    assert public(profiles) == renamed_back


@pytest.mark.two_versions
def test_columns_of_one_table_are_renamed_there_and_back(
    plain_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = make(plain_database, tmp_path / "migration", monkeypatch, in_place=True, views=False)
    before, files = public(database), files_of(database, "profiles")
    plan_and_run(database, "rollback", roll_back, accept_hazards=ACCEPTED)
    assert database.query("SELECT count(*) FROM profiles WHERE full_name LIKE 'person %'") == [(200,)]
    with running(database.url) as run:
        assert run.look()["profiles"].state == State.RENAMED
    plan_and_run(database, "undo_rollback", undo)
    assert (public(database), files_of(database, "profiles")) == (before, files)
    with running(database.url, accept_hazards=ACCEPTED) as run:
        assert run.look()["profiles"].state == State.MIGRATED
        roll_back(run)
        drop_parked(run, tmp_path)
        assert run.look()["profiles"].state == State.ROLLED_BACK


def test_a_not_null_is_proven_before_the_swap_and_comes_back_by_an_undo(few: Database) -> None:
    few.execute("ALTER TABLE user_visits ALTER profile_id DROP NOT NULL, ALTER note SET NOT NULL")
    before = public(few)
    plan_and_run(few, "rollback", roll_back, accept_hazards=ACCEPTED)
    nullable = "SELECT attname FROM pg_attribute WHERE attrelid = 'visits'::regclass AND attnum > 0 AND NOT attnotnull"
    assert few.query(nullable) == [("note",)]
    plan_and_run(few, "undo_rollback", undo)
    assert public(few) == before


# --- what the proof says -----------------------------------------------------------------------------------------


def test_the_proof_says_that_the_rows_never_moved_and_compares_no_number_that_others_have_changed(
    few: Database,
) -> None:
    with running(few.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
        everything = checks_of(run)
        assert [everything["visits", n].outcome for n in ("row_count", "checksum", "rows")] == ["passed"] * 3
        assert everything["visits", "rows"].summary.startswith("The rows never moved: ")
        told = {
            c.name: c for c in verify.run_checks(run.session, run.migration, on=just_swapped(run)) if c.pair == "visits"
        }
        assert told["checksum"].summary.startswith("No row was written since the checksum was taken")
        few.execute("UPDATE visits SET note = 'written since' WHERE id = 1; DELETE FROM visits WHERE id = 2")
        told = {
            c.name: c for c in verify.run_checks(run.session, run.migration, on=just_swapped(run)) if c.pair == "visits"
        }
        assert told["checksum"].outcome == "not_applicable"
        everything = checks_of(run)
        assert [everything["visits", n].outcome for n in ("row_count", "checksum", "rows")] == [
            *["not_applicable"] * 2,
            "passed",
        ]
        few.execute("DELETE FROM visits WHERE id = 1")  # nothing that was written is left: only the number tells
        assert checks_of(run)["visits", "checksum"].outcome == "not_applicable"
        few.execute("VACUUM FULL visits")
        everything = checks_of(run)
        assert everything["visits", "rows"].outcome == "not_applicable"
        assert [c.summary for c in everything.values() if c.failed] == []


def test_a_row_that_changed_though_nobody_wrote_fails_the_proof(few: Database) -> None:
    with running(few.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
        few.execute(
            "UPDATE aicfg_rollback.ledger SET facts = facts || '{\"checksum\": \"1\"}' WHERE outcome = 'measured'"
        )
        told = checks_of(run)
        assert (told["visits", "checksum"].outcome, told["visits", "row_count"].outcome) == ("failed", "passed")


def test_after_an_undo_it_is_said_where_the_rows_are(few: Database) -> None:
    with running(few.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
        undo_rollback(run)
        told = checks_of(run)
        assert [told["visits", n].outcome for n in ("row_count", "checksum", "rows")] == [
            *["not_applicable"] * 2,
            "passed",
        ]
        assert told["visits", "new_table_kept"].outcome == "passed"
        few.execute("VACUUM FULL user_visits")
        assert checks_of(run)["visits", "rows"].outcome == "not_applicable"
        few.execute('DROP POLICY "everybody\'s" ON user_profiles')
        assert checks_of(run)["profiles", "new_table_kept"].outcome == "failed"


class Writer(threading.Thread):
    """Runs a statement without a pause, with a number for its `%s`; how many the server has confirmed is `written`."""

    def __init__(self, database: Database, statement: str) -> None:
        super().__init__(daemon=True)
        self.url, self.statement, self.ended = database.url, statement, threading.Event()
        self.written = 0
        self.errors: list[str] = []

    def run(self) -> None:
        with psycopg.connect(self.url, autocommit=True, prepare_threshold=None) as connection:
            while not self.ended.wait(0.001):
                try:
                    connection.execute(self.statement.replace("%s", str(self.written)))  # type: ignore[arg-type]
                    self.written += 1
                except psycopg.Error as error:
                    self.errors.append(str(error))


@contextmanager
def writing(database: Database, statement: str) -> Iterator[Writer]:
    """Have somebody write while the block runs."""
    writer = Writer(database, statement)
    writer.start()
    try:
        yield writer
    finally:
        writer.ended.set()
        writer.join(timeout=10)


def test_a_writer_notices_nothing_and_loses_nothing(profiles: Database) -> None:
    with (
        writing(profiles, "INSERT INTO visits VALUES (100000 + %s, 1, 'note %s')") as writer,
        running(profiles.url, accept_hazards=ACCEPTED) as run,
    ):
        roll_back(run)
        between = writer.written
        undo_rollback(run)
        roll_back(run)
    assert writer.errors == []
    assert 0 < between < writer.written
    found = profiles.query("SELECT id - 100000, note FROM visits WHERE id >= 100000 ORDER BY id")
    assert found[: writer.written] == [(n, f"note {n}") for n in range(writer.written)]


# --- ended anywhere ----------------------------------------------------------------------------------------------


def finished(run: Run, folder: Path) -> None:
    roll_back(run)


def undone(run: Run, folder: Path) -> None:
    undo_rollback(run)


@pytest.mark.slow
@pytest.mark.parametrize(("step", "before"), [(finished, ()), (undone, (finished,)), (drop_parked, (finished,))])
def test_killed_at_a_statement_it_goes_on_or_nothing_has_happened(
    step: Callable[[Run, Path], None],
    before: tuple[Callable[[Run, Path], None], ...],
    few: Database,
    running_server: object,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    def go(*steps: Callable[[Run, Path], None]) -> None:
        for one in steps:
            with running(few.url, accept_hazards=ACCEPTED) as run:
                one(run, tmp_path)

    go(*before)
    with running_server.copy(few) as copy:  # type: ignore[attr-defined]
        with running(copy.url, accept_hazards=ACCEPTED) as run:
            step(run, tmp_path)
        wanted = portrait(copy)
    kills, killed_after, reached = 0, 0, portrait(few)
    while True:
        with counting(few, monkeypatch, kill_after=killed_after) as counter, survived():
            go(step)
        if not counter.killed:
            break
        kills += 1
        left = portrait(few)
        if differing(reached, left):  # a commit came through
            reached, killed_after = left, 1
        else:
            killed_after += 1 if EVERYTHING else 20
    assert differing(wanted, portrait(few)) == []
    assert kills >= 1


def test_an_index_that_a_kill_left_half_built_is_built_again(few: Database) -> None:
    few.execute("CREATE UNIQUE INDEX aicfg_rollback_profiles_number_key ON user_profiles (number)")
    few.execute("CREATE INDEX aicfg_rollback_profiles_tags_idx ON user_profiles (id)")  # of another file
    few.admin().execute(
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'public.aicfg_rollback_profiles_number_key'::regclass"
    )
    with running(few.url, accept_hazards=ACCEPTED) as run:
        roll_back(run)
        assert checks_of(run)["profiles", "structure"].outcome == "passed"


def test_giving_up_takes_away_what_was_built_beside(few: Database) -> None:
    before = public(few)
    with running(few.url, accept_hazards=ACCEPTED) as run:
        lifecycle.begin(run, "rollback")
        copy_back(run, "profiles")
        assert public(few) != before
        assert checks_of(run)["profiles", "nothing_left"].outcome == "failed"
        assert abandon.abandon(run) == ["profiles"]
    assert public(few) == before


# --- what it is refused for --------------------------------------------------------------------------------------

NOT_ALIKE = {
    "ALTER TABLE user_visits ADD more text": "the old table has no column more",
    "ALTER TABLE user_visits DROP note": "the new table has nothing for the column note",
    "ALTER TABLE user_visits DROP note; ALTER TABLE user_visits ADD before_note text, ADD note text": "no column before_note",
    "ALTER TABLE user_visits ALTER note TYPE varchar(50)": "the column note is character varying(50), and text",
    "ALTER TABLE user_visits ALTER id ADD GENERATED ALWAYS AS IDENTITY": "numbered otherwise",
    'ALTER TABLE user_visits ALTER note TYPE text COLLATE "C"': "the column note is collated",
    "ALTER TABLE user_visits ADD CONSTRAINT apart EXCLUDE USING btree (id WITH =)": "apart can only be built under locks",
    "CREATE STATISTICS seen ON id, profile_id FROM user_visits": "the statistics seen",
    "ALTER TABLE user_visits SET UNLOGGED": "stored otherwise",
    "CREATE TABLE child () INHERITS (user_visits)": "stored otherwise",
    "CREATE UNIQUE INDEX again ON user_visits (id, note); CREATE TABLE other (id integer, note text,"
    " FOREIGN KEY (id, note) REFERENCES user_visits (id, note))": "foreign keys of others refer to again",
    "ALTER TABLE user_visits CLUSTER ON user_visits_pkey": "clustered on user_visits_pkey",
    "REVOKE DELETE ON user_visits FROM postgres": "the owner has not the same privileges",
}


def test_what_differs_where_the_rows_are_is_told_with_the_reason(few: Database, tmp_path: Path) -> None:
    folder = renamed.write(tmp_path / "asked", views=False, way="instant")
    session = connect(few.url)
    for change, reason in NOT_ALIKE.items():
        connection = few.connect(autocommit=True)
        connection.execute(change)  # type: ignore[arg-type]
        migration = spec.load(folder)
        profiles, visits = decide(session, migration, look(session, migration)).told
        assert visits.way == "copy"
        assert any(reason in w for w in visits.why_not), (change, visits.why_not)
        assert (profiles.way, profiles.why_not) == ("copy", ("visits is copied, and one migration goes one way",))
        if change == next(iter(NOT_ALIKE)):
            asked = planned(few.url, migration=migration)
            refused = [h for h in asked.hazards if h.code == "not_instant"]
            assert [h.pair for h in refused] == ["profiles", "visits"]
            assert reason in refused[1].found
            with pytest.raises(HazardError, match="not_instant"):
                plan.gate(asked, ())
        connection.execute("DROP TABLE IF EXISTS other, child; DROP TABLE user_visits")
        connection.execute("SET search_path = public;" + renamed.NEW_VISIT)  # type: ignore[arg-type]
        connection.close()
    session.close()


def test_there_is_nothing_to_prepare(few: Database) -> None:
    with running(few.url) as run, pytest.raises(StateError, match="nothing to prepare"):
        prepare.must_be_possible(run)


def counted(run: Run) -> None:
    lifecycle.begin(run, "rollback")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run)


def test_a_table_that_changed_after_the_count_is_not_renamed(few: Database) -> None:
    with running(few.url, accept_hazards=ACCEPTED) as run:
        counted(run)
        few.execute("ALTER TABLE user_visits ADD more text")
        assert cut_over(run)["pairs"] == []
        assert run.look()["visits"].state == State.MIGRATED


def test_a_table_that_changes_right_before_the_locks_is_not_renamed(
    few: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    change = iter(["ALTER TABLE user_visits ADD more text"])
    with running(few.url, accept_hazards=ACCEPTED) as run:
        counted(run)
        with (
            counting(few, monkeypatch, before_locks=lambda: [few.execute(c) for c in change]),
            pytest.raises(GateError, match="Nothing has changed for anyone"),
        ):
            cut_over(run)
        assert [s.state for s in run.look().pairs] == [State.MIGRATED] * 2


def test_rows_that_were_not_counted_are_not_renamed(few: Database) -> None:
    with running(few.url, accept_hazards=ACCEPTED) as run:
        lifecycle.begin(run, "rollback")
        with pytest.raises(GateError, match="have not been counted"):
            cut_over(run)
        assert [s.state for s in run.look().pairs] == [State.MIGRATED] * 2
