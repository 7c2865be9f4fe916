"""What is left out of the worlds until a finding is mended, by the finding's number."""

from __future__ import annotations

from aicfg_pipeline_tests.generated.drawing import FEATURES

WAITING: dict[str, str] = {}
"""Feature: the finding that keeps it from being drawn; `--all` draws it."""

TOLD_NOW = FEATURES - frozenset(WAITING)
