-- The swap of names, and what belongs into its one transaction.

-- name: lock_exclusively -- nobody reads or writes until the transaction ends
LOCK TABLE {tables} IN ACCESS EXCLUSIVE MODE;

-- name: constraints_now -- what is deferred to the end of a transaction is looked at now: a table with a check to come can't be altered
SET CONSTRAINTS ALL IMMEDIATE;

-- name: create_swap_schema -- lives only inside the cut-over's transaction: a stop on the way between two schemas
CREATE SCHEMA aicfg_rollback_swap;

-- name: drop_swap_schema -- it was never seen by anyone
DROP SCHEMA aicfg_rollback_swap;

-- name: table_to_schema -- a catalog update: milliseconds at any size
ALTER TABLE {table} SET SCHEMA {schema};

-- name: view_to_schema -- the same for a view
ALTER VIEW {view} SET SCHEMA {schema};

-- name: reload_api -- PostgREST reads the schema anew when this transaction commits
NOTIFY pgrst, 'reload schema';

-- name: mark_locked -- when the last lock was had
SELECT set_config('aicfg.locked_at', clock_timestamp()::text, true);

-- name: mark_referred -- since when those who use the tables that ours refer to wait
SELECT set_config('aicfg.referred_at', clock_timestamp()::text, true);

-- name: facts_with_lock_time -- facts of a ledger row, with the first transaction that comes after, and the milliseconds since the tables were locked, and since others' were
({facts} || jsonb_build_object('next_xid', CAST(pg_snapshot_xmax(pg_current_snapshot()) AS text),
    'locks_held_ms', round(extract(epoch FROM clock_timestamp() - current_setting('aicfg.locked_at')::timestamptz) * 1000::numeric, 2),
    'bystanders_ms', CAST({waited} AS numeric) + coalesce(round(extract(epoch FROM clock_timestamp() - nullif(current_setting('aicfg.referred_at', true), '')::timestamptz) * 1000::numeric, 2), 0)));
