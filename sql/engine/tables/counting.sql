-- What `aicfg_pipeline.rollback.tables.counting` runs.

-- name: tally -- rows, and how many of them break each rule, in one scan
SELECT {tallies} FROM {source} AS source;

-- name: tally_one -- how many rows break one rule
(count(*) FILTER (WHERE {broken}))::bigint AS {name};

-- name: sample_keys -- a few keys of rows that break a rule
SELECT jsonb_build_array({keys}) AS key FROM {source} AS source WHERE {broken} ORDER BY {keys} LIMIT 5;
