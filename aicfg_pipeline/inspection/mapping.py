"""How the columns of an old and a new table correspond where the names do not say it: a guess by type, to be reviewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from psycopg import sql


@dataclass(frozen=True)
class Guess:
    """What migration.yaml says of a pair's columns. `notes` are guesses, `open` what could not be guessed."""

    back: Mapping[str, str] = field(default_factory=dict)
    forth: Mapping[str, str] = field(default_factory=dict)
    keep: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    open: tuple[str, ...] = ()


def guess(old: Mapping[str, str], new: Mapping[str, str]) -> Guess:
    """Map the old columns that the new table does not have to new ones of the same type, where only one asks for them.

    Of several the later ones come first: they were appended to take the old one's place.
    """
    asking = [c for c in old if c not in new]
    free = [c for c in new if c not in old]
    back: dict[str, str] = {}
    forth: dict[str, str] = {}
    keep: list[str] = []
    notes: list[str] = []
    for column in asking:
        fitting = [c for c in reversed(free) if new[c] == old[column]]
        rivals = [c for c in asking if old[c] == old[column]]
        if not fitting or len(rivals) > 1:
            continue
        names = [_quoted(c) for c in fitting]
        back[column] = names[0] if len(names) == 1 else f"coalesce({', '.join(names)})"
        forth |= {c: _quoted(column) for c in reversed(fitting)}
        keep += fitting[1:]
        notes.append(f"{column} comes from {back[column]}: of one type, and nothing else fits")
    filled = [f"nothing fills {c} ({old[c]}) of the old table: say it in back" for c in asking if c not in back]
    placed = [f"{c} ({new[c]}) of the new table has no place in the old one" for c in free if c not in forth]
    return Guess(back, forth, tuple(keep), tuple(notes), (*filled, *placed))


def _quoted(name: str) -> str:
    return (
        name
        if name.isidentifier() and name.isascii() and name == name.lower()
        else sql.Identifier(name).as_string(None)
    )
