-- name: table -- a team has a lead, who is one of the people, and may be part of another team
CREATE TABLE teams (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    lead_id uuid REFERENCES public.people (id) DEFERRABLE INITIALLY DEFERRED,
    parent_id uuid,
    CONSTRAINT teams_parent_fkey FOREIGN KEY (parent_id) REFERENCES public.teams (id) ON DELETE SET NULL
);

-- name: indexes -- its key, and one team of each name
ALTER TABLE ONLY teams ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX teams_name ON teams (name);
