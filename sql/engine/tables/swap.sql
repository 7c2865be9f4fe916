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

-- name: statistics_along -- extended statistics stay behind when their table moves; through the same stop, because names may be exchanged
DO $aicfg$
DECLARE
    stop CONSTANT text := 'aicfg_rollback_swap';
    way record;
    statement text;
BEGIN
    FOR way IN SELECT * FROM (VALUES (1, {schema}::text, {private}, stop), (2, {private}, {schema}::text, {schema}::text),
                                     (3, stop, {private}, {private})) AS ways (step, there, of_table, goes) ORDER BY step
    LOOP
        FOR statement IN
            SELECT pg_catalog.format('ALTER STATISTICS %I.%I SET SCHEMA %I', way.there, s.stxname, way.goes)
            FROM pg_catalog.pg_statistic_ext AS s JOIN pg_catalog.pg_class AS c ON c.oid = s.stxrelid
            WHERE s.stxnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = way.there::name)
              AND c.relnamespace = (SELECT n.oid FROM pg_catalog.pg_namespace AS n WHERE n.nspname = way.of_table::name)
        LOOP
            EXECUTE statement;
        END LOOP;
    END LOOP;
END
$aicfg$;

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
