-- The private schema and what of ours is in it: made for the tables' owner, closed to everyone else.

-- name: create_schema -- the one private schema that holds everything of ours
CREATE SCHEMA IF NOT EXISTS aicfg_rollback;

-- name: current_role -- as whom we act
SELECT current_user::text;

-- name: own_things -- what of ours was made by another role, a superuser or a member of the owner: it belongs to the schema's owner
DO $own$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        SELECT pg_catalog.format('ALTER TABLE %s OWNER TO %I', c.oid::regclass, pg_catalog.pg_get_userbyid(n.nspowner))
        FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname = {schema} AND c.relname = ANY ({names}::text[]) AND c.relkind = 'r' AND c.relowner <> n.nspowner
        UNION ALL
        SELECT pg_catalog.format('ALTER FUNCTION %s OWNER TO %I', p.oid::regprocedure, pg_catalog.pg_get_userbyid(n.nspowner))
        FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
        WHERE n.nspname = {schema} AND p.proname = ANY ({names}::text[]) AND p.proowner <> n.nspowner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$own$;

-- name: own_schema -- it belongs to whoever the tables belong to, so that the owner can go on with what another role began
DO $own$
BEGIN
    IF EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {schema} AND pg_catalog.pg_get_userbyid(n.nspowner) <> {owner}) THEN
        EXECUTE pg_catalog.format('ALTER SCHEMA %I OWNER TO %I', {schema}, {owner});
    END IF;
END
$own$;

-- name: close_to_others -- nobody but its owner has any right on a schema and on what is named in it, whatever default privileges gave
DO $close$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH named AS (
            SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = {schema} AND c.relname = ANY ({names}::text[])
            UNION
            SELECT d.objid, named.relnamespace FROM pg_catalog.pg_class AS named JOIN pg_catalog.pg_namespace AS n ON n.oid = named.relnamespace
            JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass AND d.refobjid = named.oid
                AND d.classid = 'pg_catalog.pg_class'::regclass AND d.deptype IN ('a', 'i')
            WHERE n.nspname = {schema} AND named.relname = ANY ({names}::text[])
        ), acl (what, owner, grants) AS (
            SELECT pg_catalog.format('SCHEMA %I', n.nspname), n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
            FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {schema} AND {schema_too}
            UNION ALL
            SELECT pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass), c.relowner,
                   coalesce(c.relacl, pg_catalog.acldefault(CAST(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS "char"), c.relowner))
            FROM named JOIN pg_catalog.pg_class AS c ON c.oid = named.oid AND c.relkind IN ('r', 'p', 'v', 'S')
            UNION ALL
            SELECT pg_catalog.format('FUNCTION %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
            FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = {schema} AND p.proname = ANY ({names}::text[])
        )
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s FROM %s CASCADE', acl.what,
            CASE g.grantee WHEN 0 THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END)
        FROM acl CROSS JOIN LATERAL pg_catalog.aclexplode(acl.grants) AS g WHERE g.grantee <> acl.owner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$close$;
