-- Rows of a believable project, the same at every run: nothing here is random or depends on the clock.
-- Needs surroundings.sql and the old tables; run it whole as `postgres` with search_path = public, after
--   SELECT set_config('aicfg.organisations', '400', false);

-- name: users -- two owners, four admins, the rest ordinary users; one has no e-mail address, one was deleted
INSERT INTO auth.users (id, email, email_confirmed_at, last_sign_in_at, raw_app_meta_data, raw_user_meta_data,
                        created_at, updated_at, deleted_at)
SELECT md5('aicfg user ' || n)::uuid,
       CASE WHEN n = 23 THEN NULL ELSE 'user' || n || '@example.org' END,
       CASE WHEN n % 9 <> 0 THEN timestamptz '2025-03-01 08:00+00' + n * interval '7 hours' END,
       CASE WHEN n % 5 <> 0 THEN timestamptz '2026-01-10 09:30+00' + n * interval '11 minutes' END,
       '{"provider": "email", "providers": ["email"]}',
       jsonb_build_object('full_name', 'User ' || n, 'locale', (ARRAY['en', 'de', 'ru', 'ar', 'ja'])[1 + n % 5]),
       timestamptz '2025-03-01 07:55+00' + n * interval '7 hours',
       timestamptz '2026-01-10 09:30+00' + n * interval '11 minutes',
       CASE WHEN n = 24 THEN timestamptz '2026-01-02 00:00+00' END
FROM generate_series(1, 24) AS n;

-- name: models -- what the settings row chooses from
INSERT INTO ai_models (id, provider, model_name, model_type, capabilities, cost_per_1k_tokens, is_active, created_at)
SELECT md5('aicfg model ' || model_name)::uuid, provider, model_name, model_type, capabilities::jsonb, cost, active,
       timestamptz '2025-02-01 00:00+00'
FROM (VALUES
    ('openai',       'text-embedding-3-small',     'embedding', '{"dimensions": 1536}',                        0.000020, true),
    ('openai',       'text-embedding-3-large',     'embedding', '{"dimensions": 3072}',                        0.000130, true),
    ('openai',       'gpt-4o',                     'chat',      '{"tools": true, "context": 128000}',          0.005000, true),
    ('azure_openai', 'gpt-4o-eu',                  'chat',      '{"tools": true, "region": "westeurope"}',     0.005500, true),
    ('anthropic',    'claude-sonnet',              'chat',      '{"tools": true, "context": 200000}',          0.003000, true),
    ('aws_bedrock',  'amazon.titan-embed-text-v2', 'embedding', '{"dimensions": 1024, "normalize": [true]}',   0.000020, true),
    ('openai',       'text-embedding-ada-002',     'embedding', '{}',                                          NULL,     false)
) AS m (provider, model_name, model_type, capabilities, cost, active);

-- name: organisations -- names in the script of the prompts below
INSERT INTO orgs (id, name, plan, website, created_by, created_at, updated_at)
SELECT md5('aicfg organisation ' || n)::uuid,
       (ARRAY['Harbour & Sons', 'Müller GmbH', 'Ромашка', 'شركة النور', 'אור בע״מ', 'भारत शिक्षा', '东方科技',
              'さくら商事', '한빛 연구소', 'O''Brien "Quoted" Ltd'])[1 + n % 10] || ' ' || n,
       (ARRAY['starter', 'team', 'enterprise'])[1 + n % 3],
       CASE n % 4 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE 'https://org' || n || '.example.org/?q=a%20b' END,
       CASE WHEN n % 6 <> 0 THEN md5('aicfg user ' || 1 + n % 24)::uuid END,
       timestamptz '2025-04-01 00:00+00' + n * interval '97 minutes',
       timestamptz '2025-11-01 00:00+00' + n * interval '53 minutes'
FROM generate_series(1, current_setting('aicfg.organisations')::int) AS n;

-- name: profiles -- every kind of system role; some users belong to no organisation
INSERT INTO user_profiles (user_id, org_id, full_name, sys_role, created_at, updated_at)
SELECT md5('aicfg user ' || n)::uuid,
       (SELECT id FROM orgs WHERE id = md5('aicfg organisation ' || n)::uuid AND n % 4 <> 0),
       CASE WHEN n % 8 <> 0 THEN 'User ' || n END,
       CASE WHEN n <= 2 THEN 'sys_owner' WHEN n <= 6 THEN 'sys_admin' ELSE 'sys_user' END,
       timestamptz '2025-03-01 07:56+00' + n * interval '7 hours',
       timestamptz '2025-03-01 07:56+00' + n * interval '9 hours'
FROM generate_series(1, 24) AS n;

-- name: settings -- the platform's one row, with few values left at their defaults
INSERT INTO sys_rag (id, available_embedding_models, embedding_model_costs, available_chunking_strategies,
                     max_chunk_size_tokens, search_quality_presets, default_similarity_threshold, vector_index_type,
                     updated_by, created_at, updated_at, provider_configurations, default_ai_provider, active_providers,
                     default_embedding_model_id, default_chat_model_id, system_prompt)
VALUES (
    md5('aicfg settings')::uuid,
    ARRAY['text-embedding-3-small', 'text-embedding-3-large', 'a "quoted", comma\backslash', ''],
    '{"text-embedding-3-large": 1.50, "text-embedding-3-small": 1e0, "amazon.titan-embed-text-v2": null}',
    ARRAY['fixed', 'semantic', 'hybrid', 'по абзацам', '段落'],
    1800,
    '{"fast": {"max_results": 5, "similarity_threshold": 0.6}, "balanced": {"max_results": 10, "similarity_threshold": 0.7},
      "comprehensive": {"max_results": 25, "similarity_threshold": 0.5}, "☃": []}',
    0.65, 'hnsw', md5('aicfg user 1')::uuid,
    '2025-02-01 10:00:00.123456+00', '2026-01-13 17:45:09.000001+00',
    '{"openai": {"organisation": "org-demo", "timeout_s": 30}, "anthropic": {"base_url": "https://api.example.org/v1"},
      "note": "tab\there, quote \" and backslash \\"}',
    'anthropic', ARRAY['openai', 'anthropic', NULL],
    md5('aicfg model text-embedding-3-small')::uuid, md5('aicfg model claude-sonnet')::uuid,
    E'You are the platform''s assistant.\n\n1. Cite your sources.\n2. Say so when you do not know.\r\n\t«Отвечай на языке вопроса» · 请用提问的语言回答 · 🧭'
);

-- name: prompts -- one row an organisation; n decides over script, length, NULL or empty
INSERT INTO org_prompt_engineering (id, org_id, policy_mission_type, custom_system_prompt, custom_context_prompt,
                                    citation_style, include_page_numbers, include_source_metadata, response_tone,
                                    max_response_length, configured_by, created_at, updated_at, org_system_prompt)
SELECT md5('aicfg prompt ' || n)::uuid,
       md5('aicfg organisation ' || n)::uuid,
       (ARRAY['research', 'compliance', 'education', 'general', NULL])[1 + n % 5],
       CASE WHEN n % 17 = 0 THEN NULL WHEN n % 19 = 0 THEN ''
            -- Digests do not compress: every eleventh prompt is stored out of line, every thirteenth compressed.
            WHEN n % 11 = 0 THEN p.prompt || E'\n\nApproved documents:\n' ||
                (SELECT string_agg('[doc:' || md5(n || '/' || k) || '] ' || md5(k || '\' || n), E'\n' ORDER BY k)
                 FROM generate_series(1, 90 + n % 60) AS k)
            WHEN n % 13 = 0 THEN repeat(p.prompt || E'\n', 60)
            ELSE p.prompt || ' (' || n || ')' END,
       CASE n % 6 WHEN 0 THEN NULL WHEN 1 THEN '' WHEN 2 THEN E'C:\\docs\\new\n"{{context}}"\t''%s'' %(x)s $1 ;--'
                  WHEN 3 THEN '{"language": "' || p.language || '", "keep": [1, 2.50, null], "nested": {"a": "b\\c"}}'
                  ELSE 'Context for ' || p.language || ': {{documents}}' END,
       (ARRAY['inline', 'footnote', 'endnote', 'none'])[1 + n % 4],
       n % 3 <> 0,
       n % 7 <> 0,
       (ARRAY['professional', 'casual', 'technical', 'simple', NULL])[1 + n % 5],
       (ARRAY['concise', 'moderate', 'detailed', NULL])[1 + n % 4],
       CASE WHEN n % 10 <> 0 THEN md5('aicfg user ' || 1 + n % 6)::uuid END,
       timestamptz '2025-05-01 00:00+00' + n * interval '71 minutes 3.000007 seconds',
       timestamptz '2025-12-01 00:00+00' + n * interval '37 minutes 1.000003 seconds',
       CASE n % 5 WHEN 0 THEN NULL WHEN 1 THEN '' ELSE p.prompt END
FROM generate_series(1, current_setting('aicfg.organisations')::int) AS n
JOIN (VALUES
    (0, 'en', 'Answer as the research desk of a shipping company. Don''t guess; "I don''t know" is an answer.'),
    (1, 'de', 'Antworte höflich und knapp. Zitiere §§ und Fußnoten, und prüfe das Maß in „Groß-Gerau“.'),
    (2, 'ru', 'Отвечайте как юрист компании: коротко, со ссылками на источники; «ё» не заменять.'),
    (3, 'ar', 'أجب باللغة العربية الفصحى، واذكر المصادر (صفحة ١٢٣) دون تخمين.'),
    (4, 'he', 'ענה בעברית פשוטה, וציין מקורות: ת״א, 12–34, בלי ניחושים.'),
    (5, 'hi', 'कृपया सरल हिन्दी में उत्तर दें और हर स्रोत का उल्लेख करें। क्षेत्र: शिक्षा।'),
    (6, 'zh', '请用简体中文回答，并注明出处；遇到「不知道」时请直说。𠮷野家'),
    (7, 'ja', '丁寧語で答えてください。出典を必ず示し、推測しないこと。ﾊﾝｶｸ と カタカナ が゛混在'),
    (8, 'ko', '존댓말로 간결하게 답하고 출처를 밝혀 주세요. 추측은 하지 마세요.'),
    (9, 'emoji', E'Be friendly 😀 👩🏽‍💻 🏴󠁧󠁢󠁳󠁣󠁴󠁿 e\u0301≠é, zero\u200bwidth, line\u2028end \\ \\n "both" ''quotes''\r\nand lines')
) AS p (turn, language, prompt) ON p.turn = n % 10;

-- name: analyze -- so that the first plan is made with what is there
ANALYZE orgs, user_profiles, ai_models, sys_rag, org_prompt_engineering;
