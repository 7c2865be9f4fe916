-- What `aicfg_pipeline.rollback.tables.foreign_keys` runs.

-- name: drop_constraint -- by name, and it must be there
ALTER TABLE {table} DROP CONSTRAINT {constraint};

-- name: add_constraint -- as it was recorded when it was taken off; validated later
ALTER TABLE {table} ADD CONSTRAINT {constraint} {definition};

-- name: validate_constraint -- reads the table without a lock that blocks anyone
ALTER TABLE {table} VALIDATE CONSTRAINT {constraint};

-- name: refers_to_nothing -- a row has values for a foreign key, and the row that they name is not there
({filled} AND NOT EXISTS (SELECT FROM {target} AS referred WHERE {matches}));
