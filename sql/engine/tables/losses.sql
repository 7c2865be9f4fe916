-- What `aicfg_pipeline.rollback.tables.losses` runs.

-- name: changes_there_and_back -- values that are not the same to the last bit when they come back from the other type
record_image_ne(ROW({column}), ROW(CAST(CAST({column} AS {other}) AS {own})));

-- name: changes_in_value -- the same of numbers without a scale of their own: 1.5 and 1.50 are one number
({column} IS DISTINCT FROM CAST(CAST({column} AS {other}) AS {own}));

-- name: try_cast -- nothing is read: only whether the server knows how
SELECT {expression} FROM {table} AS source LIMIT 0;

-- name: not_made_again -- rows whose value has no place and is not what would be made from the rest of the row
SELECT count(*)::bigint
FROM {live} AS live JOIN (SELECT {keys}, {expression} AS aicfg_again FROM {source} AS source) AS again ON {keys_equal}
WHERE record_image_ne(ROW({column}), ROW(CAST(again.aicfg_again AS {type})));

-- name: same_columns -- under the locks: a column that has come or gone since it was looked at stops it all
DO $aicfg$
BEGIN
    IF CAST(ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = {table}::regclass::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS text)
       <> CAST(CAST({columns} AS text[]) AS text) THEN
        RAISE EXCEPTION USING ERRCODE = 'AICF1', MESSAGE = 'columns have changed';
    END IF;
END
$aicfg$;

-- name: still_nothing_unplaced -- under the locks: a row that waits in the log may have a value where there was none to be lost
DO $aicfg$
BEGIN
    IF EXISTS (SELECT FROM {wanted} AS wanted JOIN {table} AS source ON {keys_equal} WHERE {broken}) THEN
        RAISE EXCEPTION USING ERRCODE = 'AICF2', MESSAGE = 'a value has no place';
    END IF;
END
$aicfg$;

-- name: still_nothing_changes -- under the locks: the same of a value that its new type would round or cut
DO $aicfg$
BEGIN
    IF EXISTS (SELECT FROM {wanted} AS wanted JOIN {table} AS source ON {keys_equal} WHERE {broken}) THEN
        RAISE EXCEPTION USING ERRCODE = 'AICF3', MESSAGE = 'a value would change';
    END IF;
END
$aicfg$;
