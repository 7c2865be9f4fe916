-- Settings, locks and who else is connected.

-- name: set_local -- one setting for the rest of the transaction; takes no snapshot, as set_config() would
SET LOCAL {name} TO {value};

-- name: identity -- which database and server this is, and as whom we are here
SELECT current_database() AS database, current_user AS role, session_user AS login, version() AS version,
       pg_backend_pid() AS pid, pg_is_in_recovery() AS replica,
       current_setting('transaction_read_only') = 'on' AS read_only,
       coalesce(host(inet_server_addr()), 'local') AS server_address, coalesce(inet_server_port(), 0) AS server_port,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user) AS bypass_rls,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier;

-- name: take_session_lock -- one run at a time per database, for as long as this connection lives
SELECT pg_try_advisory_lock(%(class)s, %(key)s);

-- name: take_transaction_lock -- the same lock again: fails where a pooler has given us another backend
SELECT pg_try_advisory_xact_lock(%(class)s, %(key)s);

-- name: release_session_lock -- given back before the connection closes
SELECT pg_advisory_unlock(%(class)s, %(key)s);

-- name: lock_holder -- who has the run lock
SELECT a.pid, coalesce(a.usename, '?') AS role, coalesce(a.application_name, '') AS application,
       to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS since
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %(class)s AND l.objid = %(key)s AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.backend_start LIMIT 1;

-- name: blockers_of_relations -- sessions that hold a lock on one of these relations
SELECT DISTINCT a.pid, coalesce(a.usename, a.backend_type) AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, a.backend_type) AS state,
       coalesce(to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS query_start,
       left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 120) AS query
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.granted AND l.locktype = 'relation' AND l.relation = ANY (%(relations)s::oid[]) AND a.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.pid;

-- name: blockers_of_backend -- who a backend waits for just now, and which locks on our relations they hold
WITH blocking AS MATERIALIZED (SELECT DISTINCT unnest(pg_blocking_pids(%(pid)s)) AS pid)
SELECT b.pid, coalesce(a.usename, a.backend_type, 'autovacuum') AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, a.backend_type, '?') AS state,
       coalesce(to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS query_start,
       left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 120) AS query,
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
WHERE pid = %(pid)s AND state LIKE 'idle in transaction%%' AND pid <> pg_backend_pid()
  AND state_change < clock_timestamp() - interval '2 seconds';

-- name: statement_timeout -- for the rest of the transaction
SET LOCAL statement_timeout TO {milliseconds};

-- name: silence_limit -- for the rest of the transaction: a client that is not heard of any more must not keep its locks for hours
SET LOCAL idle_in_transaction_session_timeout TO {milliseconds};

-- name: backend_pid -- which backend this statement runs in
SELECT pg_backend_pid();
