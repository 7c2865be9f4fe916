"""Which column of the other table has the very same values under which name: what refers to the one may refer to the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sqlglot.tokens import Token

from aicfg_pipeline.postgres.statements import ident
from aicfg_pipeline.rollback.tables.sources import Way
from aicfg_pipeline.spec.blocks import identifier, tokens
from aicfg_pipeline.spec.ddl import bare_column
from aicfg_pipeline.spec.grammar import TEXTS


def counterparts(way: Way) -> dict[str, str]:
    """Return, for each column of the source that goes along unchanged, its name in the target."""
    have, wanted = {c.name: c for c in way.have}, {c.name: c for c in way.wanted}
    given = way.pair.back if way.said == "back" else way.pair.forth
    found = {name: name for name in way.mapping.plain}
    for name in way.mapping.expressions:
        source = bare_column(given[name]) if name in given and name not in found else None
        if source in have:
            found.setdefault(str(source), name)
    return {source: target for source, target in found.items() if have[source].type == wanted[target].type}


def renamed(expression: str, way: Way, same: Mapping[str, str]) -> tuple[str, list[str]]:
    """Return an expression of the server's over the source's columns as one over the target's, and which have none there."""
    have = {c.name for c in way.have}
    words = tokens(expression)
    missing = []
    for place in reversed(range(len(words))):
        name = identifier(words[place])
        if name not in have or not _is_column(words, place):
            continue
        if name not in same:
            missing.append(name)
        elif same[name] != name:
            word = words[place]
            expression = expression[: word.start] + ident(same[name]).as_string(None) + expression[word.end + 1 :]
    return expression, sorted(set(missing))


def _is_column(words: Sequence[Token], place: int) -> bool:
    """Say whether a word that is a column's name is that column: no text, function, type or operator."""
    if words[place].token_type in TEXTS:
        return False
    before = words[place - 1].text if place else ""
    after = words[place + 1].text if place + 1 < len(words) else ""
    return before not in ("::", ".") and after not in ("(", ".")
