-- What `aicfg_pipeline.rollback.checks.view` runs.

-- name: view_definition -- what a view reads, and whether with its readers' own rights
SELECT pg_get_viewdef(c.oid, true) AS definition, pg_get_userbyid(c.relowner)::text AS owner,
       EXISTS (SELECT FROM unnest(c.reloptions) AS o WHERE o IN ('security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes')) AS invoker,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: count_both -- rows of the view and of the table in one snapshot
SELECT (SELECT count(*)::bigint FROM {view}) AS view_rows, (SELECT count(*)::bigint FROM {table}) AS table_rows;

-- name: today -- the server's clock
SELECT (now() AT TIME ZONE 'UTC')::date AS today;
