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


def smaller_ones(thing: Any) -> Iterator[Any]:
    """Yield the same with one part less, the larger parts first."""
    for field in fields(thing):
        value = getattr(thing, field.name)
        if isinstance(value, tuple) and field.name not in ("key", "values", "table"):
            if len(value) > 1 and field.name != "columns":
                yield replace(thing, **{field.name: ()})
            for place in range(len(value)):
                if not (field.name == "pairs" and len(value) == 1):
                    yield _without(thing, field.name, place)
            for place, part in enumerate(value):
                if is_dataclass(part):
                    for smaller in smaller_ones(part):
                        yield replace(thing, **{field.name: (*value[:place], smaller, *value[place + 1 :])})
        elif is_dataclass(value):
            yield replace(thing, **{field.name: None})
        elif isinstance(value, bool) and field.name not in ("accept",) and value != field.default:
            yield replace(thing, **{field.name: field.default})
        elif isinstance(value, str) and value and field.name not in ("name", "old", "new", "privileges", "command", "using", "role", "kind", "on") and value != field.default:
            if isinstance(field.default, str):
                yield replace(thing, **{field.name: field.default})


def _without(thing: Any, name: str, place: int) -> Any:
    """Take one part out; a column takes its cells with it."""
    value = getattr(thing, name)
    changed = {name: (*value[:place], *value[place + 1 :])}
    if name == "columns":
        for rows in ("rows", "old_rows"):
            changed[rows] = tuple((*r[:place], *r[place + 1 :]) for r in getattr(thing, rows))
        changed["new_order"] = ()
    return replace(thing, **changed)
