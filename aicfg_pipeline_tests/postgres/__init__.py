"""Tests of `aicfg_pipeline.postgres`."""
