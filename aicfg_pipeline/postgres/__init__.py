"""Talking to PostgreSQL: sessions, named SQL blocks, the catalog, fingerprints, the embedded server.

What a rollback *is* does not belong here (that is `rollback`), nor does Dagster.
"""
