"""What a renaming in place is made of: changes with their inverses, and the two sides that they are found from.

How they are found is `rename`'s and `rename_columns`'.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from psycopg import sql

from aicfg_pipeline.postgres.statements import engine, ident, why_of
from aicfg_pipeline.rollback.tables.sameness import Key, Made
from aicfg_pipeline.spec.model import ForeignKey, shortened

OURS = "aicfg_rollback_"
NAMED_NOT_NULL_SINCE = 180_000


@dataclass(frozen=True)
class Ahead:
    """What is built before the swap, beside those who read and write: an index, or the check that proves a NOT NULL."""

    kind: Literal["index", "check"]
    name: str
    unique: bool = False
    ending: str = ""
    column: str = ""


@dataclass(frozen=True)
class Change:
    """One difference: `do` makes it as the old table has it, `back` as it was; both name the table as the new one.

    `ahead` is built before `do`, `ahead_back` before `back`; `prove` and `prove_back` name constraints to be validated
    after. `referred` are tables of others that it locks: those come first in the swap, and are waited for only a moment.
    """

    what: str
    do: tuple[sql.Composable, ...]
    back: tuple[sql.Composable, ...]
    ahead: tuple[Ahead, ...] = ()
    ahead_back: tuple[Ahead, ...] = ()
    prove: tuple[str, ...] = ()
    prove_back: tuple[str, ...] = ()
    referred: tuple[int, ...] = ()

    @property
    def as_facts(self) -> dict[str, Any]:
        """The inverse as the ledger keeps it."""
        return {
            "what": self.what,
            "back": [s.as_string(None) for s in self.back],
            "why": [why_of(s) for s in self.back],
            "ahead": [asdict(a) for a in self.ahead_back],
            "prove": list(self.prove_back),
            "referred": list(self.referred),
        }


@dataclass(frozen=True)
class Sides:
    """The live new table, and the old one as its file makes it, under the new one's names; `version` is the server's."""

    schema: str
    table: str
    live: Made
    wanted: Made
    live_keys: Sequence[Key]
    wanted_keys: Sequence[ForeignKey]
    references: Mapping[tuple[str, str], int]
    version: int
    back_endings: Mapping[str, str]

    @property
    def ident(self) -> sql.Identifier:
        """The table under the name that it has while it is the new one."""
        return ident(self.schema, self.table)


def beside(name: str) -> str:
    """Return the name under which an index or a check is built before the swap."""
    return shortened(OURS, name)


def said(what: sql.Composable, comment: str | None) -> sql.Composable:
    """Return what says of a thing what it is for; nothing any more where that is None."""
    return engine("comment_on", what=what, comment=sql.Literal(comment))
