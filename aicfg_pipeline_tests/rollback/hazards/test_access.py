"""Finding O2: who loses or gains access by the rollback is told by the plan, by name, with the statement that mends it."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from aicfg_pipeline.rollback.hazards import Hazard
from aicfg_pipeline.rollback.steps import plan
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Ddl, Migration
from aicfg_pipeline_tests.tools import migration as engine
from aicfg_pipeline_tests.tools.planning import planned, refused
from aicfg_pipeline_tests.tools.privileges import make_roles, may
from aicfg_pipeline_tests.tools.servers import Database

PROMPTS, NEW_PROMPTS = "org_prompt_engineering", "ai_cfg_org_prompts"


def changes(database: Database, migration: Migration | None = None) -> dict[tuple[str, str], Hazard]:
    """Return the plan's hazards `access_changes` by role and direction."""
    found = [h for h in planned(database.url, migration=migration).hazards if h.code == "access_changes"]
    assert [str(h) for h in found if "role" not in h.facts] == []
    return {(h.facts["role"], h.facts["change"]): h for h in found}


def granting(more: str, migration: Migration | None = None) -> Migration:
    """Return the migration with more statements in the old table's grants, as a person would add them."""
    given = migration or spec.load()
    pair = given.pair(PROMPTS)
    blocks = dict(pair.old_ddl.blocks)
    block = blocks["grants"]
    blocks["grants"] = replace(block, sql=f"{block.sql}\n{more}", statements=(*block.statements, more.rstrip(";")))
    changed = replace(pair, old_ddl=Ddl(pair.old_ddl.path, blocks, pair.old_ddl.foreign_keys))
    return replace(given, pairs=tuple(changed if p.old == PROMPTS else p for p in given.pairs))


@pytest.mark.every_version
def test_the_bundled_migration_changes_nobodys_access(migrated_database: Database) -> None:
    assert changes(migrated_database) == {}


@pytest.mark.every_version
def test_o2_a_role_that_reads_through_the_view_and_would_be_locked_out_stops_the_plan(
    migrated_database: Database,
) -> None:
    make_roles(migrated_database, ["reporting"])
    migrated_database.execute(f"GRANT SELECT ON {PROMPTS}, sys_rag TO reporting")
    if migrated_database.cluster.version >= 15:
        migrated_database.execute(f"ALTER VIEW {PROMPTS} RESET (security_invoker)")
        migrated_database.execute("ALTER VIEW sys_rag RESET (security_invoker)")
    found = refused(migrated_database)
    told = {h.pair: h for h in found}
    assert told[PROMPTS].code == "access_changes"
    assert told[PROMPTS].found.startswith("reporting may SELECT today and may not after the rollback")
    assert told[PROMPTS].facts["mend"] == [f'GRANT SELECT ON "{PROMPTS}" TO "reporting";']


def test_o2_the_grant_that_the_plan_names_mends_it_and_the_role_reads_on(migrated_database: Database) -> None:
    make_roles(migrated_database, ["reporting"])
    migrated_database.execute(f"GRANT SELECT ON {NEW_PROMPTS} TO reporting")
    mend = changes(migrated_database)["reporting", "narrowed"].facts["mend"][0]
    mended = granting(mend)
    assert changes(migrated_database, mended) == {}
    with engine.running(migrated_database.url) as run:
        run.migration = mended
        engine.roll_back(run)
    assert may(migrated_database, "reporting", f"SELECT * FROM {PROMPTS}")


def test_a_privilege_of_everyone_is_told_once_and_not_for_each_role(migrated_database: Database) -> None:
    make_roles(migrated_database, ["reporting"])
    migrated_database.execute(f"GRANT SELECT ON {NEW_PROMPTS} TO PUBLIC; GRANT SELECT ON {NEW_PROMPTS} TO reporting")
    found = changes(migrated_database)
    assert {role for role, _ in found} == {"PUBLIC"}
    assert found["PUBLIC", "narrowed"].facts["mend"] == [f'GRANT SELECT ON "{PROMPTS}" TO PUBLIC;']


def test_what_a_member_inherits_is_told_with_the_role_it_comes_from(migrated_database: Database) -> None:
    make_roles(migrated_database, ["readers", "alice_of_readers"])
    with migrated_database.admin() as connection:
        connection.execute("GRANT readers TO alice_of_readers")
        connection.execute(f"GRANT SELECT, UPDATE ON {NEW_PROMPTS} TO readers")
    found = changes(migrated_database)
    assert list(found) == [("readers", "narrowed")]
    assert found["readers", "narrowed"].facts["members"] == ["alice_of_readers"]
    assert found["readers", "narrowed"].facts["mend"] == [f'GRANT SELECT, UPDATE ON "{PROMPTS}" TO "readers";']


def test_privileges_on_columns_and_the_right_to_hand_on_are_told(migrated_database: Database) -> None:
    make_roles(migrated_database, ["columns_only", "handing_on"])
    migrated_database.execute(
        f"GRANT SELECT (id, org_id), UPDATE (org_id) ON {NEW_PROMPTS} TO columns_only;"
        f"GRANT SELECT ON {NEW_PROMPTS} TO handing_on WITH GRANT OPTION"
    )
    found = changes(migrated_database)
    wanted = f'GRANT SELECT ("id", "org_id"), UPDATE ("org_id") ON "{PROMPTS}" TO "columns_only";'
    assert found["columns_only", "narrowed"].facts["mend"] == [wanted]
    wanted = f'GRANT SELECT ON "{PROMPTS}" TO "handing_on" WITH GRANT OPTION;'
    assert found["handing_on", "narrowed"].facts["mend"] == [wanted]


def test_a_view_with_its_readers_rights_gives_nothing_that_the_table_does_not(migrated_database: Database) -> None:
    make_roles(migrated_database, ["reporting"])
    migrated_database.execute(f"GRANT SELECT ON {PROMPTS} TO reporting")  # security_invoker: the table refuses
    assert not may(migrated_database, "reporting", f"SELECT * FROM {PROMPTS}")
    assert changes(migrated_database) == {}


def test_a_role_that_gets_more_than_it_has_is_told_with_the_revoke_that_mends_it(migrated_database: Database) -> None:
    make_roles(migrated_database, ["newcomer"])
    given = granting(f"GRANT SELECT, DELETE ON {PROMPTS} TO newcomer;")
    hazard = changes(migrated_database, given)["newcomer", "widened"]
    assert hazard.facts["mend"] == [f'REVOKE DELETE, SELECT ON "{PROMPTS}" FROM "newcomer";']
    assert hazard.found.startswith("newcomer may DELETE, SELECT after the rollback and may not today")


def test_a_role_that_the_file_names_and_the_server_does_not_have_is_a_hazard(migrated_database: Database) -> None:
    given = granting(f"GRANT SELECT ON {PROMPTS} TO nobody_here;")
    found = [h for h in planned(migrated_database.url, migration=given).hazards if h.code == "missing_role"]
    assert "nobody_here" in found[0].found


def test_the_changes_may_be_accepted_and_then_the_rollback_goes_through(migrated_database: Database) -> None:
    make_roles(migrated_database, ["reporting"])
    migrated_database.execute(f"GRANT SELECT ON {NEW_PROMPTS} TO reporting")
    assert planned(migrated_database.url).blocking(["access_changes"]) == []
    with engine.running(migrated_database.url, accept_hazards=("access_changes",)) as run:
        engine.roll_back(run)
    assert not may(migrated_database, "reporting", f"SELECT * FROM {PROMPTS}")


def test_two_hundred_roles_cost_the_plan_less_than_a_second(migrated_database: Database) -> None:
    few = _seconds(migrated_database)
    make_roles(migrated_database, [f"one_of_many_{n}" for n in range(200)])
    assert _seconds(migrated_database) - few < 1


def _seconds(database: Database) -> float:
    began = time.perf_counter()
    assert changes(database) == {}
    return time.perf_counter() - began


# --- on the way forward again ----------------------------------------------------------------------------------


def before_undo(database: Database) -> list[Hazard]:
    with engine.running(database.url) as run:
        return list(plan.make_plan(run, must_confirm=False, job="undo_rollback").hazards)


def test_access_that_was_given_since_the_rollback_and_ends_with_the_undo_is_told(cut_over_database: Database) -> None:
    make_roles(cut_over_database, ["reporting"])
    assert before_undo(cut_over_database) == []
    cut_over_database.execute(f"GRANT SELECT, UPDATE (response_tone) ON {PROMPTS} TO reporting")
    (hazard,) = before_undo(cut_over_database)
    assert (hazard.code, hazard.pair, hazard.facts["role"]) == ("access_changes", PROMPTS, "reporting")
    assert hazard.facts["privileges"] == [["column", "response_tone", "UPDATE"], ["table", "", "SELECT"]]
    with engine.running(cut_over_database.url, accept_hazards=["access_changes"]) as run:
        undo_rollback(run)
    assert not may(cut_over_database, "reporting", f"SELECT count(*) FROM {NEW_PROMPTS}")
    cut_over_database.execute("\n".join(hazard.facts["mend"]))
    assert may(cut_over_database, "reporting", f"SELECT count(*) FROM {NEW_PROMPTS}")
    assert may(cut_over_database, "reporting", f"SELECT count(*) FROM {PROMPTS}")
