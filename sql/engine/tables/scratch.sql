-- What `aicfg_pipeline.rollback.tables.scratch` runs.

-- name: scratch_schema -- made and rolled back in one transaction
CREATE SCHEMA {schema};

-- name: may_make_scratch -- whether a schema can be made here, if only to be rolled back
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS only_reads,
       has_database_privilege(current_database(), 'CREATE') AS may_create, current_user::text AS role;
