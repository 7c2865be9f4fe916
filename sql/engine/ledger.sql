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
    application text NOT NULL DEFAULT current_setting('application_name'),
    migration text,
    place text NOT NULL DEFAULT 'aicfg_rollback'
);

-- name: take_over_ledger -- one of before says of no row which migration it is about: this one takes those of its pairs over
DO $take_over$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a WHERE a.attrelid = 'aicfg_rollback.ledger'::pg_catalog.regclass::pg_catalog.oid
                   AND a.attname = 'migration' AND NOT a.attisdropped) THEN
        ALTER TABLE aicfg_rollback.ledger ADD COLUMN migration text, ADD COLUMN place text NOT NULL DEFAULT 'aicfg_rollback';
    END IF;
    UPDATE aicfg_rollback.ledger AS l SET migration = {migration}, place = {private} WHERE l.id = ANY ({rows}::bigint[]) AND l.migration IS NULL;
END
$take_over$;

-- name: append_ledger -- one more row
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES ({run_id}, {step}, {outcome}, {pair}, {plan_hash}, {facts}, {statements}, {migration}, {private});

-- name: read_ledger -- all rows, oldest first; the statements are long and wanted by the reports only; a ledger of before has neither migration nor place, and both are then `of_before`'s
SELECT r.* FROM (SELECT NULL::text AS migration, 'aicfg_rollback'::text AS place) AS of_before CROSS JOIN LATERAL (
    SELECT id, at, run_id, step, outcome, pair, plan_hash, facts,
           CASE WHEN %(statements)s THEN statements ELSE '[]' END AS statements, actor, backend, application, migration, place
    FROM aicfg_rollback.ledger) AS r
ORDER BY r.id;

-- name: ledger_knows_migrations -- whether a ledger is one that says of each row which migration it is about
SELECT EXISTS (SELECT FROM pg_catalog.pg_attribute AS a JOIN pg_catalog.pg_class AS c ON c.oid = a.attrelid JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
               WHERE n.nspname = 'aicfg_rollback' AND c.relname = 'ledger' AND a.attname = 'migration' AND NOT a.attisdropped);
