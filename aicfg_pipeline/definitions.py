"""The code location: one Definitions call. Everything it names is made in `orchestration`."""

from dagster import Definitions, in_process_executor

from aicfg_pipeline.orchestration.assets import asset_specs
from aicfg_pipeline.orchestration.checks import build_checks
from aicfg_pipeline.orchestration.jobs import build_jobs
from aicfg_pipeline.orchestration.loading import load_or_explain
from aicfg_pipeline.orchestration.resources import PostgresResource
from aicfg_pipeline.orchestration.sensors import build_sensors

_migration = load_or_explain()

defs = Definitions(
    assets=asset_specs(_migration),
    asset_checks=build_checks(_migration),
    jobs=build_jobs(_migration),
    sensors=build_sensors(_migration),
    resources={"postgres": PostgresResource()},
    executor=in_process_executor,
)
