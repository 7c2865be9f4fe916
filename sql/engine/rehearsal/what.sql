-- What `aicfg_pipeline.rehearsal.what` reads of the target: all of it in the one snapshot that the copy is made from.

-- name: export_snapshot -- a name by which pg_dump sees exactly what this transaction sees
SELECT pg_export_snapshot();

-- name: tables_with_rows -- these tables, and all that their foreign keys and their policies refer to, with the parts of what is in parts
WITH RECURSIVE
depends AS (
    SELECT k.conrelid AS on_this, k.confrelid AS refers_to FROM pg_constraint k WHERE k.contype = 'f'
    UNION ALL
    SELECT p.polrelid, d.refobjid
    FROM pg_policy p JOIN pg_depend d ON d.classid = CAST('pg_policy' AS regclass) AND d.objid = p.oid
    WHERE d.refclassid = CAST('pg_class' AS regclass)
    UNION ALL
    SELECT i.inhparent, i.inhrelid FROM pg_inherits i
),
wanted AS (
    SELECT CAST(o AS oid) AS oid FROM unnest(%(relations)s::oid[]) AS o
    UNION
    SELECT d.refers_to FROM wanted w JOIN depends d ON d.on_this = w.oid
)
SELECT n.nspname AS schema, c.relname AS name, pg_total_relation_size(c.oid) AS bytes
FROM wanted JOIN pg_class c USING (oid) JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') ORDER BY 1, 2;

-- name: tables_closed_to_us -- tables that this role may not read: pg_dump would stop at them
SELECT n.nspname AS schema, c.relname AS name
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p', 'm', 'f') AND n.nspname NOT IN ('pg_catalog', 'information_schema') AND n.nspname NOT LIKE 'pg\_%'
  AND n.nspname <> 'aicfg_rollback' AND NOT starts_with(n.nspname::text, 'aicfg_rollback_of_')
  AND NOT (has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'))
ORDER BY 1, 2;

-- name: extensions -- what is installed here, beside what is always there
SELECT e.extname AS name, n.nspname AS schema FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname <> 'plpgsql' ORDER BY 1;

-- name: missing_extensions -- which of these the server at the other end does not bring along
SELECT wanted.name FROM unnest(%(names)s::text[]) AS wanted (name)
WHERE NOT EXISTS (SELECT FROM pg_available_extensions a WHERE a.name = wanted.name) ORDER BY 1;

-- name: our_trigger_names -- triggers of ours on tables in use: they call what the copy does not have
SELECT n.nspname AS schema, c.relname AS name, t.tgname AS trigger
FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid JOIN pg_namespace n ON n.oid = c.relnamespace
JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace s ON s.oid = p.pronamespace
WHERE (s.nspname = 'aicfg_rollback' OR starts_with(s.nspname::text, 'aicfg_rollback_of_'))
  AND n.nspname <> 'aicfg_rollback' AND NOT starts_with(n.nspname::text, 'aicfg_rollback_of_') ORDER BY 1, 2, 3;

-- name: analyze_everything -- the target has its statistics, so the copy needs them too
ANALYZE;
