-- What is asked of the database on behalf of the services.

-- name: server_time -- the clock by which the ledger is written
SELECT clock_timestamp();

-- name: read_column -- what the database has where an endpoint says something; two rows are one too many
SELECT {column} AS value FROM {table} WHERE {condition} LIMIT 2;
