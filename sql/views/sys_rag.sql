-- The old name as a view on the new table, so that code that still uses the old name goes on working.

-- name: view -- updatable, every column
CREATE VIEW sys_rag AS SELECT * FROM ai_cfg_sys_rag;

-- name: security_invoker -- server 15 and later: readers pass the new table's row level security; the original view forgot it
ALTER VIEW sys_rag SET (security_invoker = true);

-- name: grants -- read for those signed in, as the original migration gave it; the rest for the service
REVOKE ALL ON sys_rag FROM PUBLIC, anon, authenticated, service_role;
GRANT SELECT ON sys_rag TO authenticated;
GRANT ALL ON sys_rag TO service_role;

-- name: comments -- what the view is for
COMMENT ON VIEW sys_rag IS 'The old name of ai_cfg_sys_rag, kept for code that has not been changed yet';
