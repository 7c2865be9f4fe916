"""What one migration gives to a code location: its assets, checks, jobs, sensors and resources, all under its prefix.

Several migrations share a code location where no two of these have one name; that is told of all of them at once.
"""

from collections.abc import Sequence

from dagster import Definitions

from aicfg_pipeline.errors import SpecError
from aicfg_pipeline.orchestration.assets import asset_specs
from aicfg_pipeline.orchestration.checks import build_checks
from aicfg_pipeline.orchestration.config import RequestResource
from aicfg_pipeline.orchestration.jobs import JOBS, build_jobs
from aicfg_pipeline.orchestration.ops.build import build_ops
from aicfg_pipeline.orchestration.preparation_sensor import build_preparation_sensor
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.sensors import build_sensors
from aicfg_pipeline.orchestration.service_checks import build_service_checks, service_specs
from aicfg_pipeline.orchestration.service_sensor import build_service_sensors
from aicfg_pipeline.orchestration.services import ServicesResource
from aicfg_pipeline.spec.model import Migration


def definitions_of(migration: Migration) -> Definitions:
    """Return everything of one instance of a migration."""
    instance = migration.instance
    services = ServicesResource(file_variable=instance.services_variable, file=instance.services_file or "")
    resources = {
        "postgres": PostgresResource(url_variable=instance.url_variable),
        "services": services,
        "request": RequestResource.configure_at_launch(),
    }
    return Definitions(
        assets=[*asset_specs(migration), *service_specs(migration)],
        asset_checks=[*build_checks(migration), *build_service_checks(migration)],
        jobs=build_jobs(migration),
        sensors=[*build_sensors(migration), build_preparation_sensor(migration), *build_service_sensors(migration)],
        resources={instance.named(key): made for key, made in resources.items()},
    )


def must_not_collide(migrations: Sequence[Migration]) -> None:
    """Raise `SpecError` with everything that two of these instances share."""
    at = [f"{m.folder} (prefix {m.instance.prefix or 'none'})" for m in migrations]
    complaints = [
        *_shared(at, [[m.name] for m in migrations], "the migration's name"),
        *_shared(at, [[m.instance.prefix or "(none)"] for m in migrations], "the prefix"),
    ]
    if not complaints:  # with one prefix everything else is the same, and need not be told
        complaints = _shared(at, [_names(m) for m in migrations], "the name")
    if complaints:
        raise SpecError(
            "Migrations of this code location can't be told apart.",
            complaints=complaints,
            expected="a name of its own for each (name: in migration.yaml), and a prefix (prefix: in defs.yaml)",
            remedy="Give each a prefix that no name of another begins with. Only one may have none.",
        )


def _names(migration: Migration) -> list[str]:
    """Return what has to be one thing's only: the names of jobs, of ops, and how keys of assets begin."""
    ops = build_ops(migration)
    keys = [spec.key.to_user_string() for spec in (*asset_specs(migration), *service_specs(migration))]
    jobs = [migration.instance.named(name) for name in JOBS]
    return list(dict.fromkeys([*jobs, *(op.name for op in ops.values()), *keys]))


def _shared(at: Sequence[str], names: Sequence[Sequence[str]], what: str) -> list[str]:
    """Say which names more than one instance has, and which ones."""
    every = dict.fromkeys(name for own in names for name in own)
    having = {name: [where for where, own in zip(at, names, strict=True) if name in own] for name in every}
    return [f"{what} {name}: {' and '.join(where)}" for name, where in having.items() if len(where) > 1]
