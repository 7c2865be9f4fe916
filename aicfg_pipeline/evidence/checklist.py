"""The runbook's "Verification Checklist": which checks stand for which of its eight lines. The one place of this.

Each check stands for exactly one line. What a check does is its own file's; tables are named by the migration.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from aicfg_pipeline.evidence.facts import CheckFact, ChecklistLine, LineEvidence, LineStatus


@dataclass(frozen=True)
class Line:
    """One line: its text ({old} and {new} are the tables' names), its checks, and which of them must have run.

    `per_pair`: of `needs`, one must have run for each pair; else one at all. `service`: without its check the line is
    "not configured", because a person does it.
    """

    text: str
    checks: tuple[str, ...]
    needs: tuple[str, ...]
    per_pair: bool = True
    service: bool = False


LINES: tuple[Line, ...] = (
    Line(
        "Old tables ({old}) exist",
        (
            *("structure", "row_level_security", "grants", "visible_rows", "references"),
            *("functions", "roles", "readers", "sequences", "private_schema"),
        ),
        ("structure",),
    ),
    Line("New tables ({new}) do not exist", ("new_tables_gone", "views_gone", "nothing_left"), ("new_tables_gone",)),
    Line("All data from new tables copied back to old tables", ("checksum", "rows"), ("checksum", "rows")),
    Line("Row counts match between tables before rollback", ("row_count",), ("row_count",)),
    Line(
        "Lambda functions deployed with old table names",
        ("lambda_deployed",),
        ("lambda_deployed",),
        per_pair=False,
        service=True,
    ),
    Line(
        "API endpoints return valid responses",
        ("endpoints", "api_schema_cache"),
        ("endpoints",),
        per_pair=False,
        service=True,
    ),
    Line("No errors in CloudWatch logs", ("logs",), ("logs",), per_pair=False, service=True),
    Line(
        "Template schema files restored to original names",
        ("schema_files",),
        ("schema_files",),
        per_pair=False,
        service=True,
    ),
)

SERVICE_CHECKS = {name for line in LINES if line.service for name in line.needs}


def filled(
    checks: Sequence[CheckFact], names: Mapping[str, str | None], restored: Collection[str]
) -> list[ChecklistLine]:
    """Return the eight lines with the evidence beside each. `names` is old → new table name.

    `restored` are the pairs whose old table is in use: of any other a check passes because it has nothing to look at.
    """
    return [_line(line, [c for c in checks if c.name in line.checks], names, restored) for line in LINES]


def _line(
    line: Line, checks: Sequence[CheckFact], names: Mapping[str, str | None], restored: Collection[str]
) -> ChecklistLine:
    ran = {c.name for c in checks}
    missing = [name for name in line.checks if name not in ran]
    evidence = [
        LineEvidence(
            check=c.name, asset=c.asset, passed=c.passed, outcome=c.outcome, severity=c.severity, summary=c.summary
        )
        for c in sorted(checks, key=lambda c: line.checks.index(c.name))
    ]
    return ChecklistLine(
        text=line.text.format(old=", ".join(names), new=", ".join(n for n in names.values() if n)),
        status=_status(line, checks, names, restored),
        checks=list(line.checks),
        not_run=[name for name in missing if name not in SERVICE_CHECKS],
        not_configured=[name for name in missing if name in SERVICE_CHECKS],
        evidence=evidence,
    )


def _status(
    line: Line, checks: Sequence[CheckFact], names: Mapping[str, str | None], restored: Collection[str]
) -> LineStatus:
    wrong = [c for c in checks if not c.passed]
    if any(c.severity == "ERROR" for c in wrong):
        return "failed"
    needed = [c for c in checks if c.name in line.needs]
    if needed and all(c.outcome == "not_applicable" for c in needed):
        return "not_applicable"
    covered = {c.pair for c in needed if c.outcome != "not_applicable"}
    if not covered:
        return "not_configured" if line.service else "not_run"
    if line.per_pair and not covered & set(restored) >= set(names):
        return "not_run"
    return "warned" if wrong else "passed"
