-- The change log: the key of every row that is written while a copy of the table exists.

-- name: create_change_log -- its key holds what either table's key may be; no grants, so nobody but us reads or writes it
CREATE TABLE {log} ({keys});

-- name: key_column -- one column of the key, without a length
{name} {type}{collation};

-- name: number_change_log -- order of arrival, the mark of a TRUNCATE, and what an undo notes when it replays an entry
ALTER TABLE {log} ADD COLUMN aicfg_seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ADD COLUMN aicfg_whole_table boolean NOT NULL DEFAULT false,
    ADD COLUMN aicfg_replayed boolean NOT NULL DEFAULT false;

-- name: index_pending_entries -- so that the last replay finds the few entries left however long the log is
CREATE INDEX ON {log} (aicfg_seq) WHERE NOT aicfg_replayed;

-- name: index_replayed_entries -- empty until an undo replays; writers never touch it
CREATE INDEX ON {log} ({keys}) WHERE aicfg_replayed;

-- name: index_whole_table_entries -- empty but for a TRUNCATE: whether there was one is asked of a log of any length
CREATE INDEX ON {log} (aicfg_seq) WHERE aicfg_whole_table;

-- name: create_log_function -- notes a written row's key; runs as its owner, so writers need no rights on the log
CREATE FUNCTION {function}() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO {log} (aicfg_whole_table) VALUES (true);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO {log} ({keys}) VALUES ({old_keys});
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND record_image_ne(ROW({old_keys}), ROW({new_keys}))) THEN
        INSERT INTO {log} ({keys}) VALUES ({new_keys});
    END IF;
    RETURN NULL;
END
$body$;

-- name: create_row_trigger -- after each written row
CREATE TRIGGER aicfg_rollback_change_log AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {function}();

-- name: create_truncate_trigger -- after a TRUNCATE, which fires no row trigger
CREATE TRIGGER aicfg_rollback_change_log_truncate AFTER TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();

-- name: always_row_trigger -- also for writers with session_replication_role = replica
ALTER TABLE {table} ENABLE ALWAYS TRIGGER aicfg_rollback_change_log;

-- name: always_truncate_trigger -- the same for TRUNCATE
ALTER TABLE {table} ENABLE ALWAYS TRIGGER aicfg_rollback_change_log_truncate;

-- name: drop_row_trigger -- the change log of this table ends
DROP TRIGGER aicfg_rollback_change_log ON {table};

-- name: drop_truncate_trigger -- the same for TRUNCATE
DROP TRIGGER aicfg_rollback_change_log_truncate ON {table};

-- name: drop_log_function -- once no trigger calls it
DROP FUNCTION {function}();

-- name: drop_change_log -- once nothing writes to it
DROP TABLE {log};

-- name: change_log_size -- entries, distinct keys, and whether the whole table is in doubt
SELECT count(*)::bigint AS entries, count(DISTINCT ROW({keys})) FILTER (WHERE NOT aicfg_whole_table)::bigint AS keys,
       coalesce(bool_or(aicfg_whole_table), false) AS whole_table
FROM {log};

-- name: waiting_entries -- how many entries of one log wait, and how large the table is that they will be replayed into
SELECT CAST({number} AS integer) AS number, count(*)::bigint AS entries, coalesce(bool_or(aicfg_whole_table), false) AS whole_table,
       pg_relation_size(CAST({target} AS regclass)) / current_setting('block_size')::bigint AS pages
FROM {log} WHERE NOT aicfg_replayed

-- name: waiting_in_all -- those of all logs, and the milliseconds since the last lock was had, where one is held
SELECT number, entries, whole_table, pages,
       extract(epoch FROM clock_timestamp() - nullif(current_setting('aicfg.locked_at', true), '')::timestamptz)::float8 * 1000::float8 AS held_ms
FROM ({waiting}) AS waiting ORDER BY number;

-- name: no_log_waits -- a swap that replays nothing: only the milliseconds since the last lock was had
SELECT 0::bigint AS entries, false AS whole_table, 0::bigint AS pages,
       extract(epoch FROM clock_timestamp() - nullif(current_setting('aicfg.locked_at', true), '')::timestamptz)::float8 * 1000::float8 AS held_ms;

-- name: by_index -- whatever the statistics say of a log that is filled and emptied all the time
SET LOCAL enable_seqscan TO off;

-- name: by_looking_up -- few keys are looked up by index, in the order in which the joins are written: from the log to the tables
SET LOCAL enable_seqscan TO off;
SET LOCAL enable_hashjoin TO off;
SET LOCAL enable_mergejoin TO off;
SET LOCAL join_collapse_limit TO 1;

-- name: by_reading_all -- for many keys, as the planner likes
SET LOCAL enable_seqscan TO DEFAULT;
SET LOCAL enable_hashjoin TO DEFAULT;
SET LOCAL enable_mergejoin TO DEFAULT;
SET LOCAL join_collapse_limit TO DEFAULT;

-- name: copy_rows -- rows in one statement: no row locks
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

-- name: pending_entries -- the change log's entries that have not been replayed yet
(SELECT * FROM {log} WHERE NOT aicfg_replayed);
