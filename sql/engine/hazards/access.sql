-- What `aicfg_pipeline.rollback.hazards.access` proposes; a person writes it into the old table's file.

-- name: grant -- a role keeps what it has
GRANT {privileges} ON {thing} TO {role}{option};

-- name: revoke -- a role gets nothing that it does not have
REVOKE {privileges} ON {thing} FROM {role};

-- name: revoke_option -- a role keeps the privilege and may not hand it on
REVOKE GRANT OPTION FOR {privileges} ON {thing} FROM {role};
