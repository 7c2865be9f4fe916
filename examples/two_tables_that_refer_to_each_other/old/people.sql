-- name: table -- everybody is in one team
CREATE TABLE people (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    team_id uuid NOT NULL REFERENCES public.teams (id) ON DELETE CASCADE
);

-- name: indexes -- its key, and who is in a team
ALTER TABLE ONLY people ADD CONSTRAINT people_pkey PRIMARY KEY (id);
CREATE INDEX people_team ON people (team_id);
