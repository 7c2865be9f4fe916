"""What a hazard is, and the codes there are."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.rollback.run import Settings
from aicfg_pipeline.rollback.state import Look
from aicfg_pipeline.spec.model import Migration

ACCEPTABLE = frozenset(
    {
        "unmapped_column",
        "values_change",
        "time_zone",
        "dependents",
        "coexisting_conflict",
        "undo_in_part",
        "access_changes",
        "shared_function",
        "not_encrypted",
        "visibility_changes",
        "old_name_goes",
        "not_rehearsed",
    }
)
"""An operator may accept these by naming the code in `accept_hazards`."""

INFORMATIVE = frozenset(
    {
        "view_bypasses_rls",
        "old_table_kept_aside",
        "expression_not_used",
        "open_schema",
        "persona_not_tried",
        "sessions_not_ended",
    }
)
"""These are reported and never block."""

CODES = frozenset(
    {
        "unreachable", "not_confirmed", "pooled_connection", "already_running", "missing_role", "missing_reference",
        "missing_table", "not_owner", "rls_hides_rows", "unmapped_column", "type_mismatch", "violates_check",
        "violates_unique", "violates_foreign_key", "violates_not_null", "more_than_one_row", "dependents",
        "long_transaction", "coexisting_conflict", "replica", "unsupported_version", "view_bypasses_rls",
        "old_table_kept_aside", "unsupported_table", "undo_in_part", "not_undoable", "retained",
        "parked_in_use", "values_change", "time_zone",
        "expression_not_used", "name_taken", "too_few_connections", "in_use_elsewhere", "access_changes", "shared_function",
        "open_schema", "not_encrypted", "unsupported_encoding", "violates_exclusion", "visibility_changes",
        "persona_not_tried", "old_name_goes", "file_fails", "missing_right", "sessions_not_ended", "not_instant",
        "renamed_again", "not_rehearsed",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Hazard:
    """One hazard: `found` says what and how many, with a few keys; `remedy` says what to do."""

    code: str
    found: str
    remedy: str
    pair: str | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def acceptable(self) -> bool:
        """An operator may accept it."""
        return self.code in ACCEPTABLE

    @property
    def informative(self) -> bool:
        """It never blocks."""
        return self.code in INFORMATIVE

    def blocks(self, accepted: tuple[str, ...]) -> bool:
        """Say whether it stops the run."""
        return not self.informative and not (self.acceptable and self.code in accepted)

    @property
    def complaint(self) -> str:
        """What an error says of it: found, what to do, and how to accept it where that may be."""
        return str(self) + (f" May be accepted: accept_hazards: [{self.code}]" if self.acceptable else "")

    def __str__(self) -> str:
        return f"{self.code}{f' ({self.pair})' if self.pair else ''}: {self.found} What to do: {self.remedy}"


@dataclass(frozen=True)
class Subject:
    """What the hazards are looked for in."""

    session: Session
    migration: Migration
    look: Look
    settings: Settings
    must_confirm: bool
