-- What is left of the pipeline in the database, besides the ledger.

-- name: leftovers -- relations, functions, statistics and types in the private schema; triggers, functions and schemas of ours elsewhere
SELECT CASE c.relkind WHEN 'v' THEN 'view' WHEN 'S' THEN 'sequence' WHEN 'm' THEN 'materialized view' WHEN 'f' THEN 'foreign table'
       ELSE 'table' END AS kind, c.relname::text AS name, NULL::text AS on_table, NULL::bigint AS on_oid, NULL::text AS calls
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = {private} AND c.relkind IN ('r', 'p', 'v', 'm', 'f', 'S') AND (c.relname <> 'ledger' OR n.nspname <> 'aicfg_rollback')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass::oid AND d.objid = c.oid
                  AND d.refclassid = 'pg_class'::regclass::oid AND d.deptype IN ('a', 'i') AND c.relkind = 'S')
UNION ALL
SELECT 'function', p.proname::text, NULL, NULL, NULL
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE n.nspname = {private} OR n.nspname::text NOT LIKE 'aicfg\_rollback%' AND n.nspname::text NOT LIKE 'pg\_%' AND p.proname::text LIKE 'aicfg\_rollback\_%'
UNION ALL  -- those of a table that is here go with it
SELECT 'statistics', s.stxname::text, NULL, NULL, NULL
FROM pg_statistic_ext s JOIN pg_namespace n ON n.oid = s.stxnamespace JOIN pg_class c ON c.oid = s.stxrelid
WHERE n.nspname = {private} AND c.relnamespace <> s.stxnamespace
UNION ALL
SELECT 'type', t.typname::text, NULL, NULL, NULL
FROM pg_type t JOIN pg_namespace n ON n.oid = t.typnamespace
WHERE n.nspname = {private} AND t.typtype IN ('d', 'e', 'r') OR
      n.nspname = {private} AND t.typtype = 'c' AND EXISTS (SELECT FROM pg_class c WHERE c.oid = t.typrelid AND c.relkind = 'c')
UNION ALL
SELECT 'trigger', t.tgname::text, t.tgrelid::regclass::text, t.tgrelid::bigint, p.proname::text
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE NOT t.tgisinternal AND (t.tgname::text LIKE 'aicfg\_rollback\_%' AND NOT starts_with(n.nspname::text, 'aicfg_rollback') OR n.nspname = {private})
UNION ALL
SELECT 'schema', n.nspname::text, NULL, NULL, NULL FROM pg_namespace n WHERE n.nspname::text LIKE 'aicfg\_rollback\_%' AND NOT starts_with(n.nspname::text, 'aicfg_rollback_of_')
ORDER BY 1, 2, 3;
