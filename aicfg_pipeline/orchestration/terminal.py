"""How our own text looks on a terminal: at most 80 columns, and one line that stands out.

Commands and paths are never broken: they are to be copied. What is said does not belong here.
"""

from __future__ import annotations

import re
import sys
import textwrap
from collections.abc import Iterable

from aicfg_pipeline.environment import NO_COLOR

WIDTH = 80
RULE = "─" * (WIDTH - 2)

_GREEN, _AMBER, _RED, _END = "\x1b[1;32m", "\x1b[1;33m", "\x1b[1;31m", "\x1b[0m"
TONES = {"good": _GREEN, "open": _AMBER, "bad": _RED}
_COMMAND = re.compile(r"\b(dagster job execute|dg launch|psql|aws|git|curl|export)\s|/dev/stdin")


def bold(line: str, tone: str, stream: object = None) -> str:
    """Return a line bold and in colour (good: green, open: amber, bad: red); plain where no terminal shows it."""
    asked = stream if stream is not None else sys.stdout
    terminal = getattr(asked, "isatty", lambda: False)()
    return f"{TONES[tone]}{line}{_END}" if terminal and NO_COLOR.value() is None else line


def wrapped(text: str, indent: str = "", first: str | None = None) -> list[str]:
    """Return text as lines of at most 80 columns. A line of the text that holds a command is left as it is."""
    lines: list[str] = []
    for number, line in enumerate(text.splitlines() or [""]):
        start = first if first is not None and number == 0 else indent
        if _COMMAND.search(line):
            lines.append(start + line)
            continue
        own = line[: len(line) - len(line.lstrip(" "))]
        bullet = "  " if line.lstrip().startswith("- ") else ""
        found = textwrap.wrap(
            line.strip(),
            WIDTH,
            initial_indent=start + own,
            subsequent_indent=indent + own + bullet,
            break_long_words=False,
            break_on_hyphens=False,
        )
        lines += found or [""]
    return lines


def labelled(label: str, text: str, width: int = 11) -> list[str]:
    """Return `label      text`, with the text in a column of its own."""
    return wrapped(text, " " * width, first=f"{label:<{width}}")


def show(lines: Iterable[str]) -> None:
    """Print lines at once, whatever reads them."""
    if text := "\n".join(lines):
        print(text, flush=True)
