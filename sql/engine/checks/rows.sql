-- What `aicfg_pipeline.rollback.checks.rows` runs.

-- name: first_of -- a few of them
SELECT * FROM ({query}) AS all_of_them LIMIT {limit};

-- name: open_cursor -- so that any number of rows fits into memory
DECLARE aicfg_rows NO SCROLL CURSOR FOR {query};

-- name: fetch_some -- the next rows
FETCH {limit} FROM aicfg_rows;
