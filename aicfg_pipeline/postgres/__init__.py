"""Talking to PostgreSQL: addresses, sessions, locks, named SQL blocks, the catalog, fingerprints.

What a rollback *is* does not belong here (that is `rollback`), nor does Dagster.
"""
