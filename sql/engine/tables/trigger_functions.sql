-- What `aicfg_pipeline.rollback.tables.trigger_functions` runs.

-- name: former_functions -- functions that the old file's triggers replace, as they are now, and which tables of others call them
SELECT CAST(n.nspname AS text) AS schema, CAST(p.proname AS text) AS name, p.prosrc AS body, pg_get_functiondef(p.oid) AS definition,
       ARRAY(SELECT DISTINCT CAST(CAST(t.tgrelid AS regclass) AS text) FROM pg_trigger AS t
             WHERE t.tgfoid = p.oid AND NOT t.tgisinternal AND t.tgrelid <> ALL (CAST(%(ours)s AS oid[])) ORDER BY 1) AS used_by
FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.pronargs = 0 AND p.prokind = 'f'
  AND (CAST(n.nspname AS text), CAST(p.proname AS text)) IN (SELECT * FROM unnest(CAST(%(schemas)s AS text[]), CAST(%(names)s AS text[])))
ORDER BY 1, 2;
