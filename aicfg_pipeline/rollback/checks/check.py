"""What a check is: a name, the asset it is about, an outcome and what it saw. No check is here.

A check's function returns a verdict (`passed`, `failed` or `not_applicable`); the decorator `check` says the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from aicfg_pipeline.errors import ConnectionLostError, DatabaseError, LockTimeoutError, OnlyReadsError, PipelineError
from aicfg_pipeline.rollback.checks.inspection import Inspection
from aicfg_pipeline.spec.model import Pair

AssetKind = Literal["old", "new", "view", "service"]
Severity = Literal["ERROR", "WARN"]
Outcome = Literal["passed", "failed", "not_applicable"]

ATTEMPTS = 4

Result = TypeVar("Result")


# --- verdicts --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """What a check's function returns. `severity` None is the one that the check was declared with."""

    outcome: Outcome
    summary: str
    facts: Mapping[str, Any] = field(default_factory=dict)
    severity: Severity | None = None


def passed(summary: str, facts: Mapping[str, Any] | None = None, *, severity: Severity | None = None) -> Verdict:
    """It was looked at, and it is as it should be."""
    return Verdict("passed", summary, facts or {}, severity)


def failed(summary: str, facts: Mapping[str, Any] | None = None, *, severity: Severity | None = None) -> Verdict:
    """It was looked at and is not as it should be, or it could not be looked at."""
    return Verdict("failed", summary, facts or {}, severity)


def not_applicable(summary: str, facts: Mapping[str, Any] | None = None) -> Verdict:
    """There is nothing to look at in this state, so nothing is known to be right or wrong."""
    return Verdict("not_applicable", summary, facts or {})


@dataclass(frozen=True)
class Check:
    """A check that was made. `asset` is the kind of thing it is about; `facts` are plain values.

    `pair` is the pair's old table, or which service (then `asset` is "service").
    """

    name: str
    pair: str
    asset: AssetKind
    outcome: Outcome
    summary: str
    severity: Severity = "ERROR"
    facts: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, verdict: Verdict, name: str, pair: str, asset: AssetKind, severity: Severity) -> Check:
        """Return a verdict with what it is about."""
        return cls(name, pair, asset, verdict.outcome, verdict.summary, verdict.severity or severity, verdict.facts)

    @classmethod
    def read(cls, recorded: Mapping[str, Any]) -> Check:
        """Return a check as the ledger has it. Older rows have only `passed`, a third outcome they did not know."""
        outcome: Outcome = recorded.get("outcome") or ("passed" if recorded["passed"] else "failed")
        named = {k: recorded[k] for k in ("name", "pair", "asset", "summary")}
        return cls(**named, outcome=outcome, severity=recorded.get("severity", "ERROR"))

    @property
    def recorded(self) -> dict[str, Any]:
        """The check for the ledger. `passed` is for readers that know two outcomes: whether anything is wrong."""
        return {
            "pair": self.pair,
            "asset": self.asset,
            "name": self.name,
            "passed": not self.failed,
            "outcome": self.outcome,
            "summary": self.summary,
            "severity": self.severity,
        }

    @property
    def passed(self) -> bool:
        """Whether it was looked at and is right."""
        return self.outcome == "passed"

    @property
    def failed(self) -> bool:
        """Whether something is wrong."""
        return self.outcome == "failed"

    @property
    def applies(self) -> bool:
        """Whether there was something to look at."""
        return self.outcome != "not_applicable"


@dataclass(frozen=True)
class Tally:
    """How many checks came out how. What does not apply is counted apart."""

    passed: int
    failed: int
    not_applicable: int

    @classmethod
    def of(cls, checks: Iterable[Check]) -> Tally:
        """Count checks."""
        outcomes = [c.outcome for c in checks]
        return cls(outcomes.count("passed"), outcomes.count("failed"), outcomes.count("not_applicable"))

    @property
    def applied(self) -> int:
        """How many had something to look at."""
        return self.passed + self.failed

    def __str__(self) -> str:
        apart = f", {self.not_applicable} {'do' if self.not_applicable != 1 else 'does'} not apply"
        return f"{self.passed} of {self.applied} checks passed{apart if self.not_applicable else ''}"


# --- declaring a check -----------------------------------------------------------------------------------------


CheckFunction = Callable[[Inspection, Pair], Verdict]


@dataclass(frozen=True)
class PairCheck:
    """A check of one pair: what is known of it before it runs, and the function that looks."""

    name: str
    asset: AssetKind
    severity: Severity
    description: str
    judge: CheckFunction

    def __call__(self, inspection: Inspection, pair: Pair) -> Check:
        """Look, again where a lock was not to be had. A check that can't be carried out has failed, and says why."""
        try:
            verdict = patiently(lambda: self.judge(inspection, pair))
        except ConnectionLostError:
            raise
        except OnlyReadsError as error:
            verdict = not_applicable(f"Not looked at: {error.found}")
        except DatabaseError as error:
            verdict = _not_possible(inspection, error)
        except PipelineError as error:
            verdict = failed(f"This could not be checked: {' '.join(error.found.split())}")
        return Check.of(verdict, self.name, pair.old, self.asset, self.severity)


NO_PRIVILEGE = "42501"


def _not_possible(inspection: Inspection, error: DatabaseError) -> Verdict:
    """Tell what a role that only reads may not look at from what could not be looked at by the tables' owner."""
    told = " ".join(error.found.split())
    if inspection.only_reads and getattr(error, "sqlstate", None) == NO_PRIVILEGE:
        return not_applicable(f"Not looked at: this role only reads. {told}")
    return failed(f"This could not be checked: {told}")


def check(name: str, *, asset: AssetKind = "old", severity: Severity = "ERROR") -> Callable[[CheckFunction], PairCheck]:
    """Declare a check. The first line of the function's docstring is what people read of it."""

    def declared(judge: CheckFunction) -> PairCheck:
        description = (judge.__doc__ or name).strip().splitlines()[0]
        return PairCheck(name, asset, severity, description, judge)

    return declared


def nothing_yet(inspection: Inspection, pair: Pair) -> Verdict:
    """Return the verdict of a check that has nothing to look at in this state."""
    state = inspection.state(pair)
    return not_applicable(f"There is nothing to check yet ({state.state}: {state.because}).")


def patiently(work: Callable[[], Result]) -> Result:
    """Run something that only reads, again where someone else's DDL held its lock for too long."""
    for _ in range(ATTEMPTS - 1):
        try:
            return work()
        except LockTimeoutError:
            continue
    return work()
