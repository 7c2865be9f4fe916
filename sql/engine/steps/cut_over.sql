-- What `aicfg_pipeline.rollback.steps.cut_over` runs.

-- name: autovacuum_again -- as every other table
ALTER TABLE {table} RESET (autovacuum_enabled);
