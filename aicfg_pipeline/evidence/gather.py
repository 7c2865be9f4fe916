"""From ledger rows and checks to an `Evidence`. Pure: no database is asked, and a fact that is missing is left out.

The ledger says what was done; `Known` is what only the caller knows (which database, the checks, the plan's hazards,
states before and after, what stopped the run). Words are `verdict`'s, safety is `safe`'s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aicfg_pipeline.evidence.checklist import filled
from aicfg_pipeline.evidence.facts import (
    ByHand,
    CheckFact,
    Comparison,
    Database,
    DifferingKey,
    Evidence,
    ExportFile,
    Hazard,
    Outcome,
    PairFacts,
    Rehearsal,
    ReportKind,
    Side,
    Stage,
    Step,
    StepTime,
    instant,
)
from aicfg_pipeline.evidence.safe import CATALOG_CHECKS, clean_statement, redacted, small_facts
from aicfg_pipeline.evidence.verdict import Command, expected, no_command, verdict, way_back
from aicfg_pipeline.rollback.checks.check import Check
from aicfg_pipeline.rollback.ledger import Entry, Ledger
from aicfg_pipeline.spec.model import Migration

_RESTORED = {"cut_over", "renamed", "rolled_back", "never_migrated"}
"""States in which the old table is the one in use; in any other its checks have nothing to say yet."""

_SWAPS = {"cut_over": "cut_over", "undo": "migrated", "undo_rollback": "migrated", "drop": "rolled_back"}
"""A step that is done, and the state that it leaves a pair in."""


_OF_THE_RUNBOOK = {"rollback", "drop", "verify"}
"""What the runbook's checklist is about; where no check was run, it would have eight lines that say nothing."""


@dataclass(frozen=True)
class Known:
    """What the ledger does not say. Everything but kind, run and database may be left out.

    `database` is the row of the engine's block `identity` (or a mapping, or a `Database`); `hazards` and `by_hand` take
    anything with the fields of `facts.Hazard` and `facts.ByHand`. `secrets` never appear, wherever they are.
    """

    kind: ReportKind
    run_id: str
    database: Any
    migration: Migration | None = None
    checks: Sequence[Check] = ()
    hazards: Sequence[Any] = ()
    accepted: Sequence[str] = ()
    by_hand: Sequence[Any] = ()
    states_before: Mapping[str, str] = field(default_factory=dict)
    states_after: Mapping[str, str] = field(default_factory=dict)
    who: str | None = None
    reason: str | None = None
    settings: Mapping[str, Any] = field(default_factory=dict)
    started: datetime | None = None
    ended: datetime | None = None
    plan_hash: str | None = None
    outcome: Outcome | None = None
    error: str | None = None
    secrets: Sequence[str] = ()
    stages: Sequence[Stage] = ()
    run_url: str | None = None
    command: Command = no_command
    step_times: Sequence[StepTime] = ()
    rehearsal: Rehearsal | None = None


def gather(ledger: Ledger | Iterable[Entry], known: Known) -> Evidence:
    """Build the evidence of one run. From a `Ledger` the rows of the run are taken; rows given as such are all used."""
    book = ledger.entries if isinstance(ledger, Ledger) else tuple(ledger)
    entries = ledger.of_run(known.run_id) if isinstance(ledger, Ledger) else list(book)
    timeline = [_step(e) for e in entries]
    checks = [_check(c, known.migration) for c in known.checks]
    pairs = [_pair(old, new, entries, known) for old, new in _names(entries, known).items()]
    started, ended = _span(timeline, known)
    locks = _longest(p.locks_held_ms for p in pairs)
    by_hand = [ByHand(**_fields(h, ByHand)) for h in known.by_hand]
    outcome = known.outcome or _outcome(entries, checks, known, by_hand)
    evidence = Evidence(
        kind=known.kind,
        outcome=outcome,
        verdict=expected(known.step_times, known.rehearsal.locks_held_ms)
        if known.rehearsal and outcome == "succeeded"
        else verdict(known.kind, outcome, pairs, locks, sum(h.open for h in by_hand), looked=bool(checks)),
        error=known.error,
        migration=known.migration.name if known.migration else None,
        database=database_of(known.database),
        run_id=known.run_id,
        run_url=known.run_url,
        who=known.who or next((e.actor for e in entries if e.actor), None),
        reason=known.reason or None,
        settings=small_facts(known.settings, texts=True),
        started=started,
        ended=ended,
        plan_hash=known.plan_hash or next((e.plan_hash for e in reversed(entries) if e.plan_hash), None),
        locks_held_ms=locks,
        way_back=way_back(known.kind, outcome, pairs, _until(book), ended, known.command),
        hazards=[_hazard(h, known.accepted) for h in known.hazards],
        pairs=pairs,
        exports=[]
        if known.rehearsal
        else [_export(x) for e in entries for x in _mappings(e.facts.get("exports")) if x.get("file")],
        timeline=timeline,
        stages=list(known.stages),
        checks=checks,
        checklist=[]
        if known.kind not in _OF_THE_RUNBOOK or not checks
        else filled(checks, {p.old: p.new for p in pairs}, {p.old for p in pairs if p.state_after in _RESTORED}),
        by_hand=by_hand,
        step_times=list(known.step_times),
        rehearsal=known.rehearsal,
    )
    return safe(evidence, known.secrets)


def safe(evidence: Evidence, secrets: Iterable[str] = ()) -> Evidence:
    """Return the evidence with every text in it redacted."""
    return Evidence.model_validate(redacted(evidence.model_dump(), secrets))


# --- the parts -------------------------------------------------------------------------------------------------


def database_of(identity: Any) -> Database:
    """Read the row of the block `identity`, a mapping of the same names, or a `Database`."""
    if isinstance(identity, Database):
        return identity

    def get(name: str) -> Any:
        return identity.get(name) if isinstance(identity, Mapping) else getattr(identity, name, None)

    version = get("server_version") or get("version")
    return Database(
        name=str(get("database") or get("name") or "?"),
        server_address=get("server_address"),
        server_port=get("server_port") or None,
        server_version=" ".join(str(version).split()[:2]) if version else None,
        system_identifier=str(get("system_identifier")) if get("system_identifier") else None,
        role=get("role"),
        target=get("target"),
    )


def _mappings(value: Any) -> list[Mapping[str, Any]]:
    return [v for v in value if isinstance(v, Mapping)] if isinstance(value, list) else []


def _export(facts: Mapping[str, Any]) -> ExportFile:
    return ExportFile(
        file=str(facts["file"]),
        table=_word(facts.get("table")),
        rows=_count(facts.get("rows")),
        sha256=_word(facts.get("sha256")),
    )


def _fields(thing: Any, model: type[Hazard] | type[ByHand]) -> dict[str, Any]:
    def held(name: str) -> Any:
        return thing.get(name) if isinstance(thing, Mapping) else getattr(thing, name, None)

    return {name: value for name in model.model_fields if (value := held(name)) is not None}


def _hazard(hazard: Any, accepted: Sequence[str]) -> Hazard:
    fields = _fields(hazard, Hazard)
    fields["code"], fields["found"] = str(fields.get("code", "?")), str(fields.get("found", ""))
    blocks, acceptable = fields.get("blocks"), getattr(hazard, "acceptable", True)
    if callable(blocks):
        fields["blocks"] = bool(blocks(()))
    fields["accepted"] = fields.get("accepted") is True or (fields["code"] in accepted and bool(acceptable))
    return Hazard(**fields)


def _check(check: Check, migration: Migration | None) -> CheckFact:
    name = check.pair
    if check.asset == "new" and migration:
        name = next((p.new for p in migration.pairs if p.old == check.pair), check.pair)
    return CheckFact(
        asset=f"{check.asset}/{name}",
        pair=check.pair,
        name=check.name,
        passed=not check.failed,
        outcome=check.outcome,
        severity=check.severity,
        summary=check.summary,
        facts=small_facts(check.facts, texts=check.name in CATALOG_CHECKS),
    )


def _step(entry: Entry) -> Step:
    statements = [clean_statement(str(s.get("sql", "")), _amount(s.get("ms"))) for s in entry.statements or ()]
    locks = _amount(entry.facts.get("locks_held_ms"))
    timed = [v for k, v in entry.facts.items() if k == "seconds" or k.endswith("_seconds")]
    measured = [s for s in map(_amount, timed) if s is not None]
    executed = sum(s.ms or 0.0 for s in statements) / 1000
    seconds = max([*measured, executed, (locks or 0.0) / 1000])
    at = _aware(entry.at)
    return Step(
        step=entry.step,
        outcome=entry.outcome,
        pair=entry.pair,
        run_id=entry.run_id,
        started=at - timedelta(seconds=seconds),
        at=at,
        seconds=round(seconds, 6),
        locks_held_ms=locks,
        facts=small_facts(entry.facts, texts=True),
        statements=statements,
    )


def _names(entries: Sequence[Entry], known: Known) -> dict[str, str | None]:
    """Old → new name of every pair: the migration's, or those that ledger and checks speak of."""
    if known.migration:
        return {p.old: p.new for p in known.migration.pairs}
    names: dict[str, str | None] = dict.fromkeys([*known.states_before, *known.states_after])
    for entry in entries:
        if entry.pair:
            new = entry.facts.get("new_table")
            names[entry.pair] = str(new) if new else names.get(entry.pair)
    return {**dict.fromkeys(c.pair for c in known.checks), **names}


def _pair(old: str, new: str | None, entries: Sequence[Entry], known: Known) -> PairFacts:
    mine = [e for e in entries if e.pair == old]
    checked = [c for c in known.checks if c.pair == old]
    comparisons = _comparisons(mine, checked, known)
    swaps = [_left_by(e) for e in mine if e.step in _SWAPS and e.outcome == "done"]
    replayed = [n for e in mine for key in ("entries", "keys_replayed") if (n := _count(e.facts.get(key))) is not None]
    written = [n for c in checked if (n := _count(c.facts.get("keys_written_since"))) is not None]
    last = comparisons[-1] if comparisons else Comparison(when="before_cut_over")
    return PairFacts(
        old=old,
        new=new,
        state_before=_word(known.states_before.get(old)) or _state_recorded(mine),
        state_after=_word(known.states_after.get(old)) or (swaps[-1] if swaps else None),
        before=next((c.before for c in comparisons if c.before), None),
        after=last.after,
        differences=last.differences,
        unexplained=last.unexplained,
        keys_replayed=sum(replayed) if replayed else None,
        keys_written_since=max(written) if written else None,
        locks_held_ms=_longest(_amount(e.facts.get("locks_held_ms")) for e in mine),
        comparisons=comparisons,
    )


def _left_by(entry: Entry) -> str:
    renamed = entry.step == "cut_over" and entry.facts.get("way") == "instant"
    return "renamed" if renamed else _SWAPS[entry.step]


def _state_recorded(entries: Sequence[Entry]) -> str | None:
    return next((str(e.facts["state"]) for e in entries if e.facts.get("state")), None)


# --- comparisons -----------------------------------------------------------------------------------------------


def _comparisons(entries: Sequence[Entry], checks: Sequence[Check], known: Known) -> list[Comparison]:
    """The comparisons of one pair, oldest first: the gate before, the check after, the last word at the drop."""
    found: list[Comparison] = []
    for entry in entries:
        if entry.step == "compare":
            found.append(_compared("before_cut_over", _proven_at(entry), entry.facts))
        elif entry.step == "drop" and entry.outcome == "done":
            found.append(_compared("at_drop", _aware(entry.at), entry.facts))
        elif entry.step.startswith("undo") and entry.outcome in ("proven", "refuted"):
            found.append(_compared("at_undo", _aware(entry.at), entry.facts))
    dropped = any(c.when == "at_drop" for c in found)
    for check in checks:
        if check.name == "checksum" and "rows_before" in check.facts and not dropped:
            found.append(_compared("after_cut_over", known.ended, check.facts))
    return [c for c in found if c.before or c.after]


def _proven_at(entry: Entry) -> datetime:
    """A rollback may rely on what a preparation has proven: the comparison was then, not now."""
    then = entry.facts.get("proven_at")
    return _aware(datetime.fromisoformat(then) if isinstance(then, str) else entry.at)


def _compared(moment: Any, at: datetime | None, facts: Mapping[str, Any]) -> Comparison:
    counted = facts.get("differences")
    differences: Mapping[str, Any] = counted if isinstance(counted, Mapping) else {}
    return Comparison(
        when=moment,
        at=_aware(at) if at else None,
        before=_side(facts, "before"),
        after=_side(facts, "after"),
        differences=_first_count(differences.get("differences"), facts.get("differing_rows"), counted),
        unexplained=_first_count(differences.get("unexplained"), facts.get("unexplained_rows")),
        sample=_sample(differences.get("sample")),
    )


def _side(facts: Mapping[str, Any], name: str) -> Side | None:
    side = facts.get(name)
    nested: Mapping[str, Any] = side if isinstance(side, Mapping) else {}
    rows = _first_count(nested.get("rows"), facts.get(f"rows_{name}"))
    checksum = nested.get("checksum", facts.get(f"checksum_{name}"))
    return Side(rows=rows, checksum=None if checksum is None else str(checksum)) if rows is not None else None


def _sample(rows: Any) -> list[DifferingKey]:
    """Keys and kinds only: whatever else a sample holds stays out of the report."""
    if not isinstance(rows, list):
        return []
    keyed = [r for r in rows if isinstance(r, Mapping) and "key" in r]
    return [DifferingKey(key=_key(r["key"]), kind=str(r.get("kind", "changed"))) for r in keyed if r["key"] is not None]


def _key(value: Any) -> list[Any]:
    parts = value if isinstance(value, list | tuple) else [value]
    return [p if isinstance(p, bool | int | float | str) or p is None else str(p) for p in parts]


# --- the whole -------------------------------------------------------------------------------------------------


def _outcome(entries: Sequence[Entry], checks: Sequence[CheckFact], known: Known, by_hand: Sequence[ByHand]) -> Outcome:
    blocked = any(h.blocks and not h.accepted for h in (_hazard(h, known.accepted) for h in known.hazards))
    if known.error:
        return "failed" if any(e.step != "run" for e in entries) and not blocked else "refused"
    if any(not c.passed and c.severity == "ERROR" for c in checks):
        return "failed"
    if blocked:
        return "refused"
    if any(h.open for h in by_hand):
        return "steps_open"  # also where it was rolled back before: nobody here knows whether they are done
    return "succeeded" if any(e.step in _SWAPS and e.outcome == "done" for e in entries) else "nothing_to_do"


def _span(timeline: Sequence[Step], known: Known) -> tuple[datetime, datetime]:
    starts = [*(s.started for s in timeline), *(_aware(s.started) for s in known.stages)] + (
        [_aware(known.started)] if known.started else []
    )
    ends = [*(s.at for s in timeline), *(_aware(s.ended) for s in known.stages)] + (
        [_aware(known.ended)] if known.ended else []
    )
    now = datetime.now(UTC)
    started = min(starts, default=min(ends, default=now))
    return started, max(ends, default=started)


def _until(entries: Sequence[Entry]) -> datetime | None:
    last = {e.pair: e for e in entries if e.step == "cut_over" and e.outcome == "done"}
    found = [t for e in last.values() if (t := instant(e.facts.get("retain_until"))) is not None]
    return min(map(_aware, found)) if found else None


def _aware(at: datetime) -> datetime:
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).astimezone(UTC)


def _word(state: Any) -> str | None:
    return str(state) if state else None


def _amount(value: Any) -> float | None:
    """Return a number that is not negative; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < float("inf"):
        return None
    return float(value)


def _count(value: Any) -> int | None:
    amount = _amount(value)
    return int(amount) if amount is not None else None


def _first_count(*values: Any) -> int | None:
    return next((n for n in map(_count, values) if n is not None), None)


def _longest(values: Iterable[float | None]) -> float | None:
    return max((v for v in values if v is not None), default=None)
