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
