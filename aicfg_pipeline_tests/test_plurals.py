"""A number and its word agree: no person reads "1 rows". What counts goes through `counted`."""

from __future__ import annotations

import re
from pathlib import Path

PACKAGE = Path(__file__).parents[1] / "aicfg_pipeline"
WORDS = "rows|keys|tables|checks|hazards|statements|steps|columns|sessions|functions|entries|days|facts|attempts"
NUMBER = re.compile(rf"\{{([^{{}}]+)\}} (?:{WORDS})\b")
NEVER_ONE = {
    "tried:,": "told only where the most that are tried were tried, which are thousands",
    "PREPARE_DAYS": "a constant, 7",
    "migration.view_lifetime_days": "the runbook's, in a description",
    "self.applied": "of all checks",
    "Tally.of(checks).applied": "of all checks",
    "len(findings)": "of all facts of a report",
    "minutes // 1440": "two days at least",
    "number(rows)": "one row has a sentence of its own",
    "made": "told only where it is not one",
    "old": "a table's name",
}


def test_no_number_stands_before_a_plural_that_it_may_not_have() -> None:
    found = {
        f"{file.relative_to(PACKAGE)}: {match[0]}"
        for file in PACKAGE.rglob("*.py")
        for match in NUMBER.finditer(file.read_text("utf-8"))
        if match[1] not in NEVER_ONE and "demo/template" not in file.as_posix()
    }
    assert found == set()
