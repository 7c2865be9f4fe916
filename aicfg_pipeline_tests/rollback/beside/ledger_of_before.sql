-- The ledger as it was made when one migration was all there was, and rows of one written into it. Kept as it is:
-- it stands for the ledgers in people's databases.
CREATE TABLE aicfg_rollback.ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    run_id text NOT NULL,
    step text NOT NULL,
    outcome text NOT NULL,
    pair text,
    plan_hash text,
    facts jsonb NOT NULL DEFAULT '{}',
    statements jsonb NOT NULL DEFAULT '[]',
    actor text NOT NULL DEFAULT session_user,
    backend integer NOT NULL DEFAULT pg_backend_pid(),
    application text NOT NULL DEFAULT current_setting('application_name')
);
REVOKE ALL ON aicfg_rollback.ledger FROM PUBLIC;

INSERT INTO aicfg_rollback.ledger (id, at, run_id, step, outcome, pair, plan_hash, facts, statements, actor, backend, application)
OVERRIDING SYSTEM VALUE
SELECT id, at, run_id, step, outcome, pair, plan_hash, facts - 'pairs' - 'schema', statements, actor, backend, application
FROM aicfg_rollback.ledger_of_today ORDER BY id;

SELECT setval(pg_get_serial_sequence('aicfg_rollback.ledger', 'id'), (SELECT max(id) FROM aicfg_rollback.ledger));

DROP TABLE aicfg_rollback.ledger_of_today;
