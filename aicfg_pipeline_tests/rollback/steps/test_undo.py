"""Undo: the new tables in use again, with every write made since the cut-over, and what the old tables can't hold.

Kills in the middle are in test_resume, coexisting tables in test_coexisting.
"""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from aicfg_pipeline.errors import GateError, LockTimeoutError, StateError
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.rollback.steps.undo import catch_up_forth, undo_rollback
from aicfg_pipeline_tests.tools.kills import counting, differing, portrait, survived
from aicfg_pipeline_tests.tools.migration import drop_parked, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database
from aicfg_pipeline_tests.tools.writers import Writers

OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
CREATORS = f"SELECT id, created_by, updated_by FROM {NEW}"


def rolled_back(database: Database) -> None:
    with running(database.url, accept_hazards=("unmapped_column",)) as run:
        roll_back(run)


def undone(database: Database) -> dict[str, object]:
    with running(database.url) as run:
        return undo_rollback(run)


def states(database: Database) -> set[str]:
    with running(database.url) as run:
        return set(run.look().summary.values())


def keys(database: Database, table: str = OLD) -> list[object]:
    return [k for (k,) in database.query(f"SELECT id FROM {table} ORDER BY id")]


def users(database: Database) -> list[object]:
    return [k for (k,) in database.query("SELECT id FROM auth.users ORDER BY id")]


@pytest.mark.every_version
def test_everything_is_as_before_the_rollback(migrated_database: Database) -> None:
    before = portrait(migrated_database)
    rolled_back(migrated_database)
    facts = undone(migrated_database)
    assert differing(before, portrait(migrated_database)) == []
    assert states(migrated_database) == {State.MIGRATED}
    assert facts["keys_replayed"] == 0
    assert facts["locks_held_ms"] < 1000
    again = undone(migrated_database)
    assert again == {"pairs": [], "settled": {}}


def test_the_ledger_says_what_was_done(migrated_database: Database) -> None:
    rolled_back(migrated_database)
    undone(migrated_database)
    with running(migrated_database.url) as run:
        book = run.look().ledger
    for old in ("sys_rag", OLD):
        done = book.last("undo", pair=old, outcome="done")
        assert done is not None
        assert done.facts["api_notified"] is True
        assert done.facts["differences"]["unexplained"] == 0
        assert done.facts["before"] == done.facts["after"]
        assert done.facts["locks_held_ms"] > 0
        assert book.last("undo", pair=old, outcome="settled") is not None


@pytest.mark.two_versions
def test_rows_that_nobody_has_changed_need_no_one_who_did(migrated_database: Database) -> None:
    """Forth is not the reverse of back for a row with `created_by` alone; it is right all the same."""
    creator, *_ = users(migrated_database)
    migrated_database.execute(f"UPDATE {NEW} SET created_by = '{creator}', updated_by = NULL")
    rolled_back(migrated_database)
    rewritten, *_ = keys(migrated_database)
    migrated_database.execute(f"UPDATE {OLD} SET citation_style = 'none' WHERE id = '{rewritten}'")
    undone(migrated_database)
    found = {k: (c, u) for k, c, u in migrated_database.query(CREATORS)}
    assert found.pop(rewritten) == (creator, creator)
    assert set(found.values()) == {(creator, None)}


@pytest.mark.two_versions
@pytest.mark.parametrize("replay_between", [False, True], ids=["at_once", "replayed_in_between"])
def test_who_created_a_row_comes_back(migrated_database: Database, replay_between: bool) -> None:
    first, second, third, creator, *_ = users(migrated_database)
    migrated_database.execute(f"UPDATE {NEW} SET created_by = '{creator}', updated_by = '{first}'")
    rolled_back(migrated_database)
    rewritten, replaced, gone, orphaned, untouched, *_ = keys(migrated_database)
    added = "00000000-0000-0000-0000-0000000000aa"

    def between() -> None:
        """When the log is replayed must make no difference."""
        if replay_between:
            with running(migrated_database.url) as run:
                catch_up_forth(run, OLD)

    migrated_database.execute(f"UPDATE {OLD} SET configured_by = '{second}' WHERE id = '{rewritten}'")
    migrated_database.execute(f"UPDATE {OLD} SET configured_by = NULL WHERE id = '{orphaned}'")
    organisation = migrated_database.query(f"DELETE FROM {OLD} WHERE id = '{replaced}' RETURNING org_id")[0][0]
    other = migrated_database.query(f"DELETE FROM {OLD} WHERE id = '{gone}' RETURNING org_id")[0][0]
    between()
    insert = f"INSERT INTO {OLD} (id, org_id, configured_by) VALUES ('{{}}', '{{}}', '{second}')"
    migrated_database.execute(insert.format(replaced, organisation))
    migrated_database.execute(insert.format(added, other))
    between()
    migrated_database.execute(f"UPDATE {OLD} SET configured_by = '{third}' WHERE id IN ('{added}', '{replaced}')")
    undone(migrated_database)

    found = {str(k): (c, u) for k, c, u in migrated_database.query(CREATORS)}
    assert found[str(rewritten)] == (creator, second)
    assert found[str(replaced)] == (creator, third)
    assert found[str(orphaned)] == (creator, None)
    assert found[str(untouched)] == (creator, first)
    assert found[added] == (third, third)
    assert str(gone) not in found


@pytest.mark.two_versions
def test_a_column_that_only_the_new_table_has_keeps_its_values(migrated_database: Database) -> None:
    migrated_database.execute(
        f"""ALTER TABLE {NEW} ADD COLUMN note text DEFAULT 'fresh',
            ADD COLUMN number bigint GENERATED ALWAYS AS IDENTITY;
        UPDATE {NEW} SET note = E'of \\t"its", own (\\\\) ' || id"""
    )
    before = dict(migrated_database.query(f"SELECT id, ROW(note, number)::text FROM {NEW}"))
    rolled_back(migrated_database)
    rewritten, gone, *_ = keys(migrated_database)
    migrated_database.execute(f"UPDATE {OLD} SET citation_style = 'none' WHERE id = '{rewritten}'")
    org = migrated_database.query(f"DELETE FROM {OLD} WHERE id = '{gone}' RETURNING org_id")[0][0]
    migrated_database.execute(f"INSERT INTO {OLD} (org_id) VALUES ('{org}')")
    undone(migrated_database)
    after = dict(migrated_database.query(f"SELECT id, ROW(note, number)::text FROM {NEW}"))
    del before[gone]
    (added,) = after.keys() - before.keys()
    assert after.pop(added).startswith("(fresh,")
    assert after == before
    assert migrated_database.query(f"SELECT citation_style FROM {NEW} WHERE id = '{rewritten}'") == [("none",)]


@pytest.mark.two_versions
def test_a_truncate_since_the_cut_over(migrated_database: Database) -> None:
    creator, other, *_ = users(migrated_database)
    migrated_database.execute(f"UPDATE {NEW} SET created_by = '{creator}'")
    rolled_back(migrated_database)
    key, org = migrated_database.query(f"SELECT id, org_id FROM {OLD} ORDER BY id LIMIT 1")[0]
    migrated_database.execute(
        f"TRUNCATE {OLD}; INSERT INTO {OLD} (id, org_id, configured_by) VALUES ('{key}', '{org}', '{other}')"
    )
    undone(migrated_database)
    assert migrated_database.query(CREATORS) == [(key, creator, other)]


def test_a_row_without_a_creator_has_none_after_an_undo_either(migrated_database: Database) -> None:
    """`keep` is what the parked row had, and it had nothing: the old table's writer does not become its creator."""
    writer, *_ = users(migrated_database)
    migrated_database.execute(f"UPDATE {NEW} SET created_by = NULL")
    rolled_back(migrated_database)
    rewritten, *_ = keys(migrated_database)
    migrated_database.execute(f"UPDATE {OLD} SET configured_by = '{writer}' WHERE id = '{rewritten}'")
    undone(migrated_database)
    found = {k: (c, u) for k, c, u in migrated_database.query(CREATORS)}
    assert found[rewritten] == (None, writer)


def test_a_unique_value_that_wandered(migrated_database: Database) -> None:
    rolled_back(migrated_database)
    one, two = migrated_database.query(f"SELECT id, org_id FROM {OLD} ORDER BY id LIMIT 2")
    spare = migrated_database.query("INSERT INTO orgs (name) VALUES ('spare') RETURNING id")[0][0]
    for key, org in ((one[0], spare), (two[0], one[1]), (one[0], two[1])):
        migrated_database.execute(f"UPDATE {OLD} SET org_id = '{org}' WHERE id = '{key}'")
    undone(migrated_database)
    found = dict(migrated_database.query(f"SELECT id, org_id FROM {NEW}"))
    assert (found[one[0]], found[two[0]]) == (two[1], one[1])


@pytest.mark.two_versions
def test_whoever_was_deleted_meanwhile_is_no_creator_any_more(migrated_database: Database) -> None:
    last, *_ = users(migrated_database)
    ghost = "00000000-0000-0000-0000-00000000dead"
    migrated_database.execute(
        f"""INSERT INTO auth.users (id) VALUES ('{ghost}');
        UPDATE {NEW} SET created_by = '{ghost}', updated_by = '{last}'"""
    )
    stamped = dict(migrated_database.query(f"SELECT id, updated_at FROM {NEW}"))
    rolled_back(migrated_database)
    rewritten, *untouched = keys(migrated_database)
    migrated_database.execute(f"DELETE FROM auth.users WHERE id = '{ghost}'")  # nothing in use refers to them now
    migrated_database.execute(f"UPDATE {OLD} SET citation_style = 'none' WHERE id = '{rewritten}'")
    facts = undone(migrated_database)
    assert {(c, u) for _, c, u in migrated_database.query(CREATORS)} == {(last, last)}
    times = dict(migrated_database.query(f"SELECT id, updated_at FROM {NEW}"))
    assert all(times[k] == stamped[k] for k in untouched)
    assert all(not s["not_validated"] for s in facts["settled"].values())


def test_deleted_between_the_comparison_and_the_swap(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    last, *_ = users(migrated_database)
    ghost = "00000000-0000-0000-0000-00000000dead"
    migrated_database.execute(
        f"""INSERT INTO auth.users (id) VALUES ('{ghost}');
        UPDATE {NEW} SET created_by = '{ghost}', updated_by = '{last}'"""
    )
    stamped = dict(migrated_database.query(f"SELECT id, updated_at FROM {NEW}"))
    rolled_back(migrated_database)

    def delete() -> None:
        migrated_database.execute(f"DELETE FROM auth.users WHERE id = '{ghost}'")

    with counting(migrated_database, monkeypatch, before_locks=delete):
        facts = undone(migrated_database)
    assert {(c, u) for _, c, u in migrated_database.query(CREATORS)} == {(last, last)}
    assert dict(migrated_database.query(f"SELECT id, updated_at FROM {NEW}")) == stamped
    assert f"{NEW}_created_by_fkey" in facts["settled"][OLD]["validated"]


@pytest.mark.two_versions
def test_triggers_of_the_new_table_do_not_see_the_replay(migrated_database: Database) -> None:
    states_ = {"plain": "O", "always": "A", "replica": "R", "off": "D"}
    migrated_database.execute(
        f"""CREATE TABLE noticed (what text);
        CREATE FUNCTION notice() RETURNS trigger LANGUAGE plpgsql AS $$BEGIN
            INSERT INTO public.noticed VALUES (TG_NAME || ' ' || TG_OP); RETURN NULL; END$$;
        CREATE TRIGGER plain AFTER INSERT OR DELETE ON {NEW} FOR EACH ROW EXECUTE FUNCTION notice();
        CREATE TRIGGER always AFTER INSERT OR DELETE ON {NEW} EXECUTE FUNCTION notice();
        CREATE TRIGGER replica AFTER INSERT ON {NEW} EXECUTE FUNCTION notice();
        CREATE TRIGGER off AFTER INSERT ON {NEW} EXECUTE FUNCTION notice();
        ALTER TABLE {NEW} ENABLE ALWAYS TRIGGER always;
        ALTER TABLE {NEW} ENABLE REPLICA TRIGGER replica;
        ALTER TABLE {NEW} DISABLE TRIGGER off"""
    )
    rolled_back(migrated_database)
    migrated_database.execute(f"UPDATE {OLD} SET citation_style = 'none'")
    undone(migrated_database)
    assert migrated_database.query("SELECT * FROM noticed") == []
    found = migrated_database.query(
        f"SELECT tgname::text, tgenabled::text FROM pg_trigger"
        f" WHERE tgrelid = '{NEW}'::regclass AND tgfoid = 'notice'::regproc"
    )
    assert dict(found) == states_


@pytest.mark.parametrize(
    ("harm", "told"),
    [
        (f"DROP TABLE aicfg_rollback.change_log_{OLD}", "its change log is gone"),
        (f"ALTER TABLE {OLD} DISABLE TRIGGER aicfg_rollback_change_log", "is gone or disabled"),
        (
            "CREATE TABLE follower (id uuid REFERENCES aicfg_rollback.ai_cfg_org_prompts ON DELETE CASCADE)",
            "refers to the parked table",
        ),
    ],
    ids=["log", "trigger", "reference"],
)
def test_what_can_not_be_undone_as_it_is(migrated_database: Database, harm: str, told: str) -> None:
    rolled_back(migrated_database)
    migrated_database.execute(harm)
    before = portrait(migrated_database, exact=True)
    with pytest.raises(StateError, match=told):
        undone(migrated_database)
    assert differing(before, portrait(migrated_database, exact=True)) == []


def test_a_value_without_a_place_in_the_new_table_stops_it(migrated_database: Database) -> None:
    rolled_back(migrated_database)
    migrated_database.execute(f"ALTER TABLE {OLD} ADD COLUMN colour text; UPDATE {OLD} SET colour = 'red'")
    with pytest.raises(StateError, match="colour has values in 40 rows and no place"):
        undone(migrated_database)
    assert states(migrated_database) == {State.CUT_OVER}
    migrated_database.execute(f"UPDATE {OLD} SET colour = NULL")
    undone(migrated_database)
    assert states(migrated_database) == {State.MIGRATED}


def test_a_write_past_the_change_log_stops_it(migrated_database: Database) -> None:
    rolled_back(migrated_database)
    migrated_database.execute(
        f"""BEGIN; ALTER TABLE {OLD} DISABLE TRIGGER aicfg_rollback_change_log;
        UPDATE {OLD} SET citation_style = 'endnote' WHERE id = (SELECT min(id::text)::uuid FROM {OLD});
        ALTER TABLE {OLD} ENABLE ALWAYS TRIGGER aicfg_rollback_change_log; COMMIT"""
    )
    with pytest.raises(GateError, match="1 row differs without an entry"):
        undone(migrated_database)
    assert states(migrated_database) == {State.CUT_OVER}


def test_after_the_drop_there_is_nothing_to_go_back_to(migrated_database: Database, tmp_path: Path) -> None:
    with running(migrated_database.url) as run:
        roll_back(run)
        drop_parked(run, tmp_path)
    with pytest.raises(StateError, match="the parked tables are gone"):
        undone(migrated_database)


def test_a_locked_table_leaves_everything_as_it_was(migrated_database: Database) -> None:
    rolled_back(migrated_database)
    blocker = migrated_database.connect()
    blocker.execute(f"BEGIN; UPDATE {OLD} SET citation_style = 'none'")
    with running(migrated_database.url, lock_attempts=2) as run, pytest.raises(LockTimeoutError, match="in the way"):
        undo_rollback(run)
    blocker.execute("ROLLBACK")
    assert states(migrated_database) == {State.CUT_OVER}
    undone(migrated_database)
    assert states(migrated_database) == {State.MIGRATED}


def test_given_up_half_way_the_rollback_still_stands(
    migrated_database: Database, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """An undo that replayed and never swapped leaves a rollback that verifies and can be dropped for good."""
    rolled_back(migrated_database)
    migrated_database.execute(f"UPDATE {OLD} SET configured_by = NULL, citation_style = 'none'")
    with counting(migrated_database, monkeypatch) as counter:
        counter.before_locks = lambda: setattr(counter, "kill_after", len(counter.seen) + 1)
        with survived(), running(migrated_database.url) as run:
            undo_rollback(run)
    assert states(migrated_database) == {State.CUT_OVER}
    with running(migrated_database.url) as run:
        assert verify.failed(verify.run_checks(run.session, run.migration)) == []
        drop_parked(run, tmp_path)
    assert states(migrated_database) == {State.ROLLED_BACK}


@pytest.mark.slow
@pytest.mark.two_versions
def test_there_and_back_with_four_writers_throughout(migrated_database: Database) -> None:
    with Writers(migrated_database.url, threads=4, pause=0.002) as writers:
        for _ in range(3):
            with running(migrated_database.url) as run:
                roll_back(run)
            writers.wait_for(150)
            with running(migrated_database.url) as run:
                facts = undo_rollback(run)
            assert len(facts["pairs"]) == 2
            writers.wait_for(50)
    assert writers.errors == []
    with migrated_database.connect() as connection:
        assert writers.verify(connection) == []
    assert states(migrated_database) == {State.MIGRATED}


# --- what is remembered for the way back -----------------------------------------------------------------------


def test_o6_undo_that_had_to_stop_goes_on_after_its_own_remedy(migrated_database: Database) -> None:
    """It got no locks; then both tables got a column, as the second attempt asks for."""
    rolled_back(migrated_database)
    creators = dict(migrated_database.query(f"SELECT id, created_by FROM aicfg_rollback.{NEW}"))
    migrated_database.execute(f"UPDATE {OLD} SET response_tone = 'casual'")
    with psycopg.connect(migrated_database.url) as reader:
        reader.execute(f"SELECT count(*) FROM {OLD}")
        with running(migrated_database.url, lock_attempts=2) as run, pytest.raises(LockTimeoutError):
            undo_rollback(run)
    migrated_database.execute(f"ALTER TABLE {OLD} ADD COLUMN note text; UPDATE {OLD} SET note = 'precious'")
    migrated_database.execute(f"ALTER TABLE aicfg_rollback.{NEW} ADD COLUMN note text")
    undone(migrated_database)
    assert states(migrated_database) == {State.MIGRATED}
    assert migrated_database.query(f"SELECT DISTINCT response_tone, note FROM {NEW}") == [("casual", "precious")]
    assert dict(migrated_database.query(f"SELECT id, created_by FROM {NEW}")) == creators


def test_d7_what_only_the_new_table_has_comes_back_to_the_last_bit(migrated_database: Database) -> None:
    """With settings under which a row's text does not read back as the row."""
    migrated_database.admin().execute(f"ALTER DATABASE {migrated_database.name} SET array_nulls = off")
    migrated_database.execute(f"ALTER TABLE {NEW} ADD COLUMN tags text[]; ALTER TABLE {NEW} ADD COLUMN data json")
    migrated_database.execute(f"""UPDATE {NEW} SET tags = ARRAY['x', NULL, 'NULL'], data = '{{"a": 1,  "a": null}}'""")
    before = migrated_database.query(f"SELECT id, tags, data::text FROM {NEW} ORDER BY id")
    with running(migrated_database.url, accept_hazards=("unmapped_column",)) as run:
        roll_back(run)
    migrated_database.execute(f"UPDATE {OLD} SET response_tone = 'casual'")
    undone(migrated_database)
    assert migrated_database.query(f"SELECT id, tags, data::text FROM {NEW} ORDER BY id") == before
    assert migrated_database.query(f"SELECT DISTINCT response_tone FROM {NEW}") == [("casual",)]
