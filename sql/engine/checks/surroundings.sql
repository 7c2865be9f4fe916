-- What is around the tables and decides who sees and does what with them: functions, roles, other ways to the rows,
-- the private schema. As flat facts: object, aspect, value. Read with nothing but pg_catalog in the search path.

-- name: called_functions -- what policies, triggers, defaults, constraints, indexes and rules of these tables call, and what that calls
WITH RECURSIVE own AS (
    SELECT 'pg_policy'::regclass::oid AS classid, p.oid FROM pg_policy AS p WHERE p.polrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION ALL SELECT 'pg_trigger'::regclass::oid, t.oid FROM pg_trigger AS t
        WHERE t.tgrelid = ANY (CAST(%(oids)s AS oid[])) AND NOT t.tgisinternal
    UNION ALL SELECT 'pg_constraint'::regclass::oid, c.oid FROM pg_constraint AS c WHERE c.conrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION ALL SELECT 'pg_attrdef'::regclass::oid, d.oid FROM pg_attrdef AS d WHERE d.adrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION ALL SELECT 'pg_class'::regclass::oid, i.indexrelid FROM pg_index AS i WHERE i.indrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION ALL SELECT 'pg_rewrite'::regclass::oid, r.oid FROM pg_rewrite AS r WHERE r.ev_class = ANY (CAST(%(oids)s AS oid[]))
), candidates AS (
    SELECT p.oid, '(^|[^a-z0-9_$])"?' || regexp_replace(CAST(p.proname AS text), '([^a-zA-Z0-9_])', '\\\1', 'g') || '"?\s*\(' AS pattern
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE n.nspname NOT IN ('pg_catalog', 'information_schema') AND p.prokind IN ('f', 'p')
      AND (n.nspname = {private} OR n.nspname <> 'aicfg_rollback' AND NOT starts_with(n.nspname::text, 'aicfg_rollback_of_'))
      AND NOT EXISTS (SELECT FROM pg_depend AS e WHERE e.classid = 'pg_proc'::regclass::oid AND e.objid = p.oid AND e.deptype = 'e')
), called (oid) AS (
    SELECT d.refobjid FROM own JOIN pg_depend AS d ON d.classid = own.classid AND d.objid = own.oid
    WHERE d.refclassid = 'pg_proc'::regclass::oid
    UNION
    SELECT further.oid FROM called JOIN pg_proc AS p ON p.oid = called.oid CROSS JOIN LATERAL (
        SELECT d.refobjid AS oid FROM pg_depend AS d
        WHERE d.classid = 'pg_proc'::regclass::oid AND d.objid = p.oid AND d.refclassid = 'pg_proc'::regclass::oid
        UNION ALL
        SELECT c.oid FROM candidates AS c WHERE p.prosrc ~* c.pattern
    ) AS further
)
SELECT called.oid::bigint AS oid FROM called WHERE called.oid IN (SELECT candidates.oid FROM candidates)
ORDER BY 1;

-- name: functions_named -- functions without arguments by schema and name
SELECT p.oid::bigint AS oid FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
WHERE p.pronargs = 0 AND (CAST(n.nspname AS text), CAST(p.proname AS text))
      IN (SELECT * FROM unnest(CAST(%(schemas)s AS text[]), CAST(%(names)s AS text[])));

-- name: functions_by_signature -- those of these functions that exist
SELECT CAST(to_regprocedure(s) AS oid)::bigint AS oid FROM unnest(CAST(%(signatures)s AS text[])) AS s WHERE to_regprocedure(s) IS NOT NULL;

-- name: function_surroundings -- what a function does (as a hash of its text), for whom it runs, whose it is and who may call it
SELECT 'function ' || CAST(CAST(p.oid AS regprocedure) AS text) AS object, v.aspect, v.value
FROM pg_proc AS p JOIN pg_language AS l ON l.oid = p.prolang,
    LATERAL (VALUES
        ('body', 'sha256 ' || left(encode(sha256(convert_to(
            regexp_replace(coalesce(nullif(p.prosrc, ''), pg_get_function_sqlbody(p.oid), ''), '[ \t\r]+$', '', 'gn'), 'UTF8')), 'hex'), 16)),
        ('language', CAST(l.lanname AS text)),
        ('returns', format_type(p.prorettype, NULL)),
        ('runs as', CASE WHEN p.prosecdef THEN 'its owner' ELSE 'the caller' END),
        ('volatility', CAST(p.provolatile AS text)),
        ('settings', (SELECT string_agg(s, ', ' ORDER BY s) FROM unnest(p.proconfig) AS s)),
        ('owner', CAST(pg_get_userbyid(p.proowner) AS text)),
        ('who may call it', (SELECT string_agg(CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' ELSE CAST(pg_get_userbyid(g.grantee) AS text) END
                                 || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END, ', '
                                 ORDER BY CASE g.grantee WHEN 0::oid THEN '' ELSE CAST(pg_get_userbyid(g.grantee) AS text) END)
                             FROM aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) AS g))
    ) AS v (aspect, value)
WHERE p.oid = ANY (CAST(%(oids)s AS oid[]));

-- name: functions_to_come -- owner and callers of functions without arguments that do not exist, once we have made them and given them to the owner
SELECT object, aspect, CASE aspect WHEN 'owner' THEN min(value) ELSE string_agg(value, ', ' ORDER BY ordered) END AS value FROM (
SELECT 'function ' || quote_ident(n.nspname) || '.' || quote_ident(f.name) || '()' AS object, v.aspect, v.value,
       CASE g.grantee WHEN 0::oid THEN '' WHEN me.oid THEN %(owner)s ELSE CAST(pg_get_userbyid(g.grantee) AS text) END AS ordered
FROM unnest(CAST(%(schemas)s AS text[]), CAST(%(names)s AS text[])) AS f (schema, name)
JOIN pg_namespace AS n ON CAST(n.nspname AS text) = f.schema JOIN pg_roles AS me ON me.rolname = current_user,
    LATERAL (
        SELECT g.grantee, g.is_grantable FROM aclexplode(coalesce((
            SELECT d.defaclacl FROM pg_default_acl AS d WHERE d.defaclrole = me.oid AND d.defaclnamespace = 0::oid AND d.defaclobjtype = 'f'),
            acldefault('f', me.oid))) AS g
        UNION
        SELECT g.grantee, g.is_grantable FROM pg_default_acl AS d, LATERAL aclexplode(d.defaclacl) AS g
        WHERE d.defaclrole = me.oid AND d.defaclnamespace = n.oid AND d.defaclobjtype = 'f'
    ) AS g,
    LATERAL (VALUES
        ('owner', CAST(%(owner)s AS text)),
        ('who may call it', CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' WHEN me.oid THEN %(owner)s ELSE CAST(pg_get_userbyid(g.grantee) AS text) END
                            || CASE WHEN g.is_grantable THEN ' with grant option' ELSE '' END)
    ) AS v (aspect, value)
WHERE NOT EXISTS (SELECT FROM pg_proc AS p WHERE p.pronamespace = n.oid AND CAST(p.proname AS text) = f.name AND p.pronargs = 0)
) AS to_come GROUP BY 1, 2;

-- name: role_facts -- what roles may do by being what they are, whose members they are, and who is a member of them, however deep
WITH RECURSIVE watched AS (
    SELECT r.oid FROM pg_roles AS r WHERE r.rolname = ANY (CAST(%(roles)s AS text[]))
    UNION SELECT unnest(p.polroles) FROM pg_policy AS p WHERE p.polrelid = ANY (CAST(%(oids)s AS oid[]))
    UNION SELECT g.grantee FROM pg_class AS c, LATERAL aclexplode(c.relacl) AS g WHERE c.oid = ANY (CAST(%(oids)s AS oid[]))
    UNION SELECT c.relowner FROM pg_class AS c WHERE c.oid = ANY (CAST(%(oids)s AS oid[]))
), members (role, member) AS (
    SELECT w.oid, m.member FROM watched AS w JOIN pg_auth_members AS m ON m.roleid = w.oid
    UNION SELECT b.role, m.member FROM members AS b JOIN pg_auth_members AS m ON m.roleid = b.member
)
SELECT 'role ' || quote_ident(r.rolname) AS object, v.aspect, v.value
FROM pg_roles AS r,
    LATERAL (VALUES
        ('superuser', CASE WHEN r.rolsuper THEN 'yes' END),
        ('reads past row level security', CASE WHEN r.rolbypassrls THEN 'yes' ELSE 'no' END),
        ('members', (SELECT string_agg(quote_ident(CAST(pg_get_userbyid(m.member) AS text)), ', ' ORDER BY CAST(pg_get_userbyid(m.member) AS text))
                     FROM members AS m WHERE m.role = r.oid))
    ) AS v (aspect, value)
WHERE r.oid IN (SELECT watched.oid FROM watched);

-- name: readers -- views that read with their owner's rights and functions that run as their owner, where others may use them to read these tables
WITH RECURSIVE reached (oid) AS (
    SELECT unnest(CAST(%(oids)s AS oid[]))
    UNION
    SELECT c.oid FROM reached AS x
    JOIN pg_depend AS d ON d.classid = 'pg_rewrite'::regclass::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid = x.oid
    JOIN pg_rewrite AS r ON r.oid = d.objid JOIN pg_class AS c ON c.oid = r.ev_class AND c.relkind IN ('v', 'm')
), unfiltered AS (
    SELECT r.oid FROM pg_roles AS r WHERE r.rolsuper OR r.rolbypassrls
    UNION SELECT c.relowner FROM pg_class AS c WHERE c.oid = ANY (CAST(%(oids)s AS oid[]))
), found AS (
    SELECT CASE c.relkind WHEN 'm' THEN 'materialized view ' ELSE 'view ' END || CAST(CAST(c.oid AS regclass) AS text) AS object,
           c.relowner AS owner, coalesce(c.relacl, acldefault('r', c.relowner)) AS acl, 'SELECT' AS privilege, pg_get_viewdef(c.oid) AS body
    FROM reached AS x JOIN pg_class AS c ON c.oid = x.oid
    WHERE c.relkind IN ('v', 'm') AND c.oid <> ALL (CAST(%(oids)s AS oid[]))
      AND NOT coalesce(c.reloptions && ARRAY['security_invoker=true', 'security_invoker=on', 'security_invoker=1', 'security_invoker=yes'], false)
    UNION ALL
    SELECT 'function ' || CAST(CAST(p.oid AS regprocedure) AS text), p.proowner, coalesce(p.proacl, acldefault('f', p.proowner)), 'EXECUTE', p.prosrc
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace
    WHERE p.prosecdef AND p.prokind IN ('f', 'p') AND p.prorettype <> 'trigger'::regtype::oid
      AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'aicfg_rollback') AND NOT starts_with(n.nspname::text, 'aicfg_rollback_of_')
      AND (p.prosrc ~* ANY (CAST(%(patterns)s AS text[])) OR EXISTS (
          SELECT FROM pg_depend AS d WHERE d.classid = 'pg_proc'::regclass::oid AND d.objid = p.oid
          AND d.refclassid = 'pg_class'::regclass::oid AND d.refobjid IN (SELECT reached.oid FROM reached)))
)
SELECT f.object, 'read for others as ' || quote_ident(CAST(pg_get_userbyid(f.owner) AS text)) AS aspect,
       string_agg(CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' ELSE quote_ident(CAST(pg_get_userbyid(g.grantee) AS text)) END, ', '
                  ORDER BY CASE g.grantee WHEN 0::oid THEN '' ELSE CAST(pg_get_userbyid(g.grantee) AS text) END) AS value
FROM found AS f, LATERAL aclexplode(f.acl) AS g
WHERE f.owner IN (SELECT unfiltered.oid FROM unfiltered) AND g.privilege_type = f.privilege AND g.grantee <> f.owner
  AND g.grantee NOT IN (SELECT unfiltered.oid FROM unfiltered)
GROUP BY 1, 2
UNION ALL
SELECT f.object, 'text', 'sha256 ' || left(encode(sha256(convert_to(f.body, 'UTF8')), 'hex'), 16) FROM found AS f
WHERE f.owner IN (SELECT unfiltered.oid FROM unfiltered) AND EXISTS (
    SELECT FROM aclexplode(f.acl) AS g WHERE g.privilege_type = f.privilege AND g.grantee <> f.owner AND g.grantee NOT IN (SELECT unfiltered.oid FROM unfiltered));

-- name: row_level_security_is_on -- whether a table has row level security at all
SELECT c.relrowsecurity FROM pg_class AS c WHERE c.oid = CAST(%(oid)s AS oid);

-- name: sequence_surroundings -- the sequences that a table's columns own: whose they are, and who may draw numbers
SELECT 'sequence of column ' || quote_ident(a.attname) AS object, v.aspect, v.value
FROM pg_depend AS d JOIN pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
JOIN pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid,
    LATERAL (VALUES
        ('owner', CAST(pg_get_userbyid(s.relowner) AS text)),
        ('granted', (SELECT string_agg(CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' ELSE CAST(pg_get_userbyid(g.grantee) AS text) END
                         || ' ' || g.privilege_type, ', ' ORDER BY g.grantee, g.privilege_type)
                     FROM aclexplode(coalesce(s.relacl, acldefault('s', s.relowner))) AS g WHERE g.grantee <> s.relowner))
    ) AS v (aspect, value)
WHERE d.classid = 'pg_class'::regclass::oid AND d.refclassid = 'pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
  AND d.refobjid = CAST(%(oid)s AS oid) AND d.refobjsubid > 0;

-- name: others_in_private_schema -- whoever but its owner may use the private schema, the ledger, the change logs or our functions
SELECT what, CASE g.grantee WHEN 0::oid THEN 'everyone (PUBLIC)' ELSE CAST(pg_get_userbyid(g.grantee) AS text) END AS who,
       string_agg(g.privilege_type, ', ' ORDER BY g.privilege_type) AS privileges
FROM (
    SELECT 'the schema ' || n.nspname::text AS what, n.nspowner AS owner, coalesce(n.nspacl, acldefault('n', n.nspowner)) AS acl
    FROM pg_namespace AS n WHERE n.nspname IN ('aicfg_rollback', {private})
    UNION ALL
    SELECT n.nspname::text || '.' || quote_ident(c.relname), c.relowner, coalesce(c.relacl, acldefault('r', c.relowner))
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (n.nspname = 'aicfg_rollback' AND c.relname = 'ledger' OR n.nspname = {private} AND c.relname = ANY (CAST(%(logs)s AS text[]))) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT 'the function ' || n.nspname::text || '.' || quote_ident(p.proname), p.proowner, coalesce(p.proacl, acldefault('f', p.proowner))
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = {private} AND p.proname = ANY (CAST(%(logs)s AS text[]))
) AS found, LATERAL aclexplode(found.acl) AS g
WHERE g.grantee <> found.owner GROUP BY 1, 2 ORDER BY 1, 2;

-- name: owners_in_private_schema -- owners of the private schema and of what is ours in it
SELECT what, CAST(pg_get_userbyid(owner) AS text) AS owner
FROM (
    SELECT 'the schema ' || n.nspname::text AS what, n.nspowner AS owner FROM pg_namespace AS n WHERE n.nspname IN ('aicfg_rollback', {private})
    UNION ALL
    SELECT n.nspname::text || '.' || quote_ident(c.relname), c.relowner FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE (n.nspname = 'aicfg_rollback' AND c.relname = 'ledger' OR n.nspname = {private} AND c.relname = ANY (CAST(%(logs)s AS text[]))) AND c.relkind IN ('r', 'p', 'v', 'm', 'f')
    UNION ALL
    SELECT 'the function ' || n.nspname::text || '.' || quote_ident(p.proname), p.proowner
    FROM pg_proc AS p JOIN pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = {private} AND p.proname = ANY (CAST(%(logs)s AS text[]))
) AS found ORDER BY 1;

-- name: written_while_parked -- rows of a parked table written since the swap whose key is not in the change log
SELECT count(*)::bigint AS rows, (array_agg(CAST(ROW({keys}) AS text) ORDER BY CAST(ROW({keys}) AS text)))[1:5] AS keys
FROM {parked} AS parked
WHERE (((CAST(CAST(parked.xmin AS text) AS bigint) - CAST(%(next_xid)s AS bigint)) & 4294967295) < 2147483648)
  AND NOT EXISTS (SELECT FROM {log} AS logged WHERE {keys_equal})
  AND NOT EXISTS (SELECT FROM {log} AS emptied WHERE emptied.aicfg_whole_table);
