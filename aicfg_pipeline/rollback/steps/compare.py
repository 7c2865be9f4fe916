"""Step 2, the gate before the cut-over: every shadow against its live rows, in one snapshot.

A difference is right only if its key is still in the change log. Anything else stops the run, with nothing changed
for anyone. The comparisons after the cut-over are `verify`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from aicfg_pipeline.errors import GateError
from aicfg_pipeline.postgres import catalog
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import comma, engine, private
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.ledger import Entry
from aicfg_pipeline.rollback.run import Run, at_work
from aicfg_pipeline.rollback.state import WITH_SHADOW, PairState
from aicfg_pipeline.rollback.steps import instant
from aicfg_pipeline.rollback.steps.copy_back import replay_back
from aicfg_pipeline.rollback.tables.catch_up import catch_up
from aicfg_pipeline.rollback.tables.comparison import COMPARE_SETTINGS, Comparison, compare_sides, comparison_statements
from aicfg_pipeline.rollback.tables.mapping import Source
from aicfg_pipeline.rollback.tables.preparation import fresh_proof, minutes_since
from aicfg_pipeline.rollback.tables.since import relations_compared
from aicfg_pipeline.rollback.tables.sources import shadow_source
from aicfg_pipeline.rollback.work import Work, begun


def compare(run: Run, *, anew: bool = False) -> dict[str, dict[str, Any]]:
    """Prove every shadow. Returns the comparison of each pair by old name. Raises `GateError` naming the keys.

    A prepared shadow that was proven within the hour is not compared again, unless `anew`.
    """
    look = run.look()
    states = look.in_state(*WITH_SHADOW)
    if not states and (decision := instant.way_of(run, look)).instant:
        instant.measure(run, decision)
        return {}
    if not states:
        run.say("compare: no shadow to compare, nothing is being copied")
        return {}
    for state in states:
        catch_up(run, replay_back(run, state))
    proofs = {} if anew else {s.pair.old: p for s in states if (p := fresh_proof(look.ledger, s))}
    _rely_on(run, proofs)
    compared = _compare(run, [s for s in states if s.pair.old not in proofs])
    return {s.pair.old: compared.get(s.pair.old) or dict(proofs[s.pair.old].facts) for s in states}


def _rely_on(run: Run, proofs: Mapping[str, Entry]) -> None:
    for old, proof in proofs.items():
        told = {"proven_at": proof.at.isoformat(), "proven_by": proof.run_id}
        with begun(run, _relying(old)):
            run.record("compare", "relied_on", pair=old, facts={**proof.facts, **told})
        run.say(
            f"{old}: proven {minutes_since(proof.at):.0f} minutes ago by run {proof.run_id[:8]}: not compared again;"
            " what was written since is in the change log, and verify compares all of it after the cut-over"
        )


def _relying(old: str) -> Work:
    return Work("compare", old, "rely on what was proven within the hour, and on the change log", outcome="relied_on")


def _compare(run: Run, states: Sequence[PairState]) -> dict[str, dict[str, Any]]:
    if not states:
        return {}
    results: dict[str, Comparison] = {}
    sources = {s.pair.old: shadow_source(run.session, s) for s in states}
    with begun(run, _comparing(sources)) as session:
        for state in states:
            with at_work(run, f"{state.pair.old}: comparing row by row"):
                results[state.pair.old] = _compared(run, session, state, sources[state.pair.old])
    _gate(results)
    return {old: result.facts for old, result in results.items()}


def works(
    run: Run, states: Sequence[PairState], models: Mapping[str, Relation], *, anew: bool = False
) -> Iterator[Work]:
    """Yield what this step does. `models` are the shadows, or tables made like them."""
    for state in states:
        yield replay_back(run, state, models[state.pair.old]).work()
    if not anew:
        book = run.look().ledger
        proven = [s for s in states if models[s.pair.old] == s.shadow and fresh_proof(book, s)]
        yield from (_relying(s.pair.old) for s in proven)
        states = [s for s in states if s not in proven]
    if not states:
        return
    sources = {s.pair.old: shadow_source(run.session, s, models[s.pair.old]) for s in states}
    proofs = [
        p
        for s in states
        for p in comparison_statements(
            sources[s.pair.old],
            private(s.pair.old),
            s.pair.key,
            private(s.pair.change_log),
            hashable=not catalog.unhashable_columns(run.session, models[s.pair.old].oid),
        )
    ]
    yield replace(_comparing(sources), then=proofs)


def _comparing(sources: Mapping[str, Source]) -> Work:
    lock = engine("lock_for_read", tables=comma(t for s in sources.values() for t in s.tables))
    return Work(
        "compare",
        None,
        "prove every shadow against the live rows; only reads",
        locks=[lock],
        settings=COMPARE_SETTINGS,
        snapshot=True,
        outcome="proven",
    )


def _compared(run: Run, session: Session, state: PairState, source: Source) -> Comparison:
    assert state.shadow is not None
    pair = state.pair
    result = compare_sides(session, source, private(pair.old), state.shadow.oid, pair.key, private(pair.change_log))
    compared = relations_compared(session, state)
    run.record(
        "compare",
        "proven" if result.proven else "refuted",
        pair=pair.old,
        facts={**result.facts, **compared, "shadow_oid": state.shadow.oid},
    )
    run.say(f"{pair.old}: {result}")
    return result


def _gate(results: dict[str, Comparison]) -> None:
    wrong = {old: r for old, r in results.items() if not r.proven}
    if wrong:
        raise GateError(
            "The copy is not what the live tables hold. Nothing has changed for anyone; the shadows are kept.",
            complaints=[_told(old, r) for old, r in wrong.items()],
            expected="every difference between copy and live table to be explained by the change log",
            remedy="Look at the keys named above in aicfg_rollback and in the live table. Run again to go on; drop the"
            " shadow in aicfg_rollback to have it made anew.",
        )


def _told(old: str, result: Comparison) -> str:
    shown = ", ".join(f"{s['key']} ({s['kind']})" for s in result.differences.sample[:5])
    return (
        f"{old}: {counted(result.differences.unexplained, 'row differs', 'rows differ')} without an entry in the change log"
        f" (before {result.before}, after {result.after}): {shown or 'no key, the checksums differ'}"
    )
