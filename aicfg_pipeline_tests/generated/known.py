"""What is left out of the worlds until a finding is mended, by the finding's number."""

from __future__ import annotations

from aicfg_pipeline_tests.generated.drawing import FEATURES

WAITING: dict[str, str] = {
    "own_names": "O6",
    "type_changes": "D3",
    "key_change": "O10",
    "coexisting": "D1",
}
"""Feature: the finding that keeps it from working."""

TOLD_NOW = FEATURES - frozenset(WAITING)
