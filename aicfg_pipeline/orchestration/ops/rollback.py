"""Ops that copy back, compare and cut over."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from dagster import AssetMaterialization, AssetObservation, OpDefinition

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.orchestration.ops.making import step_op
from aicfg_pipeline.orchestration.ops.step import Step
from aicfg_pipeline.orchestration.world import advice_is_void, in_use
from aicfg_pipeline.rollback.steps import compare as compare_step
from aicfg_pipeline.rollback.steps import copy_back, cut_over
from aicfg_pipeline.rollback.tables.parked import retained_until
from aicfg_pipeline.spec.model import Migration, Pair


def copy_back_name(pair: Pair) -> str:
    """Return the name of the op that makes a pair's shadow."""
    return f"copy_back_{pair.op_suffix}"


def copy_back_op(migration: Migration, pair: Pair) -> OpDefinition:
    """Return the op that makes a pair's shadow."""

    def act(step: Step) -> Mapping[str, Any]:
        facts = copy_back.copy_back(step.run, pair.old)
        if not facts["skipped"]:
            step.context.log_event(
                AssetObservation(
                    asset_key=asset_key(pair, "new"),
                    description="copied back into the shadow",
                    metadata=metadata(facts),
                )
            )
        return facts

    return step_op(
        migration,
        copy_back_name(pair),
        act,
        f"Makes `{pair.old}` as a shadow in the private schema and keeps it up to date with `{pair.new}`:"
        " change log, copy, indexes, replay. Writers go on; the trigger's lock is held for milliseconds. On failure:"
        " nothing has changed for anyone, run again to go on.",
    )


def compare_op(migration: Migration) -> OpDefinition:
    """Return the op of the gate before."""
    return step_op(
        migration,
        "compare",
        lambda step: _flat(compare_step.compare(step.run)),
        "The gate before: every shadow against its live rows in one snapshot: row counts, checksums, row by"
        " row. A difference is right only if its key is still in the change log. Otherwise the run stops, with nothing"
        " changed for anyone.",
    )


def compare_anew_op(migration: Migration) -> OpDefinition:
    """Return the op that proves the shadows of a preparation."""
    return step_op(
        migration,
        "compare_anew",
        lambda step: _flat(compare_step.compare(step.run, anew=True)),
        "Proves every shadow against its live rows in one snapshot, whatever was proven before. A difference is right only"
        " if its key is still in the change log. Nothing has changed for anyone.",
    )


def _flat(results: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for old, found in results.items():
        flat[f"{old} rows before"], flat[f"{old} rows after"] = found["before"]["rows"], found["after"]["rows"]
        flat[f"{old} checksum before"] = found["before"]["checksum"]
        flat[f"{old} checksum after"] = found["after"]["checksum"]
        flat[f"{old} unexplained differences"] = found["differences"]["unexplained"]
    return flat


def cut_over_op(migration: Migration) -> OpDefinition:
    """Return the op of the swap."""
    return step_op(
        migration,
        "cut_over",
        _cut_over,
        "The swap: one short transaction for all pairs. Locks everything for milliseconds, replays the last"
        " keys, moves views and new tables to the private schema and the shadows to their place. On failure: unchanged.",
    )


def _cut_over(step: Step) -> Mapping[str, Any]:
    facts = cut_over.cut_over(step.run)
    for event in advice_is_void(f"{datetime.now(UTC).isoformat()}", step.migration.instance):
        step.context.log_event(event)
    for old in facts["pairs"]:
        _log_cut_over(step, step.migration.pair(old), facts)
    return facts


def _log_cut_over(step: Step, pair: Pair, facts: Mapping[str, Any]) -> None:
    if facts.get("way") == "instant":
        _log_renamed(step, pair, facts)
        return
    proven = step.run.look().ledger.last("compare", pair=pair.old, outcome="proven")
    rows = proven.facts["after"]["rows"] if proven else None
    seen = metadata(
        {
            "dagster/row_count": rows,
            "checksum": proven.facts["after"]["checksum"] if proven else None,
            "locks_held_ms": facts["locks_held_ms"],
            "lock_attempts": facts["lock_attempts"],
        }
    )
    log = step.context.log_event
    here = seen | metadata(in_use(step.migration, pair.old))
    log(AssetMaterialization(asset_key=asset_key(pair, "old"), description="cut over: a table again", metadata=here))
    until = retained_until(step.run.look().ledger, pair.old)
    told = f"parked as aicfg_rollback.{pair.new}" + (f" until {until:%Y-%m-%d %H:%M} UTC" if until else "")
    log(AssetObservation(asset_key=asset_key(pair, "new"), description=told, metadata=seen))
    log(AssetObservation(asset_key=asset_key(pair, "view"), description="no view any more: a table has the name"))


def _log_renamed(step: Step, pair: Pair, facts: Mapping[str, Any]) -> None:
    measured = step.run.look().ledger.last("compare", pair=pair.old, outcome="measured")
    counted = {"dagster/row_count": measured.facts["rows"], "checksum": measured.facts["checksum"]} if measured else {}
    seen = metadata({**counted, "locks_held_ms": facts["locks_held_ms"], "lock_attempts": facts["lock_attempts"]})
    log = step.context.log_event
    here = seen | metadata(in_use(step.migration, pair.old))
    log(AssetMaterialization(asset_key=asset_key(pair, "old"), description="renamed in place", metadata=here))
    log(AssetObservation(asset_key=asset_key(pair, "new"), description=f"renamed to {pair.old}", metadata=seen))
    if step.run.look()[pair.old].private_old is not None:
        log(AssetObservation(asset_key=asset_key(pair, "view"), description="no view any more: a table has the name"))
