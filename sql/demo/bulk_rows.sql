-- Adds organisations and their prompts up to a given number, for benchmarks; about 0.8 kB a row, every tenth with a
-- long text that is stored out of line. Needs rows.sql and the old tables as tables (before the forward migration).
-- Run it whole with search_path = public, after
--   SELECT set_config('aicfg.organisations', '1000000', false);
-- As superuser it is faster: foreign keys, which hold by construction, are then not looked up row by row.

-- name: trust_the_keys -- only a superuser may, and only for this transaction
SELECT set_config('session_replication_role', 'replica', true)
FROM pg_roles WHERE rolname = current_user AND rolsuper;

-- name: organisations -- those that are missing
INSERT INTO orgs (id, name, plan, created_at, updated_at)
SELECT md5('aicfg organisation ' || n)::uuid, 'Organisation ' || n, 'team',
       timestamptz '2025-04-01 00:00+00' + n * interval '1 second',
       timestamptz '2025-11-01 00:00+00' + n * interval '1 second'
FROM generate_series((SELECT count(*) + 1 FROM orgs), current_setting('aicfg.organisations')::bigint) AS n;

-- name: prompts -- those that are missing; the texts come from a thousand pieces that do not compress
WITH noise AS MATERIALIZED (
    SELECT piece, string_agg(md5(piece || '/' || k), '' ORDER BY k) AS long, left(min(md5('short ' || piece || k)), 32) AS short
    FROM generate_series(0, 999) AS piece, generate_series(1, 94) AS k
    GROUP BY piece
)
INSERT INTO org_prompt_engineering (id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt,
                                    citation_style, response_tone, max_response_length, configured_by,
                                    created_at, updated_at, org_system_prompt)
SELECT md5('aicfg prompt ' || n)::uuid,
       md5('aicfg organisation ' || n)::uuid,
       (ARRAY['research', 'compliance', 'education', 'general', NULL])[1 + n % 5],
       CASE WHEN n % 10 = 0 THEN 'Approved for ' || n || ': ' || noise.long
            ELSE 'Answer as the desk of organisation ' || n || ', и на её языке: ' || repeat(noise.short, 13) END,
       CASE WHEN n % 6 <> 0 THEN 'Context: {{documents}} ' || md5(n::text) END,
       (ARRAY['inline', 'footnote', 'endnote', 'none'])[1 + n % 4],
       (ARRAY['professional', 'casual', 'technical', 'simple', NULL])[1 + n % 5],
       (ARRAY['concise', 'moderate', 'detailed', NULL])[1 + n % 4],
       CASE WHEN n % 10 <> 0 THEN md5('aicfg user ' || 1 + n % 6)::uuid END,
       timestamptz '2025-05-01 00:00+00' + n * interval '1 second',
       timestamptz '2025-12-01 00:00+00' + n * interval '1 second',
       CASE WHEN n % 5 <> 0 THEN 'House style: ' || repeat(md5((n % 97)::text), 4) END
FROM generate_series((SELECT count(*) + 1 FROM org_prompt_engineering), current_setting('aicfg.organisations')::bigint) AS n
JOIN noise ON noise.piece = n % 1000;

-- name: back_to_normal -- in case more follows in this transaction
SELECT set_config('session_replication_role', 'origin', true)
FROM pg_roles WHERE rolname = current_user AND rolsuper;

-- name: analyze -- so that the first plan is made with what is there
ANALYZE orgs, org_prompt_engineering;
