"""An earlier report against the database of today: what agrees, what differs, and what explains it.

The pure part: `verify` finds the facts of today and hands them in as `PairNow`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from aicfg_pipeline.evidence.facts import Evidence, PairFacts
from aicfg_pipeline.evidence.words import number

Field = Literal["pair", "state", "rows", "checksum"]
Judgement = Literal["agrees", "explained", "differs", "not_comparable"]

_ONWARDS = {
    ("cut_over", "rolled_back"): "the new tables were dropped since",
    ("cut_over", "migrated"): "the rollback was undone since",
    ("migrated", "cut_over"): "it was rolled back since",
    ("migrated", "renamed"): "it was rolled back since",
    ("renamed", "rolled_back"): "the time to undo it was ended since",
    ("renamed", "migrated"): "the rollback was undone since",
    ("migrated", "copying"): "a rollback is under way",
    ("copying", "cut_over"): "the rollback went on since",
    ("copying", "migrated"): "the shadow was taken away since",
    ("migrated", "prepared"): "a rollback was prepared since",
    ("copying", "prepared"): "the rollback was prepared since",
    ("prepared", "cut_over"): "it was rolled back since",
    ("prepared", "migrated"): "the preparation was given up since",
    ("migrated", "rolled_back"): "it was rolled back and dropped since",
}
"""Changes of state that a run of this pipeline makes."""


@dataclass(frozen=True)
class PairNow:
    """One pair as it is found today. `keys_written_since` is the change log's count, None where there is no log."""

    old: str
    state: str
    rows: int | None = None
    checksum: str | None = None
    keys_written_since: int | None = None
    system_identifier: str | None = None


@dataclass(frozen=True)
class Finding:
    """One thing compared. `because` says what explains a difference, or why nothing can be said."""

    pair: str
    field: Field
    judgement: Judgement
    then: str
    now: str
    because: str = ""

    @property
    def ok(self) -> bool:
        """Whether nobody has to look at it."""
        return self.judgement != "differs"

    def __str__(self) -> str:
        head = f"{self.pair}: {self.field}: {self.then} in the report, {self.now} now"
        return f"{head} ({self.because})" if self.because else head


def compare_with(evidence: Evidence, now: Iterable[PairNow]) -> list[Finding]:
    """Compare an earlier report with the database of today; a finding for every pair and field."""
    today = {p.old: p for p in now}
    then = {p.old: p for p in evidence.pairs}
    findings: list[Finding] = []
    for old, pair in then.items():
        if old in today:
            findings += _pair(evidence, pair, today[old])
        else:
            findings.append(
                Finding(old, "pair", "differs", "reported on", "not there", "no such pair in the migration")
            )
    findings += [Finding(o, "pair", "not_comparable", "unknown", "there", "new since") for o in today if o not in then]
    return findings


def _pair(evidence: Evidence, then: PairFacts, now: PairNow) -> list[Finding]:
    same_server = not (
        evidence.database.system_identifier
        and now.system_identifier
        and evidence.database.system_identifier != now.system_identifier
    )
    findings = [_state(then, now)]
    rows = (str(then.after.rows) if then.after else None, None if now.rows is None else str(now.rows))
    findings.append(_value(then, now, "rows", rows))
    checksums = (then.after.checksum if then.after else None, now.checksum)
    if same_server:
        findings.append(_value(then, now, "checksum", checksums))
    else:
        shown = [c or "unknown" for c in checksums]
        findings.append(
            Finding(
                then.old, "checksum", "not_comparable", shown[0], shown[1], "a checksum is good on its own server only"
            )
        )
    return findings


def _state(then: PairFacts, now: PairNow) -> Finding:
    was = then.state_after
    if was is None:
        return Finding(then.old, "state", "not_comparable", "unknown", now.state, "the report does not say")
    if was == now.state:
        return Finding(then.old, "state", "agrees", was, now.state)
    step = _ONWARDS.get((was, now.state))
    return Finding(then.old, "state", "explained" if step else "differs", was, now.state, step or "")


def _value(then: PairFacts, now: PairNow, field: Field, values: tuple[str | None, str | None]) -> Finding:
    shown = [v if v is not None else "unknown" for v in values]
    if None in values:
        return Finding(then.old, field, "not_comparable", shown[0], shown[1], "one side is not known")
    if values[0] == values[1]:
        return Finding(then.old, field, "agrees", shown[0], shown[1])
    because = _written(now)
    return Finding(then.old, field, "explained" if because else "differs", shown[0], shown[1], because)


def _written(now: PairNow) -> str:
    """Say which writes explain other rows, or nothing: while a change log runs, only its keys do."""
    if now.keys_written_since is None:
        return "the table is in ordinary use, and no change log counts its writes"
    if not now.keys_written_since:
        return ""
    keys = now.keys_written_since
    return f"{number(keys)} {'key was' if keys == 1 else 'keys were'} written since the cut-over"
