-- What `aicfg_pipeline.rollback.tables.catch_up` runs.

-- name: vacuum_log -- entries that are done with, while the log is in use: it is not shortened, which would lock writers out
VACUUM (SKIP_LOCKED, TRUNCATE false, ANALYZE) {log};

-- name: lock_for_read -- before the snapshot is taken: a TRUNCATE is not seen half way
LOCK TABLE {tables} IN ACCESS SHARE MODE;

-- name: vacuum -- statistics and visibility map for the new life of the table
VACUUM (ANALYZE) {table};
