"""The code location: one Definitions call. Everything it names is made in `orchestration`."""

from dagster import Definitions, in_process_executor

from aicfg_pipeline.orchestration.assets import asset_specs
from aicfg_pipeline.orchestration.checks import build_checks
from aicfg_pipeline.orchestration.config import RequestResource
from aicfg_pipeline.orchestration.jobs import build_jobs
from aicfg_pipeline.orchestration.loading import load_or_explain
from aicfg_pipeline.orchestration.preparation_sensor import build_preparation_sensor
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.sensors import build_sensors
from aicfg_pipeline.orchestration.service_checks import build_service_checks, service_specs
from aicfg_pipeline.orchestration.service_sensor import build_service_sensors
from aicfg_pipeline.orchestration.services import ServicesResource

_migration = load_or_explain()

defs = Definitions(
    assets=[*asset_specs(_migration), *service_specs()],
    asset_checks=[*build_checks(_migration), *build_service_checks(_migration)],
    jobs=build_jobs(_migration),
    sensors=[*build_sensors(_migration), build_preparation_sensor(_migration), *build_service_sensors(_migration)],
    resources={
        "postgres": PostgresResource(),
        "services": ServicesResource(),
        "request": RequestResource.configure_at_launch(),
    },
    executor=in_process_executor,
)
