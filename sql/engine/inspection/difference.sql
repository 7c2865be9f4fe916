-- What `aicfg_pipeline.inspection.difference` runs.

-- name: view_facts -- what a view shows; its options are not compared, a server before 15 has no security_invoker
SELECT v.object, v.aspect, v.value
FROM pg_class c, LATERAL (
    SELECT 'view' AS object, 'definition' AS aspect, regexp_replace(pg_get_viewdef(c.oid, true), '\s+', ' ', 'g') AS value
    UNION ALL
    SELECT 'view', 'columns', (SELECT string_agg(quote_ident(a.attname::text), ', ' ORDER BY a.attnum) FROM pg_attribute a
                               WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped)
) AS v
WHERE c.oid = %(oid)s::oid;
