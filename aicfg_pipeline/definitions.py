"""The code location of one migration, the one that the environment names. Everything is made in `orchestration`.

Several migrations share a code location as components: see `orchestration.component`.
"""

from dagster import Definitions, in_process_executor

from aicfg_pipeline.orchestration.instances import definitions_of
from aicfg_pipeline.orchestration.loading import load_or_explain

defs = Definitions.merge(definitions_of(load_or_explain()), Definitions(executor=in_process_executor))
