"""What stands at a path of parsed JSON, and whether it is the value that a database has. Pure: nothing is asked here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from aicfg_pipeline.errors import ConfigError

_PATH_STEP = re.compile(r"\.?(?P<name>[^.\[\]'\"]+)|\[(?P<index>-?\d+)\]|\[(?P<mark>['\"])(?P<quoted>.+?)(?P=mark)\]")


def json_at(document: Any, path: str) -> Any:
    """Return what stands at `path` in parsed JSON: `$.a.b[0]`, `a.b.0` or `$['a b']`; `$` is all of it.

    Raises `LookupError` where there is nothing, `ConfigError` for a path that is none.
    """
    found = document
    for step in path_steps(path):
        if isinstance(found, list):
            index = int(step) if re.fullmatch(r"-?\d+", str(step)) else None
            if index is None or not -len(found) <= index < len(found):
                raise LookupError(path)
            found = found[index]
        elif isinstance(found, dict) and str(step) in found:
            found = found[str(step)]
        else:
            raise LookupError(path)
    return found


def same_value(found: Any, expected: Any) -> bool:
    """Tell whether a value of an answer is the expected one, which may be as a database driver gives it.

    UUIDs, exact numbers and times are compared by what they mean, not by how JSON has to write them.
    """
    if isinstance(expected, bool) or isinstance(found, bool):
        return found is expected
    if isinstance(expected, Decimal | int | float) and isinstance(found, int | float):
        return _same_number(found, expected)
    if isinstance(expected, Decimal) and isinstance(found, str):
        return found == str(expected)
    if isinstance(expected, UUID):
        return isinstance(found, str) and found.lower() == str(expected)
    if isinstance(expected, datetime | date):
        return _same_time(found, expected)
    if isinstance(expected, list | tuple) and isinstance(found, list):
        return len(found) == len(expected) and all(map(same_value, found, expected))
    if isinstance(expected, Mapping) and isinstance(found, dict):
        return found.keys() == expected.keys() and all(same_value(found[key], expected[key]) for key in found)
    return bool(found == expected)


def _same_number(found: float, expected: Decimal | float) -> bool:
    if isinstance(found, float) and not math.isfinite(found):
        return False
    return Decimal(str(found)) == Decimal(str(expected))


def _same_time(found: Any, expected: date) -> bool:
    try:
        if isinstance(expected, datetime):
            return datetime.fromisoformat(found) == expected
        return date.fromisoformat(found) == expected
    except (TypeError, ValueError):
        return False


def path_steps(path: str) -> tuple[str, ...]:
    """Return the steps of a JSON path, outermost first. Raises `ConfigError` for a path that is none."""
    rest = path.removeprefix("$")
    steps: list[str] = []
    while rest:
        match = _PATH_STEP.match(rest)
        if match is None:
            raise ConfigError(f"{path!r} is not a JSON path", expected="one like $.items[0].name")
        steps.append(match["name"] or match["index"] or match["quoted"])
        rest = rest[match.end() :]
    return tuple(steps)


def has_path(document: Any, path: str) -> bool:
    """Tell whether there is anything at `path`."""
    try:
        json_at(document, path)
    except LookupError:
        return False
    return True
