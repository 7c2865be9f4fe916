"""The last word of a run, for a person: how it ended and what is his now; then the proof, where things are, how to undo.

Made from the ledger and one more look, so that it tells what is there and not what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.orchestration.steps_told import are_yours, markdown_of, yours
from aicfg_pipeline.orchestration.terminal import RULE, bold, labelled
from aicfg_pipeline.postgres.address import shown
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.checks.check import Check, Tally
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import UNDOABLE, Look, PairState, State
from aicfg_pipeline.rollback.tables.parked import retained_until
from aicfg_pipeline.runbook.by_hand import ManualStep, open_steps

RESTORED = (*UNDOABLE, State.ROLLED_BACK)


@dataclass(frozen=True)
class Summary:
    """What a run came to. `verdict` is one sentence, `tone` how it looks: good, open (something is a person's)."""

    verdict: str
    tone: str
    proof: str | None
    lines: tuple[str, ...]
    markdown: str

    @property
    def outcome(self) -> str:
        """The verdict with its proof, for the log's last line."""
        return " ".join(filter(None, [self.verdict, self.proof]))

    def on_terminal(self, target: str) -> list[str]:
        """Return the lines for a person: the verdict first and last, then the target's name."""
        verdict = bold(self.verdict, self.tone)
        proof = labelled("", self.proof, 0) if self.proof else []
        return [RULE, verdict, *proof, *self.lines, RULE, verdict, f"Target: {target}"]


def summary(
    run: Run,
    commands: Commands,
    *,
    job: str,
    steps: Sequence[ManualStep] = (),
    checks: Sequence[Check] = (),
    report: Path | None = None,
    opens: str | None = None,
) -> Summary:
    """Return the summary of a run. `steps` are those that nobody looked after but a person.

    `opens` is the address under which a browser opens the report, where there is one.
    """
    look = run.look()
    mine = look.ledger.of_run(run.run_id)
    wanted = open_steps(steps)
    verdict, proof = _verdict(look, job, wanted, checks), _proof(look, checks)
    lines = [
        *(["", *yours(steps, done=True)] if wanted else []),
        "",
        *(line for state in look.pairs for line in _pair_lines(look, state)),
        *_swap_line(look, mine),
        *_warnings(checks),
        *labelled("Database", shown(run.session.url)),
        f"Run        {run.run_id}" + (f", plan {run.plan_hash}" if run.plan_hash else ""),
        *([f"Report     {report}"] if report else []),
        *_outlook(look, commands),
    ]
    markdown = _markdown(
        look, verdict, proof, steps, f"[{report.name}]({opens})" if report and opens else report, checks
    )
    tone = "open" if wanted or any(c.failed for c in checks) else "good"
    return Summary(verdict, tone, proof, tuple(lines), markdown)


# --- the verdict -----------------------------------------------------------------------------------------------


def _verdict(look: Look, job: str, wanted: Sequence[ManualStep], checks: Sequence[Check]) -> str:
    wrong = sum(c.failed for c in checks)
    told = [_state_told(look, job), f"{now}." if (now := are_yours(wanted)) else ""]
    told.append(f"{counted(wrong, 'check')} did not pass." if wrong else "")
    return " ".join(filter(None, told))


def _state_told(look: Look, job: str) -> str:
    states = {s.state for s in look.pairs}
    if states <= {State.ROLLED_BACK} and job != "undo_rollback":
        drops = [look.ledger.last("drop", pair=s.pair.old, outcome="done") for s in look.pairs]
        told = "the new tables are gone, without a drop in the ledger"
        if all(drops):
            instant = all(d.facts.get("way") == "instant" for d in drops if d)
            told = (
                "they were renamed in place, and nothing was parked"
                if instant
                else "the new tables are exported and dropped"
            )
        return f"The database is rolled back for good; {told}."
    if states <= {*UNDOABLE, State.ROLLED_BACK, State.NEVER_MIGRATED}:
        return "The database is rolled back." if states & set(UNDOABLE) else "There was nothing to roll back."
    if job == "undo_rollback" and not states & set(RESTORED):
        return "The rollback is undone: the new tables are in use."
    if states <= {State.MIGRATED}:
        return "The database is migrated."
    return f"The database is as follows: {', '.join(f'{s.pair.old} {s.state}' for s in look.pairs)}."


def _proof(look: Look, checks: Sequence[Check]) -> str | None:
    parts = []
    proven = [_proven(look, s) for s in look.pairs]
    if proven and all(proven):
        rows = sum(e.facts["after"]["rows"] for e in proven if e)
        parts.append(f"{counted(rows, 'row')} in {counted(len(proven), 'table')} compared, no difference unexplained")
    locks = _locks_held(look, _swap_step(look))
    parts += [f"locks held for {locks:.1f} ms"] if locks is not None else []
    parts += [str(Tally.of(checks))] if checks else []
    return f"{'; '.join(parts)}." if parts else None


def _swap_step(look: Look) -> str:
    return "cut_over" if any(s.state in RESTORED for s in look.pairs) else "undo"


def _proven(look: Look, state: PairState) -> Entry | None:
    """The last comparison that stands for what is in use now: of the rollback, or of the undo."""
    if state.state in RESTORED:
        return look.ledger.last("compare", pair=state.pair.old, outcome="proven")
    return look.ledger.last("undo", pair=state.pair.old, outcome="proven")


def _locks_held(look: Look, step: str) -> float | None:
    """How long one swap held its locks. Its transaction has a row for each pair; the last of them saw the longest time."""
    rows = [look.ledger.last(step, pair=s.pair.old, outcome="done") for s in look.pairs]
    newest = max((r for r in rows if r), key=lambda r: r.id, default=None)
    same = [r.facts.get("locks_held_ms") for r in rows if r and newest and r.run_id == newest.run_id]
    return max((float(ms) for ms in same if ms is not None), default=None)


# --- what is where ---------------------------------------------------------------------------------------------


def _pair_lines(look: Look, state: PairState) -> Iterator[str]:
    pair = state.pair
    yield from labelled("Table", f"{pair.old} ← {pair.new}: {state.state}")
    proven = _proven(look, state)
    dropped = look.ledger.last("drop", pair=pair.old, outcome="done")
    if proven:
        yield from _rows(proven)
    if state.state == State.CUT_OVER:
        until = retained_until(look.ledger, pair.old)
        yield f"  parked     aicfg_rollback.{pair.new}" + (f" until {until:%Y-%m-%d %H:%M} UTC" if until else "")
    if state.state == State.RENAMED:
        until = retained_until(look.ledger, pair.old)
        yield "  renamed    in place: no row moved" + (f"; undo until {until:%Y-%m-%d %H:%M} UTC" if until else "")
    if dropped and state.state == State.ROLLED_BACK:
        files = ", ".join(e["file"] for e in dropped.facts.get("exports", []))
        yield f"  dropped    {dropped.at:%Y-%m-%d %H:%M:%S} UTC; " + (
            f"export {files}" if files else "nothing was parked"
        )


def _rows(proven: Entry) -> Iterator[str]:
    before, after = proven.facts["before"], proven.facts["after"]
    differ, unexplained = (proven.facts["differences"][k] for k in ("differences", "unexplained"))
    if before == after and not differ:
        yield from labelled(
            "  rows", f"{before['rows']:,} before and after, all equal, checksum {before['checksum']}", 13
        )
        return
    yield f"  before     {counted(before['rows'], 'row')}, checksum {before['checksum']}"
    yield f"  after      {counted(after['rows'], 'row')}, checksum {after['checksum']}"
    yield from labelled(
        "  differing", f"{counted(differ, 'row')}, {unexplained} that the change log does not explain", 13
    )


def swapped_at(look: Look) -> datetime | None:
    """Return when the names changed last."""
    step = _swap_step(look)
    rows = [look.ledger.last(step, pair=s.pair.old, outcome="done") for s in look.pairs]
    return max((r.at for r in rows if r), default=None)


def _swap_line(look: Look, mine: Sequence[Entry]) -> list[str]:
    step = _swap_step(look)
    rows = [r for s in look.pairs if (r := look.ledger.last(step, pair=s.pair.old, outcome="done"))]
    if not rows:
        return []
    last = max(rows, key=lambda r: r.id)
    by = "in this run" if any(e.id == last.id for e in mine) else f"by run {last.run_id[:8]}"
    locks = _locks_held(look, step)
    held = f", locks held for {locks:.1f} ms" if locks is not None else ""
    return labelled("Swapped", f"{last.at:%Y-%m-%d %H:%M:%S} UTC {by}{held}")


def _warnings(checks: Sequence[Check]) -> list[str]:
    """What warns, by name: it stops nothing, so nobody would see it else."""
    lines: list[str] = []
    for check in checks:
        if check.failed:
            label = "Warns" if check.severity == "WARN" else "FAILED"
            lines += labelled(label, f"{check.asset} {check.pair}: {check.name}: {check.summary}")
    return lines


def _outlook(look: Look, commands: Commands) -> list[str]:
    if look.in_state(*UNDOABLE):
        parked = "The new tables are parked, so it can be undone:"
        renamed = "The tables were renamed in place, so it can be undone:"
        return [
            "",
            parked if look.in_state(State.CUT_OVER) else renamed,
            *_either("undo", commands, "undo_rollback"),
            f"  check  {commands.job('verify')}",
            f"  drop   {commands.job('drop_new_tables')}",
            "         (once the retention has ended; before that it refuses)",
        ]
    if all(s.state in (State.ROLLED_BACK, State.NEVER_MIGRATED) for s in look.pairs):
        return []
    return ["", "To roll back:", *_either("back", commands, "rollback")]


def _either(word: str, commands: Commands, job: str) -> list[str]:
    both = dict.fromkeys([commands.job(job), commands.dg(job)])
    return [f"  {label:>4}   {command}" for label, command in zip((word, "or"), both, strict=False)]


# --- for the run's page ----------------------------------------------------------------------------------------


def _markdown(
    look: Look,
    verdict: str,
    proof: str | None,
    steps: Sequence[ManualStep],
    report: Path | str | None,
    checks: Sequence[Check],
) -> str:
    """Return the same as Markdown: verdict, what is a person's, one row a table."""
    wanted = open_steps(steps)
    lines = [f"**{verdict}**", "", *([proof, ""] if proof else [])]
    if wanted:
        lines += ["### Yours now, in this order", "", *(markdown_of(s) for s in wanted), ""]
    lines += ["| table | state | rows before | rows after | parked until |", "|---|---|---|---|---|"]
    for state in look.pairs:
        proven = _proven(look, state)
        rows = [f"{proven.facts[side]['rows']:,}" if proven else "" for side in ("before", "after")]
        until = retained_until(look.ledger, state.pair.old) if state.state == State.CUT_OVER else None
        cells = [
            f"{state.pair.old} ← {state.pair.new}",
            f"{state.state}",
            *rows,
            f"{until:%Y-%m-%d %H:%M} UTC" if until else "",
        ]
        lines.append(f"| {' | '.join(cells)} |")
    warned = [c for c in checks if c.failed]
    lines += ["", *(f"- {c.severity}: {c.asset} {c.pair}: {c.name}: {c.summary}" for c in warned)]
    if report:
        lines += ["", f"Report: {report}" if isinstance(report, str) else f"Report: `{report}`"]
    return "\n".join(lines)
