-- Each organisation's prompts (one row an organisation), as the migration of 14 January 2026 and its follow-up of the same day left it.
-- Run it whole in psql (SET search_path = public), or let the pipeline run it block by block.

-- name: table -- columns, defaults and checks; nothing that has to be kept up while rows come in
CREATE TABLE ai_cfg_org_prompts (
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
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL,
    org_system_prompt text,
    created_by uuid,
    updated_by uuid,
    CONSTRAINT ai_cfg_org_prompts_citation_style_check CHECK ((citation_style = ANY (ARRAY['inline'::text, 'footnote'::text, 'endnote'::text, 'none'::text]))),
    CONSTRAINT ai_cfg_org_prompts_max_response_length_check CHECK ((max_response_length = ANY (ARRAY['concise'::text, 'moderate'::text, 'detailed'::text]))),
    CONSTRAINT ai_cfg_org_prompts_policy_mission_type_check CHECK ((policy_mission_type = ANY (ARRAY['research'::text, 'compliance'::text, 'education'::text, 'general'::text]))),
    CONSTRAINT ai_cfg_org_prompts_response_tone_check CHECK ((response_tone = ANY (ARRAY['professional'::text, 'casual'::text, 'technical'::text, 'simple'::text])))
);

-- name: indexes -- primary key, unique organisation and index, built once the rows are in
ALTER TABLE ONLY ai_cfg_org_prompts ADD CONSTRAINT ai_cfg_org_prompts_pkey PRIMARY KEY (id);
ALTER TABLE ONLY ai_cfg_org_prompts ADD CONSTRAINT ai_cfg_org_prompts_org_id_key UNIQUE (org_id);
CREATE INDEX idx_ai_cfg_org_prompts_org_id ON ai_cfg_org_prompts USING btree (org_id);

-- name: foreign_keys -- made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY ai_cfg_org_prompts ADD CONSTRAINT ai_cfg_org_prompts_created_by_fkey
    FOREIGN KEY (created_by) REFERENCES auth.users(id) NOT VALID;
ALTER TABLE ONLY ai_cfg_org_prompts ADD CONSTRAINT ai_cfg_org_prompts_updated_by_fkey
    FOREIGN KEY (updated_by) REFERENCES auth.users(id) NOT VALID;
ALTER TABLE ONLY ai_cfg_org_prompts ADD CONSTRAINT ai_cfg_org_prompts_org_id_fkey
    FOREIGN KEY (org_id) REFERENCES public.orgs(id) ON DELETE CASCADE NOT VALID;

-- name: validate -- the foreign keys hold for the rows that are there
ALTER TABLE ai_cfg_org_prompts VALIDATE CONSTRAINT ai_cfg_org_prompts_created_by_fkey;
ALTER TABLE ai_cfg_org_prompts VALIDATE CONSTRAINT ai_cfg_org_prompts_updated_by_fkey;
ALTER TABLE ai_cfg_org_prompts VALIDATE CONSTRAINT ai_cfg_org_prompts_org_id_fkey;

-- name: triggers -- updated_at keeps itself
CREATE OR REPLACE FUNCTION public.update_ai_cfg_org_prompts_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;
CREATE TRIGGER update_ai_cfg_org_prompts_updated_at BEFORE UPDATE ON ai_cfg_org_prompts
    FOR EACH ROW EXECUTE FUNCTION public.update_ai_cfg_org_prompts_updated_at();

-- name: row_level_security -- system admins only
ALTER TABLE ai_cfg_org_prompts ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Sys admins can manage AI org prompts" ON ai_cfg_org_prompts
    TO authenticated
    USING ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));

-- name: grants -- exact, whatever the default privileges of this project are
REVOKE ALL ON ai_cfg_org_prompts FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON ai_cfg_org_prompts TO authenticated;
GRANT ALL ON ai_cfg_org_prompts TO service_role;

-- name: comments -- what the table is for
COMMENT ON TABLE ai_cfg_org_prompts IS 'Prompts and answer style of each organisation';
COMMENT ON COLUMN ai_cfg_org_prompts.policy_mission_type IS 'What the organisation uses the assistant for';
COMMENT ON COLUMN ai_cfg_org_prompts.org_system_prompt IS 'Prompt of the organisation, put after the platform''s';
