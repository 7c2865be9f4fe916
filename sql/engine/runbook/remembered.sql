-- What `aicfg_pipeline.runbook.remembered` runs.

-- name: server_time -- the clock by which the ledger is written
SELECT clock_timestamp();
