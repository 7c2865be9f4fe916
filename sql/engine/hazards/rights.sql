-- What this role may do around the tables. Nothing in this file writes; what is missing comes with the statement that grants it.

-- name: missing_rights -- each right that a rollback needs and this role has not: what it is, why, and how to grant it
WITH me AS (SELECT CAST(current_user AS pg_catalog.text) AS role),
schemas AS (
    SELECT DISTINCT n.oid, CAST(n.nspname AS pg_catalog.text) AS name FROM pg_catalog.pg_namespace AS n
    WHERE CAST(n.nspname AS pg_catalog.text) = ANY (%(schemas)s::text[])
),
functions AS (
    SELECT DISTINCT f.oid, CAST(CAST(f.oid AS pg_catalog.regprocedure) AS pg_catalog.text) AS name FROM pg_catalog.unnest(%(functions)s::text[]) AS given (name)
    JOIN pg_catalog.pg_proc AS f ON f.oid = pg_catalog.to_regprocedure(given.name)
)
SELECT 1 AS place, 'not_owner' AS code, 'create a schema in the database' AS what, 'the schema aicfg_rollback' AS why,
       pg_catalog.format('GRANT CREATE ON DATABASE %I TO %I;', pg_catalog.current_database(), me.role) AS statement
FROM me WHERE NOT pg_catalog.has_database_privilege(pg_catalog.current_database(), 'CREATE')
UNION ALL
SELECT 2, 'not_owner', pg_catalog.format('put tables into the schema %s', s.name), 'the old tables',
       pg_catalog.format('GRANT CREATE ON SCHEMA %I TO %I;', s.name, me.role)
FROM me CROSS JOIN schemas AS s WHERE s.name = ANY (%(created_in)s::text[]) AND NOT pg_catalog.has_schema_privilege(s.oid, 'CREATE')
UNION ALL
SELECT 3, 'missing_right', pg_catalog.format('use the schema %s', s.name), 'what is in it, the tables refer to or call',
       pg_catalog.format('GRANT USAGE ON SCHEMA %I TO %I;', s.name, me.role)
FROM me CROSS JOIN schemas AS s WHERE NOT pg_catalog.has_schema_privilege(s.oid, 'USAGE')
UNION ALL
SELECT 4, 'missing_right', pg_catalog.format('call %s', f.name), 'the policies',
       pg_catalog.format('GRANT EXECUTE ON FUNCTION %s TO %I;', f.name, me.role)
FROM me CROSS JOIN functions AS f WHERE NOT pg_catalog.has_function_privilege(f.oid, 'EXECUTE')
UNION ALL
SELECT 6, 'persona_not_tried', pg_catalog.format('become %s', r.rolname), 'a look through the eyes of that role',
       pg_catalog.format('GRANT %I TO %I;', r.rolname, me.role)
FROM me CROSS JOIN pg_catalog.pg_roles AS r
WHERE CAST(r.rolname AS pg_catalog.text) = ANY (%(personas)s::text[])
  AND NOT pg_catalog.pg_has_role(r.oid, CASE WHEN CAST(pg_catalog.current_setting('server_version_num') AS integer) < 160000 THEN 'MEMBER' ELSE 'SET' END)
UNION ALL
SELECT 5, 'sessions_not_ended', r.what, 'terminate_blockers', pg_catalog.format('GRANT %I TO %I;', r.role, me.role)
FROM me CROSS JOIN (VALUES ('see what others'' sessions do', 'pg_read_all_stats'), ('end others'' sessions', 'pg_signal_backend')) AS r (what, role)
WHERE %(ends_sessions)s::boolean AND NOT pg_catalog.pg_has_role(CAST(r.role AS pg_catalog.name), 'USAGE')
ORDER BY 1, 3;

-- name: closed_schemas -- those that are there and that this role may not use
SELECT CAST(n.nspname AS pg_catalog.text) FROM pg_catalog.pg_namespace AS n
WHERE CAST(n.nspname AS pg_catalog.text) = ANY (%(schemas)s::text[]) AND NOT pg_catalog.has_schema_privilege(n.oid, 'USAGE');

-- name: grant_owner -- told, not run: makes this role a member of a table's owner
GRANT {owner} TO {role};

-- name: grant_bypass -- told, not run: lets this role see every row, whatever policies say
ALTER ROLE {role} BYPASSRLS;

-- name: grant_reference -- told, not run: what a foreign key needs of the table that it refers to
GRANT SELECT, REFERENCES ON {table} TO {role};
