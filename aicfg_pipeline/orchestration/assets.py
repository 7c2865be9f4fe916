"""Assets stand for the old tables, the new tables and the views. They are specs: the ops of the jobs log their events.

Nothing is computed here; columns come from the migration's DDL files.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

import sqlglot
from dagster import AssetKey, AssetSpec, FreshnessPolicy, TableColumn, TableColumnConstraints, TableSchema
from sqlglot import exp
from sqlglot.errors import SqlglotError

from aicfg_pipeline.rollback.checks.check import AssetKind, Check
from aicfg_pipeline.spec.model import Ddl, Instance, Migration, Pair

OWNERS = ["team:platform"]


def verification_key(migration: Migration) -> AssetKey:
    """Return what is materialized by each full verification in which every check has passed: `verification`."""
    return AssetKey([*migration.instance.key, "verification"])


def asset_key(pair: Pair, kind: AssetKind) -> AssetKey:
    """Return `old/<old table>`, `new/<new table>` or `view/<old table>`, behind the prefix of the instance."""
    return AssetKey([*pair.instance.key, kind, pair.new if kind == "new" else pair.old])


def service_key(service: str, instance: Instance) -> AssetKey:
    """Return `service/<service>`, behind the prefix of the instance."""
    return AssetKey([*instance.key, "service", service])


def key_of(migration: Migration, check: Check) -> AssetKey:
    """Return the asset that a check is about."""
    if check.asset == "service":
        return service_key(check.pair, migration.instance)
    return asset_key(migration.pair(check.pair), check.asset)


def asset_specs(migration: Migration) -> list[AssetSpec]:
    """Return the assets of a migration, with lineage new → view and new → old."""
    return [*(spec for pair in migration.pairs for spec in _of_pair(migration, pair)), _verification(migration)]


def _verification(migration: Migration) -> AssetSpec:
    return AssetSpec(
        key=verification_key(migration),
        deps=[asset_key(pair, "old") for pair in migration.pairs],
        group_name=migration.instance.named("verification"),
        owners=OWNERS,
        kinds={"postgres"},
        tags={"migration": _tag(migration.name)},
        description="The last full verification in which every check passed. The sensor asks for one each hour, so one"
        " that is older than two hours means that the watch has stopped, or that something is open.",
        freshness_policy=FreshnessPolicy.time_window(fail_window=timedelta(hours=2), warn_window=timedelta(minutes=75)),
    )


def _of_pair(migration: Migration, pair: Pair) -> Sequence[AssetSpec]:
    new = asset_key(pair, "new")
    return (
        AssetSpec(
            key=asset_key(pair, "old"),
            deps=[new],
            group_name=migration.instance.named("old_tables"),
            owners=OWNERS,
            kinds={"postgres", "table"},
            tags={"migration": _tag(migration.name)},
            description=f"The table `{pair.old}` as it was before the migration. The job `rollback` brings it back from"
            f" `{pair.new}`; its checks compare it with what the new table held, and with `{pair.old_ddl.path}`.",
            metadata=_metadata(migration, pair.old, pair.old_ddl),
        ),
        AssetSpec(
            key=new,
            group_name=migration.instance.named("new_tables"),
            owners=OWNERS,
            kinds={"postgres", "table"},
            tags={"migration": _tag(migration.name)},
            description=f"The table `{pair.new}` that the migration made from `{pair.old}`. After a rollback it is parked"
            " in the private schema `aicfg_rollback` until its retention ends.",
            metadata=_metadata(migration, pair.new, pair.new_ddl),
        ),
        AssetSpec(
            key=asset_key(pair, "view"),
            deps=[new],
            group_name=migration.instance.named("views"),
            owners=OWNERS,
            kinds={"postgres", "view"},
            tags={"migration": _tag(migration.name)},
            description=f"The view at the old name `{pair.old}`, for code that was not changed yet. It must not outlive"
            f" its {migration.view_lifetime_days} days, nor bypass row level security.",
            metadata={"dagster/table_name": f"{migration.schema}.{pair.old}"},
        ),
    )


def _tag(text: str) -> str:
    return "".join(c if c.isalnum() or c in "_.-" else "_" for c in text)[:63]


def _metadata(migration: Migration, table: str, ddl: Ddl) -> dict[str, object]:
    schema = column_schema(ddl)
    metadata: dict[str, object] = {"dagster/table_name": f"{migration.schema}.{table}", "ddl": f"sql/{ddl.path}"}
    return metadata | ({"dagster/column_schema": schema} if schema else {})


def column_schema(ddl: Ddl) -> TableSchema | None:
    """Read the columns from the DDL file's CREATE TABLE; None where its form is beyond the parser."""
    try:
        made = next(s for s in ddl.blocks["table"].statements if s[:6].upper() == "CREATE" and "TABLE" in s.upper())
        tree = sqlglot.parse_one(made, read="postgres")
    except (SqlglotError, KeyError, StopIteration):
        return None
    columns = [
        TableColumn(
            name=c.name,
            type=c.args["kind"].sql(dialect="postgres").lower() if c.args.get("kind") else "?",
            constraints=TableColumnConstraints(nullable=not c.find(exp.NotNullColumnConstraint)),
        )
        for c in tree.find_all(exp.ColumnDef)
    ]
    return TableSchema(columns=columns) if columns else None
