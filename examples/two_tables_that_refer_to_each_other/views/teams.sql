-- name: view -- for code that still uses the old name
CREATE VIEW teams AS SELECT * FROM app_teams;

-- name: security_invoker -- readers have their own rights, not the view's owner's
ALTER VIEW teams SET (security_invoker = true);
