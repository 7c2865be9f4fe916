"""Evidence as one self-contained HTML page: no scripts, no external resources, every text escaped and redacted.

Page and style are in `templates/`; here is only what the template needs to say things. SafeFacts are not made here.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, select_autoescape

from aicfg_pipeline.evidence import svg, words
from aicfg_pipeline.evidence.facts import CheckFact, Evidence, LineEvidence, SafeFacts, Scalar, Step
from aicfg_pipeline.evidence.gather import safe

KINDS = {
    "rollback": "Rollback",
    "undo": "Undo of a rollback",
    "drop": "Drop of the new tables",
    "verify": "Verification",
    "prepare": "Preparation of a rollback",
    "abandon": "Giving up of a rollback",
    "migrate": "Migration",
    "plan": "Plan",
    "rehearse": "Rehearsal",
}
MOMENTS = {
    "before_cut_over": "before the cut-over",
    "after_cut_over": "after the cut-over",
    "at_drop": "at the drop",
    "at_undo": "at the undo",
}
STATUS = {
    "passed": ("ok", "✓", "passed"),
    "warned": ("warn", "!", "warning"),
    "failed": ("bad", "✕", "failed"),
    "not_run": ("none", "–", "not run"),
    "not_configured": ("none", "○", "not configured"),
    "not_applicable": ("none", "·", "does not apply"),
}
ORDER = {"failed": 0, "warning": 1, "passed": 2, "does not apply": 3}
TONES = {"succeeded": "ok", "nothing_to_do": "ok", "steps_open": "warn", "refused": "warn", "failed": "bad"}
SIGNS = {"ok": "✓", "warn": "!", "bad": "✕"}
LONG_STATEMENT = 220


def html(evidence: Evidence, *, json_name: str | None = None) -> str:
    """Return the page. `json_name` is the file beside it with the same facts."""
    evidence = safe(evidence)
    page = _environment().get_template("report.html.j2")
    return page.render(
        e=evidence,
        tone=_tone(evidence),
        headline=_headline(evidence.verdict),
        json_name=json_name,
        wide=svg.timeline(evidence.timeline, evidence.stages, layout=svg.WIDE, name="wide"),
        narrow=svg.timeline(evidence.timeline, evidence.stages, layout=svg.NARROW, name="narrow"),
        verdicts=_by_verdict(evidence.checks),
        begun=evidence.started,
        groups=_statement_groups(evidence),
        left=[h for h in evidence.by_hand if h not in evidence.open_steps],
        kinds=KINDS,
        moments=MOMENTS,
        status=STATUS,
        signs=SIGNS,
        long_statement=LONG_STATEMENT,
    )


@lru_cache(maxsize=1)
def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("aicfg_pipeline.evidence"),
        autoescape=select_autoescape(default=True, default_for_string=True),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(
        number=words.number,
        duration=words.duration,
        ms=lambda ms: words.duration(ms / 1000),
        when=words.when,
        clock=words.clock,
        words=words.title,
        listed=_listed,
        untimed=_untimed,
        verdict=_check_status,
        tally=_tally,
        named_by=_named_by,
    )
    return made


def _tone(evidence: Evidence) -> str:
    if evidence.outcome == "succeeded" and evidence.failed_checks:
        return "bad"
    if evidence.outcome == "succeeded" and any(not c.passed for c in evidence.checks):
        return "warn"  # nothing stopped the run, and not everything is well
    return TONES[evidence.outcome]


def _headline(verdict: str) -> tuple[str, str]:
    """Cut the verdict into what is read first and what comes after it."""
    first, colon, rest = verdict.partition(": ")
    return (f"{first}.", rest) if colon else (verdict, "")


def _check_status(check: Any) -> tuple[str, str, str]:
    if check.outcome == "not_applicable":
        return STATUS["not_applicable"]
    if check.passed:
        return STATUS["passed"]
    return STATUS["failed" if check.severity == "ERROR" else "warned"]


def _named_by(evidence: Sequence[LineEvidence]) -> list[tuple[str, list[str]]]:
    """Return the checks of a line by what came of them, worst first, each name once: what they saw is told below."""
    found: dict[str, list[str]] = {}
    for check in sorted(evidence, key=lambda c: ORDER[_check_status(c)[2]]):
        found.setdefault(_check_status(check)[2], []).append(check.check)
    return [(f"{told.capitalize()}:", list(dict.fromkeys(names))) for told, names in found.items()]


def _tally(checks: Sequence[CheckFact]) -> str:
    """Count the checks that passed among those that apply, and the others apart."""
    applied = [c for c in checks if c.outcome != "not_applicable"]
    others = len(checks) - len(applied)
    apart = f", {others} {'do' if others != 1 else 'does'} not apply" if others else ""
    return f"{sum(c.passed for c in applied)} of {len(applied)} passed{apart}"


def _by_verdict(checks: Sequence[CheckFact]) -> dict[str, list[CheckFact]]:
    """Group the checks by what came of them, each once: `wrong` (failed before warned), `passed`, `idle` (does not apply).

    Within a group the same check of several tables stands together.
    """
    groups = {"failed": "wrong", "warning": "wrong", "passed": "passed", "does not apply": "idle"}
    found: dict[str, list[CheckFact]] = {"wrong": [], "passed": [], "idle": []}
    first = {name: at for at, name in reversed(list(enumerate(c.name for c in checks)))}
    for check in sorted(checks, key=lambda c: (ORDER[_check_status(c)[2]], first[c.name])):
        found[groups[_check_status(check)[2]]].append(check)
    return found


def _listed(value: Scalar | Sequence[Scalar]) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_listed(v) for v in value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int | float):
        return words.number(value)
    return "none" if value is None else str(value)


def _untimed(facts: SafeFacts) -> SafeFacts:
    """The facts of a step without those that have a column of their own."""
    return {name: value for name, value in facts.items() if name != "locks_held_ms" and not name.endswith("seconds")}


def _statement_groups(evidence: Evidence) -> list[tuple[Step, list[Any], int]]:
    """Each step with the statements worth showing, and how many of housekeeping are left out."""
    groups = []
    for step in evidence.timeline:
        shown = [s for s in step.statements if s.kind != "housekeeping"]
        if step.statements:
            groups.append((step, shown, len(step.statements) - len(shown)))
    return groups
