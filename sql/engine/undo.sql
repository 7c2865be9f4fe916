-- The way forward again: old rows into the parked new table, and the swap back.

-- name: pending_entries -- the change log's entries that have not been replayed yet
(SELECT * FROM {log} WHERE NOT aicfg_replayed);

-- name: remember_rows -- the parked rows as they are before their first replay: the old table has no place for all of it
UPDATE {log} AS entry SET aicfg_was = CAST(aicfg_row AS text)
FROM (SELECT {keys}, min(aicfg_seq) AS aicfg_first FROM {log}
      WHERE NOT aicfg_replayed AND NOT aicfg_whole_table GROUP BY {keys}) AS firsts
JOIN {parked} AS aicfg_row ON {keys_equal}
WHERE entry.aicfg_seq = firsts.aicfg_first AND {never_replayed};

-- name: remember_all_rows -- the same for every row there is, after a TRUNCATE of the old table
INSERT INTO {log} ({keys}, aicfg_was) SELECT {keys}, CAST(aicfg_row AS text) FROM {parked} AS aicfg_row
WHERE {never_replayed};

-- name: never_replayed -- a row that came with an earlier replay was never one of the new table's own
NOT EXISTS (SELECT FROM {log} AS earlier WHERE earlier.aicfg_replayed AND {keys_equal})
AND NOT EXISTS (SELECT FROM {log} AS earlier WHERE earlier.aicfg_replayed AND earlier.aicfg_whole_table);

-- name: insert_remembered -- rows that the parked table had: what has no place in the old table is as it was
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {picked} FROM {wanted}
CROSS JOIN LATERAL (  -- not a join: each wanted key is looked up, never the other way round
    SELECT CAST(kept.aicfg_was AS {target}) AS aicfg_row FROM {log} AS kept WHERE kept.aicfg_was IS NOT NULL AND {is_kept} LIMIT 1
) AS remembered;

-- name: insert_others -- and rows that it did not have
INSERT INTO {target} ({columns}) OVERRIDING SYSTEM VALUE
SELECT {source_columns} FROM {wanted}
WHERE NOT EXISTS (SELECT FROM {log} AS remembered WHERE remembered.aicfg_was IS NOT NULL AND {keys_equal});

-- name: all_rows -- every row of the source, after a TRUNCATE
{source} AS source;

-- name: remembered_column -- as it was
(remembered.aicfg_row).{column};

-- name: remembered_reference -- as it was, unless what it refers to has been deleted since
CASE WHEN {holds} THEN (remembered.aicfg_row).{column} ELSE {otherwise} END;

-- name: reference_holds -- what it refers to is there
EXISTS (SELECT FROM {referred} AS referred WHERE {matches});

-- name: mark_replayed -- the entries stay: they explain what differs from the parked table as it was at the cut-over
UPDATE {log} SET aicfg_replayed = true WHERE NOT aicfg_replayed;

-- name: mend_references -- parked values whose target was deleted while no foreign key watched over them
UPDATE {target} AS target SET {assignments} FROM {source} AS source
WHERE {keys_equal} AND {filled} AND NOT {holds};

-- name: firing_triggers -- users' triggers that an INSERT, DELETE or UPDATE of ours would fire, and how to put each back
SELECT t.tgname AS name, t.tgenabled::text AS enabled FROM pg_trigger t
WHERE t.tgrelid = %(oid)s::oid AND NOT t.tgisinternal AND t.tgenabled <> 'D' AND t.tgtype & %(events)s::int <> 0 ORDER BY 1;

-- name: disable_trigger -- inside a transaction that puts it back
ALTER TABLE {table} DISABLE TRIGGER {trigger};

-- name: enable_trigger -- as it was
ALTER TABLE {table} ENABLE {mode} TRIGGER {trigger};

-- name: foreign_keys_to -- tables whose rows refer to this one: replaying would cascade into them
SELECT c.conrelid::regclass::text AS table, c.conname::text AS name FROM pg_constraint c
WHERE c.contype = 'f' AND c.confrelid = %(oid)s::oid AND c.conrelid <> c.confrelid ORDER BY 1, 2;

-- name: count_filled -- rows that have a value in a column
SELECT {counts} FROM {table};

-- name: count_column -- one column of it
count({column})::bigint AS {column};

-- name: same_going_back -- keys of rows that the parked table has as the old one does, the way the rollback sees it
(SELECT {parked_keys} FROM {back} AS parked JOIN {old} AS old ON {keys_equal} WHERE NOT record_image_ne(ROW({parked_columns}), ROW({old_columns})));

-- name: different_both_ways -- keys of rows that differ whichever way one looks
SELECT {keys} FROM ({different}) AS different WHERE NOT EXISTS (SELECT FROM {same} AS same WHERE {keys_equal});

-- name: explained_forth -- a difference forth is right where the key waits in the log, or where there is none back
(SELECT {keys}, aicfg_whole_table FROM {pending} AS pending UNION ALL SELECT {keys}, false FROM {same} AS same);

-- name: keep_rows -- the rows that the merge of coexisting tables overwrites, as they are
CREATE TABLE {kept} AS SELECT parked.* FROM {parked} AS parked JOIN ({different}) AS different ON {keys_equal};

-- name: put_in_doubt -- rows that the merge changed before the change log began
INSERT INTO {log} ({keys}) SELECT {keys} FROM ({different}) AS different;

-- name: own_relations_of -- indexes and sequences that carry a table's name along
SELECT i.indexrelid::regclass::text, c.relname::text AS name, 'INDEX' AS kind
FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid WHERE i.indrelid = %(oid)s::oid
UNION ALL
SELECT c.oid::regclass::text, c.relname::text, 'SEQUENCE'
FROM pg_depend d JOIN pg_class c ON c.oid = d.objid AND c.relkind = 'S'
WHERE d.classid = 'pg_class'::regclass AND d.refclassid = 'pg_class'::regclass AND d.refobjid = %(oid)s::oid
  AND d.deptype IN ('a', 'i')
ORDER BY 2;

-- name: rename_table -- out of the way
ALTER TABLE {table} RENAME TO {name};

-- name: rename_index -- out of the way: another table of ours will want the name
ALTER INDEX {index} RENAME TO {name};

-- name: rename_sequence -- the same
ALTER SEQUENCE {sequence} RENAME TO {name};

-- name: add_constraint -- as it was recorded when it was taken off; validated later
ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition};

-- name: validate_constraint -- reads the table without a lock that blocks anyone
ALTER TABLE {table} VALIDATE CONSTRAINT {constraint};
