-- What `aicfg_pipeline.rollback.tables.preparation` runs.

-- name: entries_behind -- how many entries of the change log are not replayed yet
SELECT count(*)::bigint FROM {log};
