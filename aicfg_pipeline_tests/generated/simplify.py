"""Makes a world smaller for as long as it is a counterexample of the same kind, so that a person can read it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass, replace
from typing import Any

from aicfg_pipeline_tests.generated.world import World

MOST = 400


def simplest(tell: Callable[[World], object], world: World, kind: str) -> World:
    """Return the smallest world found that is a counterexample of this kind."""
    tried = 0
    again = True
    while again and tried < MOST:
        again = False
        for smaller in smaller_ones(world):
            tried += 1
            if tried > MOST:
                break
            if _kind(tell, smaller) == kind:
                world, again = smaller, True
                break
    return world


def _kind(tell: Callable[[World], object], world: World) -> str | None:
    try:
        tell(world)
    except AssertionError as error:
        return getattr(error, "kind", None)
    except Exception:  # a world that makes no sense any more
        return None
    return None


STAY = {
    "name",
    "old",
    "new",
    "privileges",
    "command",
    "using",
    "role",
    "kind",
    "on",
    "accept",
    "key",
    "values",
    "table",
}
"""What can't be left out of a thing without making another thing of it."""


def smaller_ones(thing: Any) -> Iterator[Any]:
    """Yield the same with one part less, the larger parts first."""
    for field in fields(thing):
        value = getattr(thing, field.name)
        if field.name in STAY or value == field.default:
            continue
        if isinstance(value, tuple):
            yield from _with_fewer(thing, field.name, value)
        elif is_dataclass(value):
            yield replace(thing, **{field.name: None})
        elif isinstance(value, (bool, str, int)) and isinstance(field.default, (bool, str, int)):
            yield replace(thing, **{field.name: field.default})


def _with_fewer(thing: Any, name: str, value: tuple[Any, ...]) -> Iterator[Any]:
    if len(value) > 1 and name not in ("columns", "pairs"):
        yield replace(thing, **{name: ()})
    for place in range(len(value)):
        if name != "pairs" or len(value) > 1:
            yield _without(thing, name, place)
    for place, part in enumerate(value):
        for smaller in smaller_ones(part) if is_dataclass(part) else ():
            yield replace(thing, **{name: (*value[:place], smaller, *value[place + 1 :])})


def _without(thing: Any, name: str, place: int) -> Any:
    """Take one part out; a column takes its cells with it."""
    value = getattr(thing, name)
    changed = {name: (*value[:place], *value[place + 1 :])}
    if name == "columns":
        for rows in ("rows", "old_rows"):
            changed[rows] = tuple((*r[:place], *r[place + 1 :]) for r in getattr(thing, rows))
        changed["new_order"] = ()
    return replace(thing, **changed)
