"""The model of the evidence: what a report holds, frozen, and the source of the published JSON schema.

How the facts are found is `gather`'s, how they look is `render`'s. A field is only ever added with a default; taking
one away or changing its meaning raises `FORMAT_VERSION`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeFloat, NonNegativeInt

FORMAT_VERSION: Literal[1] = 1

ReportKind = Literal["rollback", "undo", "drop", "verify", "prepare", "abandon", "migrate", "plan", "rehearse"]
Outcome = Literal["succeeded", "steps_open", "failed", "refused", "nothing_to_do"]
LineStatus = Literal["passed", "warned", "failed", "not_run", "not_configured", "not_applicable"]
CheckOutcome = Literal["passed", "failed", "not_applicable"]
StatementKind = Literal["work", "read", "housekeeping"]
Scalar = bool | int | float | str | None
SafeFacts = dict[str, Scalar | list[Scalar]]


class _Fact(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Database(_Fact):
    """Which database, on which server, and as whom. Never a password."""

    name: str = "?"
    server_address: str | None = None
    server_port: int | None = None
    server_version: str | None = None
    system_identifier: str | None = None
    """What PostgreSQL itself calls this cluster: two servers of one address differ in it."""
    role: str | None = None
    target: str | None = None
    """What people call it, and what `confirm_database` takes: a Supabase project's ref, or `database@host:port`."""


class Hazard(_Fact):
    """One hazard of the plan."""

    code: str
    found: str
    pair: str | None = None
    accepted: bool = False
    blocks: bool | None = None
    """Whether it stops a run that does not accept it; null where the plan does not say."""
    remedy: str | None = None


class Side(_Fact):
    """One side of a comparison. The checksum is a decimal integer as text; it is good on its own server only."""

    rows: NonNegativeInt
    checksum: str | None = None


class DifferingKey(_Fact):
    """The key of a row that differs without an entry in the change log, and how."""

    key: list[Scalar]
    kind: str


class Comparison(_Fact):
    """One comparison of a pair: both sides in one snapshot."""

    when: Literal["before_cut_over", "after_cut_over", "at_drop", "at_undo"]
    at: AwareDatetime | None = None
    before: Side | None = None
    """What the new table held (in an undo: what the old table held)."""
    after: Side | None = None
    """What the old table holds (before the cut-over: its shadow; in an undo: what the new table holds)."""
    differences: NonNegativeInt | None = None
    unexplained: NonNegativeInt | None = None
    """Differences without an entry in the change log: any is one too many."""
    sample: list[DifferingKey] = []


class PairFacts(_Fact):
    """One pair of tables before and after the run."""

    old: str
    new: str | None = None
    state_before: str | None = None
    state_after: str | None = None
    before: Side | None = None
    """The first `before` of the comparisons."""
    after: Side | None = None
    """The last `after` of the comparisons."""
    differences: NonNegativeInt | None = None
    unexplained: NonNegativeInt | None = None
    keys_replayed: NonNegativeInt | None = None
    keys_written_since: NonNegativeInt | None = None
    locks_held_ms: NonNegativeFloat | None = None
    comparisons: list[Comparison] = []


class ExportFile(_Fact):
    """A file that holds the rows of a dropped table."""

    file: str
    table: str | None = None
    rows: NonNegativeInt | None = None
    sha256: str | None = None


class Statement(_Fact):
    """One executed statement without the values it was given."""

    sql: str
    ms: NonNegativeFloat | None = None
    kind: StatementKind = "work"


class Step(_Fact):
    """One thing done: one row of the ledger."""

    step: str
    outcome: str
    pair: str | None = None
    run_id: str
    started: AwareDatetime
    at: AwareDatetime
    """When it was recorded, which is when it was done."""
    seconds: NonNegativeFloat = 0.0
    locks_held_ms: NonNegativeFloat | None = None
    facts: SafeFacts = {}
    statements: list[Statement] = []


class Stage(_Fact):
    """One op of the run, from its beginning to its end: what it looked at and waited for, too."""

    name: str
    started: AwareDatetime
    ended: AwareDatetime


class CheckFact(_Fact):
    """One check: what it is about, its verdict and what it saw."""

    asset: str
    pair: str
    name: str
    passed: bool
    """Whether nothing is wrong: true for what does not apply, too. `outcome` tells the two apart."""
    outcome: CheckOutcome | None = None
    """Null in reports from before there was a third outcome."""
    severity: Literal["ERROR", "WARN"] = "ERROR"
    summary: str = ""
    facts: SafeFacts = {}


class LineEvidence(_Fact):
    """One check beside a line of the runbook's checklist."""

    check: str
    asset: str
    passed: bool
    outcome: CheckOutcome | None = None
    severity: Literal["ERROR", "WARN"] = "ERROR"
    summary: str = ""


class ChecklistLine(_Fact):
    """One line of the runbook's checklist with the evidence beside it."""

    text: str
    status: LineStatus
    checks: list[str]
    """Names of the checks that this line maps to."""
    not_run: list[str] = []
    """Those of them that were not run."""
    not_configured: list[str] = []
    """Those of them that belong to a service that is not configured: a person does it."""
    evidence: list[LineEvidence] = []


class ByHand(_Fact):
    """A step of the runbook that is not configured and so is left to a person."""

    service: str
    title: str
    command: str = ""
    runbook_step: int | None = None
    open: bool = True
    """Whether the application may not work, or nobody knows whether it does, until a person has done it."""


class StepTime(_Fact):
    """How long one step took; null where that is not known."""

    job: str
    step: str
    pair: str | None = None
    seconds: NonNegativeFloat | None = None


class Rehearsal(_Fact):
    """What was rehearsed: for which target, on which copy, and what the copy does not have as the target has it."""

    target: str
    on: str
    notes: list[str] = []
    locks_held_ms: dict[str, NonNegativeFloat] = {}
    """By job: for how long all locks were held at its swap."""


class WayBack(_Fact):
    """Whether and how what was done can be taken back."""

    possible: bool
    text: str
    until: AwareDatetime | None = None
    command: str | None = None


class Evidence(_Fact):
    """Everything one report says."""

    format_version: Literal[1] = FORMAT_VERSION
    kind: ReportKind
    outcome: Outcome
    verdict: str
    """The outcome as one sentence, or two. `steps_open`: the job has done its part, and a person has not done his."""
    error: str | None = None
    """What stopped the run, where it did not succeed."""
    migration: str | None = None
    database: Database
    run_id: str
    run_url: str | None = None
    """Where Dagster's UI shows the run, where that is known."""
    who: str | None = None
    """Who launched the run: the user of Dagster where it has one, else the user and host of its process."""
    reason: str | None = None
    """Why, in the words of whoever launched it."""
    settings: SafeFacts = {}
    """What was asked for, where it is not the default."""
    started: AwareDatetime
    ended: AwareDatetime
    plan_hash: str | None = None
    locks_held_ms: NonNegativeFloat | None = None
    """The longest time for which this run kept everyone out."""
    way_back: WayBack
    hazards: list[Hazard] = []
    pairs: list[PairFacts] = []
    exports: list[ExportFile] = []
    timeline: list[Step] = []
    stages: list[Stage] = []
    """The ops of the run as far as it had come. Empty in reports from before they were noted."""
    checks: list[CheckFact] = []
    checklist: list[ChecklistLine] = []
    """Empty where it does not belong (an undo), or where no check was run."""
    by_hand: list[ByHand] = []
    step_times: list[StepTime] = []
    """How long each step took, in the order of the steps; empty where no step was timed as such."""
    rehearsal: Rehearsal | None = None
    """Only of a rehearsal: `database` is the copy then."""

    @property
    def seconds(self) -> float:
        """How long the run took."""
        return max((self.ended - self.started).total_seconds(), 0.0)

    @property
    def open_steps(self) -> list[ByHand]:
        """What is a person's now; none of a run that did not do its own part."""
        return [step for step in self.by_hand if step.open] if self.outcome == "steps_open" else []

    @property
    def failed_checks(self) -> list[CheckFact]:
        """The checks that stop a run."""
        return [c for c in self.checks if not c.passed and c.severity == "ERROR"]

    @property
    def statements(self) -> list[tuple[Step, Statement]]:
        """Every statement with its step, in the order of the ledger."""
        return [(step, statement) for step in self.timeline for statement in step.statements]


def instant(text: str | datetime | None) -> datetime | None:
    """Read a time of a ledger fact; None where it is not one."""
    if isinstance(text, datetime):
        return text
    try:
        return datetime.fromisoformat(text) if text else None
    except (TypeError, ValueError):
        return None
