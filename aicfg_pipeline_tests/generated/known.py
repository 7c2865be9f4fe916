"""What is left out of the worlds until a finding is mended, by the finding's number."""

from __future__ import annotations

from aicfg_pipeline_tests.generated.drawing import FEATURES

WAITING: dict[str, str] = {
    "old_only_check": "D2: the plan tries a check of a column that the new table does not have, and says type_mismatch",
    "type_changes": "D3: mended, but not drawn by the hundred yet; a domain in a coexisting pair fails in `compare`",
    "key_change": "O10: mended, not drawn by the hundred yet",
    "coexisting": "D1: mended, not drawn by the hundred yet",
}
"""Feature: the finding that keeps it from being drawn; `--all` draws it."""

TOLD_NOW = FEATURES - frozenset(WAITING)
