-- What `aicfg_pipeline.rollback.tables.rename` runs: each statement changes one thing of a table that stays where it is.

-- name: index_beside -- built while everybody goes on; it takes its name at the swap
CREATE INDEX CONCURRENTLY {index} ON {table}{ending};

-- name: unique_index_beside -- the same for one that a key is made by
CREATE UNIQUE INDEX CONCURRENTLY {index} ON {table}{ending};

-- name: drop_index_beside -- one that a run which was ended has left half built
DROP INDEX CONCURRENTLY {index};

-- name: drop_index -- the old table has no such index; the ledger has its definition
DROP INDEX {index};

-- name: constraint_by_index -- a key by the index that was built beside: no row is read
ALTER TABLE {table} ADD CONSTRAINT {constraint} {kind} USING INDEX {index}{timing};

-- name: create_trigger -- as the old table's file makes it
CREATE {constraint} TRIGGER {trigger} {tail};

-- name: drop_trigger -- the old table has no such trigger; the ledger has its definition
DROP TRIGGER {trigger} ON {table};

-- name: rename_trigger -- the same trigger under the old table's name for it
ALTER TRIGGER {trigger} ON {table} RENAME TO {name};

-- name: trigger_fires -- when it fires, where that is not as usual
ALTER TABLE {table} {fires} TRIGGER {trigger};

-- name: create_policy -- as the old table's file makes it
CREATE POLICY {policy} ON {table} {tail};

-- name: drop_policy -- the old table has no such policy; the ledger has its definition
DROP POLICY {policy} ON {table};

-- name: rename_policy -- the same policy under the old table's name for it
ALTER POLICY {policy} ON {table} RENAME TO {name};

-- name: rename_statistics -- the same extended statistics under the old table's name for them
ALTER STATISTICS {statistics} RENAME TO {name};

-- name: alter_column -- one property of a column that no row holds
ALTER TABLE {table} ALTER COLUMN {column} {what};

-- name: alter_table -- one property of the table that no row holds
ALTER TABLE {table} {what};

-- name: not_null_by_check -- what a NOT NULL is proven by, without a lock that blocks anyone
ALTER TABLE {table} ADD CONSTRAINT {constraint} CHECK ({column} IS NOT NULL) NOT VALID;

-- name: comment_on -- what it is for
COMMENT ON {what} IS {comment};

-- name: grant_on -- as the old table's file grants it
GRANT {privileges} ON TABLE {table} TO {role}{option};

-- name: revoke_on -- everything, so that what is granted next is all there is
REVOKE ALL PRIVILEGES ON TABLE {table} FROM {role};

-- name: revoke_on_columns -- the same for what single columns grant
REVOKE ALL PRIVILEGES ({columns}) ON TABLE {table} FROM {role};

-- name: note_files -- in which files the rows are now
SELECT set_config('aicfg.files', (SELECT string_agg(CAST(pg_relation_filenode(c.oid) AS text) || ' ' || coalesce(CAST(pg_relation_filenode(nullif(c.reltoastrelid, 0::oid)) AS text), '-'), ', ' ORDER BY c.oid)
    FROM pg_class AS c WHERE c.oid = ANY (CAST({oids} AS oid[]))), true);

-- name: same_files -- the rows never moved: the files are those of before; else all of this is taken back
DO $aicfg$
BEGIN
    IF current_setting('aicfg.files') IS DISTINCT FROM (SELECT string_agg(CAST(pg_relation_filenode(c.oid) AS text) || ' ' || coalesce(CAST(pg_relation_filenode(nullif(c.reltoastrelid, 0::oid)) AS text), '-'), ', ' ORDER BY c.oid)
        FROM pg_class AS c WHERE c.oid = ANY (CAST({oids} AS oid[]))) THEN
        RAISE EXCEPTION 'a statement of the swap would have written the table anew';
    END IF;
END
$aicfg$;

-- name: half_built -- indexes and checks of ours on a table, left by a run that prepared a renaming: whether each can be used, and what it is
SELECT 'index' AS kind, CAST(c.relname AS text) AS name, i.indisvalid AND i.indisready AND i.indislive AS usable,
       CASE WHEN i.indisunique THEN 'UNIQUE' ELSE '' END || substr(pg_get_indexdef(i.indexrelid), length(CASE WHEN i.indisunique THEN 'CREATE UNIQUE INDEX ' ELSE 'CREATE INDEX ' END
           || quote_ident(c.relname) || ' ON ' || quote_ident(n.nspname) || '.' || quote_ident(t.relname)) + 1) AS said
FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid JOIN pg_class AS t ON t.oid = i.indrelid JOIN pg_namespace AS n ON n.oid = t.relnamespace
WHERE i.indrelid = CAST(%(oid)s AS oid) AND starts_with(CAST(c.relname AS text), 'aicfg_rollback_')
UNION ALL
SELECT 'check', CAST(c.conname AS text), c.convalidated, '' FROM pg_constraint AS c
WHERE c.conrelid = CAST(%(oid)s AS oid) AND c.contype = 'c' AND starts_with(CAST(c.conname AS text), 'aicfg_rollback_')
ORDER BY 1, 2;

-- name: not_validated -- constraints of a table that hold for new rows only, so far
SELECT CAST(c.conname AS text) AS name FROM pg_constraint AS c
WHERE c.conrelid = CAST(%(oid)s AS oid) AND NOT c.convalidated AND c.conname = ANY (CAST(%(names)s AS name[])) ORDER BY 1;

-- name: measured -- how many rows, and how many of them a transaction wrote that a snapshot does not hold
SELECT count(*)::bigint AS rows,
       count(*) FILTER (WHERE ((CAST(CAST(side.xmin AS text) AS bigint) - CAST(%(since)s AS bigint)) & 4294967295) < 2147483648)::bigint AS written
FROM {table} AS side;

-- name: snapshot_begins -- the oldest transaction that this snapshot does not hold
SELECT CAST(CAST(pg_snapshot_xmin(pg_current_snapshot()) AS text) AS bigint) AS xmin;
