"""Every op by name. What a step does is in `rollback` and `runbook`; how the steps follow each other is in `jobs`."""

from dagster import OpDefinition

from aicfg_pipeline.orchestration.ops.abandon import abandon_op
from aicfg_pipeline.orchestration.ops.drop import drop_at_the_end_op, drop_op, report_op
from aicfg_pipeline.orchestration.ops.migrate import migrate_op
from aicfg_pipeline.orchestration.ops.plan import plan_only_op, plan_op
from aicfg_pipeline.orchestration.ops.prepare import plan_prepare_op, prepared_op
from aicfg_pipeline.orchestration.ops.rehearse import rehearse_op
from aicfg_pipeline.orchestration.ops.rollback import compare_anew_op, compare_op, copy_back_op, cut_over_op
from aicfg_pipeline.orchestration.ops.services import build_service_ops
from aicfg_pipeline.orchestration.ops.undo import end_of_undo_op, undo_op
from aicfg_pipeline.orchestration.ops.verify import verify_only_op, verify_op
from aicfg_pipeline.spec.model import Migration


def build_ops(migration: Migration) -> dict[str, OpDefinition]:
    """Return every op by name; the steps of the pairs are made from the migration."""
    made = [
        plan_op(migration),
        plan_only_op(migration),
        rehearse_op(migration),
        *(copy_back_op(migration, pair) for pair in migration.pairs),
        compare_op(migration),
        compare_anew_op(migration),
        plan_prepare_op(migration),
        prepared_op(migration),
        cut_over_op(migration),
        verify_op(migration),
        verify_only_op(migration),
        drop_op(migration),
        drop_at_the_end_op(migration),
        report_op(migration),
        undo_op(migration),
        end_of_undo_op(migration),
        migrate_op(migration),
        abandon_op(migration),
        *build_service_ops(migration),
    ]
    return {migration.instance.of(o.name): o for o in made}
