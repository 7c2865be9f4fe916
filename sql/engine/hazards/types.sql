-- What `aicfg_pipeline.rollback.hazards.types` runs.

-- name: changes_there_and_back -- values that are not the same to the last bit when they come back from the other type
record_image_ne(ROW({column}), ROW(CAST(CAST({column} AS {other}) AS {own})));

-- name: changes_in_value -- the same of numbers without a scale of their own: 1.5 and 1.50 are one number
({column} IS DISTINCT FROM CAST(CAST({column} AS {other}) AS {own}));

-- name: has_a_value -- where there is no way back at all
({column} IS NOT NULL);

-- name: try_cast -- nothing is read: only whether the server knows how
SELECT {expression} FROM {table} AS source LIMIT 0;
