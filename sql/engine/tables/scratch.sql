-- What `aicfg_pipeline.rollback.tables.scratch` runs.

-- name: scratch_schema -- made and rolled back in one transaction
CREATE SCHEMA {schema};
