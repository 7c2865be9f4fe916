-- What the role of the pipeline needs, and nothing more. A role that owns the migration's tables and may create schemas
-- in the database needs none of it (on Supabase: postgres). Run it with psql as a role that may grant all of it:
--
--   psql -X -v ON_ERROR_STOP=1 -v role=aicfg_pipeline -v owner=postgres -f sql/roles.sql "$ADMIN_URL"
--
-- `role` is the pipeline's, `owner` is whom the tables belong to, `schema` is where they are (public, unless given). The plan
-- names what is missing, one statement a right, in the same words as here. Running it twice does no harm.

\if :{?schema}
\else
    \set schema public
\endif

-- name: role -- a login of its own, without a password: give it one with \password
SELECT pg_catalog.format('CREATE ROLE %I LOGIN', :'role')
WHERE NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = :'role') \gexec

-- name: owner -- only an owner may rename, park and drop tables
GRANT :"owner" TO :"role";

-- name: rows -- a comparison needs every row, whatever the policies say; who runs this needs BYPASSRLS too, or is a superuser
ALTER ROLE :"role" BYPASSRLS;

-- name: database -- to make the schema aicfg_rollback, where everything of the pipeline is
GRANT CONNECT, CREATE ON DATABASE :"DBNAME" TO :"role";

-- name: schema -- to put the old tables where the views were
GRANT USAGE, CREATE ON SCHEMA :"schema" TO :"role";

-- name: references -- what the tables' foreign keys refer to
SELECT DISTINCT pg_catalog.format(line.text, n.nspname, t.relname, :'role')
FROM pg_catalog.pg_constraint AS k
JOIN pg_catalog.pg_class AS c ON c.oid = k.conrelid AND c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = :'owner')
JOIN pg_catalog.pg_namespace AS s ON s.oid = c.relnamespace AND s.nspname = :'schema'
JOIN pg_catalog.pg_class AS t ON t.oid = k.confrelid AND t.relowner <> c.relowner
JOIN pg_catalog.pg_namespace AS n ON n.oid = t.relnamespace
CROSS JOIN (VALUES ('GRANT USAGE ON SCHEMA %1$I TO %3$I'), ('GRANT SELECT, REFERENCES ON %1$I.%2$I TO %3$I')) AS line (text)
WHERE k.contype = 'f' \gexec

-- name: policies -- the functions that the tables' policies call, and the schemas that they are in
SELECT DISTINCT pg_catalog.format(line.text, n.nspname, f.oid::pg_catalog.regprocedure, :'role')
FROM pg_catalog.pg_policy AS p
JOIN pg_catalog.pg_class AS c ON c.oid = p.polrelid AND c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = :'owner')
JOIN pg_catalog.pg_depend AS d ON d.classid = 'pg_catalog.pg_policy'::pg_catalog.regclass AND d.objid = p.oid
    AND d.refclassid = 'pg_catalog.pg_proc'::pg_catalog.regclass
JOIN pg_catalog.pg_proc AS f ON f.oid = d.refobjid
JOIN pg_catalog.pg_namespace AS n ON n.oid = f.pronamespace
CROSS JOIN (VALUES ('GRANT USAGE ON SCHEMA %1$I TO %3$I'), ('GRANT EXECUTE ON FUNCTION %2$s TO %3$I')) AS line (text) \gexec

-- name: personas -- verify looks through the eyes of the roles that reach the tables (on Supabase anon, authenticated, service_role)
SELECT DISTINCT pg_catalog.format('GRANT %I TO %I', r.rolname, :'role')
FROM pg_catalog.pg_namespace AS s
LEFT JOIN pg_catalog.pg_class AS c ON c.relnamespace = s.oid AND c.relowner = (SELECT oid FROM pg_catalog.pg_roles WHERE rolname = :'owner')
CROSS JOIN LATERAL (SELECT grantee FROM pg_catalog.aclexplode(s.nspacl) UNION SELECT grantee FROM pg_catalog.aclexplode(c.relacl)) AS g
JOIN pg_catalog.pg_roles AS r ON r.oid = g.grantee AND NOT r.rolsuper AND NOT r.rolcanlogin AND r.rolname NOT IN (:'role', :'owner')
WHERE s.nspname = :'schema' \gexec

-- name: sessions -- with terminate_blockers: to see that a session is idle, and to end it
GRANT pg_read_all_stats, pg_signal_backend TO :"role";
