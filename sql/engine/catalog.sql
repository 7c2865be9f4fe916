-- What is there, read from the system catalogs. Nothing in this file writes.

-- name: relations -- the named relations that exist, and whether a column may compare by an operator of its type's own; asks for no lock on them (pg_total_relation_size would, and wait for ever)
SELECT n.nspname AS schema, c.relname AS name, c.oid::bigint AS oid, c.relkind::text AS kind,
       pg_get_userbyid(c.relowner) AS owner, pg_has_role(c.relowner, 'USAGE') AS is_owner,
       row_security_active(c.oid) AS hides_rows, c.reltuples::bigint AS estimated_rows,
       ((c.relpages + coalesce((SELECT t.relpages FROM pg_class t WHERE t.oid = c.reltoastrelid), 0))::bigint
        * current_setting('block_size')::bigint) AS bytes,
       CASE WHEN EXISTS (SELECT FROM pg_opclass k WHERE k.opcdefault AND k.opcintype >= 16384::oid)  -- a type that someone made; most databases have none
            THEN (SELECT true FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid AND t.typnamespace <> 'pg_catalog'::regnamespace::oid
                  WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped LIMIT 1) IS NOT NULL
            ELSE false END AS own_types
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::text[], %(names)s::text[]))
  AND c.relkind IN ('r', 'p', 'v', 'm', 'f');

-- name: own_equality -- which columns compare by an operator of their type's own; dear, and asked only of tables with types from elsewhere than pg_catalog
SELECT a.attrelid::bigint AS relation, a.attname AS name, format('OPERATOR(%I.%s)', opn.nspname, op.oprname) AS operator,
       format('%I.%I', tn.nspname, t.typname) AS type
FROM pg_attribute a JOIN pg_type d ON d.oid = a.atttypid AND d.typnamespace <> 'pg_catalog'::regnamespace::oid
JOIN pg_type t ON t.typnamespace <> 'pg_catalog'::regnamespace::oid AND t.oid = (WITH RECURSIVE below (oid) AS (  -- of a domain, what it stands on
        SELECT a.atttypid UNION ALL SELECT b.typbasetype FROM below JOIN pg_type b ON b.oid = below.oid WHERE b.typtype = 'd')
    SELECT below.oid FROM below JOIN pg_type b ON b.oid = below.oid WHERE b.typtype <> 'd')
JOIN pg_namespace tn ON tn.oid = t.typnamespace
JOIN pg_opclass k ON k.opcintype = t.oid AND k.opcdefault JOIN pg_am m ON m.oid = k.opcmethod AND m.amname = 'btree'
JOIN pg_amop eq ON eq.amopfamily = k.opcfamily AND eq.amoplefttype = t.oid AND eq.amoprighttype = t.oid AND eq.amopstrategy = 3::int2
JOIN pg_operator op ON op.oid = eq.amopopr JOIN pg_namespace opn ON opn.oid = op.oprnamespace
WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped;

-- name: columns -- the columns of relations in their order; type without a modifier as -1 has it: NULL would make char(5) a "character", which is char(1)
SELECT a.attrelid::bigint AS relation, a.attname AS name,
       CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, a.atttypmod)
            ELSE format('%I.%I', tn.nspname, t.typname) || coalesce(substring(format_type(a.atttypid, a.atttypmod) FROM '\([^()]*\)$'), '')
       END AS type,
       CASE WHEN tn.nspname = 'pg_catalog' THEN format_type(a.atttypid, -1) ELSE format('%I.%I', tn.nspname, t.typname) END AS base_type,
       a.attnotnull AS not_null, a.attgenerated <> '' AS generated, a.attidentity <> '' AS identity,
       a.atthasdef OR a.attidentity <> '' AS has_default,
       CASE WHEN t.typtype <> 'd' THEN format_type(a.atttypid, -1)  -- of a domain, what it stands on; asked of domains only: it is dear
            ELSE (WITH RECURSIVE below (oid) AS (
                SELECT t.typbasetype UNION ALL SELECT b.typbasetype FROM below JOIN pg_type b ON b.oid = below.oid WHERE b.typtype = 'd')
            SELECT format_type(below.oid, -1) FROM below JOIN pg_type b ON b.oid = below.oid WHERE b.typtype <> 'd') END AS core,
       (SELECT format('%I.%I', cn.nspname, l.collname) FROM pg_collation l JOIN pg_namespace cn ON cn.oid = l.collnamespace
        WHERE l.oid = a.attcollation) AS collation
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid JOIN pg_namespace tn ON tn.oid = t.typnamespace
WHERE a.attrelid = ANY (%(relations)s::oid[]) AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attrelid, a.attnum;

-- name: column_expressions -- defaults, and what generated columns are made from; pg_get_expr waits for a lock on the table
SELECT a.attname AS name, pg_get_expr(d.adbin, d.adrelid) AS expression
FROM pg_attrdef d JOIN pg_attribute a ON a.attrelid = d.adrelid AND a.attnum = d.adnum WHERE d.adrelid = %(oid)s::oid;

-- name: our_triggers -- the change log's triggers on a relation: name, whether they fire always, and whose log they fill
SELECT t.tgname AS name, t.tgenabled::text AS enabled, p.proname::text AS function, n.nspname::text AS schema
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace WHERE t.tgrelid = %(oid)s::oid AND t.tgname::text LIKE 'aicfg\_rollback\_%' ORDER BY 1;

-- name: tables_behind -- what a view reads itself
SELECT DISTINCT n.nspname::text || '.' || c.relname::text AS name
FROM pg_rewrite r JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass::oid AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass::oid
JOIN pg_class c ON c.oid = d.refobjid JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE r.ev_class = %(oid)s::oid AND c.oid <> r.ev_class ORDER BY 1;

-- name: table_foreign_keys -- the foreign keys of a table
SELECT c.conname AS name, pg_get_constraintdef(c.oid) AS definition, c.convalidated AS validated,
       n.nspname AS ref_schema, r.relname AS ref_table, r.oid::bigint AS ref_oid,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS columns,
       ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS ref_columns
FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE c.conrelid = %(oid)s::oid AND c.contype = 'f' AND c.conparentid = 0::oid ORDER BY 1;

-- name: unhashable -- columns with a type that has no hash function, however deep inside arrays, composites, domains and ranges
WITH RECURSIVE part (attname, oid) AS (
    SELECT a.attname, a.atttypid FROM pg_attribute a WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped
    UNION
    SELECT part.attname, inner_.oid FROM part JOIN pg_type t ON t.oid = part.oid CROSS JOIN LATERAL (
        SELECT t.typbasetype AS oid WHERE t.typtype = 'd'
        UNION ALL SELECT t.typelem WHERE t.typtype = 'b' AND t.typcategory = 'A'
        UNION ALL SELECT a.atttypid FROM pg_attribute a WHERE t.typtype = 'c' AND a.attrelid = t.typrelid AND a.attnum > 0 AND NOT a.attisdropped
        UNION ALL SELECT r.rngsubtype FROM pg_range r WHERE t.oid IN (r.rngtypid, r.rngmultitypid)
    ) AS inner_
)
SELECT DISTINCT part.attname FROM part JOIN pg_type t ON t.oid = part.oid
WHERE t.typtype = 'b' AND t.typcategory <> 'A' AND NOT EXISTS (
    SELECT FROM pg_opclass o JOIN pg_am m ON m.oid = o.opcmethod AND m.amname = 'hash'
    JOIN pg_amproc p ON p.amprocfamily = o.opcfamily AND p.amproclefttype = o.opcintype AND p.amprocnum = 2
    WHERE o.opcdefault AND (o.opcintype = t.oid OR EXISTS (
        SELECT FROM pg_cast c WHERE c.castsource = t.oid AND c.casttarget = o.opcintype AND c.castmethod = 'b' AND c.castcontext = 'i')))
ORDER BY 1;

-- name: blockers_of_relations -- sessions that hold a lock on one of these relations
SELECT DISTINCT a.pid, coalesce(a.usename, a.backend_type) AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, a.backend_type) AS state,
       coalesce(to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ'), '?') AS query_start,
       left(coalesce(a.query, ''), 2000) AS query
FROM pg_locks l JOIN pg_stat_activity a USING (pid)
WHERE l.granted AND l.locktype = 'relation' AND l.relation = ANY (%(relations)s::oid[]) AND a.pid <> pg_backend_pid()
  AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
ORDER BY a.pid;
