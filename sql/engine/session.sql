-- What `aicfg_pipeline.postgres.session` runs.

-- name: begin -- a transaction
BEGIN ISOLATION LEVEL {level}{mode};

-- name: set_local -- one setting for the rest of the transaction; takes no snapshot, as set_config() would
SET LOCAL {name} TO {value};

-- name: pin_session -- settings for as long as the connection lives, in one round trip; nothing where the backend is not our own, because others would find them
SELECT p.name, CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) %(backend)s::pg_catalog.int4
                    THEN pg_catalog.set_config(p.name, p.value, false) END AS value
FROM ROWS FROM (pg_catalog.unnest(%(names)s::pg_catalog.text[]), pg_catalog.unnest(%(values)s::pg_catalog.text[])) AS p (name, value)
WHERE pg_catalog.current_setting(p.name, true) IS NOT NULL;

-- name: identity -- which database and server this is, and as whom we are here
SELECT current_database() AS database, current_user AS role, session_user AS login, version() AS version,
       pg_backend_pid() AS pid, pg_is_in_recovery() AS replica,
       current_setting('transaction_read_only') = 'on' AS read_only,
       coalesce(host(inet_server_addr()), 'local') AS server_address, coalesce(inet_server_port(), 0) AS server_port,
       (SELECT rolsuper FROM pg_roles WHERE rolname = current_user) AS superuser,
       (SELECT rolbypassrls FROM pg_roles WHERE rolname = current_user) AS bypass_rls,
       (SELECT system_identifier::text FROM pg_control_system()) AS system_identifier;
