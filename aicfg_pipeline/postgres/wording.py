"""What may be shown of a server's words: no row, and no value of somebody's statement; and how a count is said.

A server puts the failing row into DETAIL, the statement into CONTEXT, and values between quotes. What is cut out of a
message stands in a file that only this user may read.
"""

from __future__ import annotations

import hashlib
import re
from contextlib import suppress
from pathlib import Path

import psycopg

from aicfg_pipeline import environment
from aicfg_pipeline.files import make_private_folder, new_private_file

_DETAIL_WITHOUT_VALUES = {"2BP01", "40P01", "55006", "0A000"}
"""What depends, who deadlocks, who uses it, what is not supported: names of things, never rows."""

_OF_VALUES = "22"  # data exceptions: what stands between quotes is the value
_RAISED = "P0"  # raised by a function of the database, in words that may hold anything
_QUOTED = re.compile(r"\"[^\"]*\"?|'[^']*'?|„[^“]*“?|“[^”]*”?|«[^»]*»?|»[^«]*«?")
_LITERAL = re.compile(
    r"(?P<kept>\"(?:[^\"]|\"\")*\"|\$\d+)"
    r"|[eE]'(?:[^'\\]|\\.|'')*(?:'|$)|'(?:[^']|'')*(?:'|$)"
    r"|\$(?P<tag>\w*)\$.*?(?:\$(?P=tag)\$|$)"
    r"|--[^\n]*|/\*.*?(?:\*/|$)"
    r"|(?<![\w.])\d[\w.]*",
    re.DOTALL,
)
LONGEST_STATEMENT = 2_000


def without_values(statement: str) -> str:
    """Return somebody's SQL with every literal and comment as `…`; it may be cut anywhere."""
    text = statement[:LONGEST_STATEMENT]
    if "\\'" in text:  # where strings end depends on settings that are not known here
        text = text[: text.index("'") + 1]
    return " ".join(_LITERAL.sub(lambda m: m["kept"] or "…", text).split())


def shown(error: psycopg.Error) -> tuple[str, str]:
    """Return what may be shown of an error, on one line; and all of it, or nothing where that is the same."""
    said = " ".join(str(error).split()) or type(error).__name__
    primary = error.diag.message_primary
    state = error.sqlstate or ""
    if primary is None or not state:
        return said, ""
    message = " ".join(primary.split())
    if state.startswith(_OF_VALUES):
        message = _QUOTED.sub('"…"', message)
    elif state.startswith(_RAISED):
        message = "a function of the database raised an error; its words may hold data and are not shown here"
    elif state in _DETAIL_WITHOUT_VALUES and error.diag.message_detail:
        message += " " + " ".join(error.diag.message_detail.split())
    message += _names(error, message)
    return message, "" if message == said else said


def _names(error: psycopg.Error, message: str) -> str:
    diag = error.diag
    named = (("table", diag.table_name), ("column", diag.column_name), ("constraint", diag.constraint_name))
    told = [f"{kind} {name}" for kind, name in named if name and f'"{name}"' not in message]
    return f" ({', '.join(told)})" if told else ""


def keep_apart(said: str) -> Path | None:
    """Write all that the server said to a file of its own; return it, or None where that can't be done.

    The same words go into the same file.
    """
    path = (
        Path(environment.HOME.value() or ".aicfg").resolve()
        / "server-messages"
        / f"{hashlib.sha256(said.encode()).hexdigest()[:16]}.txt"
    )
    try:
        make_private_folder(path.parent)
        with suppress(FileExistsError), new_private_file(path) as file:
            file.write(said + "\n")
    except OSError:
        return None
    return path


def counted(count: int, one: str, many: str | None = None) -> str:
    """Return `1 row`, `2 rows`: a number with its word in the right form."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
