-- What the pipeline's statements are measured against, written as a person would by hand.

-- name: bare_schema -- a place for the bare copy
CREATE SCHEMA bare;

-- name: bare_insert -- the floor of every copy: one statement into a table without indexes
INSERT INTO bare.org_prompt_engineering (id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt, citation_style,
        include_page_numbers, include_source_metadata, response_tone, max_response_length, configured_by, created_at, updated_at,
        org_system_prompt)
SELECT id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt, citation_style, include_page_numbers,
       include_source_metadata, response_tone, max_response_length, coalesce(updated_by, created_by), created_at, updated_at,
       org_system_prompt
FROM public.ai_cfg_org_prompts;

-- name: bare_settings -- and the other pair's one row
INSERT INTO bare.sys_rag SELECT * FROM public.ai_cfg_sys_rag;

-- name: bare_drop -- out of the way again
DROP SCHEMA bare CASCADE;

-- name: count -- the cheapest way to read a table
SELECT count(*) FROM public.ai_cfg_org_prompts;

-- name: full_join -- the hand-written exact comparison, every column
SELECT count(*)
FROM public.ai_cfg_org_prompts n
FULL JOIN aicfg_rollback.org_prompt_engineering o ON o.id = n.id
WHERE o.id IS NULL OR n.id IS NULL
   OR (n.org_id, n.policy_mission_type, n.custom_system_prompt, n.custom_context_prompt, n.citation_style, n.include_page_numbers,
       n.include_source_metadata, n.response_tone, n.max_response_length, coalesce(n.updated_by, n.created_by), n.created_at,
       n.updated_at, n.org_system_prompt)
      IS DISTINCT FROM
      (o.org_id, o.policy_mission_type, o.custom_system_prompt, o.custom_context_prompt, o.citation_style, o.include_page_numbers,
       o.include_source_metadata, o.response_tone, o.max_response_length, o.configured_by, o.created_at,
       o.updated_at, o.org_system_prompt);

-- name: reladiff_source -- reladiff compares columns of one name
CREATE VIEW public.bench_source AS
SELECT id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt, citation_style, include_page_numbers,
       include_source_metadata, response_tone, max_response_length, coalesce(updated_by, created_by) AS configured_by, created_at,
       updated_at, org_system_prompt
FROM public.ai_cfg_org_prompts;

-- name: reladiff_target -- the shadow where reladiff finds it
CREATE VIEW public.bench_target AS SELECT * FROM aicfg_rollback.org_prompt_engineering;

-- name: reladiff_drop -- the views of the benchmark would be dependents
DROP VIEW IF EXISTS public.bench_source, public.bench_target;

-- name: size_of_database -- bytes
SELECT pg_database_size(current_database());

-- name: size_of_tables -- bytes of the new tables, with indexes and long texts
SELECT pg_total_relation_size('public.ai_cfg_sys_rag') + pg_total_relation_size('public.ai_cfg_org_prompts');

-- name: size_of_ours -- bytes of everything in the private schema
SELECT coalesce(sum(pg_total_relation_size(c.oid)), 0)::bigint FROM pg_class c
WHERE c.relnamespace = 'aicfg_rollback'::regnamespace AND c.relkind = 'r';

-- name: locks_held -- as the ledger has it
SELECT (facts ->> 'locks_held_ms')::float FROM aicfg_rollback.ledger WHERE step = %(step)s AND outcome = 'done' ORDER BY id DESC LIMIT 1;

-- name: settings -- what decides how fast the server is
SELECT name, current_setting(name) AS setting FROM pg_settings
WHERE name IN ('server_version', 'fsync', 'synchronous_commit', 'full_page_writes', 'data_checksums', 'shared_buffers', 'work_mem',
               'maintenance_work_mem', 'max_wal_size', 'checkpoint_timeout', 'max_parallel_workers_per_gather', 'max_parallel_workers',
               'max_parallel_maintenance_workers', 'autovacuum', 'wal_level', 'io_method', 'jit', 'effective_io_concurrency')
ORDER BY name;

-- name: swapped_at -- seconds since 1970, by the ledger's row in the transaction of the swap
SELECT extract(epoch FROM max(at)) FROM aicfg_rollback.ledger WHERE step = 'cut_over' AND outcome = 'done';
