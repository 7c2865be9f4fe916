-- What refers to tables and is not ours: a statement of ten parts, one for each kind. Nothing in this file writes.
-- Each part returns kind, name, the relation that is referred to (or on which it is), and the statement that makes it anew.

-- name: dependents -- all kinds at once; `reached` are the given relations, the views on them and the views on those views
WITH RECURSIVE
reached (oid) AS (
    SELECT unnest(%(oids)s::oid[])
    UNION
    SELECT c.oid
    FROM reached x
    JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = x.oid
    JOIN pg_rewrite r ON r.oid = d.objid
    JOIN pg_class c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
),
row_types (oid) AS (
    SELECT t.oid FROM pg_type t WHERE t.typrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT t.typarray FROM pg_type t WHERE t.typrelid = ANY (%(oids)s::oid[]) AND t.typarray <> 0::oid
)
SELECT kind, name, refers_to, recreate FROM ({parts}) AS found (kind, name, refers_to, recreate) ORDER BY kind, name;

-- name: dependent_views -- a view holds the table by its number: it follows it into the private schema and reads stale rows there
SELECT CASE c.relkind WHEN 'm' THEN 'materialized view' ELSE 'view' END,
       format('%I.%I', n.nspname, c.relname),
       c.oid::bigint,
       CASE c.relkind WHEN 'm' THEN 'CREATE MATERIALIZED VIEW ' ELSE 'CREATE VIEW ' END || format('%I.%I', n.nspname, c.relname)
           || coalesce(' WITH (' || array_to_string(c.reloptions, ', ') || ')', '') || ' AS ' || pg_get_viewdef(c.oid)
           || coalesce((SELECT string_agg(' ' || pg_get_indexdef(i.indexrelid) || ';', '') FROM pg_index i WHERE i.indrelid = c.oid), '')
FROM reached x
JOIN pg_class c ON c.oid = x.oid
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.oid <> ALL (%(oids)s::oid[]) AND c.relkind IN ('v', 'm');

-- name: dependent_rules -- a rule stays with the table that it is on, and one that writes into it goes on writing there
SELECT DISTINCT 'rule', format('%I on %s', r.rulename, r.ev_class::regclass), r.ev_class::bigint, pg_get_ruledef(r.oid)
FROM pg_rewrite r
LEFT JOIN pg_depend d ON d.classid = 'pg_rewrite'::regclass::oid AND d.objid = r.oid AND d.refclassid = 'pg_class'::regclass::oid
WHERE r.rulename <> '_RETURN' AND (r.ev_class = ANY (%(oids)s::oid[]) OR d.refobjid IN (SELECT oid FROM reached));

-- name: dependent_foreign_keys -- other tables' rows would be checked against the parked table, which nobody writes
SELECT 'foreign key', format('%I on %s', c.conname, c.conrelid::regclass), c.confrelid::bigint,
       format('ALTER TABLE %s ADD CONSTRAINT %I %s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
FROM pg_constraint c
WHERE c.contype = 'f' AND c.conparentid = 0::oid AND c.confrelid = ANY (%(oids)s::oid[]) AND c.conrelid <> ALL (%(oids)s::oid[]);

-- name: dependent_functions -- by what the server has noted, by the row's type, and by the name in the function's text
SELECT 'function', p.oid::regprocedure::text, NULL::bigint, pg_get_functiondef(p.oid)
FROM pg_proc p
JOIN pg_namespace n ON n.oid = p.pronamespace
WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'aicfg_rollback') AND NOT starts_with(n.nspname::text, 'aicfg_rollback_of_')
  AND (EXISTS (SELECT FROM pg_depend d
               WHERE d.classid = 'pg_proc'::regclass::oid AND d.objid = p.oid
                 AND (d.refclassid = 'pg_class'::regclass::oid AND d.refobjid IN (SELECT oid FROM reached)
                      OR d.refclassid = 'pg_type'::regclass::oid AND d.refobjid IN (SELECT oid FROM row_types)))
       OR p.prosrc ~* ANY (%(name_patterns)s::text[]));

-- name: dependent_policies -- policies of other tables that ask these ones who may see what
SELECT DISTINCT 'policy', format('%I on %s', p.polname, p.polrelid::regclass), p.polrelid::bigint,
       format('CREATE POLICY %I ON %s AS %s FOR %s TO %s', p.polname, p.polrelid::regclass,
              CASE WHEN p.polpermissive THEN 'PERMISSIVE' ELSE 'RESTRICTIVE' END,
              CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END,
              CASE WHEN 0::oid = ALL (p.polroles) THEN 'PUBLIC'
                   ELSE (SELECT string_agg(quote_ident(rolname), ', ' ORDER BY rolname) FROM pg_roles WHERE oid = ANY (p.polroles)) END)
           || coalesce(' USING (' || pg_get_expr(p.polqual, p.polrelid) || ')', '')
           || coalesce(' WITH CHECK (' || pg_get_expr(p.polwithcheck, p.polrelid) || ')', '')
FROM pg_policy p
JOIN pg_depend d ON d.classid = 'pg_policy'::regclass::oid AND d.objid = p.oid
WHERE d.refclassid = 'pg_class'::regclass::oid AND d.refobjid IN (SELECT oid FROM reached) AND p.polrelid <> ALL (%(oids)s::oid[]);

-- name: dependent_publications -- a publication of the table goes with it; its subscribers hear nothing of the old one (row filters since 15)
SELECT 'publication', format('%I of %s', b.pubname, r.prrelid::regclass), r.prrelid::bigint,
       format('ALTER PUBLICATION %I ADD TABLE %s', b.pubname, r.prrelid::regclass)
           || CASE WHEN to_jsonb(r) ->> 'prattrs' IS NULL THEN ''
                   ELSE (SELECT ' (' || string_agg(quote_ident(a), ', ') || ')' FROM jsonb_array_elements_text(to_jsonb(t) -> 'attnames') a) END
           || coalesce(' WHERE (' || (to_jsonb(t) ->> 'rowfilter') || ')', '')
FROM pg_publication_rel r
JOIN pg_publication b ON b.oid = r.prpubid
JOIN pg_class c ON c.oid = r.prrelid
JOIN pg_namespace n ON n.oid = c.relnamespace
LEFT JOIN pg_publication_tables t ON t.pubname = b.pubname AND t.schemaname = n.nspname AND t.tablename = c.relname
WHERE r.prrelid = ANY (%(oids)s::oid[]);

-- name: dependent_subscriptions -- subscriptions that write into these tables by name; they stop when it is not there
SELECT 'subscription', format('%I into %s', u.subname, r.srrelid::regclass), r.srrelid::bigint,
       format('ALTER SUBSCRIPTION %I REFRESH PUBLICATION', u.subname)
FROM pg_subscription_rel r
JOIN pg_subscription u ON u.oid = r.srsubid
WHERE r.srrelid = ANY (%(oids)s::oid[]);

-- name: dependent_defaults -- columns elsewhere that take their numbers from a sequence which these tables own
SELECT 'default', format('%I of %s', a.attname, a.attrelid::regclass), d.refobjid::bigint,
       format('ALTER TABLE %s ALTER COLUMN %I SET DEFAULT %s', a.attrelid::regclass, a.attname, pg_get_expr(ad.adbin, ad.adrelid))
FROM pg_attrdef ad
JOIN pg_attribute a ON a.attrelid = ad.adrelid AND a.attnum = ad.adnum
JOIN pg_depend d ON d.classid = 'pg_attrdef'::regclass::oid AND d.objid = ad.oid AND d.refclassid = 'pg_class'::regclass::oid
JOIN pg_depend own ON own.classid = 'pg_class'::regclass::oid AND own.objid = d.refobjid AND own.refclassid = 'pg_class'::regclass::oid
     AND own.deptype IN ('a', 'i')
WHERE own.refobjid = ANY (%(oids)s::oid[]) AND ad.adrelid <> ALL (%(oids)s::oid[]);

-- name: dependent_columns -- columns whose type is one of these tables' row type; such a table can't be dropped
SELECT 'column', format('%I of %s', a.attname, a.attrelid::regclass), a.attrelid::bigint,
       format(CASE c.relkind WHEN 'c' THEN 'ALTER TYPE %s ADD ATTRIBUTE %I %s' ELSE 'ALTER TABLE %s ADD COLUMN %I %s' END,
              a.attrelid::regclass, a.attname, format_type(a.atttypid, a.atttypmod))
FROM pg_attribute a
JOIN pg_class c ON c.oid = a.attrelid
WHERE a.atttypid IN (SELECT oid FROM row_types) AND NOT a.attisdropped AND c.relkind IN ('r', 'p', 'c') AND c.oid <> ALL (%(oids)s::oid[]);

-- name: dependent_inheritance -- parents and children, partitions among them: rows of one show in the other
SELECT 'inheritance', format('%s inherits from %s', i.inhrelid::regclass, i.inhparent::regclass), i.inhparent::bigint,
       CASE WHEN c.relispartition
            THEN format('ALTER TABLE %s ATTACH PARTITION %s %s', i.inhparent::regclass, i.inhrelid::regclass, pg_get_expr(c.relpartbound, c.oid))
            ELSE format('ALTER TABLE %s INHERIT %s', i.inhrelid::regclass, i.inhparent::regclass) END
FROM pg_inherits i
JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = ANY (%(oids)s::oid[]) OR i.inhrelid = ANY (%(oids)s::oid[]);
