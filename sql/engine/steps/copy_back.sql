-- What `aicfg_pipeline.rollback.steps.copy_back` runs.

-- name: lock_for_trigger -- waits for writers in flight: each write is in the copy's snapshot or in the log
LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;

-- name: no_autovacuum -- the pipeline vacuums the shadow itself; an autovacuum would hold up the cut-over
ALTER TABLE {table} SET (autovacuum_enabled = false);

-- name: relation_bytes -- how far a copy in progress has come
SELECT pg_table_size(%(oid)s::oid)::bigint;

-- name: worth_a_vacuum -- a table that was vacuumed once, and of which little was replayed since, would be read as a whole for nothing
SELECT s.last_vacuum IS NULL OR (s.n_dead_tup + %(replayed)s::bigint) * 10::bigint > s.n_live_tup AS worth_it FROM pg_stat_all_tables AS s WHERE s.relid = %(oid)s::oid;
