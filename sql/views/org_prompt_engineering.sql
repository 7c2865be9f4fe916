-- The old name as a view on the new table, so that code that still uses the old name goes on working.

-- name: view -- updatable, every column
CREATE VIEW org_prompt_engineering AS SELECT * FROM ai_cfg_org_prompts;

-- name: security_invoker -- server 15 and later: readers pass the new table's row level security; the original view forgot it
ALTER VIEW org_prompt_engineering SET (security_invoker = true);

-- name: grants -- read for those signed in, as the original migration gave it; the rest for the service
REVOKE ALL ON org_prompt_engineering FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON org_prompt_engineering TO authenticated;
GRANT ALL ON org_prompt_engineering TO service_role;

-- name: comments -- what the view is for
COMMENT ON VIEW org_prompt_engineering IS 'The old name of ai_cfg_org_prompts, kept for code that has not been changed yet';
