-- What the plan looks for before anything is touched. Nothing in this file writes.

-- name: scratch_schema -- made and rolled back in one transaction
CREATE SCHEMA {schema};

-- name: privileges_on -- what we may do with a table that a foreign key refers to
SELECT has_table_privilege(c.oid, 'SELECT') AS may_select,
       has_table_privilege(c.oid, 'REFERENCES') AS may_reference,
       row_security_active(c.oid) AS hides_rows
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: may_create -- whether we may make our private schema here
SELECT has_database_privilege(current_database(), 'CREATE');

-- name: unique_column_sets -- which columns of a table are unique, so that a foreign key may refer to them
SELECT ARRAY(SELECT a.attname FROM unnest(i.indkey[0:i.indnkeyatts - 1]) WITH ORDINALITY k(attnum, n)
             JOIN pg_attribute a ON a.attrelid = i.indrelid AND a.attnum = k.attnum ORDER BY a.attname)::text[] AS columns
FROM pg_index i WHERE i.indrelid = %(oid)s::oid AND i.indisunique AND i.indpred IS NULL AND i.indexprs IS NULL;

-- name: tally -- rows, and how many of them break each rule, in one scan
SELECT {tallies} FROM {source} AS source;

-- name: tally_one -- how many rows break one rule
(count(*) FILTER (WHERE {broken}))::bigint AS {name};

-- name: sample_keys -- a few keys of rows that break a rule
SELECT jsonb_build_array({keys}) AS key FROM {source} AS source WHERE {broken} ORDER BY {keys} LIMIT 5;

-- name: duplicates -- values that occur more than once where they must be unique
SELECT count(*)::bigint AS groups, coalesce(max(n), 0)::bigint AS most FROM (
    SELECT count(*) AS n FROM (SELECT {expressions} FROM {source} AS source) AS rows WHERE {not_null} GROUP BY {names} HAVING count(*) > 1
) AS repeated;

-- name: duplicate_keys -- the keys of a few rows that share such a value
SELECT jsonb_build_array({keys}) AS key FROM (
    SELECT {keys}, count(*) OVER (PARTITION BY {names}) AS aicfg_n FROM (SELECT source.*, {expressions} FROM {source} AS source) AS rows
    WHERE {not_null}
) AS counted WHERE aicfg_n > 1 ORDER BY {keys} LIMIT 6;

-- name: no_such_row -- a foreign key's columns that refer to nothing
({filled} AND NOT EXISTS (SELECT FROM {table} AS referred WHERE {matches}));

-- name: values_lost -- values that would not survive the old column's type
(CAST({column} AS {type})::text IS DISTINCT FROM {column}::text);

-- name: merge_kinds -- rows of two coexisting tables by kind, with a few keys of each
SELECT kind, count(*)::bigint AS rows, (array_agg(key ORDER BY key::text))[1:5] AS sample FROM (
    SELECT CASE WHEN {old_absent} THEN 'only_in_new' WHEN {new_absent} THEN 'only_in_old'
                WHEN record_image_eq(ROW({new_columns}), ROW({old_columns})) THEN 'same'
                WHEN {old_is_later} THEN 'old_is_later' WHEN {new_is_later} THEN 'new_is_later' ELSE 'same_time' END AS kind,
           jsonb_build_array({any_keys}) AS key
    FROM {new_rows} AS newer FULL JOIN {old_table} AS older ON {keys_equal}
) AS judged GROUP BY kind ORDER BY kind;

-- name: long_transactions -- sessions whose transaction has held a lock on one of these relations for a while
SELECT DISTINCT a.pid, coalesce(a.usename, '?') AS user, coalesce(a.application_name, '') AS application,
       coalesce(a.state, '?') AS state, to_char(a.query_start, 'YYYY-MM-DD HH24:MI:SS TZ') AS query_start,
       left(regexp_replace(coalesce(a.query, ''), '\s+', ' ', 'g'), 120) AS query
FROM pg_stat_activity a JOIN pg_locks l USING (pid)
WHERE a.datname = current_database() AND a.pid <> pg_backend_pid() AND a.backend_type = 'client backend'
  AND l.granted AND l.locktype = 'relation' AND l.relation = ANY (%(relations)s::oid[])
  AND a.xact_start < clock_timestamp() - make_interval(secs => %(seconds)s)
ORDER BY a.pid;

-- name: dependents -- what refers to these relations and is not ours, with the statement that makes it anew
SELECT * FROM (
    SELECT DISTINCT 'view' AS kind, format('%%I.%%I', n.nspname, c.relname) AS name, d.refobjid::bigint AS refers_to,
           CASE c.relkind WHEN 'm' THEN 'CREATE MATERIALIZED VIEW ' ELSE 'CREATE VIEW ' END
               || format('%%I.%%I', n.nspname, c.relname) || ' AS ' || pg_get_viewdef(c.oid) AS recreate
    FROM pg_depend d JOIN pg_rewrite r ON r.oid = d.objid JOIN pg_class c ON c.oid = r.ev_class
    JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s::oid[])
      AND c.oid <> ALL (%(oids)s::oid[]) AND c.relkind IN ('v', 'm')
    UNION ALL
    SELECT 'rule', format('%%I on %%s', r.rulename, r.ev_class::regclass), r.ev_class::bigint, pg_get_ruledef(r.oid)
    FROM pg_rewrite r WHERE r.ev_class = ANY (%(oids)s::oid[]) AND r.rulename <> '_RETURN'
    UNION ALL
    SELECT 'foreign key', format('%%I on %%s', c.conname, c.conrelid::regclass), c.confrelid::bigint,
           format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', c.conrelid::regclass, c.conname, pg_get_constraintdef(c.oid))
    FROM pg_constraint c WHERE c.contype = 'f' AND c.confrelid = ANY (%(oids)s::oid[]) AND c.conrelid <> ALL (%(oids)s::oid[])
    UNION ALL
    SELECT DISTINCT 'function', p.oid::regprocedure::text, NULL::bigint, pg_get_functiondef(p.oid)
    FROM pg_proc p JOIN pg_namespace n ON n.oid = p.pronamespace
    WHERE p.prokind IN ('f', 'p') AND n.nspname NOT IN ('pg_catalog', 'information_schema', 'aicfg_rollback')
      AND (EXISTS (SELECT FROM pg_depend d WHERE d.classid = 'pg_proc'::regclass AND d.objid = p.oid
                   AND d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s::oid[]))
           OR p.prosrc ~ ANY (%(name_patterns)s::text[]))
    UNION ALL
    SELECT DISTINCT 'policy', format('%%I on %%s', p.polname, p.polrelid::regclass), d.refobjid::bigint,
           format('policy %%I on %%s: USING (%%s) WITH CHECK (%%s)', p.polname, p.polrelid::regclass,
                  coalesce(pg_get_expr(p.polqual, p.polrelid), 'true'), coalesce(pg_get_expr(p.polwithcheck, p.polrelid), 'as USING'))
    FROM pg_policy p JOIN pg_depend d ON d.classid = 'pg_policy'::regclass AND d.objid = p.oid
    WHERE d.refclassid = 'pg_class'::regclass AND d.refobjid = ANY (%(oids)s::oid[]) AND p.polrelid <> ALL (%(oids)s::oid[])
    UNION ALL
    SELECT 'publication', format('%%I of %%s', b.pubname, r.prrelid::regclass), r.prrelid::bigint,
           format('ALTER PUBLICATION %%I ADD TABLE %%s', b.pubname, r.prrelid::regclass)
    FROM pg_publication_rel r JOIN pg_publication b ON b.oid = r.prpubid WHERE r.prrelid = ANY (%(oids)s::oid[])
    UNION ALL
    SELECT 'inheritance', format('%%s inherits from %%s', i.inhrelid::regclass, i.inhparent::regclass), i.inhparent::bigint,
           format('ALTER TABLE %%s INHERIT %%s', i.inhrelid::regclass, i.inhparent::regclass)
    FROM pg_inherits i WHERE i.inhparent = ANY (%(oids)s::oid[]) OR i.inhrelid = ANY (%(oids)s::oid[])
) AS found ORDER BY kind, name;

-- name: view_is_invoker -- whether readers of a view pass the row level security of the tables below
SELECT coalesce('security_invoker=true' = ANY (c.reloptions) OR 'security_invoker=on' = ANY (c.reloptions)
                OR 'security_invoker=1' = ANY (c.reloptions), false) AS invoker,
       (SELECT bool_or(t.relrowsecurity) FROM pg_class t WHERE t.oid = %(table)s::oid) AS protected
FROM pg_class c WHERE c.oid = %(view)s::oid;

-- name: copy_nothing -- the copy without rows: fails where a type can't be assigned
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source} AS source LIMIT 0;
