-- Names that the swap will need. Nothing in this file writes.

-- name: names_carried -- what a table takes along when it moves: its name, its indexes', sequences' and statistics', and its row type's
SELECT 'relation' AS space, c.relname::text AS name FROM pg_catalog.pg_class c WHERE c.oid = ANY (%(oids)s::oid[])
UNION
SELECT 'relation', c.relname::text
FROM pg_catalog.pg_index i JOIN pg_catalog.pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = ANY (%(oids)s::oid[])
UNION
SELECT 'relation', c.relname::text
FROM pg_catalog.pg_depend d JOIN pg_catalog.pg_class c ON c.oid = d.objid AND c.relkind = 'S'
WHERE d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND d.refobjid = ANY (%(oids)s::oid[])
  AND d.deptype IN ('a', 'i')
UNION
SELECT 'type', t.typname::text FROM pg_catalog.pg_type t WHERE t.typrelid = ANY (%(oids)s::oid[])
UNION
SELECT 'statistics', s.stxname::text FROM pg_catalog.pg_statistic_ext s WHERE s.stxrelid = ANY (%(oids)s::oid[]);

-- name: names_taken -- which of these names something in a schema has that does not leave it, and what would rename that
WITH needed AS (SELECT DISTINCT space, name FROM unnest(%(spaces)s::text[], %(names)s::text[]) AS n (space, name))
SELECT c.relname::text AS name,
       CASE WHEN i.indexrelid IS NOT NULL THEN format('the index %I of %s', c.relname, i.indrelid::regclass)
            ELSE format('the %s %I', CASE c.relkind WHEN 'S' THEN 'sequence' WHEN 'v' THEN 'view' WHEN 'm' THEN 'materialized view'
                 WHEN 'c' THEN 'type' ELSE 'table' END, c.relname) END AS who,
       format('ALTER %s %I.%I RENAME TO …', CASE c.relkind WHEN 'i' THEN 'INDEX' WHEN 'I' THEN 'INDEX' WHEN 'S' THEN 'SEQUENCE' WHEN 'v' THEN 'VIEW'
              WHEN 'm' THEN 'MATERIALIZED VIEW' WHEN 'c' THEN 'TYPE' ELSE 'TABLE' END, %(schema)s::text, c.relname) AS rename
FROM needed JOIN pg_catalog.pg_class c ON needed.space = 'relation' AND c.relname = needed.name
JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace AND n.nspname = %(schema)s::text
LEFT JOIN pg_catalog.pg_index i ON i.indexrelid = c.oid
WHERE c.oid <> ALL (%(leaving)s::oid[]) AND (i.indrelid IS NULL OR i.indrelid <> ALL (%(leaving)s::oid[]))
  AND NOT EXISTS (SELECT FROM pg_catalog.pg_depend d WHERE d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.objid = c.oid AND c.relkind = 'S'
                  AND d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND d.refobjid = ANY (%(leaving)s::oid[]) AND d.deptype IN ('a', 'i'))
UNION ALL
SELECT t.typname::text, format('the type %I', t.typname), format('ALTER TYPE %I.%I RENAME TO …', %(schema)s::text, t.typname)
FROM needed JOIN pg_catalog.pg_type t ON needed.space = 'type' AND t.typname = needed.name
JOIN pg_catalog.pg_namespace n ON n.oid = t.typnamespace AND n.nspname = %(schema)s::text
WHERE t.typrelid = 0::oid AND NOT EXISTS (SELECT FROM pg_catalog.pg_type e WHERE e.typarray = t.oid AND e.typrelid = ANY (%(leaving)s::oid[]))
UNION ALL
SELECT s.stxname::text, format('the statistics %I of %s', s.stxname, s.stxrelid::regclass), format('ALTER STATISTICS %I.%I RENAME TO …', %(schema)s::text, s.stxname)
FROM needed JOIN pg_catalog.pg_statistic_ext s ON needed.space = 'statistics' AND s.stxname = needed.name
JOIN pg_catalog.pg_namespace n ON n.oid = s.stxnamespace AND n.nspname = %(schema)s::text
WHERE s.stxrelid <> ALL (%(leaving)s::oid[])
ORDER BY 1, 2;

-- name: swap_schema_exists -- whether there is a schema of the name that the swap makes for itself
SELECT EXISTS (SELECT FROM pg_catalog.pg_namespace n WHERE n.nspname = %(schema)s);
