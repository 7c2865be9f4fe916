"""Dagster's side: resources, assets, checks, ops, jobs, sensors, metadata; one module a noun.

What a rollback does is in `rollback`; here it is only launched, shown and gated.
"""
