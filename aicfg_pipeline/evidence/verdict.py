"""The words at the top of a report: the verdict as one sentence, and how to take back what was done.

Words only: whether a run has succeeded is found in `gather`, and numbers are written by `words`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime

from aicfg_pipeline.evidence.facts import Outcome, PairFacts, ReportKind, StepTime, WayBack
from aicfg_pipeline.evidence.words import duration, number, when
from aicfg_pipeline.postgres.wording import counted

_DONE = ("succeeded", "steps_open")
Command = Callable[[str], str | None]
"""Returns the command that runs a job; how jobs are run is not known here."""


def no_command(job: str) -> None:
    """Where nobody says how jobs are run, a report names none."""


_NOUN = {
    "rollback": "rollback",
    "undo": "undo of the rollback",
    "drop": "drop of the new tables",
    "verify": "verification",
    "prepare": "preparation of the rollback",
    "abandon": "giving up of the rollback",
    "migrate": "migration",
    "plan": "plan",
    "rehearse": "rehearsal",
}
_STATE = {
    "rollback": "The database is rolled back",
    "undo": "The rollback is undone",
    "migrate": "The database is migrated",
}


def verdict(
    kind: ReportKind,
    outcome: Outcome,
    pairs: Sequence[PairFacts],
    locks_held_ms: float | None,
    steps: int = 0,
    *,
    looked: bool = True,
) -> str:
    """Return the outcome of a run as one sentence; `steps` are a person's now, and then nothing is said to succeed."""
    if outcome == "steps_open":
        state = _STATE.get(kind, f"The {_NOUN[kind]} is done")
        return f"{state}. {counted(steps, 'step is', 'steps are')} yours now: {_done(kind, pairs, locks_held_ms)}."
    if kind == "verify" and looked and outcome in ("failed", "succeeded"):
        return (
            "Not everything is as it should be." if outcome == "failed" else "Everything that was looked at is right."
        )
    if outcome == "nothing_to_do":
        return f"There was nothing to do: {_states(pairs)}."
    if outcome == "refused":
        return f"The {_NOUN[kind]} was stopped before anything was touched."
    if outcome == "failed":
        return f"The {_NOUN[kind]} did not finish: {_states(pairs)}."
    return f"The {_NOUN[kind]} succeeded: {_done(kind, pairs, locks_held_ms)}."


def _states(pairs: Sequence[PairFacts]) -> str:
    known: dict[str, list[str]] = {}
    for pair in pairs:
        known.setdefault(pair.state_after or "in a state that is not known", []).append(pair.old)
    told = [
        f"{listed(old)} {'are' if len(old) > 1 else 'is'} {state.replace('_', ' ')}" for state, old in known.items()
    ]
    return listed(told) or "no table was looked at"


def _done(kind: ReportKind, pairs: Sequence[PairFacts], locks_held_ms: float | None) -> str:
    old = listed(p.old for p in pairs) or "no pair"
    new = listed(p.new or p.old for p in pairs) or "no table"
    several = len(pairs) != 1
    if kind == "drop":
        return f"{new} {'are' if several else 'is'} gone{_proof(pairs)}; the ledger stays"
    told = f"; locks were held for {duration(locks_held_ms / 1000)}" if locks_held_ms is not None else ""
    if kind == "undo":
        return f"{new} {'are' if several else 'is'} in use again{_proof(pairs)}{told}"
    return f"{old} {'are tables' if several else 'is a table'} again{_proof(pairs)}{told}"


def _proof(pairs: Sequence[PairFacts]) -> str:
    if not pairs or any(p.before is None or p.unexplained != 0 for p in pairs):
        return ""
    rows = sum(p.before.rows for p in pairs if p.before)
    explained = sum(p.differences or 0 for p in pairs)
    if explained:
        differ = f"the {number(explained)} that differ were" if explained > 1 else "the one that differs was"
        return f", {number(rows)} rows compared and {differ} written since"
    return f", all {number(rows)} rows proven equal" if rows != 1 else ", its one row proven equal"


def way_back(
    kind: ReportKind,
    outcome: Outcome,
    pairs: Sequence[PairFacts],
    until: datetime | None,
    now: datetime,
    command: Command,
) -> WayBack:
    """Say how what was done can be taken back, and until when."""
    cut_over = any(p.state_after in ("cut_over", "renamed") for p in pairs)
    renamed = any(p.state_after == "renamed" for p in pairs)
    if kind == "rehearse":
        return WayBack(possible=False, text="The target was only read, so there is nothing to take back.")
    if kind == "drop" and outcome in _DONE and any(p.state_before == "renamed" for p in pairs):
        return WayBack(
            possible=False,
            text="The tables were renamed in place: nothing was parked, and no row was dropped. From now on this pipeline"
            " does not rename them again; the job migrate goes forward by copying.",
        )
    if kind == "drop" and outcome in _DONE:
        return WayBack(
            possible=False,
            text="The new tables are dropped, so the rollback can no longer be undone. Their rows were"
            " exported before the drop; bringing them back means loading those files by hand.",
        )
    if kind == "undo" and outcome in _DONE:
        return WayBack(
            possible=True,
            text="The rollback has been undone. To roll back again, launch the job rollback again.",
            command=command("rollback"),
        )
    if cut_over:
        return _undoable(outcome, until, now, command, renamed=renamed)
    if all(p.state_after == "rolled_back" for p in pairs) and pairs:
        return WayBack(possible=False, text="The new tables are gone, so there is nothing to go back to.")
    return WayBack(
        possible=False,
        text="No name was swapped, so there is nothing to undo: applications see what they saw before.",
    )


def _undoable(outcome: Outcome, until: datetime | None, now: datetime, command: Command, *, renamed: bool) -> WayBack:
    parked = "The new tables are parked, not dropped. Undoing takes milliseconds and keeps every write made since."
    in_place = "The tables were renamed where they are: no row moved. Undoing renames them again, in milliseconds."
    text, goes = (in_place, "this may be ended") if renamed else (parked, "the parked tables may be dropped")
    if until is not None:
        told = f"Possible until {when(until)}; from then on {goes}." if until > now else ""
        ended = f"The retention ended on {when(until)}: undo before drop_new_tables is launched."
        if not renamed:
            ended = f"The retention ended on {when(until)}: undo before the parked tables are dropped."
        text += " " + (told or ended)
    if outcome == "failed":
        text += " There are two ways on: mend what the error names and run the same job again, or undo."
    return WayBack(possible=True, text=text, until=until, command=command("undo_rollback"))


def expected(times: Sequence[StepTime], locks_held_ms: Mapping[str, float]) -> str:
    """Say what production can expect, from the times of a rehearsal."""

    def took(job: str, one: str) -> str | None:
        seconds = [t.seconds for t in times if t.job == job and t.seconds is not None]
        held = f" with locks held for {duration(locks_held_ms[job] / 1000)}" if job in locks_held_ms else ""
        return f"{one} of {duration(sum(seconds))}{held}" if seconds else None

    jobs = (took("rollback", "a rollback"), took("undo_rollback", "an undo"), took("drop_new_tables", "a drop"))
    return f"Production can expect {listed(told for told in jobs if told)}."


def listed(words: Iterable[str]) -> str:
    """Return `a, b and c`."""
    found = list(words)
    if len(found) < 2:
        return "".join(found)
    return f"{', '.join(found[:-1])} and {found[-1]}"
