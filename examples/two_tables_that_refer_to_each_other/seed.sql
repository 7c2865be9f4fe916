-- What there was before the migration: two tables that refer to each other, and a third one of somebody else's.

CREATE TABLE teams (id uuid DEFAULT gen_random_uuid() NOT NULL, name text NOT NULL, lead_id uuid, parent_id uuid);
CREATE TABLE people (id uuid DEFAULT gen_random_uuid() NOT NULL, name text NOT NULL, team_id uuid NOT NULL);

ALTER TABLE teams ADD CONSTRAINT teams_pkey PRIMARY KEY (id);
CREATE UNIQUE INDEX teams_name ON teams (name);
ALTER TABLE people ADD CONSTRAINT people_pkey PRIMARY KEY (id);
CREATE INDEX people_team ON people (team_id);

ALTER TABLE teams ADD CONSTRAINT teams_lead_id_fkey FOREIGN KEY (lead_id) REFERENCES people (id) DEFERRABLE INITIALLY DEFERRED;
ALTER TABLE teams ADD CONSTRAINT teams_parent_fkey FOREIGN KEY (parent_id) REFERENCES teams (id) ON DELETE SET NULL;
ALTER TABLE people ADD CONSTRAINT people_team_id_fkey FOREIGN KEY (team_id) REFERENCES teams (id) ON DELETE CASCADE;

INSERT INTO teams (name) SELECT 'team ' || n FROM generate_series(1, 20) AS n;
INSERT INTO people (name, team_id) SELECT 'person ' || n, t.id FROM teams AS t, generate_series(1, 10) AS n;
UPDATE teams SET lead_id = (SELECT p.id FROM people AS p WHERE p.team_id = teams.id ORDER BY p.name LIMIT 1);
UPDATE teams SET parent_id = (SELECT t.id FROM teams AS t WHERE t.name = 'team 1') WHERE name <> 'team 1';

CREATE TABLE tickets (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, assignee_id uuid);
ALTER TABLE tickets ADD CONSTRAINT tickets_assignee_id_fkey FOREIGN KEY (assignee_id) REFERENCES people (id) ON DELETE SET NULL;
INSERT INTO tickets (assignee_id) SELECT id FROM people LIMIT 50;
