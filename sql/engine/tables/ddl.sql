-- What `aicfg_pipeline.rollback.tables.ddl` runs.

-- name: drop_table -- without CASCADE: what depends on it is never dropped along
DROP TABLE {table};

-- name: security_invoker -- readers of the view pass the row level security of the table below
ALTER VIEW {view} SET (security_invoker = true);

-- name: other_grantees -- who else has rights on a table that has just been made: default privileges
SELECT DISTINCT g.grantee = 0 AS everyone, pg_get_userbyid(g.grantee) AS role
FROM pg_class c, LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS g
WHERE c.oid = %(oid)s::oid AND g.grantee <> c.relowner;

-- name: revoke_from_role -- so that only what the file grants is left
REVOKE ALL ON {table} FROM {role};

-- name: revoke_from_public -- the same for everyone
REVOKE ALL ON {table} FROM PUBLIC;
