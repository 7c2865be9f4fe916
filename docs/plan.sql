-- The rollback of the demo database, by hand.
--
-- Every statement of the plan in the order in which the pipeline runs it, each under the line that says why. A statement
-- with "only if" is left out where that is not the case; run by hand, all but those after a TRUNCATE do no harm.
-- The pipeline does more than this: it retries for locks, compares and stops, verifies, and remembers facts for undo.
--
-- To run it: psql -X -f plan.sql, as the owner of the tables, with nothing else of this pipeline at work.

\set ON_ERROR_STOP on
\set run_id 'by hand'
\set plan_hash 'none'
\set facts '{}'
\set truncated false
SET client_min_messages TO warning;

-- ==================== run ====================

-- the private schema and the ledger
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- the one private schema that holds everything of ours
CREATE SCHEMA IF NOT EXISTS aicfg_rollback;

-- what was done, by which run, with which facts and statements
CREATE TABLE IF NOT EXISTS aicfg_rollback.ledger (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    run_id text NOT NULL,
    step text NOT NULL,
    outcome text NOT NULL,
    pair text,
    plan_hash text,
    facts jsonb NOT NULL DEFAULT '{}',
    statements jsonb NOT NULL DEFAULT '[]',
    actor text NOT NULL DEFAULT session_user,
    backend integer NOT NULL DEFAULT pg_catalog.pg_backend_pid(),
    application text NOT NULL DEFAULT pg_catalog.current_setting('application_name'),
    migration text,
    place text NOT NULL DEFAULT 'aicfg_rollback'
);

-- nobody but its owner has any right on a schema and on what is named in it, whatever default privileges gave
DO $close$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH named AS (
            SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'aicfg_rollback' AND c.relname = ANY ('{ledger}'::text[])
            UNION
            SELECT d.objid, named.relnamespace FROM pg_catalog.pg_class AS named JOIN pg_catalog.pg_namespace AS n ON n.oid = named.relnamespace
            JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND d.refobjid = named.oid
                AND d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
            WHERE n.nspname = 'aicfg_rollback' AND named.relname = ANY ('{ledger}'::text[])
        ), acl (what, owner, grants) AS (
            SELECT pg_catalog.format('SCHEMA %I', n.nspname), n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
            FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'aicfg_rollback' AND true
            UNION ALL
            SELECT pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass), c.relowner,
                   coalesce(c.relacl, pg_catalog.acldefault(CAST(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS "char"), c.relowner))
            FROM named JOIN pg_catalog.pg_class AS c ON c.oid = named.oid AND c.relkind IN ('r', 'p', 'v', 'S')
            UNION ALL
            SELECT pg_catalog.format('FUNCTION %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
            FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'aicfg_rollback' AND p.proname = ANY ('{ledger}'::text[])
        )
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s FROM %s CASCADE', acl.what,
            CASE g.grantee WHEN 0::oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END)
        FROM acl CROSS JOIN LATERAL pg_catalog.aclexplode(acl.grants) AS g WHERE g.grantee <> acl.owner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$close$;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'run', 'started', NULL, :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- ==================== copy_back sys_rag ====================

-- make the shadow, and the log of what is written from now on
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "aicfg_rollback", "public", "extensions", "pg_temp";

-- old/sys_rag.sql, table: columns, defaults and checks; nothing that has to be kept up while rows come in
CREATE TABLE sys_rag (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    available_embedding_models text[] DEFAULT ARRAY['text-embedding-3-small'::text, 'text-embedding-3-large'::text] NOT NULL,
    default_embedding_model text DEFAULT 'text-embedding-3-small'::text NOT NULL,
    embedding_model_costs jsonb DEFAULT '{"text-embedding-3-large": 1.5, "text-embedding-3-small": 1.0}'::jsonb,
    available_chunking_strategies text[] DEFAULT ARRAY['fixed'::text, 'semantic'::text, 'hybrid'::text] NOT NULL,
    default_chunking_strategy text DEFAULT 'hybrid'::text NOT NULL,
    max_chunk_size_tokens integer DEFAULT 2000 NOT NULL,
    min_chunk_size_tokens integer DEFAULT 100 NOT NULL,
    search_quality_presets jsonb DEFAULT '{"fast": {"max_results": 5, "similarity_threshold": 0.6}, "balanced": {"max_results": 10, "similarity_threshold": 0.7}, "comprehensive": {"max_results": 25, "similarity_threshold": 0.5}}'::jsonb NOT NULL,
    default_search_quality text DEFAULT 'balanced'::text NOT NULL,
    default_similarity_threshold numeric(3,2) DEFAULT 0.7 NOT NULL,
    max_search_results_global integer DEFAULT 50 NOT NULL,
    max_context_tokens_global integer DEFAULT 8000 NOT NULL,
    ocr_enabled boolean DEFAULT true NOT NULL,
    processing_timeout_minutes integer DEFAULT 30 NOT NULL,
    max_concurrent_jobs_global integer DEFAULT 100 NOT NULL,
    vector_index_type text DEFAULT 'ivfflat'::text NOT NULL,
    backup_retention_days integer DEFAULT 90 NOT NULL,
    auto_scaling_enabled boolean DEFAULT true NOT NULL,
    max_embedding_batch_size integer DEFAULT 100 NOT NULL,
    embedding_cache_ttl_hours integer DEFAULT 24 NOT NULL,
    updated_by uuid,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    provider_configurations jsonb DEFAULT '{}'::jsonb,
    default_ai_provider text DEFAULT 'openai'::text,
    active_providers text[] DEFAULT ARRAY['openai'::text],
    default_embedding_model_id uuid,
    default_chat_model_id uuid,
    system_prompt text DEFAULT 'You are a helpful AI assistant that provides accurate, well-sourced answers based on the knowledge base. Always cite your sources and acknowledge when you don''t have enough information to answer a question.'::text,
    CONSTRAINT sys_rag_default_ai_provider_check CHECK ((default_ai_provider = ANY (ARRAY['openai'::text, 'azure_openai'::text, 'anthropic'::text, 'aws_bedrock'::text]))),
    CONSTRAINT sys_rag_default_search_quality_check CHECK ((default_search_quality = ANY (ARRAY['fast'::text, 'balanced'::text, 'comprehensive'::text]))),
    CONSTRAINT sys_rag_default_similarity_threshold_check CHECK (((default_similarity_threshold >= 0.0) AND (default_similarity_threshold <= 1.0))),
    CONSTRAINT sys_rag_vector_index_type_check CHECK ((vector_index_type = ANY (ARRAY['ivfflat'::text, 'hnsw'::text])))
);

-- the pipeline vacuums the shadow itself; an autovacuum would hold up the cut-over
ALTER TABLE "aicfg_rollback"."sys_rag" SET (autovacuum_enabled = false);

-- its key holds what either table's key may be; no grants, so nobody but us reads or writes it
CREATE TABLE "aicfg_rollback"."change_log_sys_rag" ("id" uuid);

-- order of arrival, the mark of a TRUNCATE, and what an undo notes when it replays an entry
ALTER TABLE "aicfg_rollback"."change_log_sys_rag" ADD COLUMN aicfg_seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ADD COLUMN aicfg_whole_table boolean NOT NULL DEFAULT false,
    ADD COLUMN aicfg_replayed boolean NOT NULL DEFAULT false;

-- so that the last replay finds the few entries left however long the log is
CREATE INDEX ON "aicfg_rollback"."change_log_sys_rag" (aicfg_seq) WHERE NOT aicfg_replayed;

-- empty until an undo replays; writers never touch it
CREATE INDEX ON "aicfg_rollback"."change_log_sys_rag" ("id") WHERE aicfg_replayed;

-- empty but for a TRUNCATE: whether there was one is asked of a log of any length
CREATE INDEX ON "aicfg_rollback"."change_log_sys_rag" (aicfg_seq) WHERE aicfg_whole_table;

-- notes a written row's key; runs as its owner, so writers need no rights on the log
CREATE FUNCTION "aicfg_rollback"."change_log_sys_rag"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO "aicfg_rollback"."change_log_sys_rag" (aicfg_whole_table) VALUES (true);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO "aicfg_rollback"."change_log_sys_rag" ("id") VALUES ("old"."id");
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND record_image_ne(ROW("old"."id"), ROW("new"."id"))) THEN
        INSERT INTO "aicfg_rollback"."change_log_sys_rag" ("id") VALUES ("new"."id");
    END IF;
    RETURN NULL;
END
$body$;

-- nobody but its owner has any right on a schema and on what is named in it, whatever default privileges gave
DO $close$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH named AS (
            SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'aicfg_rollback' AND c.relname = ANY ('{change_log_sys_rag,sys_rag}'::text[])
            UNION
            SELECT d.objid, named.relnamespace FROM pg_catalog.pg_class AS named JOIN pg_catalog.pg_namespace AS n ON n.oid = named.relnamespace
            JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND d.refobjid = named.oid
                AND d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
            WHERE n.nspname = 'aicfg_rollback' AND named.relname = ANY ('{change_log_sys_rag,sys_rag}'::text[])
        ), acl (what, owner, grants) AS (
            SELECT pg_catalog.format('SCHEMA %I', n.nspname), n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
            FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'aicfg_rollback' AND false
            UNION ALL
            SELECT pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass), c.relowner,
                   coalesce(c.relacl, pg_catalog.acldefault(CAST(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS "char"), c.relowner))
            FROM named JOIN pg_catalog.pg_class AS c ON c.oid = named.oid AND c.relkind IN ('r', 'p', 'v', 'S')
            UNION ALL
            SELECT pg_catalog.format('FUNCTION %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
            FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'aicfg_rollback' AND p.proname = ANY ('{change_log_sys_rag,sys_rag}'::text[])
        )
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s FROM %s CASCADE', acl.what,
            CASE g.grantee WHEN 0::oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END)
        FROM acl CROSS JOIN LATERAL pg_catalog.aclexplode(acl.grants) AS g WHERE g.grantee <> acl.owner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$close$;

-- waits for writers in flight: each write is in the copy's snapshot or in the log
LOCK TABLE "public"."ai_cfg_sys_rag" IN SHARE ROW EXCLUSIVE MODE;

-- after each written row
CREATE TRIGGER aicfg_rollback_change_log AFTER INSERT OR UPDATE OR DELETE ON "public"."ai_cfg_sys_rag"
    FOR EACH ROW EXECUTE FUNCTION "aicfg_rollback"."change_log_sys_rag"();

-- after a TRUNCATE, which fires no row trigger
CREATE TRIGGER aicfg_rollback_change_log_truncate AFTER TRUNCATE ON "public"."ai_cfg_sys_rag"
    FOR EACH STATEMENT EXECUTE FUNCTION "aicfg_rollback"."change_log_sys_rag"();

-- also for writers with session_replication_role = replica
ALTER TABLE "public"."ai_cfg_sys_rag" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log;

-- the same for TRUNCATE
ALTER TABLE "public"."ai_cfg_sys_rag" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log_truncate;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'prepared', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- copy all rows: 1 piece of at most 64 MiB, each in a transaction of its own that goes like this one
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- rows in one statement: no row locks
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt" FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag"
 WHERE ctid OPERATOR(pg_catalog.>=) CAST(coalesce(nullif(pg_catalog.current_setting('aicfg.piece_from', true), ''), '(0,0)') AS tid)
   AND ctid OPERATOR(pg_catalog.<) CAST(coalesce(nullif(pg_catalog.current_setting('aicfg.piece_to', true), ''), '(4294967294,0)') AS tid)) AS source;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'copied', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- make what is quicker to make once the rows are in
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "aicfg_rollback", "public", "extensions", "pg_temp";

-- old/sys_rag.sql, indexes: primary key and indexes, built once the rows are in
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_pkey PRIMARY KEY (id);

-- old/sys_rag.sql, indexes: primary key and indexes, built once the rows are in
CREATE INDEX idx_sys_rag_active_providers ON sys_rag USING gin (active_providers);

-- old/sys_rag.sql, indexes: primary key and indexes, built once the rows are in
CREATE INDEX idx_sys_rag_chat_deployment ON sys_rag USING btree (default_chat_model_id);

-- old/sys_rag.sql, indexes: primary key and indexes, built once the rows are in
CREATE INDEX idx_sys_rag_embedding_deployment ON sys_rag USING btree (default_embedding_model_id);

-- old/sys_rag.sql, indexes: primary key and indexes, built once the rows are in
CREATE INDEX idx_sys_rag_provider_configs ON sys_rag USING gin (provider_configurations);

-- old/sys_rag.sql, indexes: primary key and indexes, built once the rows are in
CREATE UNIQUE INDEX sys_rag_singleton ON sys_rag USING btree ((true));

-- old/sys_rag.sql, row_level_security: everyone signed in may read, system admins may write
ALTER TABLE sys_rag ENABLE ROW LEVEL SECURITY;

-- old/sys_rag.sql, row_level_security: everyone signed in may read, system admins may write
CREATE POLICY "Authenticated users can view sys_rag" ON sys_rag
    FOR SELECT TO authenticated USING (true);

-- old/sys_rag.sql, row_level_security: everyone signed in may read, system admins may write
CREATE POLICY "System admins can modify sys_rag" ON sys_rag
    TO authenticated
    USING ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))))
    WITH CHECK ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));

-- old/sys_rag.sql, comments: what the table is for
COMMENT ON TABLE sys_rag IS 'Platform-wide RAG and AI provider settings (one row)';

-- old/sys_rag.sql, comments: what the table is for
COMMENT ON COLUMN sys_rag.default_embedding_model_id IS 'Model used for embeddings unless an organisation chooses another';

-- old/sys_rag.sql, comments: what the table is for
COMMENT ON COLUMN sys_rag.default_chat_model_id IS 'Model used for chat unless an organisation chooses another';

-- old/sys_rag.sql, comments: what the table is for
COMMENT ON COLUMN sys_rag.system_prompt IS 'System prompt that every organisation starts from';

-- old/sys_rag.sql, comments: what the table is for
COMMENT ON COLUMN sys_rag.provider_configurations IS 'Settings of each AI provider; never credentials';

-- old/sys_rag.sql, grants: exact, whatever the default privileges of this project are
REVOKE ALL ON sys_rag FROM PUBLIC, anon, authenticated, service_role;

-- old/sys_rag.sql, grants: exact, whatever the default privileges of this project are
GRANT SELECT, INSERT, UPDATE, DELETE ON sys_rag TO authenticated;

-- old/sys_rag.sql, grants: exact, whatever the default privileges of this project are
GRANT ALL ON sys_rag TO service_role;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'indexed', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_sys_rag" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."sys_rag" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."available_embedding_models", "source"."default_embedding_model", "source"."embedding_model_costs", "source"."available_chunking_strategies", "source"."default_chunking_strategy", "source"."max_chunk_size_tokens", "source"."min_chunk_size_tokens", "source"."search_quality_presets", "source"."default_search_quality", "source"."default_similarity_threshold", "source"."max_search_results_global", "source"."max_context_tokens_global", "source"."ocr_enabled", "source"."processing_timeout_minutes", "source"."max_concurrent_jobs_global", "source"."vector_index_type", "source"."backup_retention_days", "source"."auto_scaling_enabled", "source"."max_embedding_batch_size", "source"."embedding_cache_ttl_hours", "source"."updated_by", "source"."created_at", "source"."updated_at", "source"."provider_configurations", "source"."default_ai_provider", "source"."active_providers", "source"."default_embedding_model_id", "source"."default_chat_model_id", "source"."system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."sys_rag";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt" FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- statistics and visibility map for the new life of the table
VACUUM (ANALYZE) "aicfg_rollback"."sys_rag";

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_sys_rag" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."sys_rag" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."available_embedding_models", "source"."default_embedding_model", "source"."embedding_model_costs", "source"."available_chunking_strategies", "source"."default_chunking_strategy", "source"."max_chunk_size_tokens", "source"."min_chunk_size_tokens", "source"."search_quality_presets", "source"."default_search_quality", "source"."default_similarity_threshold", "source"."max_search_results_global", "source"."max_context_tokens_global", "source"."ocr_enabled", "source"."processing_timeout_minutes", "source"."max_concurrent_jobs_global", "source"."vector_index_type", "source"."backup_retention_days", "source"."auto_scaling_enabled", "source"."max_embedding_batch_size", "source"."embedding_cache_ttl_hours", "source"."updated_by", "source"."created_at", "source"."updated_at", "source"."provider_configurations", "source"."default_ai_provider", "source"."active_providers", "source"."default_embedding_model_id", "source"."default_chat_model_id", "source"."system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."sys_rag";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt" FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- ==================== copy_back org_prompt_engineering ====================

-- make the shadow, and the log of what is written from now on
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "aicfg_rollback", "public", "extensions", "pg_temp";

-- old/org_prompt_engineering.sql, table: columns, defaults and checks; nothing that has to be kept up while rows come in
CREATE TABLE org_prompt_engineering (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    org_id uuid NOT NULL,
    policy_mission_type text,
    custom_system_prompt text,
    custom_context_prompt text,
    citation_style text DEFAULT 'inline'::text NOT NULL,
    include_page_numbers boolean DEFAULT true NOT NULL,
    include_source_metadata boolean DEFAULT true NOT NULL,
    response_tone text,
    max_response_length text,
    configured_by uuid,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    org_system_prompt text,
    CONSTRAINT org_prompt_engineering_citation_style_check CHECK ((citation_style = ANY (ARRAY['inline'::text, 'footnote'::text, 'endnote'::text, 'none'::text]))),
    CONSTRAINT org_prompt_engineering_max_response_length_check CHECK ((max_response_length = ANY (ARRAY['concise'::text, 'moderate'::text, 'detailed'::text]))),
    CONSTRAINT org_prompt_engineering_policy_mission_type_check CHECK ((policy_mission_type = ANY (ARRAY['research'::text, 'compliance'::text, 'education'::text, 'general'::text]))),
    CONSTRAINT org_prompt_engineering_response_tone_check CHECK ((response_tone = ANY (ARRAY['professional'::text, 'casual'::text, 'technical'::text, 'simple'::text])))
);

-- the pipeline vacuums the shadow itself; an autovacuum would hold up the cut-over
ALTER TABLE "aicfg_rollback"."org_prompt_engineering" SET (autovacuum_enabled = false);

-- its key holds what either table's key may be; no grants, so nobody but us reads or writes it
CREATE TABLE "aicfg_rollback"."change_log_org_prompt_engineering" ("id" uuid);

-- order of arrival, the mark of a TRUNCATE, and what an undo notes when it replays an entry
ALTER TABLE "aicfg_rollback"."change_log_org_prompt_engineering" ADD COLUMN aicfg_seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    ADD COLUMN aicfg_whole_table boolean NOT NULL DEFAULT false,
    ADD COLUMN aicfg_replayed boolean NOT NULL DEFAULT false;

-- so that the last replay finds the few entries left however long the log is
CREATE INDEX ON "aicfg_rollback"."change_log_org_prompt_engineering" (aicfg_seq) WHERE NOT aicfg_replayed;

-- empty until an undo replays; writers never touch it
CREATE INDEX ON "aicfg_rollback"."change_log_org_prompt_engineering" ("id") WHERE aicfg_replayed;

-- empty but for a TRUNCATE: whether there was one is asked of a log of any length
CREATE INDEX ON "aicfg_rollback"."change_log_org_prompt_engineering" (aicfg_seq) WHERE aicfg_whole_table;

-- notes a written row's key; runs as its owner, so writers need no rights on the log
CREATE FUNCTION "aicfg_rollback"."change_log_org_prompt_engineering"() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
AS $body$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        INSERT INTO "aicfg_rollback"."change_log_org_prompt_engineering" (aicfg_whole_table) VALUES (true);
        RETURN NULL;
    END IF;
    IF TG_OP <> 'INSERT' THEN
        INSERT INTO "aicfg_rollback"."change_log_org_prompt_engineering" ("id") VALUES ("old"."id");
    END IF;
    IF TG_OP = 'INSERT' OR (TG_OP = 'UPDATE' AND record_image_ne(ROW("old"."id"), ROW("new"."id"))) THEN
        INSERT INTO "aicfg_rollback"."change_log_org_prompt_engineering" ("id") VALUES ("new"."id");
    END IF;
    RETURN NULL;
END
$body$;

-- nobody but its owner has any right on a schema and on what is named in it, whatever default privileges gave
DO $close$
DECLARE
    statement text;
BEGIN
    FOR statement IN
        WITH named AS (
            SELECT c.oid, c.relnamespace FROM pg_catalog.pg_class AS c JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname = 'aicfg_rollback' AND c.relname = ANY ('{change_log_org_prompt_engineering,org_prompt_engineering}'::text[])
            UNION
            SELECT d.objid, named.relnamespace FROM pg_catalog.pg_class AS named JOIN pg_catalog.pg_namespace AS n ON n.oid = named.relnamespace
            JOIN pg_catalog.pg_depend AS d ON d.refclassid = 'pg_catalog.pg_class'::regclass::oid AND d.refobjid = named.oid
                AND d.classid = 'pg_catalog.pg_class'::regclass::oid AND d.deptype IN ('a', 'i')
            WHERE n.nspname = 'aicfg_rollback' AND named.relname = ANY ('{change_log_org_prompt_engineering,org_prompt_engineering}'::text[])
        ), acl (what, owner, grants) AS (
            SELECT pg_catalog.format('SCHEMA %I', n.nspname), n.nspowner, coalesce(n.nspacl, pg_catalog.acldefault('n', n.nspowner))
            FROM pg_catalog.pg_namespace AS n WHERE n.nspname = 'aicfg_rollback' AND false
            UNION ALL
            SELECT pg_catalog.format('%s %s', CASE c.relkind WHEN 'S' THEN 'SEQUENCE' ELSE 'TABLE' END, c.oid::regclass), c.relowner,
                   coalesce(c.relacl, pg_catalog.acldefault(CAST(CASE c.relkind WHEN 'S' THEN 's' ELSE 'r' END AS "char"), c.relowner))
            FROM named JOIN pg_catalog.pg_class AS c ON c.oid = named.oid AND c.relkind IN ('r', 'p', 'v', 'S')
            UNION ALL
            SELECT pg_catalog.format('FUNCTION %s', p.oid::regprocedure), p.proowner, coalesce(p.proacl, pg_catalog.acldefault('f', p.proowner))
            FROM pg_catalog.pg_proc AS p JOIN pg_catalog.pg_namespace AS n ON n.oid = p.pronamespace
            WHERE n.nspname = 'aicfg_rollback' AND p.proname = ANY ('{change_log_org_prompt_engineering,org_prompt_engineering}'::text[])
        )
        SELECT DISTINCT pg_catalog.format('REVOKE ALL ON %s FROM %s CASCADE', acl.what,
            CASE g.grantee WHEN 0::oid THEN 'PUBLIC' ELSE pg_catalog.quote_ident(pg_catalog.pg_get_userbyid(g.grantee)) END)
        FROM acl CROSS JOIN LATERAL pg_catalog.aclexplode(acl.grants) AS g WHERE g.grantee <> acl.owner
    LOOP
        EXECUTE statement;
    END LOOP;
END
$close$;

-- waits for writers in flight: each write is in the copy's snapshot or in the log
LOCK TABLE "public"."ai_cfg_org_prompts" IN SHARE ROW EXCLUSIVE MODE;

-- after each written row
CREATE TRIGGER aicfg_rollback_change_log AFTER INSERT OR UPDATE OR DELETE ON "public"."ai_cfg_org_prompts"
    FOR EACH ROW EXECUTE FUNCTION "aicfg_rollback"."change_log_org_prompt_engineering"();

-- after a TRUNCATE, which fires no row trigger
CREATE TRIGGER aicfg_rollback_change_log_truncate AFTER TRUNCATE ON "public"."ai_cfg_org_prompts"
    FOR EACH STATEMENT EXECUTE FUNCTION "aicfg_rollback"."change_log_org_prompt_engineering"();

-- also for writers with session_replication_role = replica
ALTER TABLE "public"."ai_cfg_org_prompts" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log;

-- the same for TRUNCATE
ALTER TABLE "public"."ai_cfg_org_prompts" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log_truncate;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'prepared', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- copy all rows: 1 piece of at most 64 MiB, each in a transaction of its own that goes like this one
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- rows in one statement: no row locks
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt" FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts"
 WHERE ctid OPERATOR(pg_catalog.>=) CAST(coalesce(nullif(pg_catalog.current_setting('aicfg.piece_from', true), ''), '(0,0)') AS tid)
   AND ctid OPERATOR(pg_catalog.<) CAST(coalesce(nullif(pg_catalog.current_setting('aicfg.piece_to', true), ''), '(4294967294,0)') AS tid)) AS source;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'copied', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- make what is quicker to make once the rows are in
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "aicfg_rollback", "public", "extensions", "pg_temp";

-- old/org_prompt_engineering.sql, indexes: primary key, unique organisation and index, built once the rows are in
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_pkey PRIMARY KEY (id);

-- old/org_prompt_engineering.sql, indexes: primary key, unique organisation and index, built once the rows are in
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_org_id_key UNIQUE (org_id);

-- old/org_prompt_engineering.sql, indexes: primary key, unique organisation and index, built once the rows are in
CREATE INDEX idx_org_prompt_engineering_org_id ON org_prompt_engineering USING btree (org_id);

-- old/org_prompt_engineering.sql, row_level_security: system admins only
ALTER TABLE org_prompt_engineering ENABLE ROW LEVEL SECURITY;

-- old/org_prompt_engineering.sql, row_level_security: system admins only
CREATE POLICY "Sys admins can manage prompt engineering" ON org_prompt_engineering
    TO authenticated
    USING ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));

-- old/org_prompt_engineering.sql, comments: what the table is for
COMMENT ON TABLE org_prompt_engineering IS 'Prompts and answer style of each organisation';

-- old/org_prompt_engineering.sql, comments: what the table is for
COMMENT ON COLUMN org_prompt_engineering.policy_mission_type IS 'What the organisation uses the assistant for';

-- old/org_prompt_engineering.sql, comments: what the table is for
COMMENT ON COLUMN org_prompt_engineering.org_system_prompt IS 'Prompt of the organisation, put after the platform''s';

-- old/org_prompt_engineering.sql, grants: exact, whatever the default privileges of this project are
REVOKE ALL ON org_prompt_engineering FROM PUBLIC, anon, authenticated, service_role;

-- old/org_prompt_engineering.sql, grants: exact, whatever the default privileges of this project are
GRANT SELECT, INSERT, UPDATE, DELETE ON org_prompt_engineering TO authenticated;

-- old/org_prompt_engineering.sql, grants: exact, whatever the default privileges of this project are
GRANT ALL ON org_prompt_engineering TO service_role;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'indexed', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_org_prompts" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."org_prompt_engineering" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."org_id", "source"."policy_mission_type", "source"."custom_system_prompt", "source"."custom_context_prompt", "source"."citation_style", "source"."include_page_numbers", "source"."include_source_metadata", "source"."response_tone", "source"."max_response_length", "source"."configured_by", "source"."created_at", "source"."updated_at", "source"."org_system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."org_prompt_engineering";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt" FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- statistics and visibility map for the new life of the table
VACUUM (ANALYZE) "aicfg_rollback"."org_prompt_engineering";

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_org_prompts" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."org_prompt_engineering" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."org_id", "source"."policy_mission_type", "source"."custom_system_prompt", "source"."custom_context_prompt", "source"."citation_style", "source"."include_page_numbers", "source"."include_source_metadata", "source"."response_tone", "source"."max_response_length", "source"."configured_by", "source"."created_at", "source"."updated_at", "source"."org_system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."org_prompt_engineering";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt" FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- ==================== copy_back sys_rag ====================

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_sys_rag" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."sys_rag" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."available_embedding_models", "source"."default_embedding_model", "source"."embedding_model_costs", "source"."available_chunking_strategies", "source"."default_chunking_strategy", "source"."max_chunk_size_tokens", "source"."min_chunk_size_tokens", "source"."search_quality_presets", "source"."default_search_quality", "source"."default_similarity_threshold", "source"."max_search_results_global", "source"."max_context_tokens_global", "source"."ocr_enabled", "source"."processing_timeout_minutes", "source"."max_concurrent_jobs_global", "source"."vector_index_type", "source"."backup_retention_days", "source"."auto_scaling_enabled", "source"."max_embedding_batch_size", "source"."embedding_cache_ttl_hours", "source"."updated_by", "source"."created_at", "source"."updated_at", "source"."provider_configurations", "source"."default_ai_provider", "source"."active_providers", "source"."default_embedding_model_id", "source"."default_chat_model_id", "source"."system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."sys_rag";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt" FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- ==================== copy_back org_prompt_engineering ====================

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_org_prompts" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."org_prompt_engineering" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."org_id", "source"."policy_mission_type", "source"."custom_system_prompt", "source"."custom_context_prompt", "source"."citation_style", "source"."include_page_numbers", "source"."include_source_metadata", "source"."response_tone", "source"."max_response_length", "source"."configured_by", "source"."created_at", "source"."updated_at", "source"."org_system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."org_prompt_engineering";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt" FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- ==================== compare ====================

-- prove every shadow against the live rows; only reads
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
LOCK TABLE "public"."ai_cfg_sys_rag", "public"."ai_cfg_org_prompts" IN ACCESS SHARE MODE;

-- count and sum of row hashes; hashed once more, because a row's hash is linear in those of its columns, and a sum of such would not see two rows exchange a value
SELECT pg_catalog.count(*)::bigint AS rows,
       coalesce(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.hash_record_extended(ROW("side"."id", "side"."available_embedding_models", "side"."default_embedding_model", "side"."embedding_model_costs", "side"."available_chunking_strategies", "side"."default_chunking_strategy", "side"."max_chunk_size_tokens", "side"."min_chunk_size_tokens", "side"."search_quality_presets", "side"."default_search_quality", "side"."default_similarity_threshold", "side"."max_search_results_global", "side"."max_context_tokens_global", "side"."ocr_enabled", "side"."processing_timeout_minutes", "side"."max_concurrent_jobs_global", "side"."vector_index_type", "side"."backup_retention_days", "side"."auto_scaling_enabled", "side"."max_embedding_batch_size", "side"."embedding_cache_ttl_hours", "side"."updated_by", "side"."created_at", "side"."updated_at", "side"."provider_configurations", "side"."default_ai_provider", "side"."active_providers", "side"."default_embedding_model_id", "side"."default_chat_model_id", "side"."system_prompt"), 0::bigint)::text, 0::bigint)), 0)::text AS checksum
FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS side;

-- count and sum of row hashes; hashed once more, because a row's hash is linear in those of its columns, and a sum of such would not see two rows exchange a value
SELECT pg_catalog.count(*)::bigint AS rows,
       coalesce(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.hash_record_extended(ROW("side"."id", "side"."available_embedding_models", "side"."default_embedding_model", "side"."embedding_model_costs", "side"."available_chunking_strategies", "side"."default_chunking_strategy", "side"."max_chunk_size_tokens", "side"."min_chunk_size_tokens", "side"."search_quality_presets", "side"."default_search_quality", "side"."default_similarity_threshold", "side"."max_search_results_global", "side"."max_context_tokens_global", "side"."ocr_enabled", "side"."processing_timeout_minutes", "side"."max_concurrent_jobs_global", "side"."vector_index_type", "side"."backup_retention_days", "side"."auto_scaling_enabled", "side"."max_embedding_batch_size", "side"."embedding_cache_ttl_hours", "side"."updated_by", "side"."created_at", "side"."updated_at", "side"."provider_configurations", "side"."default_ai_provider", "side"."active_providers", "side"."default_embedding_model_id", "side"."default_chat_model_id", "side"."system_prompt"), 0::bigint)::text, 0::bigint)), 0)::text AS checksum
FROM "aicfg_rollback"."sys_rag" AS side;

-- rows that differ to the last bit, and which of them the change log explains
WITH different AS MATERIALIZED (
    SELECT coalesce("source"."id", "target"."id") AS "id", CASE WHEN ("target"."id" IS NOT DISTINCT FROM NULL) THEN 'missing' WHEN ("source"."id" IS NOT DISTINCT FROM NULL) THEN 'extra' ELSE 'changed' END AS kind
    FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source FULL JOIN "aicfg_rollback"."sys_rag" AS target ON "source"."id" OPERATOR(pg_catalog.=) "target"."id"
    WHERE ("target"."id" IS NOT DISTINCT FROM NULL) OR ("source"."id" IS NOT DISTINCT FROM NULL) OR pg_catalog.record_image_ne(ROW("source"."id", "source"."available_embedding_models", "source"."default_embedding_model", "source"."embedding_model_costs", "source"."available_chunking_strategies", "source"."default_chunking_strategy", "source"."max_chunk_size_tokens", "source"."min_chunk_size_tokens", "source"."search_quality_presets", "source"."default_search_quality", "source"."default_similarity_threshold", "source"."max_search_results_global", "source"."max_context_tokens_global", "source"."ocr_enabled", "source"."processing_timeout_minutes", "source"."max_concurrent_jobs_global", "source"."vector_index_type", "source"."backup_retention_days", "source"."auto_scaling_enabled", "source"."max_embedding_batch_size", "source"."embedding_cache_ttl_hours", "source"."updated_by", "source"."created_at", "source"."updated_at", "source"."provider_configurations", "source"."default_ai_provider", "source"."active_providers", "source"."default_embedding_model_id", "source"."default_chat_model_id", "source"."system_prompt"), ROW("target"."id", "target"."available_embedding_models", "target"."default_embedding_model", "target"."embedding_model_costs", "target"."available_chunking_strategies", "target"."default_chunking_strategy", "target"."max_chunk_size_tokens", "target"."min_chunk_size_tokens", "target"."search_quality_presets", "target"."default_search_quality", "target"."default_similarity_threshold", "target"."max_search_results_global", "target"."max_context_tokens_global", "target"."ocr_enabled", "target"."processing_timeout_minutes", "target"."max_concurrent_jobs_global", "target"."vector_index_type", "target"."backup_retention_days", "target"."auto_scaling_enabled", "target"."max_embedding_batch_size", "target"."embedding_cache_ttl_hours", "target"."updated_by", "target"."created_at", "target"."updated_at", "target"."provider_configurations", "target"."default_ai_provider", "target"."active_providers", "target"."default_embedding_model_id", "target"."default_chat_model_id", "target"."system_prompt"))
), known AS MATERIALIZED (  -- a join, not an EXISTS for each row: a log may be long, and may be a query itself
    SELECT DISTINCT "entry"."id" FROM "aicfg_rollback"."change_log_sys_rag" AS entry JOIN different AS wanted ON "entry"."id" OPERATOR(pg_catalog.=) "wanted"."id"
    WHERE NOT entry.aicfg_whole_table
), judged AS MATERIALIZED (
    SELECT different.*, ("known"."id" IS DISTINCT FROM NULL OR (SELECT EXISTS (SELECT FROM "aicfg_rollback"."change_log_sys_rag" AS entry WHERE entry.aicfg_whole_table)))
           AS explained
    FROM different LEFT JOIN known ON "different"."id" OPERATOR(pg_catalog.=) "known"."id"
)
SELECT pg_catalog.count(*)::bigint AS differences,
       pg_catalog.count(*) FILTER (WHERE NOT explained)::bigint AS unexplained,
       pg_catalog.count(*) FILTER (WHERE kind = 'missing')::bigint AS missing,
       pg_catalog.count(*) FILTER (WHERE kind = 'extra')::bigint AS extra,
       pg_catalog.count(*) FILTER (WHERE kind = 'missing' AND NOT explained)::bigint AS unexplained_missing,
       pg_catalog.count(*) FILTER (WHERE kind = 'extra' AND NOT explained)::bigint AS unexplained_extra,
       (SELECT coalesce(pg_catalog.jsonb_agg(sample), '[]') FROM (
            SELECT pg_catalog.jsonb_build_object('key', pg_catalog.jsonb_build_array("id"), 'kind', kind) AS sample
            FROM judged WHERE NOT explained ORDER BY "id" LIMIT 50
        ) shown) AS sample
FROM judged;

-- count and sum of row hashes; hashed once more, because a row's hash is linear in those of its columns, and a sum of such would not see two rows exchange a value
SELECT pg_catalog.count(*)::bigint AS rows,
       coalesce(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.hash_record_extended(ROW("side"."id", "side"."org_id", "side"."policy_mission_type", "side"."custom_system_prompt", "side"."custom_context_prompt", "side"."citation_style", "side"."include_page_numbers", "side"."include_source_metadata", "side"."response_tone", "side"."max_response_length", "side"."configured_by", "side"."created_at", "side"."updated_at", "side"."org_system_prompt"), 0::bigint)::text, 0::bigint)), 0)::text AS checksum
FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS side;

-- count and sum of row hashes; hashed once more, because a row's hash is linear in those of its columns, and a sum of such would not see two rows exchange a value
SELECT pg_catalog.count(*)::bigint AS rows,
       coalesce(pg_catalog.sum(pg_catalog.hashtextextended(pg_catalog.hash_record_extended(ROW("side"."id", "side"."org_id", "side"."policy_mission_type", "side"."custom_system_prompt", "side"."custom_context_prompt", "side"."citation_style", "side"."include_page_numbers", "side"."include_source_metadata", "side"."response_tone", "side"."max_response_length", "side"."configured_by", "side"."created_at", "side"."updated_at", "side"."org_system_prompt"), 0::bigint)::text, 0::bigint)), 0)::text AS checksum
FROM "aicfg_rollback"."org_prompt_engineering" AS side;

-- rows that differ to the last bit, and which of them the change log explains
WITH different AS MATERIALIZED (
    SELECT coalesce("source"."id", "target"."id") AS "id", CASE WHEN ("target"."id" IS NOT DISTINCT FROM NULL) THEN 'missing' WHEN ("source"."id" IS NOT DISTINCT FROM NULL) THEN 'extra' ELSE 'changed' END AS kind
    FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source FULL JOIN "aicfg_rollback"."org_prompt_engineering" AS target ON "source"."id" OPERATOR(pg_catalog.=) "target"."id"
    WHERE ("target"."id" IS NOT DISTINCT FROM NULL) OR ("source"."id" IS NOT DISTINCT FROM NULL) OR pg_catalog.record_image_ne(ROW("source"."id", "source"."org_id", "source"."policy_mission_type", "source"."custom_system_prompt", "source"."custom_context_prompt", "source"."citation_style", "source"."include_page_numbers", "source"."include_source_metadata", "source"."response_tone", "source"."max_response_length", "source"."configured_by", "source"."created_at", "source"."updated_at", "source"."org_system_prompt"), ROW("target"."id", "target"."org_id", "target"."policy_mission_type", "target"."custom_system_prompt", "target"."custom_context_prompt", "target"."citation_style", "target"."include_page_numbers", "target"."include_source_metadata", "target"."response_tone", "target"."max_response_length", "target"."configured_by", "target"."created_at", "target"."updated_at", "target"."org_system_prompt"))
), known AS MATERIALIZED (  -- a join, not an EXISTS for each row: a log may be long, and may be a query itself
    SELECT DISTINCT "entry"."id" FROM "aicfg_rollback"."change_log_org_prompt_engineering" AS entry JOIN different AS wanted ON "entry"."id" OPERATOR(pg_catalog.=) "wanted"."id"
    WHERE NOT entry.aicfg_whole_table
), judged AS MATERIALIZED (
    SELECT different.*, ("known"."id" IS DISTINCT FROM NULL OR (SELECT EXISTS (SELECT FROM "aicfg_rollback"."change_log_org_prompt_engineering" AS entry WHERE entry.aicfg_whole_table)))
           AS explained
    FROM different LEFT JOIN known ON "different"."id" OPERATOR(pg_catalog.=) "known"."id"
)
SELECT pg_catalog.count(*)::bigint AS differences,
       pg_catalog.count(*) FILTER (WHERE NOT explained)::bigint AS unexplained,
       pg_catalog.count(*) FILTER (WHERE kind = 'missing')::bigint AS missing,
       pg_catalog.count(*) FILTER (WHERE kind = 'extra')::bigint AS extra,
       pg_catalog.count(*) FILTER (WHERE kind = 'missing' AND NOT explained)::bigint AS unexplained_missing,
       pg_catalog.count(*) FILTER (WHERE kind = 'extra' AND NOT explained)::bigint AS unexplained_extra,
       (SELECT coalesce(pg_catalog.jsonb_agg(sample), '[]') FROM (
            SELECT pg_catalog.jsonb_build_object('key', pg_catalog.jsonb_build_array("id"), 'kind', kind) AS sample
            FROM judged WHERE NOT explained ORDER BY "id" LIMIT 50
        ) shown) AS sample
FROM judged;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'compare', 'proven', NULL, :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- ==================== copy_back sys_rag ====================

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_sys_rag" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."sys_rag" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."available_embedding_models", "source"."default_embedding_model", "source"."embedding_model_costs", "source"."available_chunking_strategies", "source"."default_chunking_strategy", "source"."max_chunk_size_tokens", "source"."min_chunk_size_tokens", "source"."search_quality_presets", "source"."default_search_quality", "source"."default_similarity_threshold", "source"."max_search_results_global", "source"."max_context_tokens_global", "source"."ocr_enabled", "source"."processing_timeout_minutes", "source"."max_concurrent_jobs_global", "source"."vector_index_type", "source"."backup_retention_days", "source"."auto_scaling_enabled", "source"."max_embedding_batch_size", "source"."embedding_cache_ttl_hours", "source"."updated_by", "source"."created_at", "source"."updated_at", "source"."provider_configurations", "source"."default_ai_provider", "source"."active_providers", "source"."default_embedding_model_id", "source"."default_chat_model_id", "source"."system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."sys_rag";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt" FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- ==================== copy_back org_prompt_engineering ====================

-- replay what was written meanwhile
-- only if entries wait in the change log
BEGIN ISOLATION LEVEL REPEATABLE READ;

-- where unqualified names are
-- only if entries wait in the change log
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- before the snapshot is taken: a TRUNCATE is not seen half way
-- only if entries wait in the change log
LOCK TABLE "public"."ai_cfg_org_prompts" IN ACCESS SHARE MODE;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."org_prompt_engineering" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."org_id", "source"."policy_mission_type", "source"."custom_system_prompt", "source"."custom_context_prompt", "source"."citation_style", "source"."include_page_numbers", "source"."include_source_metadata", "source"."response_tone", "source"."max_response_length", "source"."configured_by", "source"."created_at", "source"."updated_at", "source"."org_system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."org_prompt_engineering";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt" FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;
\endif

-- what was done, in the transaction that did it
-- only if entries wait in the change log
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'copy_back', 'replayed', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
-- only if entries wait in the change log
COMMIT;

-- ==================== cut_over ====================

-- the swap: everybody waits from the last lock to the end of this transaction
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "aicfg_rollback", "public", "extensions", "pg_temp";

-- nobody reads or writes until the transaction ends
LOCK TABLE "public"."sys_rag", "public"."org_prompt_engineering", "public"."ai_cfg_sys_rag", "public"."ai_cfg_org_prompts", "aicfg_rollback"."sys_rag", "aicfg_rollback"."org_prompt_engineering" IN ACCESS EXCLUSIVE MODE;

-- old/sys_rag.sql, foreign_keys: made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_default_chat_model_id_fkey
    FOREIGN KEY (default_chat_model_id) REFERENCES public.ai_models(id) ON DELETE SET NULL NOT VALID;

-- old/sys_rag.sql, foreign_keys: made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_default_embedding_model_id_fkey
    FOREIGN KEY (default_embedding_model_id) REFERENCES public.ai_models(id) ON DELETE SET NULL NOT VALID;

-- old/sys_rag.sql, foreign_keys: made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_updated_by_fkey
    FOREIGN KEY (updated_by) REFERENCES auth.users(id) NOT VALID;

-- old/org_prompt_engineering.sql, foreign_keys: made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_configured_by_fkey
    FOREIGN KEY (configured_by) REFERENCES auth.users(id) NOT VALID;

-- old/org_prompt_engineering.sql, foreign_keys: made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_org_id_fkey
    FOREIGN KEY (org_id) REFERENCES public.orgs(id) ON DELETE CASCADE NOT VALID;

-- under the locks: a column that has come or gone since it was looked at stops it all
DO $aicfg$
BEGIN
    IF CAST(ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = '"public"."ai_cfg_sys_rag"'::regclass::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS text)
       <> CAST(CAST('{id,available_embedding_models,default_embedding_model,embedding_model_costs,available_chunking_strategies,default_chunking_strategy,max_chunk_size_tokens,min_chunk_size_tokens,search_quality_presets,default_search_quality,default_similarity_threshold,max_search_results_global,max_context_tokens_global,ocr_enabled,processing_timeout_minutes,max_concurrent_jobs_global,vector_index_type,backup_retention_days,auto_scaling_enabled,max_embedding_batch_size,embedding_cache_ttl_hours,updated_by,created_at,updated_at,provider_configurations,default_ai_provider,active_providers,default_embedding_model_id,default_chat_model_id,system_prompt}' AS text[]) AS text) THEN
        RAISE EXCEPTION USING ERRCODE = 'AICF1', MESSAGE = 'columns have changed';
    END IF;
END
$aicfg$;

-- under the locks: a column that has come or gone since it was looked at stops it all
DO $aicfg$
BEGIN
    IF CAST(ARRAY(SELECT a.attname::text FROM pg_catalog.pg_attribute AS a
             WHERE a.attrelid = '"public"."ai_cfg_org_prompts"'::regclass::oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS text)
       <> CAST(CAST('{id,org_id,policy_mission_type,custom_system_prompt,custom_context_prompt,citation_style,include_page_numbers,include_source_metadata,response_tone,max_response_length,created_at,updated_at,org_system_prompt,created_by,updated_by}' AS text[]) AS text) THEN
        RAISE EXCEPTION USING ERRCODE = 'AICF1', MESSAGE = 'columns have changed';
    END IF;
END
$aicfg$;

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."sys_rag" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."available_embedding_models", "source"."default_embedding_model", "source"."embedding_model_costs", "source"."available_chunking_strategies", "source"."default_chunking_strategy", "source"."max_chunk_size_tokens", "source"."min_chunk_size_tokens", "source"."search_quality_presets", "source"."default_search_quality", "source"."default_similarity_threshold", "source"."max_search_results_global", "source"."max_context_tokens_global", "source"."ocr_enabled", "source"."processing_timeout_minutes", "source"."max_concurrent_jobs_global", "source"."vector_index_type", "source"."backup_retention_days", "source"."auto_scaling_enabled", "source"."max_embedding_batch_size", "source"."embedding_cache_ttl_hours", "source"."updated_by", "source"."created_at", "source"."updated_at", "source"."provider_configurations", "source"."default_ai_provider", "source"."active_providers", "source"."default_embedding_model_id", "source"."default_chat_model_id", "source"."system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."sys_rag";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."sys_rag" ("id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "available_embedding_models", "default_embedding_model", "embedding_model_costs", "available_chunking_strategies", "default_chunking_strategy", "max_chunk_size_tokens", "min_chunk_size_tokens", "search_quality_presets", "default_search_quality", "default_similarity_threshold", "max_search_results_global", "max_context_tokens_global", "ocr_enabled", "processing_timeout_minutes", "max_concurrent_jobs_global", "vector_index_type", "backup_retention_days", "auto_scaling_enabled", "max_embedding_batch_size", "embedding_cache_ttl_hours", "updated_by", "created_at", "updated_at", "provider_configurations", "default_ai_provider", "active_providers", "default_embedding_model_id", "default_chat_model_id", "system_prompt" FROM (SELECT "id" AS "id", "available_embedding_models" AS "available_embedding_models", "default_embedding_model" AS "default_embedding_model", "embedding_model_costs" AS "embedding_model_costs", "available_chunking_strategies" AS "available_chunking_strategies", "default_chunking_strategy" AS "default_chunking_strategy", "max_chunk_size_tokens" AS "max_chunk_size_tokens", "min_chunk_size_tokens" AS "min_chunk_size_tokens", "search_quality_presets" AS "search_quality_presets", "default_search_quality" AS "default_search_quality", "default_similarity_threshold" AS "default_similarity_threshold", "max_search_results_global" AS "max_search_results_global", "max_context_tokens_global" AS "max_context_tokens_global", "ocr_enabled" AS "ocr_enabled", "processing_timeout_minutes" AS "processing_timeout_minutes", "max_concurrent_jobs_global" AS "max_concurrent_jobs_global", "vector_index_type" AS "vector_index_type", "backup_retention_days" AS "backup_retention_days", "auto_scaling_enabled" AS "auto_scaling_enabled", "max_embedding_batch_size" AS "max_embedding_batch_size", "embedding_cache_ttl_hours" AS "embedding_cache_ttl_hours", "updated_by" AS "updated_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "provider_configurations" AS "provider_configurations", "default_ai_provider" AS "default_ai_provider", "active_providers" AS "active_providers", "default_embedding_model_id" AS "default_embedding_model_id", "default_chat_model_id" AS "default_chat_model_id", "system_prompt" AS "system_prompt" FROM "public"."ai_cfg_sys_rag") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_sys_rag" WHERE NOT aicfg_replayed;
\endif

-- the rows whose keys are in the log, taken out of the copy
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."org_prompt_engineering" AS target USING (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS logged
WHERE "target"."id" OPERATOR(pg_catalog.=) "logged"."id";

-- and what they are now, put back
-- only if entries wait in the change log
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "source"."id", "source"."org_id", "source"."policy_mission_type", "source"."custom_system_prompt", "source"."custom_context_prompt", "source"."citation_style", "source"."include_page_numbers", "source"."include_source_metadata", "source"."response_tone", "source"."max_response_length", "source"."configured_by", "source"."created_at", "source"."updated_at", "source"."org_system_prompt" FROM (SELECT DISTINCT "id" FROM (SELECT * FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed) AS pending WHERE NOT aicfg_whole_table) AS wanted JOIN (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source ON "wanted"."id" OPERATOR(pg_catalog.=) "source"."id";

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if entries wait in the change log
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;

-- after a TRUNCATE of the live table everything is copied again
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."org_prompt_engineering";
\endif

-- rows in one statement: no row locks
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
INSERT INTO "aicfg_rollback"."org_prompt_engineering" ("id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt") OVERRIDING SYSTEM VALUE SELECT "id", "org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style", "include_page_numbers", "include_source_metadata", "response_tone", "max_response_length", "configured_by", "created_at", "updated_at", "org_system_prompt" FROM (SELECT "id" AS "id", "org_id" AS "org_id", "policy_mission_type" AS "policy_mission_type", "custom_system_prompt" AS "custom_system_prompt", "custom_context_prompt" AS "custom_context_prompt", "citation_style" AS "citation_style", "include_page_numbers" AS "include_page_numbers", "include_source_metadata" AS "include_source_metadata", "response_tone" AS "response_tone", "max_response_length" AS "max_response_length", CAST(coalesce(updated_by, created_by) AS uuid) AS "configured_by", "created_at" AS "created_at", "updated_at" AS "updated_at", "org_system_prompt" AS "org_system_prompt" FROM "public"."ai_cfg_org_prompts") AS source;
\endif

-- the entries that were replayed (in one snapshot: exactly those that were read)
-- only if a TRUNCATE waits in the change log: then instead of the replay
\if :truncated
DELETE FROM "aicfg_rollback"."change_log_org_prompt_engineering" WHERE NOT aicfg_replayed;
\endif

-- what is deferred to the end of a transaction is looked at now: a table with a check to come can't be altered
SET CONSTRAINTS ALL IMMEDIATE;

-- lives only inside the cut-over's transaction: a stop on the way between two schemas
CREATE SCHEMA aicfg_rollback_swap;

-- the change log of this table ends
DROP TRIGGER aicfg_rollback_change_log ON "public"."ai_cfg_sys_rag";

-- the same for TRUNCATE
DROP TRIGGER aicfg_rollback_change_log_truncate ON "public"."ai_cfg_sys_rag";

-- old/sys_rag.sql, triggers: updated_at keeps itself
CREATE OR REPLACE FUNCTION public.update_sys_rag_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;

-- old/sys_rag.sql, triggers: updated_at keeps itself
CREATE TRIGGER update_sys_rag_updated_at BEFORE UPDATE ON sys_rag
    FOR EACH ROW EXECUTE FUNCTION public.update_sys_rag_updated_at();

-- after each written row
CREATE TRIGGER aicfg_rollback_change_log AFTER INSERT OR UPDATE OR DELETE ON "aicfg_rollback"."sys_rag"
    FOR EACH ROW EXECUTE FUNCTION "aicfg_rollback"."change_log_sys_rag"();

-- after a TRUNCATE, which fires no row trigger
CREATE TRIGGER aicfg_rollback_change_log_truncate AFTER TRUNCATE ON "aicfg_rollback"."sys_rag"
    FOR EACH STATEMENT EXECUTE FUNCTION "aicfg_rollback"."change_log_sys_rag"();

-- also for writers with session_replication_role = replica
ALTER TABLE "aicfg_rollback"."sys_rag" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log;

-- the same for TRUNCATE
ALTER TABLE "aicfg_rollback"."sys_rag" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log_truncate;

-- as every other table
ALTER TABLE "aicfg_rollback"."sys_rag" RESET (autovacuum_enabled);

-- the change log of this table ends
DROP TRIGGER aicfg_rollback_change_log ON "public"."ai_cfg_org_prompts";

-- the same for TRUNCATE
DROP TRIGGER aicfg_rollback_change_log_truncate ON "public"."ai_cfg_org_prompts";

-- old/org_prompt_engineering.sql, triggers: updated_at keeps itself
CREATE OR REPLACE FUNCTION public.update_org_prompt_engineering_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;

-- old/org_prompt_engineering.sql, triggers: updated_at keeps itself
CREATE TRIGGER update_org_prompt_engineering_updated_at BEFORE UPDATE ON org_prompt_engineering
    FOR EACH ROW EXECUTE FUNCTION public.update_org_prompt_engineering_updated_at();

-- after each written row
CREATE TRIGGER aicfg_rollback_change_log AFTER INSERT OR UPDATE OR DELETE ON "aicfg_rollback"."org_prompt_engineering"
    FOR EACH ROW EXECUTE FUNCTION "aicfg_rollback"."change_log_org_prompt_engineering"();

-- after a TRUNCATE, which fires no row trigger
CREATE TRIGGER aicfg_rollback_change_log_truncate AFTER TRUNCATE ON "aicfg_rollback"."org_prompt_engineering"
    FOR EACH STATEMENT EXECUTE FUNCTION "aicfg_rollback"."change_log_org_prompt_engineering"();

-- also for writers with session_replication_role = replica
ALTER TABLE "aicfg_rollback"."org_prompt_engineering" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log;

-- the same for TRUNCATE
ALTER TABLE "aicfg_rollback"."org_prompt_engineering" ENABLE ALWAYS TRIGGER aicfg_rollback_change_log_truncate;

-- as every other table
ALTER TABLE "aicfg_rollback"."org_prompt_engineering" RESET (autovacuum_enabled);

-- the same for a view
ALTER VIEW "public"."sys_rag" SET SCHEMA "aicfg_rollback_swap";

-- a catalog update: milliseconds at any size
ALTER TABLE "public"."ai_cfg_sys_rag" SET SCHEMA "aicfg_rollback_swap";

-- the same for a view
ALTER VIEW "public"."org_prompt_engineering" SET SCHEMA "aicfg_rollback_swap";

-- a catalog update: milliseconds at any size
ALTER TABLE "public"."ai_cfg_org_prompts" SET SCHEMA "aicfg_rollback_swap";

-- a catalog update: milliseconds at any size
ALTER TABLE "aicfg_rollback"."sys_rag" SET SCHEMA "public";

-- a catalog update: milliseconds at any size
ALTER TABLE "aicfg_rollback"."org_prompt_engineering" SET SCHEMA "public";

-- the same for a view
ALTER VIEW "aicfg_rollback_swap"."sys_rag" SET SCHEMA "aicfg_rollback";

-- a catalog update: milliseconds at any size
ALTER TABLE "aicfg_rollback_swap"."ai_cfg_sys_rag" SET SCHEMA "aicfg_rollback";

-- the same for a view
ALTER VIEW "aicfg_rollback_swap"."org_prompt_engineering" SET SCHEMA "aicfg_rollback";

-- a catalog update: milliseconds at any size
ALTER TABLE "aicfg_rollback_swap"."ai_cfg_org_prompts" SET SCHEMA "aicfg_rollback";

-- extended statistics stay behind when their table moves; through the same stop, because names may be exchanged
DO $aicfg$
DECLARE
    stop CONSTANT text := 'aicfg_rollback_swap';
    way record;
    statement text;
BEGIN
    FOR way IN SELECT * FROM (VALUES (1, 'public'::text, 'aicfg_rollback', stop), (2, 'aicfg_rollback', 'public'::text, 'public'::text),
                                     (3, stop, 'aicfg_rollback', 'aicfg_rollback')) AS ways (step, there, of_table, goes) ORDER BY step
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

-- it was never seen by anyone
DROP SCHEMA aicfg_rollback_swap;

-- PostgREST reads the schema anew when this transaction commits
NOTIFY pgrst, 'reload schema';

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'cut_over', 'done', NULL, :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- ==================== settle sys_rag ====================

-- a foreign key of a table that nobody uses must not hold up those who use the table it refers to
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "pg_catalog", "pg_temp";

-- by name, and it must be there
ALTER TABLE "aicfg_rollback"."ai_cfg_sys_rag" DROP CONSTRAINT "ai_cfg_sys_rag_default_chat_model_id_fkey";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'foreign_key_taken_off', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- a foreign key of a table that nobody uses must not hold up those who use the table it refers to
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "pg_catalog", "pg_temp";

-- by name, and it must be there
ALTER TABLE "aicfg_rollback"."ai_cfg_sys_rag" DROP CONSTRAINT "ai_cfg_sys_rag_default_embedding_model_id_fkey";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'foreign_key_taken_off', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- a foreign key of a table that nobody uses must not hold up those who use the table it refers to
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "pg_catalog", "pg_temp";

-- by name, and it must be there
ALTER TABLE "aicfg_rollback"."ai_cfg_sys_rag" DROP CONSTRAINT "ai_cfg_sys_rag_updated_by_fkey";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'foreign_key_taken_off', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- prove the foreign keys for the rows that are there
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- old/sys_rag.sql, validate: the foreign keys hold for the rows that are there
ALTER TABLE sys_rag VALIDATE CONSTRAINT sys_rag_default_chat_model_id_fkey;

-- old/sys_rag.sql, validate: the foreign keys hold for the rows that are there
ALTER TABLE sys_rag VALIDATE CONSTRAINT sys_rag_default_embedding_model_id_fkey;

-- old/sys_rag.sql, validate: the foreign keys hold for the rows that are there
ALTER TABLE sys_rag VALIDATE CONSTRAINT sys_rag_updated_by_fkey;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'validated', 'sys_rag', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- ==================== settle org_prompt_engineering ====================

-- a foreign key of a table that nobody uses must not hold up those who use the table it refers to
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "pg_catalog", "pg_temp";

-- by name, and it must be there
ALTER TABLE "aicfg_rollback"."ai_cfg_org_prompts" DROP CONSTRAINT "ai_cfg_org_prompts_created_by_fkey";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'foreign_key_taken_off', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- a foreign key of a table that nobody uses must not hold up those who use the table it refers to
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "pg_catalog", "pg_temp";

-- by name, and it must be there
ALTER TABLE "aicfg_rollback"."ai_cfg_org_prompts" DROP CONSTRAINT "ai_cfg_org_prompts_org_id_fkey";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'foreign_key_taken_off', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- a foreign key of a table that nobody uses must not hold up those who use the table it refers to
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "pg_catalog", "pg_temp";

-- by name, and it must be there
ALTER TABLE "aicfg_rollback"."ai_cfg_org_prompts" DROP CONSTRAINT "ai_cfg_org_prompts_updated_by_fkey";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'foreign_key_taken_off', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- prove the foreign keys for the rows that are there
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- old/org_prompt_engineering.sql, validate: the foreign keys hold for the rows that are there
ALTER TABLE org_prompt_engineering VALIDATE CONSTRAINT org_prompt_engineering_configured_by_fkey;

-- old/org_prompt_engineering.sql, validate: the foreign keys hold for the rows that are there
ALTER TABLE org_prompt_engineering VALIDATE CONSTRAINT org_prompt_engineering_org_id_fkey;

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'settle', 'validated', 'org_prompt_engineering', :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- ==================== verify ====================

-- every check; only reads
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'verify', 'passed', NULL, :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

-- ==================== run ====================

-- what the job was asked for is done
BEGIN ISOLATION LEVEL READ COMMITTED;

-- where unqualified names are
SET LOCAL "search_path" TO "public", "extensions", "pg_temp";

-- what was done, in the transaction that did it
INSERT INTO aicfg_rollback.ledger (run_id, step, outcome, pair, plan_hash, facts, statements, migration, place)
VALUES (:'run_id', 'run', 'finished', NULL, :'plan_hash', :'facts', '[]', 'ai_config_tables', 'aicfg_rollback');

-- all of it, or nothing
COMMIT;

