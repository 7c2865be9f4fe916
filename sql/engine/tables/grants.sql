-- Privileges of what has just been made: exactly those of the file, and for sequences those that they had.

-- name: sequence_grants -- what the sequences of a table's columns should grant: what those of the tables before grant, else what default privileges of their schema give
WITH owned AS (
    SELECT d.refobjid AS "table", a.attname, s.relowner, s.relacl, s.relname
    FROM pg_catalog.pg_depend AS d JOIN pg_catalog.pg_class AS s ON s.oid = d.objid AND s.relkind = 'S'
    JOIN pg_catalog.pg_attribute AS a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
    WHERE d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.refclassid = 'pg_catalog.pg_class'::regclass::oid
      AND d.refobjid = ANY (%(target)s::oid || %(before)s::oid[]) AND d.refobjsubid > 0 AND d.deptype IN ('a', 'i')
), target AS (SELECT * FROM owned WHERE "table" = %(target)s::oid
), before AS (SELECT * FROM owned WHERE "table" <> %(target)s::oid
), place AS (  -- who made the tables, and where
    SELECT c.relowner AS owner, c.relnamespace AS schema FROM pg_catalog.pg_class AS c WHERE c.oid = (%(before)s::oid[])[1]
), by_default AS (  -- as the server merges them: those of the schema on top of those without one, or of the built-in ones
    SELECT g.grantee, g.privilege_type, g.is_grantable FROM place CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(
        (SELECT d.defaclacl FROM pg_catalog.pg_default_acl AS d
         WHERE d.defaclrole = place.owner AND d.defaclnamespace = 0::oid AND d.defaclobjtype = 'S'),
        pg_catalog.acldefault('s', place.owner))) AS g
    UNION
    SELECT g.grantee, g.privilege_type, g.is_grantable
    FROM place JOIN pg_catalog.pg_default_acl AS d ON d.defaclrole = place.owner AND d.defaclnamespace = place.schema AND d.defaclobjtype = 'S'
    CROSS JOIN LATERAL pg_catalog.aclexplode(d.defaclacl) AS g
), wanted AS (
    SELECT target.relname, g.grantee, g.privilege_type, g.is_grantable
    FROM target JOIN before USING (attname)
    CROSS JOIN LATERAL pg_catalog.aclexplode(coalesce(before.relacl, pg_catalog.acldefault('s', before.relowner))) AS g
    WHERE g.grantee <> before.relowner
    UNION
    SELECT target.relname, g.grantee, g.privilege_type, g.is_grantable
    FROM target CROSS JOIN by_default AS g CROSS JOIN place
    WHERE g.grantee <> place.owner AND NOT EXISTS (SELECT FROM before WHERE before.attname = target.attname)
)
SELECT w.relname::text AS sequence, w.grantee = 0::oid AS everyone, pg_catalog.pg_get_userbyid(w.grantee)::text AS role,
       w.is_grantable AS grantable, array_agg(w.privilege_type ORDER BY w.privilege_type)::text[] AS privileges
FROM wanted AS w GROUP BY 1, 2, 3, 4 ORDER BY 1, 3, 4;

-- name: grant_on_sequence -- as it was
GRANT {privileges} ON SEQUENCE {sequence} TO {role}{option};

-- name: give_table -- to the role that the table belonged to before, whoever runs; whoever is given something must be able to make it there
DO $give$
DECLARE
    thing CONSTANT regclass := {table};
    may_make CONSTANT boolean := pg_catalog.has_schema_privilege({owner}, {schema}, 'CREATE');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_class AS o WHERE o.oid = thing AND pg_catalog.pg_get_userbyid(o.relowner) = {owner}) THEN
        IF NOT may_make THEN
            EXECUTE pg_catalog.format('GRANT CREATE ON SCHEMA %I TO %I', {schema}, {owner});
        END IF;
        EXECUTE pg_catalog.format('ALTER TABLE %s OWNER TO %I', thing, {owner});
        IF NOT may_make THEN
            EXECUTE pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM %I', {schema}, {owner});
        END IF;
    END IF;
END
$give$;

-- name: give_function -- to the role that the table belonged to before, whoever runs; whoever is given something must be able to make it there
DO $give$
DECLARE
    thing CONSTANT regprocedure := {function};
    may_make CONSTANT boolean := pg_catalog.has_schema_privilege({owner}, {schema}, 'CREATE');
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_proc AS o WHERE o.oid = thing AND pg_catalog.pg_get_userbyid(o.proowner) = {owner}) THEN
        IF NOT may_make THEN
            EXECUTE pg_catalog.format('GRANT CREATE ON SCHEMA %I TO %I', {schema}, {owner});
        END IF;
        EXECUTE pg_catalog.format('ALTER FUNCTION %s OWNER TO %I', thing, {owner});
        IF NOT may_make THEN
            EXECUTE pg_catalog.format('REVOKE CREATE ON SCHEMA %I FROM %I', {schema}, {owner});
        END IF;
    END IF;
END
$give$;

-- name: functions_there -- of some functions without arguments: those that are there, whose they are, and whether we may replace them
SELECT n.nspname::text AS schema, p.proname::text AS name, pg_catalog.pg_get_userbyid(p.proowner)::text AS owner,
       pg_catalog.pg_has_role(p.proowner, 'USAGE') AS replaceable
FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
JOIN ROWS FROM (pg_catalog.unnest(%(schemas)s::text[]), pg_catalog.unnest(%(names)s::text[])) AS wanted (schema, name)
    ON n.nspname = wanted.schema AND p.proname = wanted.name
WHERE p.pronargs = 0 ORDER BY 1, 2;
