-- What `aicfg_pipeline.rollback.tables.ddl` runs.

-- name: drop_table -- without CASCADE: what depends on it is never dropped along
DROP TABLE {table};

-- name: give_view -- to the role that the tables belong to, whoever runs
ALTER VIEW {view} OWNER TO {owner};
