-- name: table -- everybody is in one team
CREATE TABLE app_people (
    id uuid DEFAULT gen_random_uuid() NOT NULL,
    name text NOT NULL,
    team_id uuid NOT NULL REFERENCES public.app_teams (id) ON DELETE CASCADE
);

-- name: indexes -- its key, and who is in a team
ALTER TABLE ONLY app_people ADD CONSTRAINT app_people_pkey PRIMARY KEY (id);
CREATE INDEX app_people_team ON app_people (team_id);
