-- Who may do what, in effect: asked of the server for every role of the cluster, memberships and PUBLIC included.

-- name: access_matrix -- one row for each thing a role may do with relations, their columns, owned sequences and trigger functions
WITH thing AS (
    SELECT t.oid, t.label FROM ROWS FROM (pg_catalog.unnest(%(oids)s::oid[]), pg_catalog.unnest(%(labels)s::text[])) AS t (oid, label)
), role AS (
    SELECT r.oid, r.rolname::text AS name FROM pg_catalog.pg_roles AS r
    UNION ALL SELECT 0::oid, 'public'  -- as the server's own functions call everyone; no role can be called so
), option (words) AS (VALUES (''), (' WITH GRANT OPTION')
), owned AS (  -- sequences of serial and identity columns
    SELECT thing.label, a.attname::text AS part, d.objid AS oid
    FROM thing JOIN pg_catalog.pg_depend AS d ON d.refobjid = thing.oid AND d.refclassid = 'pg_catalog.pg_class'::regclass::oid
        AND d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
    JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
), called AS (  -- functions of its triggers, without our own triggers
    SELECT DISTINCT thing.label, t.tgfoid AS oid, t.tgfoid::regprocedure::text AS part
    FROM thing JOIN pg_catalog.pg_trigger AS t ON t.tgrelid = thing.oid AND NOT t.tgisinternal
    WHERE NOT pg_catalog.starts_with(t.tgname::text, 'aicfg_rollback_')
)
SELECT 'table' AS kind, label, '' AS part, role.name AS role, may.privilege
FROM role CROSS JOIN LATERAL (
    SELECT thing.label, p.name || option.words AS privilege
    FROM thing CROSS JOIN pg_catalog.unnest(%(of_tables)s::text[]) AS p (name) CROSS JOIN option
    WHERE pg_catalog.has_table_privilege(role.oid, thing.oid, p.name || option.words) OFFSET 0) AS may
UNION ALL  -- only columns with privileges of their own: for the others the table's say everything
SELECT 'column', may.label, may.part, role.name, may.privilege
FROM role CROSS JOIN LATERAL (
    SELECT thing.label, a.attname::text AS part, p.name || option.words AS privilege
    FROM thing JOIN pg_catalog.pg_attribute AS a ON a.attrelid = thing.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped
    CROSS JOIN pg_catalog.unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'REFERENCES']) AS p (name) CROSS JOIN option
    WHERE pg_catalog.has_column_privilege(role.oid, thing.oid, a.attnum, p.name || option.words) OFFSET 0) AS may
UNION ALL
SELECT 'sequence', may.label, may.part, role.name, may.privilege
FROM role CROSS JOIN LATERAL (
    SELECT owned.label, owned.part, p.name || option.words AS privilege
    FROM owned CROSS JOIN pg_catalog.unnest(ARRAY['USAGE', 'SELECT', 'UPDATE']) AS p (name) CROSS JOIN option
    WHERE pg_catalog.has_sequence_privilege(role.oid, owned.oid, p.name || option.words) OFFSET 0) AS may
UNION ALL
SELECT 'function', may.label, may.part, role.name, may.privilege
FROM role CROSS JOIN LATERAL (
    SELECT called.label, called.part, 'EXECUTE' || option.words AS privilege
    FROM called CROSS JOIN option
    WHERE pg_catalog.has_function_privilege(role.oid, called.oid, 'EXECUTE' || option.words) OFFSET 0) AS may
UNION ALL
SELECT 'owner', thing.label, '', pg_catalog.pg_get_userbyid(c.relowner)::text, 'OWNER'
FROM thing JOIN pg_catalog.pg_class AS c ON c.oid = thing.oid
UNION ALL
SELECT 'owner', owned.label, owned.part, pg_catalog.pg_get_userbyid(c.relowner)::text, 'OWNER'
FROM owned JOIN pg_catalog.pg_class AS c ON c.oid = owned.oid
UNION ALL
SELECT 'owner', called.label, called.part, pg_catalog.pg_get_userbyid(p.proowner)::text, 'OWNER'
FROM called JOIN pg_catalog.pg_proc AS p ON p.oid = called.oid;

-- name: who_inherits -- of some roles: which has the privileges of which
SELECT member.rolname::text AS member, granted.rolname::text AS role
FROM pg_catalog.pg_roles AS member JOIN pg_catalog.pg_roles AS granted ON granted.oid <> member.oid
WHERE member.rolname = ANY (%(roles)s::text[]) AND granted.rolname = ANY (%(roles)s::text[])
  AND pg_catalog.pg_has_role(member.oid, granted.oid, 'USAGE');

-- name: view_reads_as -- whether a view reads with its readers' own rights, and who it belongs to
SELECT coalesce((SELECT o.option_value::boolean FROM pg_catalog.pg_options_to_table(c.reloptions) AS o
                 WHERE o.option_name = 'security_invoker'), false) AS invoker,
       pg_catalog.pg_get_userbyid(c.relowner)::text AS owner
FROM pg_catalog.pg_class AS c WHERE c.oid = %(oid)s::oid;
