"""The last word of a run, for a person: what was found, what was done, what is proven, where things are, how to undo.

Made from the ledger and one more look, so that it tells what is there and not what was meant.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from aicfg_pipeline.orchestration.commands import Commands
from aicfg_pipeline.postgres.address import shown
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState, State
from aicfg_pipeline.rollback.tables.parked import retained_until

RULE = "─" * 78


def summary(run: Run, commands: Commands, target: str, *, report: Path | None = None) -> str:
    """Return the summary of a run as plain text; `target` is the name for its first and last line."""
    look = run.look()
    mine = look.ledger.of_run(run.run_id)
    lines = [
        RULE,
        f"Target     {target}",
        f"Database   {shown(run.session.url)}",
        f"Run        {run.run_id}" + (f"  plan {run.plan_hash}" if run.plan_hash else ""),
    ]
    for state in look.pairs:
        lines += ["", *_pair_lines(look, state, mine)]
    lines += ["", *([f"Report     {report}", ""] if report else []), *_outlook(look, commands), RULE]
    lines.append(f"Target: {target}")
    return "\n".join(lines)


def _pair_lines(look: Look, state: PairState, mine: list[Entry]) -> Iterator[str]:
    pair = state.pair
    yield f"{pair.new} → {pair.old}: {state.state} ({state.because})"
    proven = look.ledger.last("compare", pair=pair.old, outcome="proven")
    cut = look.ledger.last("cut_over", pair=pair.old, outcome="done")
    dropped = look.ledger.last("drop", pair=pair.old, outcome="done")
    if proven and state.state in (State.CUT_OVER, State.ROLLED_BACK):
        before, after = proven.facts["before"], proven.facts["after"]
        yield f"  before     {before['rows']:,} rows, checksum {before['checksum']}"
        yield f"  after      {after['rows']:,} rows, checksum {after['checksum']}"
        yield f"  differing  {proven.facts['differences']['unexplained']} rows that the change log does not explain"
    if cut and state.state in (State.CUT_OVER, State.ROLLED_BACK):
        when = "in this run" if any(e.id == cut.id for e in mine) else f"by run {cut.run_id[:8]}"
        yield f"  cut over   {cut.at:%Y-%m-%d %H:%M:%S} UTC {when}, locks held {cut.facts.get('locks_held_ms', '?')} ms"
    if state.state == State.CUT_OVER:
        until = retained_until(look.ledger, pair.old)
        yield f"  parked     aicfg_rollback.{pair.new}" + (f" until {until:%Y-%m-%d %H:%M} UTC" if until else "")
    if dropped and state.state == State.ROLLED_BACK:
        files = ", ".join(e["file"] for e in dropped.facts.get("exports", []))
        yield f"  dropped    {dropped.at:%Y-%m-%d %H:%M:%S} UTC; export {files}"


def _outlook(look: Look, commands: Commands) -> list[str]:
    if look.in_state(State.CUT_OVER):
        return [
            "Rolled back; the new tables are parked, nothing is lost, and it can be undone:",
            f"  undo   {commands.job('undo_rollback')}",
            f"     or  {commands.dg('undo_rollback')}",
            f"  check  {commands.job('verify')}",
            f"  drop   {commands.job('drop_new_tables')}",
            "         (once the retention has ended; before that it refuses)",
        ]
    if all(s.state == State.ROLLED_BACK for s in look.pairs):
        return ["Rolled back for good: the new tables are exported and dropped, the ledger is kept in aicfg_rollback."]
    if all(s.state in (State.ROLLED_BACK, State.NEVER_MIGRATED) for s in look.pairs):
        return ["There was nothing to roll back."]
    return ["Migrated. To roll back:", f"  {commands.job('rollback')}"]
