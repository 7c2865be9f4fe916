-- What `aicfg_pipeline.rehearsal.roles` reads of the target and makes in the copy.

-- name: roles -- every role but the server's own, with what it may do; never a password
SELECT r.rolname AS name, r.rolsuper AS superuser, r.rolinherit AS inherit, r.rolcreaterole AS createrole,
       r.rolcreatedb AS createdb, r.rolbypassrls AS bypassrls
FROM pg_roles r WHERE r.rolname NOT LIKE 'pg\_%' ORDER BY 1;

-- name: memberships -- who is a member of which role; inherit and set are there from 16 on
SELECT g.rolname AS role, m.rolname AS member, a.admin_option AS admin,
       coalesce(CAST(to_jsonb(a) ->> 'inherit_option' AS boolean), m.rolinherit) AS inherit,
       coalesce(CAST(to_jsonb(a) ->> 'set_option' AS boolean), true) AS set
FROM pg_auth_members a JOIN pg_roles g ON g.oid = a.roleid JOIN pg_roles m ON m.oid = a.member
WHERE m.rolname NOT LIKE 'pg\_%' ORDER BY 1, 2;

-- name: database_rights -- who owns the database, and who may do what with it; an empty grantee is everyone
SELECT CAST(pg_get_userbyid(d.datdba) AS text) AS owner, coalesce(r.rolname, '') AS grantee, a.privilege_type AS privilege
FROM pg_database d CROSS JOIN LATERAL aclexplode(coalesce(d.datacl, acldefault('d', d.datdba))) a
LEFT JOIN pg_roles r ON r.oid = a.grantee
WHERE d.datname = current_database() AND (a.grantee = 0 OR r.rolname NOT LIKE 'pg\_%') ORDER BY 2, 3;

-- name: roles_there -- which of these roles there are
SELECT r.rolname AS name FROM pg_roles r WHERE r.rolname = ANY (%(names)s::text[]) ORDER BY 1;

-- name: make_role -- a role as it is on the target
CREATE ROLE {role} {attributes};

-- name: make_member -- a membership as it is on the target
GRANT {role} TO {member} {options};

-- name: make_database -- the database of the copy
CREATE DATABASE {name} OWNER {owner};

-- name: nobody_may -- what everyone may do with a database by default is taken away first
REVOKE ALL ON DATABASE {name} FROM PUBLIC;

-- name: may -- a right on the database as it is on the target
GRANT {privilege} ON DATABASE {name} TO {grantee};
