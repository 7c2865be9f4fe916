"""The assets as the world is: what stands for a table or view that is there, under its real name, and for a service.

Logged by whatever looks at everything (`verify`) and by what changes names, before the checks of the same look: Dagster
takes the checks of an asset back when it is materialized. What is not there is not materialized.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from dagster import AssetMaterialization, AssetObservation, DagsterInstance

from aicfg_pipeline.orchestration.assets import asset_key, service_key
from aicfg_pipeline.orchestration.metadata import metadata
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.rollback.checks.check import AssetKind
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import TO_ROLL_BACK, Look, PairState, State
from aicfg_pipeline.rollback.tables.parked import retained_until
from aicfg_pipeline.runbook.checks import ENDPOINTS, LAMBDAS, LOGS, REPOSITORY
from aicfg_pipeline.runbook.reasons import ADVICE
from aicfg_pipeline.services.settings import ServicesSettings
from aicfg_pipeline.spec.model import Instance, Migration

IS, IN_USE = "is", "in use"


def of_tables(look: Look) -> Iterator[AssetMaterialization]:
    """Yield what is there of every pair: in use, or parked and until when."""
    for state in look.pairs:
        at_old = state.at_old_name
        if at_old is not None and (at_old.is_table or at_old.is_view):
            yield _of(state, "old" if at_old.is_table else "view", at_old, IN_USE)
        if state.at_new_name is not None and state.at_new_name.is_table:
            yield _of(state, "new", state.at_new_name, IN_USE)
        elif state.state is State.CUT_OVER and state.private_new is not None:
            yield _parked(state, state.private_new, look.ledger)


def news(instance: DagsterInstance, found: Iterable[AssetMaterialization]) -> Iterator[AssetMaterialization]:
    """Yield what Dagster does not know yet: what it knows stays as it is, with its numbers and its checks."""
    for event in found:
        last = instance.get_latest_materialization_event(event.asset_key)
        known = last.asset_materialization if last else None
        if known is None or _is(known) != _is(event):
            yield event


def _is(event: AssetMaterialization) -> tuple[object, ...]:
    told = [event.metadata[name].value for name in ("dagster/table_name", IS) if name in event.metadata]
    return tuple(told) or (event.description,)


def in_use(migration: Migration, table: str) -> dict[str, Any]:
    """Return the facts that say of a table that it is in use under its name."""
    return {"dagster/table_name": f"{migration.schema}.{table}", IS: IN_USE}


def _parked(state: PairState, table: Relation, book: Ledger) -> AssetMaterialization:
    until = retained_until(book, state.pair.old)
    told = f"parked until {until:%Y-%m-%d %H:%M} UTC" if until else "parked"
    return _of(state, "new", table, told)


def _of(state: PairState, kind: AssetKind, relation: Relation, told: str) -> AssetMaterialization:
    name = f"{relation.schema}.{relation.name}"
    facts = {"dagster/table_name": name, "state": str(state.state), IS: told}
    return AssetMaterialization(
        asset_key=asset_key(state.pair, kind), description=f"{name}: {told}", metadata=metadata(facts)
    )


def of_services(look: Look, settings: ServicesSettings) -> Iterator[AssetMaterialization]:
    """Yield each service: looked at, or that a person does it, because none is configured."""
    instance = look.pairs[0].pair.instance
    configured = {
        LAMBDAS: settings.lambdas,
        ENDPOINTS: settings.endpoints,
        LOGS: settings.logs,
        REPOSITORY: settings.repository,
    }
    for name, its in configured.items():
        told = "looked at" if its is not None else "not configured: nobody looks at it but a person"
        yield AssetMaterialization(asset_key=service_key(name, instance), description=told)
    watched = settings.endpoints is not None or settings.logs is not None
    in_effect = bool(look.in_state(*TO_ROLL_BACK))
    told = "nothing is advised while the old tables are in use" if not in_effect else "weighed"
    yield AssetMaterialization(
        asset_key=service_key(ADVICE, instance),
        description=told if watched else "neither endpoints nor logs are configured",
    )


def advice_is_void(counted_at: str, instance: Instance) -> tuple[AssetMaterialization, AssetObservation]:
    """Return what takes all advice back: names were swapped, so what was counted before is about another world."""
    facts: dict[str, Any] = {"counted_at": counted_at}
    return (
        AssetMaterialization(
            asset_key=service_key(ADVICE, instance), description="the names were swapped: counted anew"
        ),
        AssetObservation(asset_key=service_key(ADVICE, instance), description="counted anew", metadata=metadata(facts)),
    )
