-- Locks, and who stands in the way.

-- name: blockers_of_backend -- who a backend waits for just now, and which locks on our relations they hold
WITH blocking AS MATERIALIZED (SELECT DISTINCT unnest(pg_blocking_pids(%(pid)s)) AS pid)
SELECT b.pid, coalesce(a.usename, a.backend_type, 'autovacuum') AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, a.backend_type, '?') AS state,
       coalesce(to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS query_start,
       left(coalesce(a.query, ''), 2000) AS query,
       coalesce((SELECT string_agg(DISTINCT l.mode || ' on ' || l.relation::regclass, ', ') FROM pg_locks l
                 WHERE l.pid = b.pid AND l.granted AND l.locktype = 'relation' AND l.relation = ANY (%(relations)s::oid[])), '') AS holds
FROM blocking b JOIN pg_stat_activity a USING (pid)
UNION ALL
SELECT 0, x.owner, 'two-phase commit', 'prepared transaction', to_char(x.prepared, 'YYYY-MM-DD HH24:MI:SS TZ'), x.gid, ''
FROM pg_prepared_xacts x WHERE x.database = current_database() AND 0 IN (SELECT pid FROM blocking)
ORDER BY 1;

-- name: deadlock_timeout -- in milliseconds
SELECT setting::integer FROM pg_settings WHERE name = 'deadlock_timeout';

-- name: terminate_idle -- ends a session that has been idle in a transaction for two seconds, and only such a one
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE pid = %(pid)s AND state LIKE 'idle in transaction%' AND pid <> pg_backend_pid()
  AND state_change < clock_timestamp() - interval '2 seconds';

-- name: statement_timeout -- for the rest of the transaction
SET LOCAL statement_timeout TO {milliseconds};

-- name: silence_limit -- for the rest of the transaction: a client that is not heard of any more must not keep its locks for hours
SET LOCAL idle_in_transaction_session_timeout TO {milliseconds};

-- name: horizon -- the first transaction number that is not given out yet, without its epoch
SELECT (pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.numeric % 4294967296::pg_catalog.numeric)::pg_catalog.text AS horizon;

-- name: older_snapshots -- transactions of this database whose snapshot need not see all below a number. A prepared transaction has none any more; a vacuum sees all rows
SELECT l.virtualtransaction AS transaction, a.pid, coalesce(a.usename, a.backend_type, '?') AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, a.backend_type, '?') AS state, coalesce(to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS query_start,
       left(coalesce(a.query, ''), 2000) AS query, 'a snapshot from before the copy' AS holds
FROM pg_stat_activity a JOIN pg_locks l ON l.pid = a.pid AND l.locktype = 'virtualxid' AND l.granted AND l.mode = 'ExclusiveLock'
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.usesysid IS NOT NULL AND a.leader_pid IS NULL
  AND age(a.backend_xmin) > age(%(limit)s::xid)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_vacuum v WHERE v.pid = a.pid)
  AND NOT EXISTS (SELECT FROM pg_stat_progress_create_index i WHERE i.pid = a.pid AND i.command LIKE '%CONCURRENTLY')
ORDER BY a.pid;

-- name: holders -- who holds a lock on one of these tables that would keep us from changing it; for_writers: readers do not count
SELECT l.virtualtransaction AS transaction, coalesce(l.pid, 0) AS pid, coalesce(a.usename, a.backend_type, x.owner, '?') AS user,
       coalesce(a.application_name, CASE WHEN l.pid IS NULL THEN 'two-phase commit' END, '') AS application,
       coalesce(a.state, a.backend_type, CASE WHEN l.pid IS NULL THEN 'prepared transaction' END, '?') AS state,
       coalesce(to_char(coalesce(a.query_start, x.prepared), 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS query_start,
       left(coalesce(a.query, x.gid, ''), 2000) AS query,
       string_agg(DISTINCT l.mode || ' on ' || l.relation::regclass, ', ') AS holds
FROM pg_locks l LEFT JOIN pg_stat_activity a ON a.pid = l.pid
LEFT JOIN pg_prepared_xacts x ON l.pid IS NULL AND l.virtualtransaction = '-1/' || x.transaction
WHERE l.granted AND l.locktype = 'relation' AND l.mode <> 'SIReadLock' AND l.relation = ANY (%(relations)s::oid[]) AND l.pid IS DISTINCT FROM pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND (NOT %(for_writers)s::boolean OR l.mode NOT IN ('AccessShareLock', 'RowShareLock'))
GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 2;
