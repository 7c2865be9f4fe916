-- What is there, read from the system catalogs. Nothing in this file writes.

-- name: relations -- the named relations that exist; asks for no lock on them (pg_total_relation_size would, and wait for ever)
SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS oid, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS is_owner,
       row_security_active(c.oid) AS hides_rows, c.reltuples::bigint AS estimated_rows,
       ((c.relpages + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0))::bigint
        * current_setting('block_size')::bigint) AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: columns -- the columns of a relation in their order
SELECT a.attname AS name,
       CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod)
            ELSE format('%%I.%%I', tn.nspname, t.typname) || coalesce(substring(format_type(a.atttypid, a.atttypmod) FROM '\([^()]*\)$'), '')
       END AS type,
       CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, NULL) ELSE format('%%I.%%I', tn.nspname, t.typname) END AS base_type,
       a.attnotnull AS not_null, a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: our_triggers -- the change log's triggers on a relation: name and whether they fire always
SELECT t.tgname AS name, t.tgenabled::text AS enabled
FROM pg_trigger t WHERE t.tgrelid = %(oid)s::oid AND t.tgname LIKE 'aicfg\_rollback\_%%' ORDER BY 1;

-- name: table_foreign_keys -- the foreign keys of a table
SELECT c.conname AS name, pg_get_constraintdef(c.oid) AS definition, c.convalidated AS validated,
       n.nspname AS ref_schema, r.relname AS ref_table, r.oid::bigint AS ref_oid,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS columns,
       ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS ref_columns
FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE c.conrelid = %(oid)s::oid AND c.contype = 'f' AND c.conparentid = 0 ORDER BY 1;

-- name: constraints -- check, unique and primary key constraints of a table, and its unique indexes that are no constraint
SELECT c.conname AS name, c.contype::text AS kind, pg_get_expr(c.conbin, c.conrelid) AS expression, NULL AS predicate,
       coalesce((SELECT (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean FROM pg_index i WHERE i.indexrelid = c.conindid), false) AS nulls_are_equal,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS columns
FROM pg_constraint c WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('c', 'u', 'p')
UNION ALL
SELECT ic.relname, 'i', NULL, pg_get_expr(i.indpred, i.indrelid), coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) k)::text[]
FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
WHERE i.indrelid = %(oid)s::oid AND i.indisunique
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
ORDER BY 1;

-- name: schema_exists -- whether a schema is there
SELECT EXISTS (SELECT FROM pg_namespace WHERE nspname = %(schema)s);

-- name: missing_roles -- which of these roles do not exist
SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) ORDER BY 1;

-- name: missing_functions -- which of these functions (name with argument types) do not exist
SELECT f FROM unnest(%(functions)s::text[]) AS f WHERE to_regprocedure(f) IS NULL ORDER BY 1;

-- name: own_relations -- everything that is left in the private schema
SELECT c.relname AS name, c.relkind::text AS kind, c.oid::bigint AS oid
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'aicfg_rollback' AND c.relkind IN ('r', 'p', 'v', 'm') ORDER BY 1;

-- name: vacuum_in_progress -- vacuums (or what locks like one) on these relations; pg_stat_progress_vacuum hides other roles'
SELECT l.pid, n.nspname AS schema, c.relname AS name, a.usesysid IS NULL AS automatic, coalesce(a.usename, '') AS user
FROM pg_locks l JOIN pg_stat_activity a USING (pid) JOIN pg_class c ON c.oid = l.relation JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE l.granted AND l.locktype = 'relation' AND l.mode = 'ShareUpdateExclusiveLock' AND l.relation = ANY (%(relations)s::oid[])
  AND l.pid <> pg_backend_pid() AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY l.pid;
