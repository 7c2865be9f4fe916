-- The platform's AI settings (one row), as the migration of 14 January 2026 and its follow-up of the same day left it.
-- Run it whole in psql (SET search_path = public), or let the pipeline run it block by block.

-- name: table -- columns, defaults and checks; nothing that has to be kept up while rows come in
CREATE TABLE ai_cfg_sys_rag (
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
    CONSTRAINT ai_cfg_sys_rag_default_ai_provider_check CHECK ((default_ai_provider = ANY (ARRAY['openai'::text, 'azure_openai'::text, 'anthropic'::text, 'aws_bedrock'::text]))),
    CONSTRAINT ai_cfg_sys_rag_default_search_quality_check CHECK ((default_search_quality = ANY (ARRAY['fast'::text, 'balanced'::text, 'comprehensive'::text]))),
    CONSTRAINT ai_cfg_sys_rag_default_similarity_threshold_check CHECK (((default_similarity_threshold >= 0.0) AND (default_similarity_threshold <= 1.0))),
    CONSTRAINT ai_cfg_sys_rag_vector_index_type_check CHECK ((vector_index_type = ANY (ARRAY['ivfflat'::text, 'hnsw'::text])))
);

-- name: indexes -- primary key and indexes, built once the rows are in
ALTER TABLE ONLY ai_cfg_sys_rag ADD CONSTRAINT ai_cfg_sys_rag_pkey PRIMARY KEY (id);
CREATE INDEX idx_ai_cfg_sys_rag_active_providers ON ai_cfg_sys_rag USING gin (active_providers);
CREATE INDEX idx_ai_cfg_sys_rag_chat_deployment ON ai_cfg_sys_rag USING btree (default_chat_model_id);
CREATE INDEX idx_ai_cfg_sys_rag_embedding_deployment ON ai_cfg_sys_rag USING btree (default_embedding_model_id);
CREATE INDEX idx_ai_cfg_sys_rag_provider_configs ON ai_cfg_sys_rag USING gin (provider_configurations);
CREATE UNIQUE INDEX ai_cfg_sys_rag_singleton ON ai_cfg_sys_rag USING btree ((true));

-- name: foreign_keys -- made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY ai_cfg_sys_rag ADD CONSTRAINT ai_cfg_sys_rag_default_chat_model_id_fkey
    FOREIGN KEY (default_chat_model_id) REFERENCES public.ai_models(id) ON DELETE SET NULL NOT VALID;
ALTER TABLE ONLY ai_cfg_sys_rag ADD CONSTRAINT ai_cfg_sys_rag_default_embedding_model_id_fkey
    FOREIGN KEY (default_embedding_model_id) REFERENCES public.ai_models(id) ON DELETE SET NULL NOT VALID;
ALTER TABLE ONLY ai_cfg_sys_rag ADD CONSTRAINT ai_cfg_sys_rag_updated_by_fkey
    FOREIGN KEY (updated_by) REFERENCES auth.users(id) NOT VALID;

-- name: validate -- the foreign keys hold for the rows that are there
ALTER TABLE ai_cfg_sys_rag VALIDATE CONSTRAINT ai_cfg_sys_rag_default_chat_model_id_fkey;
ALTER TABLE ai_cfg_sys_rag VALIDATE CONSTRAINT ai_cfg_sys_rag_default_embedding_model_id_fkey;
ALTER TABLE ai_cfg_sys_rag VALIDATE CONSTRAINT ai_cfg_sys_rag_updated_by_fkey;

-- name: triggers -- updated_at keeps itself
CREATE OR REPLACE FUNCTION public.update_ai_cfg_sys_rag_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;
CREATE TRIGGER update_ai_cfg_sys_rag_updated_at BEFORE UPDATE ON ai_cfg_sys_rag
    FOR EACH ROW EXECUTE FUNCTION public.update_ai_cfg_sys_rag_updated_at();

-- name: row_level_security -- everyone signed in may read, system admins may write
ALTER TABLE ai_cfg_sys_rag ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Authenticated users can view AI system config" ON ai_cfg_sys_rag
    FOR SELECT TO authenticated USING (true);
CREATE POLICY "System admins can modify AI system config" ON ai_cfg_sys_rag
    TO authenticated
    USING ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))))
    WITH CHECK ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));

-- name: grants -- exact, whatever the default privileges of this project are
REVOKE ALL ON ai_cfg_sys_rag FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_cfg_sys_rag TO authenticated;
GRANT ALL ON ai_cfg_sys_rag TO service_role;

-- name: comments -- what the table is for
COMMENT ON TABLE ai_cfg_sys_rag IS 'Platform-wide RAG and AI provider settings (one row)';
COMMENT ON COLUMN ai_cfg_sys_rag.default_embedding_model_id IS 'Model used for embeddings unless an organisation chooses another';
COMMENT ON COLUMN ai_cfg_sys_rag.default_chat_model_id IS 'Model used for chat unless an organisation chooses another';
COMMENT ON COLUMN ai_cfg_sys_rag.system_prompt IS 'System prompt that every organisation starts from';
COMMENT ON COLUMN ai_cfg_sys_rag.provider_configurations IS 'Settings of each AI provider; never credentials';
