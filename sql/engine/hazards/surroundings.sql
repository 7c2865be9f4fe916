-- What is around the tables. Nothing in this file writes.

-- name: missing_roles -- which of these roles do not exist
SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) ORDER BY 1;

-- name: missing_functions -- which of these functions (name with argument types) do not exist
SELECT f FROM unnest(%(functions)s::text[]) AS f WHERE to_regprocedure(f) IS NULL ORDER BY 1;

-- name: may_create -- whether we may make our private schema here
SELECT has_database_privilege(current_database(), 'CREATE');

-- name: unique_column_sets -- which columns of a table are unique, so that a foreign key may refer to them
SELECT ARRAY(SELECT a.attname FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, n)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY a.attname)::text[] AS columns
FROM pg_index i WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL;

-- name: dependents -- what refers to these relations and is not ours, with the statement that makes it anew
WITH RECURSIVE
reached (oid) AS (  -- these relations, views on them, views on those views
    SELECT unnest(%(oids)s::oid[])
    UNION
    SELECT c.oid FROM reached x JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = x.oid
    JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
),
row_types (oid) AS (
    SELECT t.oid FROM pg_type t WHERE t.typrelid = ANY (%(oids)s::oid[])
    UNION ALL SELECT t.typarray FROM pg_type t WHERE t.typrelid = ANY (%(oids)s::oid[]) AND t.typarray <> 0
)
SELECT * FROM (
    SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END AS kind, format('%%I.%%I', n.nspname, c.relname) AS name,
           c.oid::bigint AS refers_to,
           CASE c.relkind WHEN 'm' THEN 'CREATE MATERIALIZED VIEW ' ELSE 'CREATE VIEW ' END || format('%%I.%%I', n.nspname, c.relname)
               || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '') || ' AS ' || pg_get_viewdef(c.oid)
               || coalesce((SELECT string_agg(' ' || pg_get_indexdef(i.indexrelid) || ';', '') FROM pg_index i WHERE i.indrelid = c.oid), '') AS recreate
    FROM reached x JOIN pg_class c ON c.oid = x.oid JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE c.oid <> ALL (%(oids)s::oid[]) AND c.relkind IN ('v', 'm')
    UNION ALL
    SELECT DISTINCT 'rule', format('%%I on %%s', r.rulename, r.ev_class::regclass), r.ev_class::bigint, pg_get_ruledef(r.oid)
    FROM pg_rewrite r LEFT JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass
    WHERE r.rulename <> '_RETURN' AND (r.ev_class = ANY (%(oids)s::oid[]) OR d.refobjid IN (SELECT oid FROM reached))
    UNION ALL
    SELECT 'foreign key', format('%%I on %%s', c.conname, c.conrelid::regclass), c.confrelid::bigint,
           format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
    FROM pg_constraint c WHERE c.contype = 'f' AND c.conparentid = 0 AND c.confrelid = ANY (%(oids)s::oid[]) AND c.conrelid <> ALL (%(oids)s::oid[])
    UNION ALL
    SELECT 'function', p.oid::regprocedure::text, NULL::bigint, pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'aicfg_rollback')
      AND (EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                   AND (d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM reached)
                        OR d.refclassid = 'pg_type'::regclass AND d.refobjid IN (SELECT oid FROM row_types)))
           OR p.prosrc ~* ANY (%(name_patterns)s::text[]))
    UNION ALL
    SELECT DISTINCT 'policy', format('%%I on %%s', p.polname, p.polrelid::regclass), p.polrelid::bigint,
           format('CREATE POLICY %%I ON %%s AS %%s FOR %%s TO %%s', p.polname, p.polrelid::regclass,
                  CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
                  CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
                  CASE WHEN p.polroles = '{{0}}' THEN 'PUBLIC'
                       ELSE (SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname) FROM pg_roles WHERE oid = ANY (p.polroles)) END)
               || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
               || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
    FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid IN (SELECT oid FROM reached) AND p.polrelid <> ALL (%(oids)s::oid[])
    UNION ALL
    SELECT 'publication', format('%%I of %%s', b.pubname, r.prrelid::regclass), r.prrelid::bigint,
           format('ALTER PUBLICATION %%I ADD TABLE %%s', b.pubname, r.prrelid::regclass)
               || CASE WHEN to_jsonb(r) ->> 'prattrs' IS NULL THEN ''
                       ELSE (SELECT ' (' || string_agg(quote_ident(a), ', ') || ')' FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') a) END
               || coalesce(' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')', '')
    FROM pg_publication_rel r JOIN pg_publication b ON b.oid = r.prpubid
    JOIN pg_class c ON c.oid = r.prrelid JOIN pg_namespace n ON n.oid = c.relnamespace
    LEFT JOIN pg_publication_tables t ON t.pubname = b.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname
    WHERE r.prrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT 'default', format('%%I of %%s', a.attname, a.attrelid::regclass), d.refobjid::bigint,
           format('ALTER TABLE %%s ALTER COLUMN %%I SET DEFAULT %%s', a.attrelid::regclass, a.attname, pg_get_expr(ad.adbin, ad.adrelid))
    FROM pg_attrdef ad JOIN pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
    JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass
    JOIN pg_depend own ON own.classid = 'pg_class'::regclass AND own.objid = d.refobjid AND own.refclassid = 'pg_class'::regclass
         AND own.deptype IN ('a', 'i')
    WHERE own.refobjid = ANY (%(oids)s::oid[]) AND ad.adrelid <> ALL (%(oids)s::oid[])
    UNION ALL
    SELECT 'column', format('%%I of %%s', a.attname, a.attrelid::regclass), a.attrelid::bigint,
           CASE c.relkind WHEN 'c' THEN format('ALTER TYPE %%s ADD ATTRIBUTE %%I %%s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod))
                ELSE format('ALTER TABLE %%s ADD COLUMN %%I %%s', a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod)) END
    FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid
    WHERE a.atttypid IN (SELECT oid FROM row_types) AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'c') AND c.oid <> ALL (%(oids)s::oid[])
    UNION ALL
    SELECT 'inheritance', format('%%s inherits from %%s', i.inhrelid::regclass, i.inhparent::regclass), i.inhparent::bigint,
           CASE WHEN c.relispartition
                THEN format('ALTER TABLE %%s ATTACH PARTITION %%s %%s', i.inhparent::regclass, i.inhrelid::regclass, pg_get_expr(c.relpartbound, c.oid))
                ELSE format('ALTER TABLE %%s INHERIT %%s', i.inhrelid::regclass, i.inhparent::regclass) END
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = ANY (%(oids)s::oid[]) OR i.inhrelid = ANY (%(oids)s::oid[])
) AS found ORDER BY kind, name;

-- name: wide_publications -- publications of whole schemas or of everything that these tables are in without being named
SELECT DISTINCT b.pubname::text AS name, b.puballtables AS all_tables, format('%%I.%%I', t.schemaname, t.tablename) AS table,
       CASE WHEN b.puballtables THEN format('CREATE PUBLICATION %%I FOR ALL TABLES', b.pubname)
            ELSE format('ALTER PUBLICATION %%I ADD TABLES IN SCHEMA %%I', b.pubname, t.schemaname) END AS recreate
FROM pg_publication_tables t JOIN pg_publication b ON b.pubname = t.pubname
JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE c.oid = ANY (%(oids)s::oid[]) AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = b.oid AND r.prrelid = c.oid)
ORDER BY 1, 3;

-- name: other_triggers -- triggers that stay behind with these relations and that the migration's files do not make
SELECT t.tgname::text AS name, t.tgrelid::regclass::text AS table, pg_get_triggerdef(t.oid) AS recreate
FROM pg_trigger t WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0
  AND t.tgname NOT LIKE 'aicfg\_rollback\_%%' AND t.tgname <> ALL (%(known)s::text[]) ORDER BY 2, 1;

-- name: table_shape -- what makes a table one that can't be copied as a whole: partitions, children, a foreign server, no durability
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence,
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid)::bigint AS children,
       (SELECT string_agg(i.inhrelid::regclass::text, ', ' ORDER BY i.inhrelid::regclass::text) FROM pg_inherits i WHERE i.inhparent = c.oid) AS names
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: may_create_in -- whether the schema is there, and whether we may put tables into it
SELECT has_schema_privilege(n.oid, 'CREATE') AS may_create, pg_get_userbyid(n.nspowner) AS owner
FROM pg_namespace n WHERE n.nspname = %(schema)s;

-- name: view_is_invoker -- whether readers of a view pass the row level security of the tables below
SELECT coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions)
                OR 'security_invoker=1' = ANY (c.reloptions), false) AS invoker,
       (SELECT bool_or(t.relrowsecurity) FROM pg_class t WHERE t.oid = %(table)s::oid) AS protected
FROM pg_class c WHERE c.oid = %(view)s::oid;
