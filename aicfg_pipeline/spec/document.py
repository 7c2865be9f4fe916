"""A YAML file with the place of everything in it, so that each mistake is told with line and column.

Also what YAML itself lets pass silently: a key that stands twice in one mapping. What the keys mean is `load`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from aicfg_pipeline.errors import SpecError

Place = tuple[int | str, ...]
"""The way to a value from the top: keys and numbers in lists."""


@dataclass
class Document:
    """What the file says, and for each place its line and column (from 1): of a key, or of a list's entry."""

    path: Path
    said: dict[Any, Any]
    marks: Mapping[Place, tuple[int, int]]
    twice: tuple[Place, ...]
    names: dict[Place, str] = field(default_factory=dict)
    """What a place is called where its number says nothing: `pairs.profiles` for the first pair."""

    def complaint(self, place: Sequence[int | str], why: str) -> str:
        """Return a mistake with file, line, column and place. Where the place is not in the file, with what it is in."""
        place = tuple(place)
        known = next((place[:n] for n in range(len(place), -1, -1) if place[:n] in self.marks), ())
        line, column = self.marks.get(known, (1, 1))
        return f"{self.path.name}:{line}:{column}: {self._called(place)}: {why}"

    def _called(self, place: Place) -> str:
        for n in range(len(place), 0, -1):
            if place[:n] in self.names:
                return ".".join([self.names[place[:n]], *(str(p) for p in place[n:])])
        return ".".join(str(p) for p in place) or "the file"

    def doubles(self) -> list[str]:
        """Return the complaints about keys that stand twice: YAML would take the last one, and say nothing."""
        return [self.complaint(p, "it stands here twice; YAML would silently take the last one") for p in self.twice]


def read_document(path: Path) -> Document:
    """Read a YAML file whose top is a mapping. Raises `SpecError`, with line and column where it is not YAML."""
    try:
        said, marks, twice = read_places(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SpecError(
            f"{path}: no such file.",
            expected="a folder with migration.yaml and the DDL files it names",
            remedy="Set AICFG_MIGRATION_DIR to that folder, or unset it for the one that came with the project.",
        ) from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError, ValueError, RecursionError) as error:
        mark = getattr(error, "problem_mark", None)
        where = f":{mark.line + 1}:{mark.column + 1}" if mark else ""
        raise SpecError(f"{path}{where} is not readable YAML: {' '.join(str(error).split())}") from None
    if not isinstance(said, dict):
        raise SpecError(f"{path} holds {type(said).__name__}.", expected="a mapping with the keys name and pairs")
    return Document(path, said, marks, twice)


def read_places(text: str) -> tuple[Any, dict[Place, tuple[int, int]], tuple[Place, ...]]:
    """Return what a YAML text says, line and column (from 1) of each place, and the places that stand there twice.

    Raises what PyYAML raises.
    """
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        said: Any = loader.construct_document(node) if node is not None else None
    finally:
        loader.dispose()
    marks: dict[Place, tuple[int, int]] = {}
    twice: list[Place] = []
    for place, mark in _places(node, (), frozenset()) if node is not None else ():
        if place in marks:
            twice.append(place)
        marks[place] = (mark.line + 1, mark.column + 1)
    return said, marks, tuple(dict.fromkeys(twice))


def _places(node: yaml.Node, place: Place, above: frozenset[int]) -> Iterator[tuple[Place, Any]]:
    """Yield every place with its mark; what holds itself (by an alias) is not gone into again."""
    if id(node) in above:
        return
    above |= {id(node)}
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode) and key.tag != "tag:yaml.org,2002:merge":
                yield (*place, key.value), key.start_mark
                yield from _places(value, (*place, key.value), above)
    elif isinstance(node, yaml.SequenceNode):
        for number, value in enumerate(node.value):
            yield (*place, number), value.start_mark
            yield from _places(value, (*place, number), above)


def nearest(word: str, known: Sequence[str]) -> str:
    """Return the word that was meant, of those known; where none is near, which there are."""
    near = get_close_matches(word, known, n=1, cutoff=0.6)
    shown = ", ".join([*sorted(known)[:20], *(["…"] if len(known) > 20 else [])])
    return f"did you mean {near[0]}?" if near else f"there is: {shown}"
