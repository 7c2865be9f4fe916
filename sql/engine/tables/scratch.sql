-- What `aicfg_pipeline.rollback.tables.scratch` runs.

-- name: scratch_schema -- made and rolled back in one transaction
CREATE SCHEMA {schema};

-- name: may_make_scratch -- whether a schema can be made here, if only to be rolled back
SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on' AS only_reads,
       has_database_privilege(current_database(), 'CREATE') AS may_create, current_user::text AS role;

-- name: touched_outside -- what this transaction has changed or locked besides the scratch schema and the functions that the file makes; told by the catalogs' own row versions
WITH changed (class, object, part) AS (
    SELECT v.class, v.object, v.part
    FROM pg_catalog.pg_current_xact_id() AS me (id), LATERAL (
        SELECT c.tableoid, c.oid, 0 FROM pg_catalog.pg_class AS c WHERE c.xmin = CAST(me.id AS xid)
        UNION ALL SELECT CAST('pg_catalog.pg_class'::regclass AS oid), a.attrelid, CAST(a.attnum AS integer) FROM pg_catalog.pg_attribute AS a WHERE a.xmin = CAST(me.id AS xid)
        UNION ALL SELECT CAST('pg_catalog.pg_class'::regclass AS oid), i.indexrelid, 0 FROM pg_catalog.pg_index AS i WHERE i.xmin = CAST(me.id AS xid)
        UNION ALL SELECT CAST('pg_catalog.pg_class'::regclass AS oid), s.seqrelid, 0 FROM pg_catalog.pg_sequence AS s WHERE s.xmin = CAST(me.id AS xid)
        UNION ALL SELECT d.tableoid, d.oid, 0 FROM pg_catalog.pg_attrdef AS d WHERE d.xmin = CAST(me.id AS xid)
        UNION ALL SELECT t.tableoid, t.oid, 0 FROM pg_catalog.pg_type AS t WHERE t.xmin = CAST(me.id AS xid)
        UNION ALL SELECT p.tableoid, p.oid, 0 FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
                  WHERE p.xmin = CAST(me.id AS xid)
                    AND NOT EXISTS (SELECT FROM unnest(%(schemas)s::text[], %(names)s::text[]) AS f (schema, name) WHERE f.schema = CAST(n.nspname AS text) AND f.name = CAST(p.proname AS text))
        UNION ALL SELECT c.tableoid, c.oid, 0 FROM pg_catalog.pg_constraint AS c WHERE c.xmin = CAST(me.id AS xid)
        UNION ALL SELECT t.tableoid, t.oid, 0 FROM pg_catalog.pg_trigger AS t WHERE t.xmin = CAST(me.id AS xid)
        UNION ALL SELECT p.tableoid, p.oid, 0 FROM pg_catalog.pg_policy AS p WHERE p.xmin = CAST(me.id AS xid)
        UNION ALL SELECT r.tableoid, r.oid, 0 FROM pg_catalog.pg_rewrite AS r WHERE r.xmin = CAST(me.id AS xid)
        UNION ALL SELECT s.tableoid, s.oid, 0 FROM pg_catalog.pg_statistic_ext AS s WHERE s.xmin = CAST(me.id AS xid)
        UNION ALL SELECT n.tableoid, n.oid, 0 FROM pg_catalog.pg_namespace AS n WHERE n.xmin = CAST(me.id AS xid)
        UNION ALL SELECT d.tableoid, d.oid, 0 FROM pg_catalog.pg_default_acl AS d WHERE d.xmin = CAST(me.id AS xid)
        UNION ALL SELECT e.tableoid, e.oid, 0 FROM pg_catalog.pg_event_trigger AS e WHERE e.xmin = CAST(me.id AS xid)
        UNION ALL SELECT p.tableoid, p.oid, 0 FROM pg_catalog.pg_publication_rel AS p WHERE p.xmin = CAST(me.id AS xid)
        UNION ALL SELECT d.classoid, d.objoid, d.objsubid FROM pg_catalog.pg_description AS d WHERE d.xmin = CAST(me.id AS xid)
        UNION ALL SELECT CAST('pg_catalog.pg_authid'::regclass AS oid), m.roleid, 0 FROM pg_catalog.pg_auth_members AS m WHERE m.xmin = CAST(me.id AS xid)
    ) AS v (class, object, part)
    UNION ALL
    SELECT CAST('pg_catalog.pg_class'::regclass AS oid), l.relation, 0
    FROM pg_catalog.pg_locks AS l JOIN pg_catalog.pg_class AS c ON c.oid = l.relation
    WHERE l.locktype = 'relation' AND l.pid = pg_catalog.pg_backend_pid() AND l.mode NOT IN ('AccessShareLock', 'RowShareLock')
      AND c.relnamespace <> CAST('pg_catalog'::regnamespace AS oid)
)
SELECT DISTINCT i.type || ' ' || i.identity AS what
FROM changed, LATERAL pg_catalog.pg_identify_object(changed.class, changed.object, changed.part) AS i
WHERE i.identity IS NOT NULL AND pg_catalog.strpos(i.identity, %(scratch)s::text) = 0
  AND NOT (i.schema IS NOT NULL AND i.schema = 'pg_toast') AND pg_catalog.strpos(i.identity, 'pg_toast.') = 0
ORDER BY 1;
