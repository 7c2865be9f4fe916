"""Ops that copy back, compare and cut over."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from dagster import AssetMaterialization, AssetObservation, In, OpDefinition, OpExecutionContext, Out, Output, op

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.metadata import failures, metadata
from aicfg_pipeline.orchestration.ops.services import services_guarded
from aicfg_pipeline.orchestration.ops.step import link, open_run
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps import compare as compare_step
from aicfg_pipeline.rollback.steps import copy_back, cut_over
from aicfg_pipeline.spec.model import Migration, Pair


def copy_back_name(pair: Pair) -> str:
    """Return the name of the op that makes a pair's shadow."""
    return re.sub(r"[^A-Za-z0-9_]", "_", f"copy_back_{pair.old}")


def copy_back_op(migration: Migration, pair: Pair) -> OpDefinition:
    """Return the op that makes a pair's shadow."""

    @op(
        name=copy_back_name(pair),
        ins={"planned": In(dict)},
        out=Out(dict),
        description=f"Makes `{pair.old}` as a shadow in the private schema and keeps it up to date with `{pair.new}`:"
        " change log, copy, indexes, replay. Writers go on; the trigger's lock is held for milliseconds. On failure:"
        " nothing has changed for anyone, run again to go on.",
        tags={"kind": "postgres"},
    )
    def copy_back_(
        context: OpExecutionContext, planned: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, planned)
            link(run, context)
            facts = copy_back.copy_back(run, pair.old)
        if not facts["skipped"]:
            context.log_event(
                AssetObservation(
                    asset_key=asset_key(pair, "new"),
                    description="copied back into the shadow",
                    metadata=metadata({**facts, "dagster/row_count": facts["rows"]}),
                )
            )
        yield Output(planned, metadata=metadata(facts))

    return copy_back_


def compare_op(migration: Migration) -> OpDefinition:
    """Return the op of the gate before."""

    @op(
        name="compare",
        ins={"copied": In(list)},
        out=Out(dict),
        description="The gate before: every shadow against its live rows in one snapshot: row counts, checksums, row by"
        " row. A difference is right only if its key is still in the change log. Otherwise the run stops, with nothing"
        " changed for anyone.",
        tags={"kind": "postgres"},
    )
    def compare_(
        context: OpExecutionContext, copied: list, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, copied[0])
            link(run, context)
            results = compare_step.compare(run)
        yield Output(copied[0], metadata=metadata(_flat(results)))

    return compare_


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

    @op(
        name="cut_over",
        ins={"compared": In(dict)},
        out=Out(dict),
        description="The swap: one short transaction for all pairs. Locks everything for milliseconds, replays the last"
        " keys, moves views and new tables to the private schema and the shadows to their place. On failure: unchanged.",
        tags={"kind": "postgres"},
    )
    def cut_over_(
        context: OpExecutionContext, compared: dict, postgres: PostgresResource, services: ServicesResource
    ) -> Iterator[Output[dict]]:
        with failures(), services_guarded(context, migration, postgres, services):
            run = open_run(context, postgres, migration, compared)
            link(run, context)
            facts = cut_over.cut_over(run)
        for old in facts["pairs"]:
            _log_cut_over(context, run, migration.pair(old), facts)
        yield Output(compared, metadata=metadata(facts))

    return cut_over_


def _log_cut_over(context: OpExecutionContext, run: Run, pair: Pair, facts: Mapping[str, Any]) -> None:
    look = run.look()
    proven = look.ledger.last("compare", pair=pair.old, outcome="proven")
    rows = proven.facts["after"]["rows"] if proven else None
    seen = metadata(
        {
            "dagster/row_count": rows,
            "checksum": proven.facts["after"]["checksum"] if proven else None,
            "locks_held_ms": facts["locks_held_ms"],
            "lock_attempts": facts["lock_attempts"],
        }
    )
    context.log_event(
        AssetMaterialization(asset_key=asset_key(pair, "old"), description="cut over: a table again", metadata=seen)
    )
    context.log_event(
        AssetObservation(asset_key=asset_key(pair, "new"), description="parked in aicfg_rollback", metadata=seen)
    )
    context.log_event(AssetObservation(asset_key=asset_key(pair, "view"), description="parked in aicfg_rollback"))
