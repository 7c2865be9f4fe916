-- What is around the tables. Nothing in this file writes.

-- name: missing_roles -- which of these roles do not exist
SELECT r FROM unnest(%(roles)s::text[]) AS r WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = r) ORDER BY 1;

-- name: missing_functions -- which of these functions (name with argument types) do not exist
SELECT f FROM unnest(%(functions)s::text[]) AS f WHERE to_regprocedure(f) IS NULL ORDER BY 1;

-- name: unique_column_sets -- which columns of a table are unique, so that a foreign key may refer to them
SELECT ARRAY(SELECT a.attname FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, n)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY a.attname)::text[] AS columns
FROM pg_index i WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL;

-- name: wide_publications -- publications of whole schemas or of everything that these tables are in without being named
SELECT DISTINCT b.pubname::text AS name, b.puballtables AS all_tables, format('%I.%I', t.schemaname, t.tablename) AS table,
       CASE WHEN b.puballtables THEN format('CREATE PUBLICATION %I FOR ALL TABLES', b.pubname)
            ELSE format('ALTER PUBLICATION %I ADD TABLES IN SCHEMA %I', b.pubname, t.schemaname) END AS recreate
FROM pg_publication_tables t JOIN pg_publication b ON b.pubname = t.pubname
JOIN pg_namespace n ON n.nspname = t.schemaname JOIN pg_class c ON c.relnamespace = n.oid AND c.relname = t.tablename
WHERE c.oid = ANY (%(oids)s::oid[]) AND NOT EXISTS (SELECT FROM pg_publication_rel r WHERE r.prpubid = b.oid AND r.prrelid = c.oid)
ORDER BY 1, 3;

-- name: other_triggers -- triggers that stay behind with these relations and that the migration's files do not make
SELECT t.tgname::text AS name, t.tgrelid::regclass::text AS table, pg_get_triggerdef(t.oid) AS recreate
FROM pg_trigger t WHERE t.tgrelid = ANY (%(oids)s::oid[]) AND NOT t.tgisinternal AND t.tgparentid = 0::oid
  AND t.tgname::text NOT LIKE 'aicfg\_rollback\_%' AND t.tgname <> ALL (%(known)s::text[]) ORDER BY 2, 1;

-- name: table_shape -- what makes a table one that can't be copied as a whole: partitions, children, a foreign server, no durability
SELECT c.relkind::text AS kind, c.relpersistence::text AS persistence,
       (SELECT count(*) FROM pg_inherits i WHERE i.inhparent = c.oid)::bigint AS children,
       (SELECT string_agg(i.inhrelid::regclass::text, ', ' ORDER BY i.inhrelid::regclass::text) FROM pg_inherits i WHERE i.inhparent = c.oid) AS names
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: open_schemas -- who else may put functions and operators where the migration's expressions look for theirs
SELECT quote_ident(n.nspname::text) AS schema, array_agg(DISTINCT who.name ORDER BY who.name) AS roles
FROM pg_namespace n CROSS JOIN LATERAL aclexplode(n.nspacl) AS g LEFT JOIN pg_roles r ON r.oid = g.grantee,
    LATERAL (VALUES (CASE g.grantee WHEN 0::oid THEN 'PUBLIC' ELSE quote_ident(r.rolname::text) END)) AS who (name)
WHERE n.nspname = ANY (%(schemas)s::text[]) AND g.privilege_type = 'CREATE' AND g.grantee <> n.nspowner
  AND NOT coalesce(r.rolsuper OR r.rolname = current_user OR r.rolname = ANY (%(owners)s::text[]), false)
GROUP BY n.nspname ORDER BY 1;

-- name: view_is_invoker -- whether readers of a view pass the row level security of the tables below
SELECT coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions)
                OR 'security_invoker=1' = ANY (c.reloptions), false) AS invoker,
       (SELECT bool_or(t.relrowsecurity) FROM pg_class t WHERE t.oid = %(table)s::oid) AS protected
FROM pg_class c WHERE c.oid = %(view)s::oid;
