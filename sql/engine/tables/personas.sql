-- What `aicfg_pipeline.rollback.tables.personas` runs.

-- name: persona_begins -- what follows is undone again
SAVEPOINT aicfg_persona;

-- name: persona_ends -- the pipeline's own role again
ROLLBACK TO SAVEPOINT aicfg_persona;

-- name: persona_claims -- the claims that the API sets for each request, in both spellings
SELECT set_config('request.jwt.claim.sub', coalesce({id}, ''), true) AS sub,
       set_config('request.jwt.claim.role', {role}, true) AS role,
       set_config('request.jwt.claims', jsonb_build_object('sub', {id}, 'role', {role})::text, true) AS claims;

-- name: become -- for the rest of the savepoint
SET LOCAL ROLE {role};

-- name: privileges_of -- what the role we have become may do with a relation
SELECT has_schema_privilege(c.relnamespace, 'USAGE') AND has_any_column_privilege(c.oid, 'SELECT') AS may_select,
       has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'INSERT') AS may_insert,
       has_schema_privilege(c.relnamespace, 'USAGE') AND has_any_column_privilege(c.oid, 'UPDATE') AS may_update,
       has_schema_privilege(c.relnamespace, 'USAGE') AND has_table_privilege(c.oid, 'DELETE') AS may_delete,
       row_security_active(c.oid) AS filtered
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: update_policies -- which rows the role we have become may update, as the policies say
SELECT pg_get_expr(p.polqual, p.polrelid) AS expression, p.polpermissive AS permissive
FROM pg_policy p
WHERE p.polrelid = %(oid)s::oid AND p.polcmd IN ('w', '*')
  AND EXISTS (SELECT FROM unnest(p.polroles) AS r WHERE r = 0::oid OR pg_has_role(r, 'USAGE'));

-- name: visible_rows -- how many rows are seen, and how many of them an UPDATE would reach
SELECT count(*)::bigint AS seen, count(*) FILTER (WHERE {updatable})::bigint AS updatable FROM {table} WHERE {which};

-- name: sample_keys_of -- the rows that are tried on both tables: their keys, no more than so many
CREATE TABLE {sample} AS SELECT {keys} FROM {table} LIMIT {most};

-- name: open_sample -- everyone who is tried may read the keys, until the transaction is taken back
GRANT SELECT ON {sample} TO PUBLIC;

-- name: copy_sample -- the same rows as the old table would hold them
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM {source} AS source WHERE EXISTS (SELECT FROM {sample} AS sample WHERE {keys_equal});

-- name: roles_that_may_use -- those of the roles that may use the migration's schema, and so will reach the old table
SELECT CAST(r.rolname AS text) AS role FROM pg_catalog.pg_roles AS r
WHERE CAST(r.rolname AS text) = ANY (%(roles)s::text[]) AND pg_catalog.has_schema_privilege(r.oid, %(schema)s, 'USAGE') ORDER BY 1;

-- name: open_scratch -- so they reach the scratch schema, until the transaction is taken back
GRANT USAGE ON SCHEMA {schema} TO {role};

-- name: in_sample -- which rows of the new table are tried
(EXISTS (SELECT FROM {sample} AS aicfg_sample WHERE {keys_equal}));
