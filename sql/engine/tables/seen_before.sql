-- What `aicfg_pipeline.rollback.tables.seen_before` runs.

-- name: what_decides_who_sees -- of a table and of what its policies read: rights, policies, roles, functions; whatever of it changes, the answer changes
WITH policies AS (
    SELECT p.oid, p.polname::text AS name, p.polcmd, p.polpermissive, p.polroles, pg_get_expr(p.polqual, p.polrelid) AS qual, p.polrelid
    FROM pg_policy AS p
), reads AS (
    SELECT d.refclassid, d.refobjid FROM pg_depend AS d
    WHERE d.classid = 'pg_policy'::regclass::oid AND d.objid IN (SELECT oid FROM policies WHERE polrelid = %(oid)s::oid)
), relations AS (
    SELECT c.* FROM pg_class AS c
    WHERE c.oid = %(oid)s::oid OR c.oid IN (SELECT refobjid FROM reads WHERE refclassid = 'pg_class'::regclass::oid)
)
SELECT line FROM (
    SELECT format('relation %s %s %s %s %s', c.oid, c.relowner, c.relacl, c.relrowsecurity, c.relforcerowsecurity) AS line FROM relations AS c
    UNION ALL
    SELECT format('column %s %s %s', a.attrelid, a.attname, a.attacl) FROM pg_attribute AS a
    WHERE a.attrelid IN (SELECT oid FROM relations) AND a.attnum > 0 AND NOT a.attisdropped
    UNION ALL
    SELECT format('schema %s %s %s', n.oid, n.nspowner, n.nspacl) FROM pg_namespace AS n
    WHERE n.oid IN (SELECT relnamespace FROM relations)
    UNION ALL
    SELECT format('policy %s %s %s %s %s %s', p.oid, p.name, p.polcmd, p.polpermissive, p.polroles, p.qual) FROM policies AS p
    WHERE p.polrelid IN (SELECT oid FROM relations)
    UNION ALL
    SELECT format('function %s %s %s %s %s %s', f.oid, f.proowner, f.prosecdef, f.proacl, f.proconfig, md5(pg_get_functiondef(f.oid)))
    FROM pg_proc AS f WHERE f.prokind = 'f' AND f.oid IN (SELECT refobjid FROM reads WHERE refclassid = 'pg_proc'::regclass::oid)
    UNION ALL
    SELECT format('role %s %s %s %s', r.oid, m.oid, m.rolsuper, m.rolbypassrls) FROM pg_roles AS r JOIN pg_roles AS m ON pg_has_role(r.oid, m.oid, 'MEMBER')
    WHERE r.rolname::text = ANY (%(roles)s::text[])
) AS lines ORDER BY line COLLATE "C";
