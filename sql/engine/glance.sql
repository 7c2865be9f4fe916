-- What `aicfg_pipeline.rollback.glance` runs.

-- name: count_rows -- exact
SELECT count(*)::bigint FROM {table};
