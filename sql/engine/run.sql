-- What `aicfg_pipeline.rollback.run` runs.

-- name: vacuum_in_progress -- vacuums (or what locks like one) on these relations; pg_stat_progress_vacuum hides other roles'
SELECT l.pid, n.nspname AS schema, c.relname AS name, a.usesysid IS NULL AS automatic, coalesce(a.usename, '') AS user
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.relation = ANY (%(relations)s::oid[])
  AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.pid;

-- name: lock_beside_writers -- waits for a vacuum and for nobody else; no reader or writer waits for it
LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE;

-- name: take_transaction_lock -- the same lock again: fails where a pooler has given us another backend
SELECT pg_try_advisory_xact_lock(%(class)s, %(key)s);

-- name: index_in_progress -- which index a connection is making, and how far it has come
SELECT coalesce(CAST(nullif(p.index_relid, 0) AS regclass)::text, CAST(p.relid AS regclass)::text) AS index, p.phase,
       CASE WHEN p.blocks_total > 0 THEN 100 * p.blocks_done / p.blocks_total
            WHEN p.tuples_total > 0 THEN 100 * p.tuples_done / p.tuples_total ELSE 0 END AS percent
FROM pg_stat_progress_create_index p
WHERE p.pid = %(pid)s;
