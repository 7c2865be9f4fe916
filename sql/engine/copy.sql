-- Copy and replay. A {source} is the live rows in the target's columns.

-- name: copy_rows -- all rows in one statement: one snapshot, no row locks
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source} AS source;

-- name: replay_delete -- the rows whose keys are in the log, taken out of the copy
DELETE FROM {target} AS target USING (SELECT DISTINCT {keys} FROM {log} WHERE NOT aicfg_whole_table) AS logged
WHERE {keys_equal};

-- name: replay_insert -- and what they are now, put back
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {columns} FROM {source} AS source
WHERE ({keys}) IN (SELECT {keys} FROM {log} WHERE NOT aicfg_whole_table);

-- name: replay_clear -- the entries that were replayed (in one snapshot: exactly those that were read)
DELETE FROM {log};

-- name: empty_copy -- after a TRUNCATE of the live table everything is copied again
DELETE FROM {target};

-- name: lock_for_read -- before the snapshot is taken: a TRUNCATE is not seen half way
LOCK TABLE {tables} IN ACCESS SHARE MODE;

-- name: lock_for_trigger -- waits for writers in flight: each write is in the copy's snapshot or in the log
LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;

-- name: lock_exclusively -- nobody reads or writes until the transaction ends
LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;

-- name: no_autovacuum -- the pipeline vacuums the shadow itself; an autovacuum would hold up the cut-over
ALTER TABLE {table} SET (autovacuum_enabled = false);

-- name: autovacuum_again -- as every other table
ALTER TABLE {table} RESET (autovacuum_enabled);

-- name: vacuum -- statistics and visibility map for the new life of the table
VACUUM (ANALYZE) {table};

-- name: relation_bytes -- how far a copy in progress has come
SELECT pg_table_size(%(oid)s::oid)::bigint;

-- name: sequences_of_identity -- the sequences behind identity columns
SELECT a.attname AS column, pg_get_serial_sequence(%(table)s, a.attname) AS sequence
FROM pg_attribute a WHERE a.attrelid = %(oid)s::oid AND a.attidentity <> '' AND NOT a.attisdropped;

-- name: advance_sequence -- the next value follows the greatest that is there
SELECT setval({sequence}::regclass, greatest((SELECT max({column}) FROM {table}), 1), (SELECT max({column}) FROM {table}) IS NOT NULL);

-- name: mapped_source -- the live table's rows in the columns of the other one
(SELECT {expressions} FROM {table});

-- name: merged_source -- both tables by key: the later version of a row, and rows that only one side has
(SELECT {picked} FROM {new_rows} AS newer FULL JOIN {old_table} AS older ON {keys_equal});

-- name: picked_column -- the column of whichever version was chosen
CASE WHEN {take_new} THEN {new_column} ELSE {old_column} END AS {column};

-- name: take_new_by_time -- the new row, unless there is none or the old one was changed later
({old_key} IS NULL OR ({new_key} IS NOT NULL AND coalesce({new_time} >= {old_time}, true)));

-- name: take_new -- the new row wherever there is one
({new_key} IS NOT NULL);

-- name: drop_table -- without CASCADE: what depends on it is never dropped along
DROP TABLE {table};

-- name: drop_view -- without CASCADE
DROP VIEW {view};

-- name: create_swap_schema -- lives only inside the cut-over's transaction: a stop on the way between two schemas
CREATE SCHEMA aicfg_rollback_swap;

-- name: drop_swap_schema -- it was never seen by anyone
DROP SCHEMA aicfg_rollback_swap;

-- name: table_to_schema -- a catalog update: milliseconds at any size
ALTER TABLE {table} SET SCHEMA {schema};

-- name: view_to_schema -- the same for a view
ALTER VIEW {view} SET SCHEMA {schema};

-- name: reload_api -- PostgREST reads the schema anew when this transaction commits
NOTIFY pgrst, 'reload schema';

-- name: drop_constraint -- by name, and it must be there
ALTER TABLE {table} DROP CONSTRAINT {constraint};

-- name: mark_locked -- when the last lock was had
SELECT set_config('aicfg.locked_at', clock_timestamp()::text, true);

-- name: facts_with_lock_time -- facts of a ledger row, with the milliseconds since the last lock was had
({facts} || jsonb_build_object('locks_held_ms',
    round(extract(epoch FROM clock_timestamp() - current_setting('aicfg.locked_at')::timestamptz) * 1000, 2)));

-- name: security_invoker -- readers of the view pass the row level security of the table below
ALTER VIEW {view} SET (security_invoker = true);
