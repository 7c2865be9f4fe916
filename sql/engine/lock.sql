-- What `aicfg_pipeline.rollback.lock` runs.

-- name: take_session_lock -- one run at a time per database, for as long as this connection lives
SELECT pg_try_advisory_lock(%(class)s, %(key)s);

-- name: release_session_lock -- given back before the connection closes
SELECT pg_advisory_unlock(%(class)s, %(key)s);

-- name: lock_holder -- who has the run lock
SELECT a.pid, coalesce(a.usename, '?') AS role, coalesce(a.application_name, '') AS application,
       coalesce(to_char(a.backend_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS since,
       coalesce(starts_with(a.application_name, 'aicfg_pipeline'), false)
           AND (pg_has_role(a.usesysid, me.oid, 'MEMBER') OR pg_has_role(me.oid, a.usesysid, 'MEMBER')) AS one_of_ours
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_roles me ON me.rolname = current_user
WHERE l.locktype = 'advisory' AND l.granted AND l.classid = %(class)s AND l.objid = %(key)s AND l.objsubid = 2
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.backend_start LIMIT 1;

-- name: backend_pid -- which backend this statement runs in
SELECT pg_backend_pid();
