-- The runbook's transaction, mended so that it works: what a careful person would run in psql by hand.
--   psql -v ON_ERROR_STOP=1 -f benchmarks/mended_runbook.sql "$DATABASE_URL"
-- Mended: the views are dropped first and not last; the tables are locked, so that no write falls between the copy and
-- the drop; the columns are named, and configured_by comes from coalesce(updated_by, created_by); indexes, primary keys
-- and foreign keys are made once; triggers and comments are not forgotten. Everything else is as the runbook has it:
-- one transaction, in which nobody reads or writes.
\set QUIET on
\pset format unaligned
\pset tuples_only on
SET search_path = public;
BEGIN;
LOCK TABLE sys_rag, org_prompt_engineering, ai_cfg_sys_rag, ai_cfg_org_prompts IN ACCESS EXCLUSIVE MODE;
SELECT 'locked ' || extract(epoch FROM clock_timestamp());

DROP VIEW sys_rag;
DROP VIEW org_prompt_engineering;

-- 1. Recreate the old tables
CREATE TABLE sys_rag (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
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

CREATE TABLE org_prompt_engineering (
    id uuid DEFAULT gen_random_uuid() PRIMARY KEY,
    org_id uuid NOT NULL UNIQUE,
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

-- 2. Copy the data back: same columns in the same order for the settings, named columns for the prompts
INSERT INTO sys_rag SELECT * FROM ai_cfg_sys_rag;
INSERT INTO org_prompt_engineering (id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt, citation_style,
        include_page_numbers, include_source_metadata, response_tone, max_response_length, configured_by, created_at, updated_at,
        org_system_prompt)
SELECT id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt, citation_style, include_page_numbers,
       include_source_metadata, response_tone, max_response_length, coalesce(updated_by, created_by), created_at, updated_at,
       org_system_prompt
FROM ai_cfg_org_prompts;

-- 3. Indexes
CREATE INDEX idx_sys_rag_active_providers ON sys_rag USING gin (active_providers);
CREATE INDEX idx_sys_rag_chat_deployment ON sys_rag USING btree (default_chat_model_id);
CREATE INDEX idx_sys_rag_embedding_deployment ON sys_rag USING btree (default_embedding_model_id);
CREATE INDEX idx_sys_rag_provider_configs ON sys_rag USING gin (provider_configurations);
CREATE UNIQUE INDEX sys_rag_singleton ON sys_rag USING btree ((true));
CREATE INDEX idx_org_prompt_engineering_org_id ON org_prompt_engineering USING btree (org_id);

-- 4. Foreign keys
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_default_chat_model_id_fkey
    FOREIGN KEY (default_chat_model_id) REFERENCES ai_models(id) ON DELETE SET NULL;
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_default_embedding_model_id_fkey
    FOREIGN KEY (default_embedding_model_id) REFERENCES ai_models(id) ON DELETE SET NULL;
ALTER TABLE ONLY sys_rag ADD CONSTRAINT sys_rag_updated_by_fkey FOREIGN KEY (updated_by) REFERENCES auth.users(id);
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_configured_by_fkey
    FOREIGN KEY (configured_by) REFERENCES auth.users(id);
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_org_id_fkey
    FOREIGN KEY (org_id) REFERENCES orgs(id) ON DELETE CASCADE;

-- What the runbook forgets: the triggers that keep updated_at
CREATE OR REPLACE FUNCTION update_sys_rag_updated_at() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END; $$;
CREATE TRIGGER update_sys_rag_updated_at BEFORE UPDATE ON sys_rag
    FOR EACH ROW EXECUTE FUNCTION update_sys_rag_updated_at();
CREATE OR REPLACE FUNCTION update_org_prompt_engineering_updated_at() RETURNS trigger LANGUAGE plpgsql
    AS $$ BEGIN NEW.updated_at = now(); RETURN NEW; END; $$;
CREATE TRIGGER update_org_prompt_engineering_updated_at BEFORE UPDATE ON org_prompt_engineering
    FOR EACH ROW EXECUTE FUNCTION update_org_prompt_engineering_updated_at();

-- 5. Row level security
ALTER TABLE sys_rag ENABLE ROW LEVEL SECURITY;
ALTER TABLE org_prompt_engineering ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Authenticated users can view sys_rag" ON sys_rag FOR SELECT TO authenticated USING (true);
CREATE POLICY "System admins can modify sys_rag" ON sys_rag TO authenticated
    USING ((EXISTS (SELECT 1 FROM user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))))
    WITH CHECK ((EXISTS (SELECT 1 FROM user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));
CREATE POLICY "Sys admins can manage prompt engineering" ON org_prompt_engineering TO authenticated
    USING ((EXISTS (SELECT 1 FROM user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));

-- 6. Drop the new tables
DROP TABLE ai_cfg_sys_rag;
DROP TABLE ai_cfg_org_prompts;

-- 7. Grants
GRANT SELECT, INSERT, UPDATE, DELETE ON sys_rag TO authenticated;
GRANT SELECT, INSERT, UPDATE, DELETE ON org_prompt_engineering TO authenticated;
GRANT ALL ON sys_rag TO service_role;
GRANT ALL ON org_prompt_engineering TO service_role;

SELECT 'unlocked ' || extract(epoch FROM clock_timestamp());
COMMIT;
