"""The runbook's steps outside the database: Lambda, logs, git, deploy script, endpoints, webhook.

Each module is one service with a small interface and results that are plain frozen dataclasses, so that the ledger
can remember them. No Dagster, no database and no knowledge of the migration's table names belong here: the caller
passes what it wants looked for.
"""
