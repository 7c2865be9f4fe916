"""Ops, one file a stage. What a step does is in `rollback` and `runbook`; how ops follow each other is in `jobs`."""
