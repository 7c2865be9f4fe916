-- What `aicfg_pipeline.inspection.relations` reads of a schema.

-- name: inspected_relations -- tables and views of a schema with their columns; what a table can't be taken back with; what a view reads
SELECT c.oid::bigint AS oid, c.relname::text AS name, c.relkind::text AS kind,
       ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
       ARRAY(SELECT format_type(a.atttypid, a.atttypmod) FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS types,
       ARRAY(SELECT a.attname::text FROM pg_index i JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = ANY (i.indkey)
             WHERE i.indrelid = c.oid AND i.indisprimary ORDER BY array_position(i.indkey::int2[], a.attnum)) AS key,
       EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indpred IS NULL AND i.indnkeyatts = 1::int2
               AND pg_get_expr(i.indexprs, i.indrelid) = 'true') AS single_row,
       CASE WHEN c.relkind = 'p' OR c.relispartition THEN 'it is partitioned'
            WHEN c.relkind = 'v' THEN NULL
            WHEN c.relpersistence <> 'p' THEN 'it is not an ordinary permanent table'
            WHEN EXISTS (SELECT FROM pg_inherits i WHERE i.inhrelid = c.oid OR i.inhparent = c.oid) THEN 'it inherits, or others inherit from it'
            WHEN EXISTS (SELECT FROM pg_rewrite r WHERE r.ev_class = c.oid) THEN 'it has rules' END AS unfit,
       CASE WHEN c.relkind = 'v' THEN pg_get_viewdef(c.oid) END AS definition,
       ARRAY(SELECT DISTINCT d.refobjid::bigint FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass::oid AND d.objid = r.oid
             AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid <> c.oid WHERE c.relkind = 'v' AND r.ev_class = c.oid) AS reads
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s::name AND c.relkind IN ('r', 'p', 'v')
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_class'::regclass::oid AND d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname;

-- name: inspected_names -- what is called after a table and belongs to it: constraints, indexes, sequences, triggers and their functions, policies, statistics
SELECT DISTINCT v.name::text AS name FROM (
    SELECT conname AS name FROM pg_constraint WHERE conrelid = %(oid)s::oid
    UNION ALL SELECT x.relname FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid WHERE i.indrelid = %(oid)s::oid
    UNION ALL SELECT s.relname FROM pg_depend d JOIN pg_class s ON s.oid = d.objid AND s.relkind = 'S'
        WHERE d.refobjid = %(oid)s::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
    UNION ALL SELECT tgname FROM pg_trigger WHERE tgrelid = %(oid)s::oid AND NOT tgisinternal
    UNION ALL SELECT p.proname FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid WHERE t.tgrelid = %(oid)s::oid AND NOT t.tgisinternal
        AND NOT EXISTS (SELECT FROM pg_trigger o WHERE o.tgfoid = p.oid AND o.tgrelid <> t.tgrelid)
    UNION ALL SELECT polname FROM pg_policy WHERE polrelid = %(oid)s::oid
    UNION ALL SELECT stxname FROM pg_statistic_ext WHERE stxrelid = %(oid)s::oid
) AS v ORDER BY 1;

-- name: inspected_roles -- roles that policies or privileges of some tables name; their owners are not among them
SELECT DISTINCT r.rolname::text AS name, bool_or(v.by_policy) AS by_policy FROM (
    SELECT u.role, true AS by_policy FROM pg_policy p, unnest(p.polroles) AS u (role) WHERE p.polrelid = ANY (%(oids)s::oid[])
    UNION ALL SELECT g.grantee, false FROM pg_class c, aclexplode(c.relacl) AS g WHERE c.oid = ANY (%(oids)s::oid[]) AND g.grantee <> c.relowner
) AS v JOIN pg_roles r ON r.oid = v.role GROUP BY r.rolname ORDER BY 1;
