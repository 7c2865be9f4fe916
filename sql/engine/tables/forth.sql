-- The way forward again: old rows into the parked new table, and the swap back.

-- name: make_before_undo -- the parked rows as they are before their first replay: the old table has no place for all of it
CREATE TABLE {rows} AS SELECT * FROM {parked} WITH NO DATA;

-- name: index_before_undo -- each wanted key is looked up
CREATE INDEX ON {rows} ({keys});

-- name: widen_before_undo -- a column that the parked table has got since
ALTER TABLE {rows} ADD COLUMN {column} {type};

-- name: remember_rows -- rows that are replayed for the first time
INSERT INTO {rows} ({columns}) SELECT {parked_columns}
FROM (SELECT DISTINCT {keys} FROM {log} WHERE NOT aicfg_replayed AND NOT aicfg_whole_table) AS firsts
JOIN {parked} AS parked ON {keys_equal}
WHERE {never_replayed};

-- name: remember_all_rows -- the same for every row there is, after a TRUNCATE of the old table
INSERT INTO {rows} ({columns}) SELECT {parked_columns} FROM {parked} AS parked WHERE {never_replayed};

-- name: has_texts -- an undo that an earlier version of the pipeline began has remembered rows as text
SELECT EXISTS (SELECT FROM pg_attribute WHERE attrelid = %(log)s::oid AND attname = 'aicfg_was' AND NOT attisdropped);

-- name: remember_texts -- those rows
INSERT INTO {rows} ({columns}) SELECT {texts} FROM (
    SELECT CAST(entry.aicfg_was AS {parked}) AS aicfg_row FROM {log} AS entry WHERE entry.aicfg_was IS NOT NULL
) AS remembered WHERE NOT EXISTS (SELECT FROM {rows} AS known WHERE {keys_equal});

-- name: text_column -- a column of such a row
(remembered.aicfg_row).{column};

-- name: never_replayed -- a row that came with an earlier replay was never one of the new table's own
NOT EXISTS (SELECT FROM {log} AS earlier WHERE earlier.aicfg_replayed AND {keys_equal})
AND NOT EXISTS (SELECT FROM {log} AS earlier WHERE earlier.aicfg_replayed AND earlier.aicfg_whole_table);

-- name: insert_remembered -- rows that the parked table had: what has no place in the old table is as it was
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {picked} FROM {wanted}
CROSS JOIN LATERAL (  -- not a join: each wanted key is looked up, never the other way round
    SELECT kept.* FROM {rows} AS kept WHERE {is_kept} LIMIT 1
) AS remembered;

-- name: insert_others -- and rows that it did not have
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {source_columns} FROM {wanted}
WHERE NOT EXISTS (SELECT FROM {rows} AS remembered WHERE {keys_equal});

-- name: insert_all -- where nothing has to be remembered
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {source_columns} FROM {wanted};

-- name: all_rows -- every row of the source, after a TRUNCATE
{source} AS source;

-- name: remembered_column -- as it was
remembered.{column};

-- name: remembered_reference -- as it was, unless what it refers to has been deleted since
CASE WHEN {refers_to_nothing} THEN {otherwise} ELSE remembered.{column} END;

-- name: mark_replayed -- the entries stay: they explain what differs from the parked table as it was at the cut-over
UPDATE {log} SET aicfg_replayed = true WHERE NOT aicfg_replayed;

-- name: mend_references -- parked values whose target was deleted while no foreign key watched over them
UPDATE {target} AS target SET {assignments} FROM {source} AS source
WHERE {keys_equal} AND {refers_to_nothing};

-- name: firing_triggers -- users' triggers that an INSERT, DELETE or UPDATE of ours would fire, and how to put each back
SELECT t.tgname AS name, t.tgenabled::text AS enabled FROM pg_trigger t
WHERE t.tgrelid = %(oid)s::oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype::int & %(events)s::int <> 0 ORDER BY 1;

-- name: disable_trigger -- inside a transaction that puts it back
ALTER TABLE {table} DISABLE TRIGGER {trigger};

-- name: enable_trigger -- as it was
ALTER TABLE {table} ENABLE {mode} TRIGGER {trigger};

-- name: same_going_back -- keys of rows that the parked table has as the old one does, the way the rollback sees it
(SELECT {parked_keys} FROM {back} AS parked JOIN {old} AS old ON {keys_equal} WHERE NOT record_image_ne(ROW({parked_columns}), ROW({old_columns})));

-- name: different_both_ways -- keys of rows that differ whichever way one looks
SELECT {keys} FROM ({different}) AS different WHERE NOT EXISTS (SELECT FROM {same} AS same WHERE {keys_equal});

-- name: explained_forth -- a difference forth is right where the key waits in the log, or where there is none back
(SELECT {keys}, aicfg_whole_table FROM {pending} AS pending UNION ALL SELECT {keys}, false FROM {same} AS same);
