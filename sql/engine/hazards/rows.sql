-- What of the rows would not fit into the old tables. Nothing in this file writes.

-- name: constraints -- check, unique and primary key constraints of a table, and its unique indexes that are no constraint; with the columns they read
SELECT c.conname AS name, c.contype::text AS kind, pg_get_expr(c.conbin, c.conrelid) AS expression, NULL AS predicate,
       coalesce((SELECT (to_jsonb(i) ->> 'indnullsnotdistinct')::boolean FROM pg_index i WHERE i.indexrelid = c.conindid), false) AS nulls_are_equal,
       ARRAY(SELECT a.attname FROM unnest(c.conkey) WITH ORDINALITY k(attnum, i)
             JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = k.attnum ORDER BY k.i)::text[] AS columns,
       ARRAY(SELECT a.attname FROM pg_attribute a WHERE a.attrelid = c.conrelid AND a.attnum = ANY (c.conkey))::text[] AS reads
FROM pg_constraint c WHERE c.conrelid = %(oid)s::oid AND c.contype IN ('c', 'u', 'p')
UNION ALL
SELECT ic.relname, 'i', NULL, pg_get_expr(i.indpred, i.indrelid), coalesce((to_jsonb(i) ->> 'indnullsnotdistinct')::boolean, false),
       ARRAY(SELECT pg_get_indexdef(i.indexrelid, k, true) FROM generate_series(1, i.indnkeyatts) k)::text[],
       ARRAY(SELECT a.attname FROM pg_depend d JOIN pg_attribute a ON a.attrelid = d.refobjid AND a.attnum = d.refobjsubid
             WHERE d.classid = 'pg_class'::regclass::oid AND d.objid = i.indexrelid AND d.refclassid = 'pg_class'::regclass::oid
               AND d.refobjid = i.indrelid AND d.refobjsubid > 0)::text[]
FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid
WHERE i.indrelid = %(oid)s::oid AND i.indisunique
  AND NOT EXISTS (SELECT FROM pg_constraint c WHERE c.conindid = i.indexrelid)
ORDER BY 1;

-- name: exclusions -- exclusion constraints of a table, as what adds each to another one
SELECT c.conname::text AS name, regexp_replace(pg_get_constraintdef(c.oid), ' DEFERRABLE( INITIALLY DEFERRED)?', '') AS definition
FROM pg_constraint c WHERE c.conrelid = %(oid)s::oid AND c.contype = 'x' ORDER BY 1;

-- name: exclusion_trial -- a table in the scratch schema with the columns of the rows and nothing that refuses one
CREATE TABLE {trial} AS SELECT * FROM {source} AS source LIMIT 0;

-- name: exclusion_rows -- every row that the exclusion constraint lets in; how many it did not is the difference
INSERT INTO {trial} SELECT * FROM {source} AS source ON CONFLICT DO NOTHING;

-- name: excluded_keys -- the keys of a few rows that it has refused
SELECT jsonb_build_array({keys}) AS key FROM {source} AS source
WHERE NOT EXISTS (SELECT FROM {trial} AS trial WHERE {keys_equal}) ORDER BY {keys} LIMIT 5;

-- name: privileges_on -- what we may do with a table that a foreign key refers to
SELECT has_table_privilege(c.oid, 'SELECT') AS may_select,
       has_table_privilege(c.oid, 'REFERENCES') AS may_reference,
       row_security_active(c.oid) AS hides_rows
FROM pg_class c WHERE c.oid = %(oid)s::oid;

-- name: with_defaults -- the rows, and what the table itself puts into columns that nothing fills
(SELECT source.*, {defaults} FROM {source} AS source);

-- name: with_generated -- the rows, and what the table computes from them
(SELECT source.*, {generated} FROM {source} AS source);

-- name: rows_where -- the rows that a partial index has
(SELECT * FROM {source} AS source WHERE {broken});

-- name: duplicates -- values that occur more than once where they must be unique
SELECT count(*)::bigint AS groups, coalesce(max(n), 0)::bigint AS most FROM (
    SELECT count(*) AS n FROM (SELECT {expressions} FROM {source} AS source) AS rows WHERE {not_null} GROUP BY {names} HAVING count(*) > 1
) AS repeated;

-- name: duplicate_keys -- the keys of a few rows that share such a value
SELECT jsonb_build_array({keys}) AS key FROM (
    SELECT {keys}, count(*) OVER (PARTITION BY {names}) AS aicfg_n FROM (SELECT source.*, {expressions} FROM {source} AS source) AS rows
    WHERE {not_null}
) AS counted WHERE aicfg_n > 1 ORDER BY {keys} LIMIT 6;

-- name: merge_kinds -- rows of two coexisting tables by kind, with a few keys of each
SELECT kind, count(*)::bigint AS rows, (array_agg(key ORDER BY key::text))[1:5] AS sample FROM (
    SELECT CASE WHEN {old_absent} THEN 'only_in_new' WHEN {new_absent} THEN 'only_in_old'
                WHEN record_image_eq(ROW({new_columns}), ROW({old_columns})) THEN 'same'
                WHEN {old_is_later} THEN 'old_is_later' WHEN {new_is_later} THEN 'new_is_later' ELSE 'same_time' END AS kind,
           jsonb_build_array({any_keys}) AS key
    FROM {new_rows} AS newer FULL JOIN {old_rows} AS older ON {keys_equal}
) AS judged GROUP BY kind ORDER BY kind;

-- name: copy_nothing -- the copy without rows: fails where a type can't be assigned
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source} AS source LIMIT 0;

-- name: earliest -- when the first of the rows that break a rule was changed
SELECT min({column}) FROM {source} AS source WHERE {broken};
