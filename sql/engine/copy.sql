-- Copy and replay. A {source} is the live rows in the target's columns.

-- name: copy_rows -- all rows in one statement: one snapshot, no row locks
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {columns} FROM {source} AS source;

-- name: replay_delete -- the rows whose keys are in the log, taken out of the copy
DELETE FROM {target} AS target USING (SELECT DISTINCT {keys} FROM {pending} AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE {keys_equal};

-- name: replay_insert -- and what they are now, put back
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE SELECT {source_columns} FROM {wanted};

-- name: wanted_keys -- each key that waits in the log once
(SELECT DISTINCT {keys} FROM {pending} AS pending WHERE NOT aicfg_whole_table);

-- name: replay_clear -- the entries that were replayed (in one snapshot: exactly those that were read)
DELETE FROM {log} WHERE NOT aicfg_replayed;

-- name: empty_copy -- after a TRUNCATE of the live table everything is copied again
DELETE FROM {target};

-- name: lock_for_read -- before the snapshot is taken: a TRUNCATE is not seen half way
LOCK TABLE {tables} IN ACCESS SHARE MODE;

-- name: lock_for_trigger -- waits for writers in flight: each write is in the copy's snapshot or in the log
LOCK TABLE {tables} IN SHARE ROW EXCLUSIVE MODE;

-- name: lock_exclusively -- nobody reads or writes until the transaction ends
LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;

-- name: lock_beside_writers -- waits for a vacuum and for nobody else; no reader or writer waits for it
LOCK TABLE {tables} IN SHARE UPDATE EXCLUSIVE MODE;

-- name: no_autovacuum -- the pipeline vacuums the shadow itself; an autovacuum would hold up the cut-over
ALTER TABLE {table} SET (autovacuum_enabled = false);

-- name: autovacuum_again -- as every other table
ALTER TABLE {table} RESET (autovacuum_enabled);

-- name: vacuum -- statistics and visibility map for the new life of the table
VACUUM (ANALYZE) {table};

-- name: relation_bytes -- how far a copy in progress has come
SELECT pg_table_size(%(oid)s::oid)::bigint;

-- name: sequences_of -- the sequences behind identity and serial columns, and whether an index finds the column's greatest value
SELECT a.attname AS column, sn.nspname AS schema, sc.relname AS name, s.seqincrement < 0 AS descending,
       EXISTS (SELECT FROM pg_index i JOIN pg_class ic ON ic.oid = i.indexrelid JOIN pg_am m ON m.oid = ic.relam
               WHERE i.indrelid = a.attrelid AND i.indkey[0] = a.attnum AND m.amname = 'btree' AND i.indpred IS NULL AND i.indisvalid) AS indexed
FROM pg_attribute a
JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass AND d.refobjid = a.attrelid AND d.refobjsubid = a.attnum
     AND d.classid = 'pg_class'::regclass AND d.deptype IN ('a', 'i')
JOIN pg_sequence s ON s.seqrelid = d.objid JOIN pg_class sc ON sc.oid = s.seqrelid JOIN pg_namespace sn ON sn.oid = sc.relnamespace
WHERE a.attrelid = %(oid)s::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum;

-- name: advance_sequence -- the next value follows the last one that was handed out, and the last one that is there
SELECT setval(CAST({sequence} AS regclass), last, true) FROM (SELECT {latest}(value) AS last FROM ({values}) AS candidates (value)) AS found
WHERE last IS NOT NULL;

-- name: last_handed_out -- by the sequence of the other table
SELECT last_value FROM {sequence} WHERE is_called;

-- name: last_in_column -- an index has it ready
SELECT {latest}({column}) FROM {table};

-- name: mapped_source -- the live table's rows in the columns of the other one
(SELECT {expressions} FROM {table});

-- name: merged_source -- both tables by key: the later version of a row, and rows that only one side has
(SELECT {picked} FROM {new_rows} AS newer FULL JOIN {old_table} AS older ON {keys_equal});

-- name: mapped_rows_of_keys -- the keys come first: with few of them the joins are made in this order
{wanted} AS wanted JOIN {source} AS source ON {keys_equal};

-- name: merged_rows_of_keys -- the same of both tables, as merged_source has them; a FULL JOIN would read all of both
(SELECT {picked} FROM {wanted} AS wanted LEFT JOIN {new_rows} AS newer ON {new_is_wanted} LEFT JOIN {old_table} AS older ON {old_is_wanted}
 WHERE {new_key} IS NOT NULL OR {old_key} IS NOT NULL) AS source;

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
