"""The runbook's "When to roll back": its four reasons, each judged from a reading of the services and their history.

A reason that holds once may be a blip; only when it has held several times in a row is a rollback advised. Advice is
all there is: nothing here, and nothing that uses it, ever starts a rollback.

`behaves_as_usual` can be seen without knowing the application. An endpoint answers with another value or another
shape than the database has. Or it is much slower than before, or its log has many more errors than before: more than
five times the median of the readings before, of which there must be ten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from statistics import median
from typing import Any

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Check, Verdict, failed, not_applicable, passed
from aicfg_pipeline.rollback.hazards import Subject, find_hazards
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, look
from aicfg_pipeline.runbook.checks import Reading
from aicfg_pipeline.services.settings import ServicesSettings, WatchSettings
from aicfg_pipeline.spec.model import Migration

ADVICE = "advice"
ENOUGH_HISTORY = 10
FAR = 5.0
LATENCY_FLOOR_MS, ERRORS_FLOOR = 500.0, 5.0


@dataclass(frozen=True)
class Reason:
    """One of the runbook's four reasons: its name, the asset it is shown on, and what it is."""

    name: str
    service: str
    description: str


CATALOG: tuple[Reason, ...] = (
    Reason("endpoints_answer", ADVICE, "Reason 1: API endpoints fail to read or write AI config data."),
    Reason("logs_name_no_missing_table", ADVICE, "Reason 2: Lambda functions show errors related to table names."),
    Reason("data_is_intact", ADVICE, "Reason 3: data integrity issues in the new tables."),
    Reason("behaves_as_usual", ADVICE, "Reason 4: unexpected application behaviour, see the docs."),
)

_WRONG_DATA = frozenset({"value", "shape", "slow"})
_INTEGRITY = frozenset(
    {"violates_check", "violates_unique", "violates_foreign_key", "violates_not_null", "more_than_one_row"}
)


@dataclass(frozen=True)
class History:
    """What earlier looks saw: how often each reason has held in a row, when that was counted, and plain series."""

    counts: Mapping[str, int] = field(default_factory=dict)
    counted_at: datetime | None = None
    latencies: Mapping[str, Sequence[float]] = field(default_factory=dict)
    errors: Sequence[float] = ()


@dataclass(frozen=True)
class Reasons:
    """The verdicts, and the counts to remember for the next look."""

    checks: tuple[Check, ...]
    counts: Mapping[str, int]
    counted_at: datetime

    @property
    def advised(self) -> tuple[str, ...]:
        """The reasons for which a rollback is advised."""
        return tuple(c.name for c in self.checks if c.failed)


def integrity_problems(session: Session, migration: Migration) -> list[str]:
    """Return what is wrong with the rows of the new tables: they break a rule that the old table has.

    Reads every row once, so it belongs into a job and not into a sensor's tick.
    """
    found = look(session, migration)
    if not found.in_state(*TO_ROLL_BACK):
        return []
    hazards = find_hazards(Subject(session, migration, found, Settings(), must_confirm=False))
    return [f"{h.pair}: {h.code}: {h.found}" for h in hazards if h.code in _INTEGRITY]


def weigh(reading: Reading, history: History, services: ServicesSettings, integrity: Sequence[str] | None) -> Reasons:
    """Judge the four reasons. `integrity` is None where the rows were not looked at: that reason then stays as it was.

    Reasons for which nothing is configured are left out.
    """
    watch = services.watch
    counts_now = history.counted_at is None or (
        (reading.at - history.counted_at).total_seconds() >= watch.spacing_seconds
    )
    evidence = {
        "endpoints_answer": _failing(reading),
        "logs_name_no_missing_table": _table_errors(reading),
        "data_is_intact": None if integrity is None else list(integrity),
        "behaves_as_usual": _unexpected(reading, history),
    }
    counts = {name: _count(name, seen, history, counts_now) for name, seen in evidence.items()}
    looked_at = {
        "endpoints_answer": services.endpoints is not None,
        "logs_name_no_missing_table": services.logs is not None,
        "data_is_intact": integrity is not None,
        "behaves_as_usual": services.endpoints is not None or services.logs is not None,
    }
    checks = [
        Check.of(_verdict(evidence[r.name], counts[r.name], watch), r.name, r.service, "service", "WARN")
        for r in CATALOG
        if looked_at[r.name]
    ]
    at = reading.at if counts_now or history.counted_at is None else history.counted_at
    return Reasons(tuple(checks), counts, at)


def _count(name: str, seen: Sequence[str] | None, history: History, counts_now: bool) -> int:
    before = int(history.counts.get(name, 0))
    if seen is None:
        return before
    if not seen:
        return 0
    return before + 1 if counts_now else max(before, 1)


def _verdict(seen: Sequence[str] | None, count: int, watch: WatchSettings) -> Verdict:
    facts: dict[str, Any] = {"consecutive": count, "advised_from": watch.consecutive}
    if seen is None:
        return not_applicable("This could not be looked at now; the count stays as it was.", facts)
    if not seen:
        return passed("Nothing of the kind.", facts)
    facts["evidence"] = list(seen[:10])
    told = "; ".join(seen[:3])
    if count < watch.consecutive:
        return passed(f"{told}. Seen in {counted(count, 'look')} of {watch.consecutive} in a row: it may pass.", facts)
    seen_in = f"Seen in {counted(count, 'look')}{' in a row' if count > 1 else ''}"
    summary = f"{told}. {seen_in}: a rollback is advised (job rollback; nothing starts it by itself)."
    return failed(summary, facts)


def _failing(reading: Reading) -> list[str]:
    wrong = [r for r in reading.probes or () if not r.ok and r.kind not in _WRONG_DATA]
    told = [f"{r.name}: {r.kind}: {r.reason}" for r in wrong]
    return told + ([reading.complaints["endpoints"]] if "endpoints" in reading.complaints else [])


def _table_errors(reading: Reading) -> list[str] | None:
    if reading.logs is None:
        return None
    if not reading.logs.missing_tables:
        return []
    tables = ", ".join(reading.logs.tables) or "a table that does not exist"
    return [
        f"{counted(reading.logs.missing_tables, 'error names', 'errors name')} {tables}",
        *(s.text for s in reading.logs.samples if s.missing_table),
    ]


def _unexpected(reading: Reading, history: History) -> list[str] | None:
    if reading.probes is None and reading.logs is None:
        return None
    seen = [f"{r.name}: {r.kind}: {r.reason}" for r in reading.probes or () if not r.ok and r.kind in _WRONG_DATA]
    for result in reading.probes or ():
        series = history.latencies.get(result.name, ())
        if result.latency_ms is not None and _far(result.latency_ms, series, LATENCY_FLOOR_MS):
            seen.append(f"{result.name}: took {result.latency_ms:.0f} ms, usual are {median(series):.0f} ms")
    if reading.logs is not None and _far(float(reading.logs.errors), history.errors, ERRORS_FLOOR):
        seen.append(f"{counted(reading.logs.errors, 'error')} in the logs, usual are {median(history.errors):g}")
    return seen


def _far(value: float, series: Sequence[float], floor: float) -> bool:
    return len(series) >= ENOUGH_HISTORY and value > max(FAR * median(series), median(series) + floor)
