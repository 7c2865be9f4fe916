-- Each organisation's prompts (one row an organisation), as it was before the migration of 14 January 2026.
-- Run it whole in psql (SET search_path = public), or let the pipeline run it block by block.

-- name: table -- columns, defaults and checks; nothing that has to be kept up while rows come in
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

-- name: indexes -- primary key, unique organisation and index, built once the rows are in
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_pkey PRIMARY KEY (id);
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_org_id_key UNIQUE (org_id);
CREATE INDEX idx_org_prompt_engineering_org_id ON org_prompt_engineering USING btree (org_id);

-- name: foreign_keys -- made without a scan; the next block validates them without a lock that blocks anyone
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_configured_by_fkey
    FOREIGN KEY (configured_by) REFERENCES auth.users(id) NOT VALID;
ALTER TABLE ONLY org_prompt_engineering ADD CONSTRAINT org_prompt_engineering_org_id_fkey
    FOREIGN KEY (org_id) REFERENCES public.orgs(id) ON DELETE CASCADE NOT VALID;

-- name: validate -- the foreign keys hold for the rows that are there
ALTER TABLE org_prompt_engineering VALIDATE CONSTRAINT org_prompt_engineering_configured_by_fkey;
ALTER TABLE org_prompt_engineering VALIDATE CONSTRAINT org_prompt_engineering_org_id_fkey;

-- name: triggers -- updated_at keeps itself
CREATE OR REPLACE FUNCTION public.update_org_prompt_engineering_updated_at() RETURNS trigger
    LANGUAGE plpgsql
    AS $$
BEGIN
    NEW.updated_at = now();
    RETURN NEW;
END;
$$;
CREATE TRIGGER update_org_prompt_engineering_updated_at BEFORE UPDATE ON org_prompt_engineering
    FOR EACH ROW EXECUTE FUNCTION public.update_org_prompt_engineering_updated_at();

-- name: row_level_security -- system admins only
ALTER TABLE org_prompt_engineering ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Sys admins can manage prompt engineering" ON org_prompt_engineering
    TO authenticated
    USING ((EXISTS ( SELECT 1 FROM public.user_profiles
        WHERE ((user_profiles.user_id = auth.uid()) AND (user_profiles.sys_role IN ('sys_owner', 'sys_admin'))))));

-- name: grants -- exact, whatever the default privileges of this project are
REVOKE ALL ON org_prompt_engineering FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT, INSERT, UPDATE, DELETE ON org_prompt_engineering TO authenticated;
GRANT ALL ON org_prompt_engineering TO service_role;

-- name: comments -- what the table is for
COMMENT ON TABLE org_prompt_engineering IS 'Prompts and answer style of each organisation';
COMMENT ON COLUMN org_prompt_engineering.policy_mission_type IS 'What the organisation uses the assistant for';
COMMENT ON COLUMN org_prompt_engineering.org_system_prompt IS 'Prompt of the organisation, put after the platform''s';
