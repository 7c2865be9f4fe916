"""A copy in pieces: so many pages of the live table at a time, each in a transaction of its own that records itself.

There is no snapshot common to the pieces. A row that moves from page to page meanwhile is copied twice, or not at all, and a
unique value may be there twice; but each row that is written once the log is there is in the log. So the copy is replayed once,
in one snapshot, before the unique indexes are made: then it is the table as of that snapshot. When to do what is `copy_back`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.errors import LockTimeoutError
from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import comma, engine, ident, private
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.state import PairState
from aicfg_pipeline.rollback.tables.sources import back_way

PIECE_PAGES = 8_192
PAGE_BYTES = 8_192
"""64 MiB of ordinary pages: a second or less."""

OUTCOME = "copied_piece"


@dataclass(frozen=True)
class Pages:
    """The pages to copy, [`first`, `end`), of a file. `rows` and `seconds` are what the pieces before have come to."""

    file: int
    end: int
    first: int = 0
    rows: int = 0
    seconds: float = 0.0

    @property
    def pieces(self) -> int:
        """How many there are to come; an empty table is one."""
        return max(1, -(-(self.end - self.first) // PIECE_PAGES))

    def after(self, rows: int, seconds: float) -> Pages:
        """Return what is left after the next piece."""
        first = min(self.first + PIECE_PAGES, self.end)
        return Pages(self.file, self.end, first, self.rows + rows, round(self.seconds + seconds, 3))

    @property
    def facts(self) -> dict[str, Any]:
        """The same for the ledger."""
        return {"file": self.file, "end": self.end, "first": self.first, "rows": self.rows, "seconds": self.seconds}


def pages_of(session: Session, relation: Relation) -> Pages | None:
    """Return all pages of a table; None where it has none that could be counted."""
    row = session.one(engine("pages_of"), {"oid": relation.oid})
    return Pages(row.file, row.pages) if row else None


def left_to_copy(session: Session, book: Ledger, state: PairState) -> Pages | None:
    """Return what is left to copy; None where it goes in one piece.

    That is so where two tables are merged, where there are no pages to count, and where a publication of all tables would
    publish what is done to the shadow: a table without a key can't be deleted from then, and pieces need that.
    """
    if state.superseded:
        return None
    done = pieces_done(book, state)
    if done is None and session.scalar(engine("all_tables_are_published")):
        return None
    return done or pages_of(session, state.new_table)


def in_pieces(session: Session, book: Ledger, state: PairState) -> bool:
    """Say whether a plan foresees several pieces, which are replayed once before the indexes are made."""
    left = foreseen(session, book, state)
    return left is not None and (left.pieces > 1 or pieces_done(book, state) is not None)


def foreseen(session: Session, book: Ledger, state: PairState) -> Pages | None:
    """Return what a plan says is left to copy: by the size of the first look where somebody locks the table for himself."""
    try:
        return left_to_copy(session, book, state)
    except LockTimeoutError:
        return Pages(0, max(1, state.new_table.bytes // PAGE_BYTES), 0, 0, 0.0)


def pieces_done(book: Ledger, state: PairState) -> Pages | None:
    """Return what the pieces of this very shadow have left, or None where there is none."""
    last = book.last("copy_back", pair=state.pair.old, outcome=OUTCOME)
    if last is None or state.shadow is None or last.facts.get("shadow_oid") != state.shadow.oid:
        return None
    return Pages(**{name: last.facts[name] for name in ("file", "end", "first", "rows", "seconds")})


def moved(session: Session, state: PairState, copied: Pages | None) -> bool:
    """Say whether the live table has another file than its pieces: a VACUUM FULL moves every row, and no log has it."""
    now = pages_of(session, state.new_table)
    return copied is not None and (now is None or now.file != copied.file) and not emptied(session, state)


def emptied(session: Session, state: PairState) -> bool:
    """Say whether a TRUNCATE waits in the log: then the replay copies all rows anew, and no piece matters any more."""
    return bool(session.scalar(engine("whole_table_waits", log=private(state.pair.change_log))))


def piece_source(session: Session, state: PairState, model: Relation) -> sql.Composable:
    """Return the rows of the piece that `begin_piece` has chosen, as a FROM item."""
    way = back_way(session, state.pair, model, state.new_table)
    named = comma(sql.SQL("{} AS {}").format(e, ident(c)) for c, e in way.mapping.expressions.items())
    return engine("mapped_piece", expressions=named, table=way.table)


def begin_piece(session: Session, left: Pages) -> None:
    """Choose the next piece, for the transaction under way."""
    end = min(left.first + PIECE_PAGES, left.end)
    session.execute(engine("piece_between"), {"first": left.first, "end": end}, note=False)
