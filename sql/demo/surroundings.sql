-- What a Supabase project has before anyone migrates anything: roles, schema auth, and the tables that the
-- migration's tables refer to. Run it whole, as superuser, in a fresh database. Roles belong to the whole server:
-- they are made if missing and left alone if not, so that one server can hold many such databases.

-- name: roles -- Supabase's roles; `postgres`, who owns what users make, is deliberately not a superuser
DO $$
BEGIN
    BEGIN CREATE ROLE anon NOLOGIN NOINHERIT;                                EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    BEGIN CREATE ROLE authenticated NOLOGIN NOINHERIT;                       EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    BEGIN CREATE ROLE service_role NOLOGIN NOINHERIT BYPASSRLS;              EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    BEGIN CREATE ROLE supabase_auth_admin NOLOGIN NOINHERIT CREATEROLE;      EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    BEGIN CREATE ROLE postgres LOGIN CREATEROLE CREATEDB BYPASSRLS;          EXCEPTION WHEN duplicate_object OR unique_violation THEN NULL; END;
    IF NOT pg_has_role('postgres', 'anon', 'MEMBER')
            OR NOT pg_has_role('postgres', 'authenticated', 'MEMBER')
            OR NOT pg_has_role('postgres', 'service_role', 'MEMBER') THEN
        GRANT anon, authenticated, service_role TO postgres WITH ADMIN OPTION;
    END IF;
    EXECUTE format('ALTER DATABASE %I OWNER TO postgres', current_database());
END
$$;

-- name: schema_public -- open to the API's roles, closed to everyone else's CREATE
ALTER SCHEMA public OWNER TO postgres;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
GRANT USAGE ON SCHEMA public TO anon, authenticated, service_role;

-- name: schema_auth -- the users, owned by the auth service; `postgres` may refer to them
CREATE SCHEMA auth AUTHORIZATION supabase_auth_admin;
GRANT USAGE ON SCHEMA auth TO anon, authenticated, service_role, postgres;
SET ROLE supabase_auth_admin;
CREATE TABLE auth.users (
    id uuid NOT NULL PRIMARY KEY,
    aud varchar(255) DEFAULT 'authenticated',
    role varchar(255) DEFAULT 'authenticated',
    email text,
    email_confirmed_at timestamptz,
    last_sign_in_at timestamptz,
    raw_app_meta_data jsonb,
    raw_user_meta_data jsonb,
    is_sso_user boolean DEFAULT false NOT NULL,
    created_at timestamptz,
    updated_at timestamptz,
    deleted_at timestamptz
);
CREATE UNIQUE INDEX users_email_partial_key ON auth.users (email) WHERE (is_sso_user = false);
ALTER TABLE auth.users ENABLE ROW LEVEL SECURITY;
COMMENT ON TABLE auth.users IS 'Auth: Stores user login data within a secure schema.';
GRANT ALL ON auth.users TO postgres;
CREATE FUNCTION auth.uid() RETURNS uuid
    LANGUAGE sql STABLE
    AS $$
    SELECT coalesce(
        nullif(current_setting('request.jwt.claim.sub', true), ''),
        (nullif(current_setting('request.jwt.claims', true), '')::jsonb ->> 'sub')
    )::uuid
$$;
COMMENT ON FUNCTION auth.uid() IS 'The signed-in user, from the claims that the API sets for each request.';
RESET ROLE;

-- name: tables -- what the migration's tables and policies refer to, owned by `postgres`
SET ROLE postgres;
CREATE TABLE public.orgs (
    id uuid DEFAULT gen_random_uuid() NOT NULL PRIMARY KEY,
    name text NOT NULL,
    plan text DEFAULT 'starter' NOT NULL CHECK (plan IN ('starter', 'team', 'enterprise')),
    website text,
    created_by uuid REFERENCES auth.users (id) ON DELETE SET NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL
);
CREATE TABLE public.ai_models (
    id uuid DEFAULT gen_random_uuid() NOT NULL PRIMARY KEY,
    provider text NOT NULL,
    model_name text NOT NULL,
    model_type text NOT NULL CHECK (model_type IN ('chat', 'embedding')),
    capabilities jsonb DEFAULT '{}'::jsonb NOT NULL,
    cost_per_1k_tokens numeric(10, 6),
    is_active boolean DEFAULT true NOT NULL,
    created_at timestamptz DEFAULT now() NOT NULL,
    UNIQUE (provider, model_name)
);
CREATE TABLE public.user_profiles (
    user_id uuid NOT NULL PRIMARY KEY REFERENCES auth.users (id) ON DELETE CASCADE,
    org_id uuid REFERENCES public.orgs (id) ON DELETE SET NULL,
    full_name text,
    sys_role text DEFAULT 'sys_user' NOT NULL CHECK (sys_role IN ('sys_owner', 'sys_admin', 'sys_user')),
    created_at timestamptz DEFAULT now() NOT NULL,
    updated_at timestamptz DEFAULT now() NOT NULL
);
CREATE INDEX idx_user_profiles_org_id ON public.user_profiles (org_id);

-- name: row_level_security -- each sees himself, his organisation and the models
ALTER TABLE public.orgs ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.ai_models ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.user_profiles ENABLE ROW LEVEL SECURITY;
CREATE POLICY "Users can view their own profile" ON public.user_profiles
    FOR SELECT TO authenticated USING (user_id = auth.uid());
CREATE POLICY "Members can view their organisation" ON public.orgs
    FOR SELECT TO authenticated
    USING (EXISTS (SELECT 1 FROM public.user_profiles p WHERE p.user_id = auth.uid() AND p.org_id = orgs.id));
CREATE POLICY "Authenticated users can view models" ON public.ai_models
    FOR SELECT TO authenticated USING (is_active);

-- name: grants -- exact, whatever the default privileges are
GRANT SELECT ON public.user_profiles, public.orgs, public.ai_models TO authenticated;
GRANT ALL ON public.user_profiles, public.orgs, public.ai_models TO service_role;
RESET ROLE;
