"""Executes a failed run again from its failure, as Dagster does it: `python -m aicfg_pipeline_tests.tools.again RUN_ID`.

In a process of its own, with the instance that DAGSTER_HOME names: what another pod would be.
"""

from __future__ import annotations

import sys

from dagster import DagsterInstance, JobDefinition, ReexecutionOptions, execute_job, reconstructable


def rollback() -> JobDefinition:
    from aicfg_pipeline.definitions import defs

    return defs.resolve_job_def("rollback")


def main(run_id: str) -> int:
    with DagsterInstance.get() as instance:
        failed = instance.get_run_by_id(run_id)
        assert failed is not None
        done = execute_job(
            reconstructable(rollback),
            instance=instance,
            run_config=failed.run_config,
            reexecution_options=ReexecutionOptions.from_failure(run_id, instance),
        )
    return 0 if done.success else 1


if __name__ == "__main__":
    from aicfg_pipeline_tests.tools import again  # reconstructable wants a function of a module with a name

    sys.exit(again.main(sys.argv[1]))
