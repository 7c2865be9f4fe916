-- Who may do what with a table, and who sees which rows.

-- name: row_level_security_facts -- flags and policies of a table
SELECT 'table' AS object, v.aspect, v.value
FROM pg_class c,
    LATERAL (VALUES
        ('row level security', CASE WHEN c.relrowsecurity THEN 'enabled' ELSE 'disabled' END),
        ('for its owner too', CASE WHEN c.relforcerowsecurity THEN 'yes (FORCE)' ELSE 'no' END)
    ) AS v (aspect, value)
WHERE c.oid = %(oid)s::oid
UNION ALL
SELECT 'policy "' || p.polname || '"', v.aspect, v.value
FROM pg_policy p,
    LATERAL (VALUES
        ('command', CASE p.polcmd WHEN 'r' THEN 'SELECT' WHEN 'a' THEN 'INSERT' WHEN 'w' THEN 'UPDATE' WHEN 'd' THEN 'DELETE' ELSE 'ALL' END),
        ('kind', CASE WHEN p.polpermissive THEN 'permissive' ELSE 'restrictive' END),
        ('roles', (SELECT string_agg(CASE r WHEN 0::oid THEN 'public' ELSE pg_get_userbyid(r)::text END, ', '
                                     ORDER BY CASE r WHEN 0::oid THEN 'public' ELSE pg_get_userbyid(r)::text END)
                   FROM unnest(p.polroles) AS r)),
        ('USING', pg_get_expr(p.polqual, p.polrelid)),
        ('WITH CHECK', pg_get_expr(p.polwithcheck, p.polrelid)),
        ('comment', obj_description(p.oid, 'pg_policy'))
    ) AS v (aspect, value)
WHERE p.polrelid = %(oid)s::oid;

-- name: grant_facts -- the ACL of a table and of its columns, and what it comes to for some roles; the owner is called so
SELECT CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' WHEN c.relowner THEN 'the owner' ELSE 'role ' || pg_get_userbyid(g.grantee) END AS object,
       'granted' AS aspect,
       string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END
                  || CASE WHEN g.grantor <> c.relowner THEN ' by ' || pg_get_userbyid(g.grantor) ELSE '' END, ', ' ORDER BY g.privilege_type) AS value
FROM pg_class c, LATERAL aclexplode(coalesce(c.relacl, acldefault('r', c.relowner))) AS g
WHERE c.oid = %(oid)s::oid GROUP BY 1
UNION ALL
SELECT CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' WHEN c.relowner THEN 'the owner' ELSE 'role ' || pg_get_userbyid(g.grantee) END,
       'granted on column ' || a.attname,
       string_agg(g.privilege_type || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', ' ORDER BY g.privilege_type)
FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attacl IS NOT NULL AND NOT a.attisdropped,
    LATERAL aclexplode(a.attacl) AS g
WHERE c.oid = %(oid)s::oid GROUP BY 1, 2
UNION ALL
SELECT 'role ' || r.rolname, 'in effect',
       (SELECT string_agg(p, ', ' ORDER BY p) FROM unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE', 'TRUNCATE', 'REFERENCES', 'TRIGGER']) AS p
        WHERE has_table_privilege(r.oid, %(oid)s::oid, p))
FROM pg_roles r WHERE r.rolname = ANY (%(roles)s::text[]);
