-- What `aicfg_pipeline.rollback.hazards.undoing` runs.

-- name: added_rows -- rows that the other table does not have
SELECT count(*)::bigint FROM {source} AS source WHERE NOT EXISTS (SELECT FROM {target} AS target WHERE {keys_equal});
