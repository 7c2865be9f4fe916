-- What `aicfg_pipeline.rollback.checks.references` runs.

-- name: count_orphans -- rows that refer to nothing, whatever the constraint says, with a few keys
SELECT count(*)::bigint AS rows, (array_agg(key ORDER BY key))[1:5] AS keys
FROM (SELECT ROW({keys})::text AS key FROM {table} AS referring
      WHERE {refers_to_nothing}) AS orphans;

-- name: row_type_users -- functions and columns that use the row type of one of these relations
SELECT 'function' AS kind, p.oid::regprocedure::text AS name
FROM pg_depend d JOIN pg_class c ON c.reltype = d.refobjid OR (SELECT t.typarray FROM pg_type t WHERE t.oid = c.reltype) = d.refobjid
JOIN pg_proc p ON d.classid = 'pg_proc'::regclass::oid AND p.oid = d.objid
WHERE d.refclassid = 'pg_type'::regclass::oid AND c.oid = ANY (%(oids)s::oid[])
UNION
SELECT 'column', format('%I of %s', a.attname, a.attrelid::regclass)
FROM pg_depend d JOIN pg_class c ON c.reltype = d.refobjid OR (SELECT t.typarray FROM pg_type t WHERE t.oid = c.reltype) = d.refobjid
JOIN pg_attribute a ON d.classid = 'pg_class'::regclass::oid AND a.attrelid = d.objid AND a.attnum = d.objsubid
WHERE d.refclassid = 'pg_type'::regclass::oid AND c.oid = ANY (%(oids)s::oid[])
ORDER BY 1, 2;
