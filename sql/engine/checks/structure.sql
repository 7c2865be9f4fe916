-- What a table is made of, as flat facts: object, aspect, value. Read with the table's own schema first in the search
-- path, so that no schema is printed and a table in a scratch schema reads as the same table in its place.

-- name: structure_facts -- table, columns, constraints, indexes, triggers and rules; foreign keys have a block of their own
SELECT 'table' AS object, v.aspect, v.value
FROM pg_class c LEFT JOIN pg_am m ON m.oid = c.relam,
    LATERAL (VALUES
        ('kind', c.relkind::text),
        ('persistence', CASE c.relpersistence WHEN 'p' THEN 'permanent' WHEN 'u' THEN 'unlogged' ELSE 'temporary' END),
        ('storage', m.amname::text),
        ('storage options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(c.reloptions) AS o)),
        ('tablespace', (SELECT t.spcname::text FROM pg_tablespace t WHERE t.oid = c.reltablespace)),
        ('replica identity', CASE c.relreplident WHEN 'd' THEN 'default' WHEN 'n' THEN 'nothing' WHEN 'f' THEN 'full' ELSE 'index' END),
        ('inherits', (SELECT string_agg(i.inhparent::regclass::text, ', ' ORDER BY i.inhseqno) FROM pg_inherits i WHERE i.inhrelid = c.oid)),
        ('comment', obj_description(c.oid, 'pg_class'))
    ) AS v (aspect, value)
WHERE c.oid = %(oid)s::oid
UNION ALL
SELECT 'column ' || a.attname, v.aspect, v.value
FROM (SELECT b.*, lag(b.attname) OVER (ORDER BY b.attnum) AS follows FROM pg_attribute b
      WHERE b.attrelid = %(oid)s::oid AND b.attnum > 0 AND NOT b.attisdropped) AS a
JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum,
    LATERAL (VALUES
        ('type', format_type(a.atttypid, a.atttypmod)),
        ('collation', CASE WHEN a.attcollation <> t.typcollation THEN a.attcollation::regcollation::text END),
        ('default', CASE WHEN a.attgenerated <> '' THEN NULL
                         WHEN EXISTS (  -- whose name depends on which were taken when it was made
                             SELECT FROM pg_depend own JOIN pg_class s ON s.oid = own.objid AND s.relkind = 'S'
                             WHERE own.classid = 'pg_class'::regclass::oid AND own.refclassid = 'pg_class'::regclass::oid AND own.refobjid = a.attrelid
                               AND own.refobjsubid = a.attnum AND own.deptype = 'a'
                               AND pg_get_expr(d.adbin, d.adrelid) = format('nextval(%L::regclass)', CAST(CAST(s.oid AS regclass) AS text)))
                              THEN 'the next value of its own sequence'
                         ELSE pg_get_expr(d.adbin, d.adrelid) END),
        ('generated', CASE WHEN a.attgenerated <> '' THEN a.attgenerated::text || ': ' || pg_get_expr(d.adbin, d.adrelid) END),
        ('identity', CASE a.attidentity WHEN 'a' THEN 'always' WHEN 'd' THEN 'by default' END),
        ('nullable', CASE WHEN NOT a.attnotnull THEN 'yes'
                          WHEN EXISTS (SELECT FROM pg_constraint n WHERE n.conrelid = a.attrelid AND n.contype = 'n'
                                       AND n.conkey[1] = a.attnum AND NOT n.convalidated) THEN 'no, but not validated'
                          ELSE 'no' END),
        ('follows', coalesce(a.follows::text, 'nothing')),
        ('storage', CASE WHEN a.attstorage <> t.typstorage THEN a.attstorage::text END),
        ('compression', nullif(a.attcompression::text, '')),
        ('comment', col_description(a.attrelid, a.attnum))
    ) AS v (aspect, value)
UNION ALL
SELECT 'constraint ' || c.conname, v.aspect, v.value
FROM pg_constraint c,
    LATERAL (VALUES
        ('definition', pg_get_constraintdef(c.oid, true)),
        ('validated', CASE WHEN c.convalidated THEN 'yes' ELSE 'no' END),
        ('comment', obj_description(c.oid, 'pg_constraint'))
    ) AS v (aspect, value)
WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('c', 'u', 'p', 'x')
UNION ALL
SELECT 'index ' || ic.relname, v.aspect, v.value
FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid,
    LATERAL (VALUES
        ('definition', pg_get_indexdef(i.indexrelid, 0, true)),
        ('usable', CASE WHEN i.indisvalid AND i.indisready AND i.indislive THEN 'yes' ELSE 'no' END),
        ('clustered', CASE WHEN i.indisclustered THEN 'yes' END),
        ('comment', obj_description(i.indexrelid, 'pg_class'))
    ) AS v (aspect, value)
WHERE i.indrelid = %(oid)s::oid
UNION ALL
SELECT 'trigger ' || t.tgname, v.aspect, v.value
FROM pg_trigger t JOIN pg_proc p ON p.oid = t.tgfoid JOIN pg_namespace n ON n.oid = p.pronamespace,
    LATERAL (VALUES
        ('definition', pg_get_triggerdef(t.oid, true)),
        ('function', format('%I.%I', n.nspname, p.proname)),
        ('fires', CASE t.tgenabled WHEN 'O' THEN 'yes' WHEN 'D' THEN 'no, it is disabled' WHEN 'R' THEN 'on replicas' ELSE 'always' END),
        ('comment', obj_description(t.oid, 'pg_trigger'))
    ) AS v (aspect, value)
WHERE t.tgrelid = %(oid)s::oid AND NOT t.tgisinternal AND t.tgname <> ALL (%(ignored_triggers)s::text[])
UNION ALL
SELECT 'rule ' || r.rulename, 'definition', pg_get_ruledef(r.oid, true)
FROM pg_rewrite r WHERE r.ev_class = %(oid)s::oid;

-- name: function_facts -- what a trigger's function does and as whom
SELECT v.aspect, v.value
FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace JOIN pg_language l ON l.oid = p.prolang,
    LATERAL (VALUES
        ('body', regexp_replace(p.prosrc, '[ \t\r]+$', '', 'gn')),
        ('language', l.lanname::text),
        ('returns', format_type(p.prorettype, NULL)),
        ('runs as', CASE WHEN p.prosecdef THEN 'its owner' ELSE 'the caller' END),
        ('volatility', p.provolatile::text),
        ('settings', (SELECT string_agg(s, ', ' ORDER BY s) FROM unnest(p.proconfig) AS s))
    ) AS v (aspect, value)
WHERE n.nspname = %(schema)s AND p.proname = %(name)s AND p.pronargs = 0;

-- name: foreign_key_facts -- the foreign keys of a table, taken apart as spec.ForeignKey has them
SELECT c.conname AS name, n.nspname AS ref_schema, r.relname AS ref_table, r.oid::bigint AS ref_oid, c.convalidated AS validated,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS columns,
       ARRAY(SELECT a.attname FROM unnest(c.confkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.confrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS target_columns,
       array_remove(ARRAY[
           CASE c.confdeltype WHEN 'r' THEN 'ON DELETE RESTRICT' WHEN 'c' THEN 'ON DELETE CASCADE' WHEN 'n' THEN 'ON DELETE SET NULL'
                              WHEN 'd' THEN 'ON DELETE SET DEFAULT' END,
           CASE c.confupdtype WHEN 'r' THEN 'ON UPDATE RESTRICT' WHEN 'c' THEN 'ON UPDATE CASCADE' WHEN 'n' THEN 'ON UPDATE SET NULL'
                              WHEN 'd' THEN 'ON UPDATE SET DEFAULT' END,
           CASE c.confmatchtype WHEN 'f' THEN 'MATCH FULL' WHEN 'p' THEN 'MATCH PARTIAL' END,
           CASE WHEN c.condeferrable THEN 'DEFERRABLE' END,
           CASE WHEN c.condeferred THEN 'INITIALLY DEFERRED' END,
           CASE WHEN EXISTS (SELECT FROM pg_trigger t WHERE t.tgconstraint = c.oid AND t.tgenabled = 'D') THEN '(its triggers are disabled)' END,
           CASE WHEN pg_get_constraintdef(c.oid) LIKE '% NOT ENFORCED' THEN 'NOT ENFORCED' END
       ], NULL) AS options
FROM pg_constraint c JOIN pg_class r ON r.oid = c.confrelid JOIN pg_namespace n ON n.oid = r.relnamespace
WHERE c.conrelid = %(oid)s::oid AND c.contype = 'f' AND c.conparentid = 0::oid ORDER BY 1;

-- name: structure_details -- what seldom is there: child tables, extended statistics, options of TOAST and of columns, and which index is the replica identity
SELECT 'table' AS object, 'child tables' AS aspect,
       string_agg(CAST(CAST(i.inhrelid AS regclass) AS text), ', ' ORDER BY CAST(CAST(i.inhrelid AS regclass) AS text)) AS value
FROM pg_inherits AS i WHERE i.inhparent = CAST(%(oid)s AS oid)
UNION ALL
SELECT 'table', 'TOAST options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(t.reloptions) AS o)
FROM pg_class AS c JOIN pg_class AS t ON t.oid = c.reltoastrelid WHERE c.oid = CAST(%(oid)s AS oid)
UNION ALL
SELECT 'statistics ' || quote_ident(s.stxname), v.aspect, v.value
FROM pg_statistic_ext AS s,
    LATERAL (VALUES
        ('kinds', CAST(s.stxkind AS text)),
        ('columns', (SELECT string_agg(quote_ident(a.attname), ', ' ORDER BY a.attnum) FROM pg_attribute AS a
                     WHERE a.attrelid = s.stxrelid AND a.attnum = ANY (s.stxkeys))),
        ('expressions', pg_get_expr(s.stxexprs, s.stxrelid)),
        ('target', CAST(nullif(s.stxstattarget, -1) AS text))
    ) AS v (aspect, value)
WHERE s.stxrelid = CAST(%(oid)s AS oid)
UNION ALL
SELECT 'column ' || a.attname, v.aspect, v.value
FROM pg_attribute AS a,
    LATERAL (VALUES
        ('statistics target', CAST(nullif(a.attstattarget, -1) AS text)),
        ('options', (SELECT string_agg(o, ', ' ORDER BY o) FROM unnest(a.attoptions) AS o))
    ) AS v (aspect, value)
WHERE a.attrelid = CAST(%(oid)s AS oid) AND a.attnum > 0 AND NOT a.attisdropped
UNION ALL
SELECT 'index ' || ic.relname, 'replica identity', CASE WHEN i.indisreplident THEN 'yes' END
FROM pg_index AS i JOIN pg_class AS ic ON ic.oid = i.indexrelid WHERE i.indrelid = CAST(%(oid)s AS oid);
