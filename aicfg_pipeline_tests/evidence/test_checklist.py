"""The runbook's checklist: its eight lines, each check on one of them, and what makes a line pass."""

from __future__ import annotations

from collections import Counter

import pytest

from aicfg_pipeline.evidence.checklist import LINES, SERVICE_CHECKS, filled
from aicfg_pipeline.evidence.facts import CheckFact

NAMES = {"a": "new_a", "b": "new_b"}
CHECKS = {
    *("row_count", "checksum", "rows", "structure", "row_level_security", "grants", "visible_rows", "references"),
    *("functions", "roles", "readers", "sequences", "private_schema"),
    *("new_tables_gone", "views_gone", "nothing_left", "api_schema_cache"),
    *("lambda_deployed", "endpoints", "logs", "schema_files"),
}


def check(name: str, pair: str = "a", passed: bool = True, severity: str = "ERROR") -> CheckFact:
    return CheckFact(asset=f"old/{pair}", pair=pair, name=name, passed=passed, severity=severity)


def both(name: str, **more) -> list[CheckFact]:
    return [check(name, pair, **more) for pair in NAMES]


def status(number: int, checks: list[CheckFact], restored=frozenset(NAMES)) -> str:
    return filled(checks, NAMES, restored)[number - 1].status


def test_each_check_stands_for_exactly_one_line():
    counted = Counter(name for line in LINES for name in line.checks)
    assert counted == Counter(CHECKS)
    assert all(set(line.needs) <= set(line.checks) for line in LINES)
    assert {"lambda_deployed", "endpoints", "logs", "schema_files"} == SERVICE_CHECKS


def test_lines_are_the_runbooks():
    assert [line.text for line in filled([], NAMES, NAMES)] == [
        "Old tables (a, b) exist",
        "New tables (new_a, new_b) do not exist",
        "All data from new tables copied back to old tables",
        "Row counts match between tables before rollback",
        "Lambda functions deployed with old table names",
        "API endpoints return valid responses",
        "No errors in CloudWatch logs",
        "Template schema files restored to original names",
    ]


def test_nothing_was_run():
    assert [line.status for line in filled([], NAMES, NAMES)] == ["not_run"] * 4 + ["not_configured"] * 4
    sixth = filled([], NAMES, NAMES)[5]
    assert (sixth.not_run, sixth.not_configured) == (["api_schema_cache"], ["endpoints"])


@pytest.mark.parametrize(
    ("number", "checks", "expected"),
    [
        (4, both("row_count"), "passed"),
        (4, [check("row_count", "a")], "not_run"),  # the other pair is not proven
        (4, [check("row_count", "a"), check("row_count", "b", passed=False)], "failed"),
        (1, both("grants"), "not_run"),  # who may read it says nothing about whether it is the table
        (1, [*both("structure"), check("grants", passed=False, severity="WARN")], "warned"),
        (1, [*both("structure"), check("grants", passed=False)], "failed"),
        (3, both("rows"), "passed"),
        (3, [check("rows", "a"), check("checksum", "b")], "passed"),
        (5, [check("lambda_deployed")], "passed"),
        (6, both("api_schema_cache"), "not_configured"),
        (6, [check("api_schema_cache", passed=False)], "failed"),
        (7, [check("logs", passed=False)], "failed"),
    ],
)
def test_status(number, checks, expected):
    assert status(number, checks) == expected


def test_a_check_with_nothing_to_look_at_proves_nothing():
    checks = [c for name in ("structure", "row_count", "new_tables_gone", "rows") for c in both(name)]
    assert [status(n, checks) for n in (1, 2, 3, 4)] == ["passed"] * 4
    assert [status(n, checks, restored={"a"}) for n in (1, 2, 3, 4)] == ["not_run"] * 4
    assert status(4, both("row_count", passed=False), restored=set()) == "failed"


def test_a_line_whose_checks_do_not_apply_is_not_passed() -> None:
    """12 A5: what looked at nothing has proven nothing."""
    nothing = [c.model_copy(update={"outcome": "not_applicable"}) for c in both("row_count")]
    assert status(4, nothing) == "not_applicable"
    assert status(4, [nothing[0], check("row_count", "b")]) == "not_run"
