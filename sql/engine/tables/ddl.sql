-- What `aicfg_pipeline.rollback.tables.ddl` runs.

-- name: drop_table -- without CASCADE: what depends on it is never dropped along
DROP TABLE {table};

-- name: security_invoker -- readers of the view pass the row level security of the table below
ALTER VIEW {view} SET (security_invoker = true);
