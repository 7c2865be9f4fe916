-- name: table -- a team has a lead, who is one of the people, and may be part of another team
CREATE TABLE app_teams (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    lead_id uuid REFERENCES public.app_people (id) DEFERRABLE INITIALLY DEFERRED,
    parent_id uuid,
    CONSTRAINT app_teams_parent_fkey FOREIGN KEY (parent_id) REFERENCES public.app_teams (id) ON DELETE SET NULL
);

-- name: indexes -- its key, and one team of each name
ALTER TABLE ONLY app_teams ADD CONSTRAINT app_teams_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX app_teams_name ON app_teams (name);
