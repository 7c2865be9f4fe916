-- The private schema and what of ours is in it: made for the tables' owner, closed to everyone else.

-- name: create_schema -- the one private schema that holds everything of ours
CREATE SCHEMA IF NOT EXISTS aicfg_rollback;

-- name: create_own_schema -- another migration has the things of its own in there; this one's are beside it
CREATE SCHEMA IF NOT EXISTS {schema};

-- name: drop_own_schema -- once nothing is in it; the schema of the ledger stays
DO $own$
BEGIN
    IF {private} <> 'aicfg_rollback' AND EXISTS (SELECT FROM pg_catalog.pg_namespace AS n WHERE n.nspname = {private})
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = {private})
       AND NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace WHERE n.nspname = {private}) THEN
        EXECUTE pg_catalog.format('DROP SCHEMA %I', {private});
    END IF;
END
$own$;

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
            JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND d.refobjid = named.oid
                AND d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
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
            CASE g.grantee WHEN 0::oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END)
        FROM acl CROSS JOIN LATERAL pg_catalog.aclexplode(acl.grants) AS g WHERE g.grantee <> acl.owner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$close$;

-- name: not_ours -- what in the private schema is not what we have made: another's, or of another kind; nothing of it is read here, only the catalog
WITH me AS (
    SELECT r.oid, r.rolsuper FROM pg_catalog.pg_roles AS r WHERE r.rolname = current_user
), trusted AS (  -- superusers may do anything as it is; for one of them the owners of the tables themselves and of the database count as well
    SELECT r.oid FROM pg_catalog.pg_roles AS r CROSS JOIN me
    WHERE r.rolsuper OR r.oid = me.oid OR NOT me.rolsuper AND pg_catalog.pg_has_role(me.oid, r.oid, 'USAGE'::text)
    UNION
    SELECT d.datdba FROM pg_catalog.pg_database AS d CROSS JOIN me WHERE me.rolsuper AND d.datname = pg_catalog.current_database()
    UNION
    SELECT c.relowner FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace CROSS JOIN me
    WHERE me.rolsuper AND n.nspname = %(schema)s::name AND c.relname = ANY (%(tables)s::name[]) AND c.relkind IN ('r', 'p')
), place AS (
    SELECT n.oid, n.nspname::text AS name, n.nspowner, n.nspacl FROM pg_catalog.pg_namespace AS n WHERE n.nspname = ANY (%(places)s::name[])
), things AS (
    SELECT c.oid, place.name || '.' || c.relname::text AS name, c.relkind, c.relowner, c.relispartition, place.name || '.' || c.relname::text = 'aicfg_rollback.ledger' AS is_ledger
    FROM pg_catalog.pg_class AS c JOIN place ON place.oid = c.relnamespace
    WHERE c.relkind IN ('r', 'p', 'v', 'm', 'f') AND (place.name = 'aicfg_rollback' AND c.relname = 'ledger' OR c.relname = ANY (%(logs)s::name[]))
)
SELECT 'the schema ' || place.name || ' belongs to ' || pg_catalog.pg_get_userbyid(place.nspowner)::text AS complaint
FROM place WHERE place.nspowner NOT IN (SELECT trusted.oid FROM trusted)
UNION ALL
SELECT CASE g.grantee WHEN 0::oid THEN 'everyone' ELSE pg_catalog.pg_get_userbyid(g.grantee)::text END || ' may create things in the schema ' || place.name
FROM place CROSS JOIN LATERAL pg_catalog.aclexplode(place.nspacl) AS g
WHERE g.privilege_type = 'CREATE'::text AND g.grantee <> place.nspowner AND g.grantee NOT IN (SELECT trusted.oid FROM trusted)
UNION ALL
SELECT things.name || ' belongs to ' || pg_catalog.pg_get_userbyid(things.relowner)::text
FROM things WHERE things.relowner NOT IN (SELECT trusted.oid FROM trusted)
UNION ALL
SELECT things.name || ' is no ordinary table' FROM things WHERE things.relkind <> 'r' OR things.relispartition
UNION ALL
SELECT 'the function ' || place.name || '.' || p.proname::text || ' belongs to ' || pg_catalog.pg_get_userbyid(p.proowner)::text
FROM pg_catalog.pg_proc AS p JOIN place ON place.oid = p.pronamespace WHERE p.proowner NOT IN (SELECT trusted.oid FROM trusted)
UNION ALL
SELECT 'aicfg_rollback.ledger has a trigger, ' || t.tgname::text
FROM pg_catalog.pg_trigger AS t JOIN things ON things.oid = t.tgrelid WHERE things.is_ledger AND NOT t.tgisinternal
UNION ALL
SELECT 'aicfg_rollback.ledger has a rule, ' || r.rulename::text
FROM pg_catalog.pg_rewrite AS r JOIN things ON things.oid = r.ev_class WHERE things.is_ledger AND things.relkind = 'r'
UNION ALL
SELECT 'aicfg_rollback.ledger has a child or parent, ' || c.relname::text
FROM pg_catalog.pg_inherits AS i JOIN things ON things.oid IN (i.inhparent, i.inhrelid) AND things.is_ledger
JOIN pg_catalog.pg_class AS c ON c.oid IN (i.inhparent, i.inhrelid) AND c.oid <> things.oid
UNION ALL
SELECT 'aicfg_rollback.ledger has a row level security policy, ' || p.polname::text
FROM pg_catalog.pg_policy AS p JOIN things ON things.oid = p.polrelid WHERE things.is_ledger
ORDER BY 1;

-- name: closed_to_us -- the owner of a private schema that we may not enter, where the tables belong to the same owner: it is the pipeline's, run as another role
SELECT CAST(pg_catalog.pg_get_userbyid(n.nspowner) AS text) AS owner FROM pg_catalog.pg_namespace AS n
WHERE n.nspname = 'aicfg_rollback' AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE')
  AND n.nspowner IN (SELECT c.relowner FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace
                     WHERE s.nspname = %(schema)s::name AND c.relname = ANY (%(tables)s::name[]) AND c.relkind IN ('r', 'p'));
