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

-- name: connection_limits -- how many connections our role and this database may have, where that is limited, and how many others have
SELECT format('The role %I', r.rolname) AS what, format('ALTER ROLE %I', r.rolname) AS alter, r.rolconnlimit::bigint AS most,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.usesysid = r.oid AND a.pid <> pg_catalog.pg_backend_pid())::bigint AS others
FROM pg_catalog.pg_roles r WHERE r.rolname = session_user AND r.rolconnlimit >= 0 AND NOT r.rolsuper
UNION ALL
SELECT format('The database %I', d.datname), format('ALTER DATABASE %I', d.datname), d.datconnlimit::bigint,
       (SELECT count(*) FROM pg_catalog.pg_stat_activity a WHERE a.datid = d.oid AND a.usesysid IS NOT NULL AND a.pid <> pg_catalog.pg_backend_pid())::bigint
FROM pg_catalog.pg_database d
WHERE d.datname = current_database() AND d.datconnlimit >= 0 AND NOT (SELECT rolsuper FROM pg_catalog.pg_roles WHERE rolname = session_user);
