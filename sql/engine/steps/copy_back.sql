-- What `aicfg_pipeline.rollback.steps.copy_back` runs.

-- name: lock_for_trigger -- waits for writers in flight: each write is in the copy's snapshot or in the log
LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;

-- name: no_autovacuum -- the pipeline vacuums the shadow itself; an autovacuum would hold up the cut-over
ALTER TABLE {table} SET (autovacuum_enabled = false);

-- name: relation_bytes -- how far a copy in progress has come
SELECT pg_table_size(%(oid)s::oid)::bigint;
