-- What `aicfg_pipeline.runbook.checks` runs.

-- name: read_column -- what the database has where an endpoint says something; two rows are one too many
SELECT {column} AS value FROM {table} WHERE {condition} LIMIT 2;
