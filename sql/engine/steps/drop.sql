-- What `aicfg_pipeline.rollback.steps.drop` runs.

-- name: drop_view -- without CASCADE
DROP VIEW {view};
