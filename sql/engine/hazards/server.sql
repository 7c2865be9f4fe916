-- What `aicfg_pipeline.rollback.hazards.server` runs.

-- name: long_transactions -- sessions whose transaction has held a lock on one of these relations for a while
SELECT DISTINCT a.pid, coalesce(a.usename, '?') AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, '?') AS state, to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS query_start,
       left(coalesce(a.query, ''), 2000) AS query
FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
  AND l.granted AND l.locktype = 'relation' AND l.relation = ANY (%(relations)s::oid[])
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY a.pid;
