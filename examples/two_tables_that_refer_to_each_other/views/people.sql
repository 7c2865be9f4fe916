-- name: view -- for code that still uses the old name
CREATE VIEW people AS SELECT * FROM app_people;

-- name: security_invoker -- readers have their own rights, not the view's owner's
ALTER VIEW people SET (security_invoker = true);
