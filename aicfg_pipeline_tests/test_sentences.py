"""No sentence of the pipeline's output is true only by default.

Collected are all sentences of the package that say "passed", "proven", "equal", "nothing has changed" and the like, and every
one with which a check passes. Each names a test in which it would be false and is not said: the thing it speaks of is broken
there, or is held against itself by a witness of the test's own. A new sentence without an entry fails.
"""

# ruff: noqa: E501 - a table of names

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "aicfg_pipeline"

CLAIM = re.compile(
    r"\b(passed|proven|succeeded|nothing (has |had |was |is )?(been )?(changed|lost|touched|left behind|dropped|rolled back)"
    r"|has changed for anyone|unchanged|loses nothing|no difference|equal|the same(?! (job|work|name|run|type))|as before"
    r"|as (it|they) (was|were)|no hazards|none blocks|agree|rolled back[;:]|rolled back for good|can be undone)\b",
    re.IGNORECASE,
)

KILLED = "rollback/test_resume.py::test_killed_at_every_statement"
MUTATED = "rollback/checks/test_mutations.py::test_exactly_the_right_checks_fail"
WRONG = "rollback/checks/test_checks.py::test_only_the_right_checks_fail"
REFUSED = "rollback/hazards/test_hazards.py::test_the_gate_names_all_hazards_at_once"
DRY = "orchestration/test_commands.py::test_every_job_takes_the_whole_run_yaml_and_a_dry_run_shows_its_plan_and_touches_nothing"
UNNAMED = "orchestration/test_target.py::test_a_job_without_a_target_makes_no_demo_and_ends_with_status_1"
PREPARED = "rollback/steps/test_prepare.py::test_nothing_changes_for_anyone"
UNDO_PROOF = "rollback/checks/test_mutations.py::test_after_an_undo_the_rows_are_said_to_be_proven_then"
LEFT = "rollback/checks/test_leftovers.py::test_an_attempt_that_nobody_goes_on_with_is_told_with_the_size_of_its_log"
STOPPED = "orchestration/test_stopping.py::test_a_run_that_is_stopped_says_what_is_where_and_how_to_go_on_or_give_up"
WRONG_COPY = "rollback/tables/test_types.py::test_value_that_is_not_the_same_in_the_copy_stops_the_run"
WHOLE_STORY = "orchestration/test_services_story.py::test_the_whole_story"

RENAMED_PROOF = "rollback/steps/test_instant.py::test_the_proof_says_that_the_rows_never_moved_and_compares_no_number_that_others_have_changed"
RENAMED_WRONG = "rollback/steps/test_instant.py::test_a_row_that_changed_though_nobody_wrote_fails_the_proof"
RENAMED_UNDONE = "rollback/steps/test_instant.py::test_after_an_undo_it_is_said_where_the_rows_are"
RENAMED_CHANGED = "rollback/steps/test_instant.py::test_a_table_that_changes_right_before_the_locks_is_not_renamed"

SAID: dict[str, dict[str, str]] = {
    "embedded/cluster.py": {
        "Mend what initdb complains about": "embedded/test_embedded.py::test_a_killed_initdb_is_made_again",
    },
    "evidence/render.py": {
        "{} of {} passed": "evidence/test_render.py::test_a_check_that_does_not_apply_is_grey_and_counted_apart"
    },
    "evidence/verdict.py": {
        ", all {} rows proven equal": "evidence/test_gather.py::test_rows_are_proven_equal_only_where_they_were_compared_and_none_differs",
        ", its one row proven equal": "evidence/test_gather.py::test_rows_are_proven_equal_only_where_they_were_compared_and_none_differs",
        "The {} succeeded": "evidence/test_gather.py::test_failure_after_the_cut_over_names_both_ways_on",
    },
    "orchestration/approval.py": {
        "Old table to state": "orchestration/test_approval.py::test_another_plan_is_refused_and_the_difference_is_told_line_by_line"
    },
    "orchestration/assets.py": {
        "The table `{}` as it was before": WRONG,
        "The last full verification": (
            "orchestration/test_sensor.py::test_an_hour_without_the_verification_that_was_asked_for_is_not_well"
        ),
    },
    "orchestration/config.py": {
        "Days to keep the new tables parked": "rollback/steps/test_undo.py::test_after_the_drop_there_is_nothing_to_go_back_to",
        "Show the plan of this job": DRY,
        "{}. Nothing was touched.": "orchestration/test_commands.py::test_a_run_yaml_that_cant_be_used_is_told_without_a_traceback",
    },
    "orchestration/home.py": {"{} is not set": UNNAMED},
    "orchestration/jobs.py": {
        "Changes which tables": "rollback/test_round_trip.py::test_four_writers_notice_nothing_and_lose_nothing",
        "names, can be undone": "rollback/steps/test_undo.py::test_everything_is_as_before_the_rollback",
    },
    "orchestration/keeping.py": {
        "{} can't be written to": "orchestration/test_keeping.py::test_a_bucket_that_is_not_there_is_told_before_a_rollback_that_drops",
        "The parked tables are dropped": "orchestration/test_keeping.py::test_a_drop_is_refused_where_its_exports_would_not_last",
    },
    "orchestration/loading.py": {
        "The run config can't be used": "orchestration/test_commands.py::test_a_run_yaml_that_cant_be_used_is_told_without_a_traceback"
    },
    "orchestration/metadata.py": {"No hazards.": REFUSED},
    "orchestration/ops/abandon.py": {
        "{} Nothing has changed for anyone": "rollback/steps/test_abandon.py::test_o15_nothing_of_it_stays_but_the_ledger"
    },
    "orchestration/ops/approve.py": {
        "The approved plan is": "orchestration/test_approval.py::test_another_plan_is_refused_and_the_difference_is_told_line_by_line",
        "approved_plan is": "orchestration/test_approval.py::test_a_hash_that_is_none_is_refused",
        "the plan to be the one": "orchestration/test_approval.py::test_another_plan_is_refused_and_the_difference_is_told_line_by_line",
    },
    "orchestration/ops/dry_run.py": {"plan {} of {}": DRY},
    "orchestration/ops/prepare.py": {
        "Prepared. Nothing has changed": PREPARED,
        "Writes down that the shadows are proven": (
            "rollback/steps/test_prepare.py::test_a_shadow_that_another_hand_has_changed_does_not_stay_prepared"
        ),
    },
    "orchestration/ops/rollback.py": {
        "Makes `{}` as a shadow": KILLED,
        "Proves every shadow": WRONG_COPY,
        "The gate before": WRONG_COPY,
        "The swap": "rollback/steps/test_locks.py::test_cut_over_names_who_is_in_the_way_and_leaves_the_database_as_it_was",
    },
    "orchestration/ops/services.py": {
        "Runbook 1.": "orchestration/test_services_wiring.py::test_a_gate_that_fails_before_the_cut_over_starts_the_services_again",
        "Runbook 3 and 4.": (
            "services/test_repository.py::test_a_failure_in_the_middle_of_the_switch_leaves_the_working_copy_as_it_was"
        ),
    },
    "orchestration/ops/stopping.py": {
        "Stopped by you": STOPPED,
        "Nothing has changed for anyone": STOPPED,
    },
    "orchestration/ops/verify.py": {
        "compared with {}": "orchestration/test_command_line.py::test_a_later_verify_compares_the_database_with_the_last_report"
    },
    "orchestration/preparation_sensor.py": {
        "Where a rollback is prepared": "orchestration/test_preparation.py::test_a_comparison_of_an_hour_ago_is_made_again",
        "the last comparison has not proven": "orchestration/test_preparation.py::test_what_is_fresh_and_caught_up_needs_nothing",
    },
    "orchestration/plan_told.py": {"; none blocks": REFUSED},
    "orchestration/sensors.py": {
        "Looks at states, row counts": "orchestration/test_sensor.py::test_a_change_is_asked_for_at_once_and_only_once",
        "Nothing changed": (
            "orchestration/test_sensor.py::test_after_a_failed_verify_every_tick_says_what_is_open_until_one_passes"
        ),
    },
    "orchestration/summary.py": {
        "The tables were renamed in place": RENAMED_UNDONE,
        "The database is rolled back for good": "orchestration/test_summary.py::test_what_somebody_dropped_is_not_said_to_be_exported",
        "{} in {} compared": "orchestration/test_summary.py::test_nothing_is_said_to_be_compared_that_the_ledger_does_not_have",
        "{} before and after": "orchestration/test_summary.py::test_rows_are_said_to_be_equal_only_where_a_comparison_found_no_difference",
        "The new tables are parked": "orchestration/test_summary.py::test_what_somebody_dropped_is_not_said_to_be_exported",
    },
    "postgres/locks.py": {
        "{}: the locks were not to be had": (
            "rollback/steps/test_locks.py::test_cut_over_names_who_is_in_the_way_and_leaves_the_database_as_it_was"
        )
    },
    "rollback/whose.py": {
        "The ledger of this database": "rollback/beside/test_side_by_side.py::test_another_migration_of_the_same_name_is_refused"
    },
    "rehearsal/copy.py": {
        "There is no room for the copy": "rehearsal/test_rehearsal.py::test_no_room_for_the_copy_is_told_with_how_much_it_needs",
        "pg_dump could not read the target": "rehearsal/test_rehearsal.py::test_a_table_that_somebody_holds_for_himself_is_told_and_the_target_left_alone",
    },
    "rehearsal/given.py": {
        "{} is the target itself": "rehearsal/test_rehearsal.py::test_the_target_itself_is_refused_by_whatever_name",
    },
    "rehearsal/programs.py": {
        "The job rehearse needs a copy": "rehearsal/test_rehearsal.py::test_without_the_embedded_server_both_ways_on_are_told",
        "The embedded server is PostgreSQL": "rehearsal/test_rehearsal.py::test_a_target_newer_than_the_embedded_server_is_told",
    },
    "rehearsal/story.py": {
        "There is nothing to rehearse": "rehearsal/test_rehearsal.py::test_nothing_to_rehearse_after_the_cut_over",
        "the same statements and the same files": "rehearsal/test_rehearsal.py::test_a_copy_of_another_schema_version_is_refused_with_the_difference_and_left_alone",
        "Rehearse on a copy of the target as it is now": "rehearsal/test_rehearsal.py::test_a_copy_of_ones_own_is_taken_through_it_and_nothing_is_made_here",
        "The copy is not the target's": "rehearsal/test_rehearsal.py::test_a_copy_of_another_schema_version_is_refused_with_the_difference_and_left_alone",
    },
    "rollback/checks/check.py": {
        "{} of {} checks passed": "rollback/checks/test_outcomes.py::test_what_does_not_apply_is_counted_apart"
    },
    "rollback/checks/data.py": {
        "Checksums were compared at {}": "rollback/tables/test_since.py::test_what_goes_wrong_between_the_comparison_and_the_swap_is_found",
        "Checksums equal": WRONG,
        "Nothing was rolled back": "rollback/checks/test_outcomes.py::test_where_nothing_was_ever_migrated_no_check_of_data_has_passed",
        "Proven on {}, at the drop": "rollback/checks/test_checks.py::test_after_the_drop",
        "Proven on {}, at the undo": UNDO_PROOF,
        "The rollback was undone, and": UNDO_PROOF,
        "{}.": WRONG,
        "{}: all of it comes from": WRONG,
        "{}; of the rows that both": WRONG,
    },
    "rollback/checks/facts.py": {"{} are as {} makes them": MUTATED},
    "rollback/checks/kept.py": {"{} is {} and made of": MUTATED},
    "rollback/checks/leftovers.py": {
        "No attempt at a rollback": LEFT,
        "No view is called": WRONG,
        "Nothing is called": WRONG,
        "Nothing of the pipeline": "rollback/checks/test_leftovers.py::test_what_nobody_knows_is_still_told_beside_another_migrations_tables",
        "PostgREST was told": "rollback/checks/test_checks.py::test_postgrest_is_told_in_the_cut_over",
        "The step {} of {} did not tell": "rollback/checks/test_checks.py::test_postgrest_is_told_in_the_cut_over",
        "{}{}.": "rollback/checks/test_leftovers.py::test_a_log_larger_than_its_table_is_told",
    },
    "rollback/checks/possible.py": {
        "Every row of {} satisfies": (
            "rollback/checks/test_possible.py::test_a_row_that_the_old_table_would_refuse_is_a_warning_that_says_why_and_since_when"
        )
    },
    "rollback/checks/references.py": {},
    "rollback/checks/renamed.py": {
        "Checksums equal": RENAMED_WRONG,
        "{} before and after": RENAMED_PROOF,
        "No row was written since": RENAMED_PROOF,
        "The rows never moved": RENAMED_PROOF,
        "The rows were not counted": RENAMED_UNDONE,
        "The table was written anew": RENAMED_PROOF,
    },
    "rollback/checks/rows.py": {"Every row that both": WRONG, "Row by row the same": WRONG},
    "rollback/checks/surroundings.py": {
        "No view and no SECURITY": MUTATED,
        "Only {} may use": MUTATED,
        "{} are what they were": MUTATED,
    },
    "rollback/checks/view.py": {
        "The view is there for": "rollback/checks/test_checks.py::test_when_to_roll_back",
        "The view reads with": "rollback/checks/test_checks.py::test_when_to_roll_back",
        "The view shows every": "rollback/checks/test_checks.py::test_when_to_roll_back",
    },
    "rollback/checks/visibility.py": {
        "As before": "rollback/checks/test_outcomes.py::test_without_a_note_of_who_saw_what_nothing_is_said_to_be_as_before",
        "As the plan foretold": "rollback/hazards/test_visibility.py::test_what_was_not_foretold_still_fails_the_gate",
        "Nobody sees more": "rollback/checks/test_checks.py::test_when_to_roll_back",
    },
    "rollback/hazards/columns.py": {
        "Give the column a default": (
            "rollback/hazards/test_columns.py::test_new_column_that_must_have_a_value_is_named_with_what_it_means_for_an_undo"
        )
    },
    "rollback/hazards/rows.py": {
        "the same in both": "rollback/hazards/test_hazards.py::test_coexisting_tables_that_differ_are_counted_by_kind",
        "changed at the same time": "rollback/hazards/test_hazards.py::test_coexisting_tables_that_differ_are_counted_by_kind",
    },
    "rollback/hazards/surroundings.py": {
        "Tell the subscribers": "rollback/hazards/test_dependents.py::test_publication_of_all_tables_is_named"
    },
    "rollback/hazards/visibility.py": {
        "The same {} rows": "rollback/hazards/test_visibility.py::test_of_a_large_table_the_same_rows_are_tried_on_both_sides"
    },
    "rollback/lifecycle.py": {
        "Not confirmed": "orchestration/test_command_line.py::test_an_unconfirmed_database_is_not_touched"
    },
    "rollback/steps/copy_back.py": {
        "{} was written anew": "rollback/tables/test_pieces.py::test_rows_that_no_log_has_seen_moving_stop_the_copy"
    },
    "rollback/steps/compare.py": {
        "The copy is not what": WRONG_COPY,
        "rely on what was proven": "rollback/steps/test_prepare.py::test_a_proof_of_more_than_an_hour_ago_is_stale_and_made_again",
        "{}: proven {} minutes ago": "rollback/steps/test_prepare.py::test_a_proof_of_more_than_an_hour_ago_is_stale_and_made_again",
    },
    "rollback/steps/cut_over.py": {
        "Not cut over: the comparison": WRONG_COPY,
        "Not cut over: the tables have": (
            "rollback/hazards/test_visibility.py::test_a_policy_that_is_lost_after_the_plan_stops_the_cut_over_before_the_swap"
        ),
        "step compare to have": WRONG_COPY,
    },
    "rollback/steps/drop.py": {
        "Nothing was dropped. Mend": "orchestration/test_events.py::test_a_gate_that_fails_stops_the_run_before_the_drop",
        "Something still refers": "rollback/steps/test_all_or_nothing.py::test_drop_has_a_plan_that_says_until_when_and_who_refers_to_it",
        "The parked tables can't": (
            "rollback/steps/test_unrecorded.py"
            "::test_a_parked_table_without_its_row_in_the_ledger_is_neither_undone_nor_dropped_and_verify_says_so"
        ),
        "{}: {} unlike": "rollback/steps/test_nothing_changed.py::test_a_row_that_was_changed_past_the_log_keeps_everything_parked",
    },
    "rollback/steps/migrate.py": {
        "The migration can't go forward": (
            "rollback/steps/test_values_kept.py"
            "::test_d2_migrate_refuses_a_column_without_a_place_and_keeps_the_table_where_that_is_accepted"
        ),
        "{}: what was copied is not": "rollback/steps/test_nothing_changed.py::test_a_copy_forward_that_is_another_changes_nothing",
    },
    "rollback/steps/plan.py": {"The plan found {}.": REFUSED},
    "rollback/steps/prepare.py": {
        "There is nothing to prepare": "rollback/steps/test_prepare.py::test_what_is_cut_over_is_not_prepared"
    },
    "rollback/steps/undo.py": {
        "The rollback can't be undone as": "rollback/steps/test_undo.py::test_what_can_not_be_undone_as_it_is"
    },
    "rollback/steps/instant.py": {
        "Not cut over: the tables have changed": RENAMED_CHANGED,
        "step compare to have passed": "rollback/steps/test_instant.py::test_rows_that_were_not_counted_are_not_renamed",
    },
    "rollback/tables/differences.py": {
        "the owner has not the same": "rollback/steps/test_instant.py::test_what_differs_where_the_rows_are_is_told_with_the_reason",
    },
    "rollback/tables/outside_keys.py": {
        "Foreign keys that refer to the tables have changed": (
            "rollback/test_what_goes_along.py::test_a_key_that_comes_while_the_locks_are_waited_for_stops_the_swap"
        ),
        "{} of {} has no column of": "rollback/test_what_goes_along.py::test_a_key_that_can_not_go_along_is_a_hazard_that_says_why",
    },
    "rollback/tables/publications.py": {
        "{} of {} has no column of": "rollback/test_what_goes_along.py::test_what_subscribers_would_miss_is_a_hazard_that_says_why",
    },
    "rollback/tables/comparison.py": {"{} on both sides": WRONG_COPY},
    "rollback/tables/export.py": {
        "Does the same": "rollback/tables/test_export.py::test_rows_that_are_not_those_exported_are_not_loaded",
        "Set AICFG_STORE": "rollback/tables/test_export.py::test_a_folder_that_can_not_be_written_to_is_told",
        "The export of {} can't be read": "rollback/steps/test_nothing_changed.py::test_an_export_that_the_disk_did_not_keep_drops_nothing",
        "The export of {} reads back": "rollback/steps/test_nothing_changed.py::test_an_export_that_the_disk_did_not_keep_drops_nothing",
    },
    "rollback/tables/fitting.py": {
        "{}: a row does not fit": "rollback/steps/test_coexisting.py::test_a_key_renamed_beside_the_old_table_is_told_and_nothing_changes"
    },
    "rollback/tables/preparation.py": {
        "{}, {} behind, last proven": "rollback/steps/test_prepare.py::test_a_shadow_that_can_not_be_gone_on_with_is_not_said_to_follow",
        "{}, {} behind; the last comparison": "rollback/steps/test_prepare.py::test_the_state_says_that_it_is_prepared_and_how_far_behind",
    },
    "rollback/tables/swap.py": {
        "{}: while this waited": (
            "rollback/steps/test_values_kept.py"
            "::test_d4_value_written_into_a_column_without_a_place_while_the_undo_waits_for_its_locks_stops_it"
        )
    },
    "runbook/checks.py": {
        "Nothing was rolled back, so no deploy": WHOLE_STORY,
        "Nothing was rolled back, so the files": WHOLE_STORY,
        "Restored, and no new table": "services/test_repository.py::test_references_to_new_names_are_found_word_by_word_with_their_lines",
        "{}.{}": "services/test_logs.py::test_error_lines_are_counted_and_those_naming_a_missing_table_told_apart",
        "{}: as expected": "services/test_endpoints.py::test_another_status_than_the_expected_one",
        "{}: deployed after": "services/test_lambdas.py::test_deployed_after_tells_an_old_deployment_from_a_new_one",
    },
    "runbook/code.py": {
        ", as it was": "services/test_repository.py::test_undo_goes_back_to_the_earlier_branch_and_keeps_the_rollback_branch"
    },
    "runbook/failure.py": {
        "The services were started again": (
            "orchestration/test_services_wiring.py"
            "::test_a_deploy_that_fails_leaves_the_services_running_the_database_undoable_and_says_so"
        )
    },
    "runbook/ready.py": {
        "{} of the configured": (
            "orchestration/test_services_wiring.py::test_everything_that_cant_be_used_is_named_at_once_before_anything_is_touched"
        )
    },
    "runbook/reasons.py": {
        "Nothing of the kind.": "runbook/test_reasons.py::test_each_reason_has_its_own_evidence",
        "This could not be looked at": "runbook/test_reasons.py::test_a_look_that_did_not_read_the_rows_leaves_their_count_alone",
        "{}. Seen in {} of {}": "runbook/test_reasons.py::test_failures_in_a_row_are_advice_and_a_blip_is_not",
    },
    "services/git.py": {
        "commit them or": "services/test_repository.py::test_a_dirty_tree_is_refused",
        "finish it or abort": "services/test_repository.py::test_an_unfinished_merge_is_refused",
        "look for it with": "services/test_repository.py::test_an_unknown_commit_is_refused",
        "mend what git says": (
            "services/test_repository.py::test_a_failure_in_the_middle_of_the_switch_leaves_the_working_copy_as_it_was"
        ),
        "run `git fetch": "services/test_repository.py::test_a_shallow_clone_without_the_commit_is_told_apart_from_an_unknown_one",
    },
    "services/lambdas.py": {
        "{}: reserved concurrency removed": "services/test_lambdas.py::test_stop_and_start_bring_back_exactly_what_was_there_before"
    },
    "services/repository.py": {
        "correct the configuration": "services/test_repository.py::test_every_path_outside_is_named_at_once",
        "correct the paths": "services/test_repository.py::test_a_path_that_the_commit_does_not_have_is_refused",
        "delete or rename it": "services/test_repository.py::test_a_branch_that_holds_something_else_is_refused",
        "merge them, or delete": "services/test_repository.py::test_an_older_rollback_branch_does_not_lose_newer_commits",
        "move them away": "services/test_repository.py::test_a_local_file_where_one_comes_back_is_not_overwritten",
    },
}
"""Module → beginning of the sentence → the test."""


# --- collecting ------------------------------------------------------------------------------------------------


def said(tree: ast.AST) -> Iterator[str]:
    """Yield the sentences of a module that claim something. Docstrings are for who reads the code."""
    bodies = [n.body for n in ast.walk(tree) if isinstance(getattr(n, "body", None), list)]
    docs = {id(s.value) for body in bodies for s in body if isinstance(s, ast.Expr)}
    inner = {id(p) for n in ast.walk(tree) if isinstance(n, ast.JoinedStr) for p in ast.walk(n) if p is not n}
    verdicts = {id(a) for n in ast.walk(tree) if isinstance(n, ast.Call) and _name(n) == "passed" for a in n.args[:1]}
    for node in ast.walk(tree):
        if id(node) in docs or id(node) in inner:
            continue
        sentence = _sentence(node)
        if sentence and (id(node) in verdicts or (" " in sentence and CLAIM.search(sentence))):
            yield sentence


def _name(call: ast.Call) -> str:
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _sentence(node: ast.AST) -> str:
    if isinstance(node, ast.JoinedStr):
        text = "".join(str(v.value) if isinstance(v, ast.Constant) else "{}" for v in node.values)
    elif isinstance(node, ast.Constant) and isinstance(node.value, str):
        text = node.value
    else:
        return ""
    return " ".join(text.split())


@cache
def sentences() -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith("demo/"):
            found[name] = set(said(ast.parse(file.read_text("utf-8"))))
    return {name: lines for name, lines in found.items() if lines}


def _entry(module: str, sentence: str) -> str | None:
    starts = [s for s in SAID.get(module, {}) if sentence.startswith(s)]
    return max(starts, key=len, default=None)


# --- the tests -------------------------------------------------------------------------------------------------


def test_every_sentence_that_comforts_names_the_test_in_which_it_would_be_false() -> None:
    without = {m: sorted(s for s in lines if _entry(m, s) is None) for m, lines in sentences().items()}
    assert {m: lines for m, lines in without.items() if lines} == {}


def test_no_entry_outlives_its_sentence() -> None:
    used = {(m, _entry(m, s)) for m, lines in sentences().items() for s in lines}
    assert {(m, start) for m, starts in SAID.items() for start in starts} - used == set()


@pytest.mark.parametrize("test", sorted({t for starts in SAID.values() for t in starts.values()}))
def test_the_test_that_is_named_is_there(test: str) -> None:
    path, _, function = test.partition("::")
    assert f"def {function}(" in (TESTS / path).read_text("utf-8")
