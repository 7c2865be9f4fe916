-- What `aicfg_pipeline.rehearsal.given` asks, to be sure that a copy is not the target.

-- name: server_started -- when this very server was started: a restored backup has the target's identifier, and not this
SELECT CAST(pg_postmaster_start_time() AS text);

-- name: hold_for_this_transaction -- a lock that nobody else asks for: who sees it is on the same server
SELECT pg_advisory_xact_lock(CAST(%(class)s AS integer), CAST(%(key)s AS integer));

-- name: sees_the_lock -- whether that lock is held here
SELECT EXISTS (SELECT FROM pg_locks l WHERE l.locktype = 'advisory' AND l.granted
               AND l.classid = CAST(%(class)s AS oid) AND l.objid = CAST(%(key)s AS oid) AND l.objsubid = 2);
