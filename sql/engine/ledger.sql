-- The ledger: one row for each thing done, written in the transaction that did it.

-- name: create_ledger -- what was done, by which run, with which facts and statements
CREATE TABLE IF NOT EXISTS aicfg_rollback.ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id text NOT NULL,
    step text NOT NULL,
    outcome text NOT NULL,
    pair text,
    plan_hash text,
    facts jsonb NOT NULL DEFAULT '{{}}',
    statements jsonb NOT NULL DEFAULT '[]',
    actor text NOT NULL DEFAULT session_user,
    backend integer NOT NULL DEFAULT pg_backend_pid(),
    application text NOT NULL DEFAULT current_setting('application_name')
);

-- name: append_ledger -- one more row
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements)
VALUES ({run_id}, {step}, {outcome}, {pair}, {plan_hash}, {facts}, {statements});

-- name: read_ledger -- all rows, oldest first; the statements are long and wanted by the reports only
SELECT id, at, run_id, step, outcome, pair, plan_hash, facts,
       CASE WHEN %(statements)s THEN statements ELSE '[]' END AS statements, actor, backend, application
FROM aicfg_rollback.ledger ORDER BY id;
