"""Preparing: everything of a rollback but the switch. Nothing changes for anyone, and the switch is short."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from aicfg_pipeline.errors import GateError, StateError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import State
from aicfg_pipeline.rollback.steps import plan, prepare, verify
from aicfg_pipeline.rollback.steps.abandon import abandon
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.rollback.tables import seen_before
from aicfg_pipeline.rollback.tables.preparation import preparation
from aicfg_pipeline_tests.rollback.steps.test_plan_is_what_runs import plan_and_run
from aicfg_pipeline_tests.tools.kills import differing, portrait
from aicfg_pipeline_tests.tools.migration import drop_parked, prepared, roll_back, running
from aicfg_pipeline_tests.tools.servers import Database

PROMPTS = "org_prompt_engineering"
TOUCH = "UPDATE ai_cfg_org_prompts SET response_tone = 'casual' WHERE id = (SELECT min(id::text)::uuid FROM ai_cfg_org_prompts)"


def switched(run: Run) -> None:
    """What the job rollback does up to the swap."""
    lifecycle.begin(run, "rollback")
    for pair in run.migration.pairs:
        copy_back(run, pair.old)
    compare(run)
    cut_over(run)


def make(database: Database, do: Callable[[Run], object]) -> None:
    with running(database.url) as run:
        do(run)


def comparisons(database: Database) -> list[str]:
    rows = database.query("SELECT outcome FROM aicfg_rollback.ledger WHERE step = 'compare' ORDER BY id")
    return [outcome for (outcome,) in rows]


def age(database: Database, interval: str) -> None:
    """Make everything that the ledger knows older."""
    database.execute(f"UPDATE aicfg_rollback.ledger SET at = at - interval '{interval}'")


@pytest.mark.every_version
def test_nothing_changes_for_anyone(migrated_database: Database) -> None:
    before = portrait(migrated_database)
    make(migrated_database, prepared)
    changed = [line for line in differing(before, portrait(migrated_database)) if "aicfg" not in line]
    assert changed == []
    make(migrated_database, lambda run: (lifecycle.begin(run, "abandon"), abandon(run)))
    left = [line for line in differing(before, portrait(migrated_database)) if "aicfg_rollback.ledger" not in line]
    assert left == []


def test_the_state_says_that_it_is_prepared_and_how_far_behind(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(TOUCH)
    with running(migrated_database.url) as run:
        look = run.look()
        assert dict(look.summary) == {"sys_rag": "prepared", PROMPTS: "prepared"}
        found = preparation(run.session, run.migration, look.ledger, look[PROMPTS])
    assert found is not None
    assert (found.behind, found.proof_is_stale, found.waits_too_long) == (1, False, False)


def test_the_switch_does_not_compare_again_what_is_proven(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(TOUCH)
    make(migrated_database, switched)
    assert comparisons(migrated_database) == ["proven", "proven", "relied_on", "relied_on"]


def test_what_was_written_since_the_proof_is_there_after_the_switch(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(TOUCH)
    expected = migrated_database.query("SELECT id, response_tone FROM ai_cfg_org_prompts ORDER BY id")
    make(migrated_database, switched)
    assert migrated_database.query(f"SELECT id, response_tone FROM {PROMPTS} ORDER BY id") == expected


def test_a_proof_of_more_than_an_hour_ago_is_stale_and_made_again(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    age(migrated_database, "61 minutes")
    with running(migrated_database.url) as run:
        found = preparation(run.session, run.migration, run.look().ledger, run.look()[PROMPTS])
        assert found is not None
        assert "verification is stale" in str(found)
        switched(run)
    assert comparisons(migrated_database) == ["proven"] * 4


def test_the_proof_of_a_rollback_that_was_not_prepared_is_not_relied_on(migrated_database: Database) -> None:
    with running(migrated_database.url) as run:
        lifecycle.begin(run, "rollback")
        for pair in run.migration.pairs:
            copy_back(run, pair.old)
        compare(run)
        compare(run)
    assert comparisons(migrated_database) == ["proven"] * 4


def test_a_shadow_that_another_hand_has_changed_does_not_stay_prepared(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(f"UPDATE aicfg_rollback.{PROMPTS} SET created_at = now()")
    with running(migrated_database.url) as run:
        lifecycle.begin(run, "prepare")
        with pytest.raises(GateError):
            compare(run, anew=True)
        with pytest.raises(GateError):
            compare(run)


def test_preparing_twice_catches_up_and_proves_again(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(TOUCH)
    make(migrated_database, prepared)
    with running(migrated_database.url) as run:
        found = preparation(run.session, run.migration, run.look().ledger, run.look()[PROMPTS])
    assert found is not None
    assert (found.behind, comparisons(migrated_database)) == (0, ["proven"] * 4)


def test_preparing_runs_what_its_plan_says(migrated_database: Database) -> None:
    plan_and_run(migrated_database, "prepare", prepared)
    plan_and_run(migrated_database, "prepare", prepared)


def test_the_switch_runs_what_its_plan_says(migrated_database: Database, tmp_path: Path) -> None:
    make(migrated_database, prepared)
    plan_and_run(
        migrated_database, "rollback", lambda run: (switched(run), verify.run_checks(run.session, run.migration))
    )
    make(migrated_database, lambda run: drop_parked(run, tmp_path))


def test_a_new_column_makes_the_preparation_void(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute("ALTER TABLE ai_cfg_org_prompts ADD COLUMN note text")
    make(migrated_database, lambda run: plan.make_plan(run, must_confirm=False))
    plan_and_run(migrated_database, "rollback", roll_back)
    assert comparisons(migrated_database) == ["proven", "proven", "relied_on", "proven"]


def test_a_rollback_that_was_undone_is_not_prepared_any_more(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    make(migrated_database, roll_back)
    make(migrated_database, lambda run: (lifecycle.begin(run, "undo_rollback"), undo_rollback(run)))
    with running(migrated_database.url) as run:
        assert not run.look().in_state(State.PREPARED)


def test_what_waits_on_purpose_is_no_remains_and_is_told_after_a_week(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    with running(migrated_database.url) as run:
        (now,) = verify.run_checks(run.session, run.migration, only=[(PROMPTS, "nothing_left")])
        age(migrated_database, "8 days")
        (later,) = verify.run_checks(run.session, run.migration, only=[(PROMPTS, "nothing_left")])
    assert (now.outcome, later.failed, later.severity) == ("not_applicable", True, "WARN")


def test_what_is_cut_over_is_not_prepared(cut_over_database: Database) -> None:
    with running(cut_over_database.url) as run, pytest.raises(StateError) as refused:
        prepare.must_be_possible(run)
    assert "cut_over" in str(refused.value)


SPOIL = {
    "triggers that were off": "ALTER TABLE ai_cfg_org_prompts DISABLE TRIGGER ALL",
    "triggers that came back as others do": "ALTER TABLE ai_cfg_org_prompts DISABLE TRIGGER ALL;"
    " ALTER TABLE ai_cfg_org_prompts ENABLE TRIGGER ALL",
    "another column": "ALTER TABLE ai_cfg_org_prompts ADD COLUMN note text",
}


@pytest.mark.parametrize("spoiled", SPOIL)
def test_a_shadow_that_can_not_be_gone_on_with_is_not_said_to_follow(migrated_database: Database, spoiled: str) -> None:
    """A restore with --disable-triggers, for one: nothing is behind in the log, because nothing was logged."""
    make(migrated_database, prepared)
    with migrated_database.admin() as admin:
        admin.execute(SPOIL[spoiled])
    with running(migrated_database.url) as run:
        look = run.look()
        found = preparation(run.session, run.migration, look.ledger, look[PROMPTS])
        (check,) = verify.run_checks(run.session, run.migration, only=[(PROMPTS, "nothing_left")])
    assert found is not None
    assert found.void is not None
    assert f"not usable any more: {found.void}" in str(found)
    assert "behind" not in str(found)
    assert (check.failed, check.severity) == (True, "WARN")


def test_a_comparison_that_failed_since_is_told(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(f"UPDATE aicfg_rollback.{PROMPTS} SET created_at = now()")
    with running(migrated_database.url) as run:
        lifecycle.begin(run, "prepare")
        with pytest.raises(GateError):
            compare(run, anew=True)
        look = run.look()
        found = preparation(run.session, run.migration, look.ledger, look[PROMPTS])
    assert found is not None
    assert "the last comparison has not proven it" in str(found)
    assert "proven" not in look[PROMPTS].because


def test_the_plan_says_that_a_shadow_which_is_made_anew_is_copied(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    with running(migrated_database.url) as run:
        before = plan.make_plan(run, must_confirm=False).to_copy
        migrated_database.execute("ALTER TABLE ai_cfg_org_prompts ADD COLUMN note text")
        after = plan.make_plan(run, must_confirm=False).to_copy
    assert (before, after) == ((), (PROMPTS,))


def switch_facts(database: Database) -> dict[str, object]:
    rows = database.query("SELECT facts FROM aicfg_rollback.ledger WHERE step = 'cut_over' AND pair = %s", (PROMPTS,))
    return dict(rows[-1][0])


ONE_MORE = (
    "INSERT INTO orgs (id, name) SELECT gen_random_uuid(), 'later';"
    " INSERT INTO ai_cfg_org_prompts (org_id) SELECT id FROM orgs WHERE name = 'later'"
)


def rows_seen(database: Database) -> int:
    """Of how many rows the switch says that they were there when it was looked at who sees them."""
    seen = switch_facts(database)["visible_rows"]
    assert isinstance(seen, dict)
    return max(int(s["rows"]) for s in seen.values() if s["tried"])


def test_the_switch_does_not_count_again_who_sees_what(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(ONE_MORE)
    make(migrated_database, switched)
    assert (rows_seen(migrated_database), "visible_rows_seen_by" in switch_facts(migrated_database)) == (40, True)


DECIDES = {
    "a policy": "CREATE POLICY more ON ai_cfg_org_prompts FOR SELECT TO service_role USING (true)",
    "a right": "GRANT TRIGGER ON ai_cfg_org_prompts TO authenticated",
    "a column's right": "GRANT SELECT (id) ON ai_cfg_org_prompts TO service_role",
    "a function that policies call": "CREATE OR REPLACE FUNCTION auth.uid() RETURNS uuid LANGUAGE sql STABLE AS"
    " $$ SELECT nullif(current_setting('request.jwt.claim.sub', true), '')::uuid /* as before */ $$",
    "a right on what policies read": "GRANT TRIGGER ON user_profiles TO authenticated",
    "whom a persona stands for": "UPDATE user_profiles SET sys_role = 'sys_user' WHERE user_id ="
    " (SELECT user_id FROM user_profiles WHERE sys_role = 'sys_admin' ORDER BY user_id LIMIT 1)",
}


def test_who_sees_what_is_counted_again_where_something_has_changed(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(ONE_MORE)
    migrated_database.execute(DECIDES["a policy"])
    make(migrated_database, switched)
    assert (rows_seen(migrated_database), "visible_rows_seen_by" in switch_facts(migrated_database)) == (41, False)


def test_who_sees_what_is_counted_again_after_an_hour(migrated_database: Database) -> None:
    make(migrated_database, prepared)
    migrated_database.execute(ONE_MORE)
    age(migrated_database, "61 minutes")
    make(migrated_database, switched)
    assert rows_seen(migrated_database) == 41


def test_a_prepared_shadow_is_vacuumed_again_where_much_was_replayed(migrated_database: Database) -> None:
    def vacuums() -> int:
        counted = f"SELECT vacuum_count FROM pg_stat_all_tables WHERE relid = 'aicfg_rollback.{PROMPTS}'::regclass"
        return int(migrated_database.query(counted)[0][0])

    make(migrated_database, prepared)
    seen = [vacuums()]
    for written in (TOUCH, "UPDATE ai_cfg_org_prompts SET response_tone = 'technical'"):
        migrated_database.execute(written)
        make(migrated_database, lambda run: copy_back(run, PROMPTS))
        seen.append(vacuums())
    assert seen == [1, 1, 2]


def test_whatever_decides_who_sees_what_is_looked_at(migrated_database: Database) -> None:
    def decided() -> str:
        with running(migrated_database.url) as run:
            return seen_before.decided_by(run.session, run.migration, run.look()[PROMPTS])

    seen = [decided(), decided()]
    assert seen[0] == seen[1]
    for what, change in DECIDES.items():
        migrated_database.admin().execute(change)
        seen.append(decided())
        assert seen[-1] not in seen[:-1], what
