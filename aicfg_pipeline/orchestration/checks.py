"""Asset checks: the same functions that gate the rollback, run from an asset's page. One multi-check a pair.

What a check looks at is in `rollback.checks` and its neighbours.
"""

from collections.abc import Iterator

from dagster import (
    AssetCheckExecutionContext,
    AssetCheckResult,
    AssetChecksDefinition,
    AssetCheckSpec,
    multi_asset_check,
)

from aicfg_pipeline.orchestration.assets import asset_key
from aicfg_pipeline.orchestration.metadata import check_result
from aicfg_pipeline.orchestration.resources import PostgresResource, resource
from aicfg_pipeline.rollback.steps import verify
from aicfg_pipeline.spec.model import Migration, Pair


def check_specs(pair: Pair) -> list[AssetCheckSpec]:
    """Return the checks of one pair, on the assets they are about."""
    return [
        AssetCheckSpec(name=c.name, asset=asset_key(pair, c.asset), description=c.description) for c in verify.CHECKS
    ]


def build_checks(migration: Migration) -> list[AssetChecksDefinition]:
    """Return the asset checks of every pair."""
    return [_checks_of(migration, pair) for pair in migration.pairs]


def _checks_of(migration: Migration, pair: Pair) -> AssetChecksDefinition:
    @multi_asset_check(
        name=migration.instance.named(f"checks_of_{pair.op_suffix}"),
        specs=check_specs(pair),
        can_subset=True,
        required_resource_keys={migration.instance.named("postgres")},
    )
    def checks_(context: AssetCheckExecutionContext) -> Iterator[AssetCheckResult]:
        postgres: PostgresResource = resource(context, migration.instance, "postgres")
        wanted = [(pair.old, key.name) for key in context.selected_asset_check_keys]
        with postgres.session("aicfg_pipeline checks") as session:
            for check in verify.run_checks(session, migration, only=wanted):
                result = check_result(migration, check)
                if result is None:
                    context.log.info(f"does not apply: {check.pair}: {check.name}: {check.summary}")
                else:
                    yield result

    return checks_
