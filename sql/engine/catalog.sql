-- What is there, read from the system catalogs. Nothing in this file writes.

-- name: relations -- the named relations that exist: kind, owner, and whether row level security would hide rows from us
SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS oid, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS is_owner,
       row_security_active(c.oid) AS hides_rows, c.reltuples::bigint AS estimated_rows,
       pg_total_relation_size(c.oid)::bigint AS bytes
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: columns -- the columns of a relation in their order
SELECT a.attname AS name, format_type(a.atttypid, a.atttypmod) AS type, format_type(a.atttypid, NULL) AS base_type,
       a.attnotnull AS not_null, a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       a.atthasdef OR a.attidentity <> '' AS has_default
FROM pg_attribute a WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

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
SELECT c.conname AS name, c.contype::text AS kind, pg_get_expr(c.conbin, c.conrelid) AS expression,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS columns
FROM pg_constraint c WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('c', 'u', 'p')
UNION ALL
SELECT ic.relname, 'i', NULL,
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) k)::text[]
FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL
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

-- name: vacuum_in_progress -- vacuums that run on these relations just now
SELECT v.pid, v.relid::bigint AS oid FROM pg_stat_progress_vacuum v WHERE v.relid = ANY (%(relations)s::oid[]);
