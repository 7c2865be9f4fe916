"""What one statement of a DDL file does: its kind, the relations that it changes, and the blocks that it is for.

Only what is known here may stand in a file: of any other statement nobody can say beforehand what it changes. Whether the
relations are the file's own is `places`' to say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.spec.blocks import identifier, tokens

TEXTS = (TokenType.STRING, TokenType.BYTE_STRING, TokenType.HEREDOC_STRING, TokenType.RAW_STRING)

ANY_ORDER = ("table", "indexes")
"""Most of what only says how the table is stored may stand in either."""


@dataclass(frozen=True)
class Name:
    """A name with its parts, folded as PostgreSQL folds them."""

    parts: tuple[str, ...]

    def __str__(self) -> str:
        return ".".join(self.parts)


@dataclass(frozen=True)
class Sentence:
    """A statement that is understood. `targets` are the relations it changes, `makes` those that it makes.

    `thing` is what those are (TABLE, SEQUENCE, INDEX, VIEW). `part` is the constraint, policy or trigger it is about, and
    `owner` the table that a sequence is bound to.
    """

    kind: str
    thing: str
    blocks: tuple[str, ...]
    targets: tuple[Name, ...] = ()
    makes: tuple[str, ...] = ()
    part: str | None = None
    owner: Name | None = None


class NotUnderstood(Exception):
    """The text says why a statement may not stand in a file."""


def read(statement: str) -> Sentence:
    """Read one statement. Raises `NotUnderstood`, with a sentence that says why, and `SqlglotError`."""
    words = _Words(tokens(statement))
    reader = next((r for first, r in _READERS.items() if words.skip(first)), None)
    if reader is None:
        raise NotUnderstood(UNKNOWN)
    return reader(words)


UNKNOWN = "nobody can say what it changes, so it can't stand in this file; run it by hand before or after the rollback"
STAYS = "what it makes would stay in the private schema when the table leaves it; make it beforehand and name it under `requires`"
OWNER = "leave it out: what is made gets the owner of the table whose place it takes"


_BRACKETS = {TokenType.L_PAREN: 1, TokenType.R_PAREN: -1}


class _Words:
    """The words of a statement, read from the left."""

    def __init__(self, read_tokens: Sequence[Token]) -> None:
        # one token may be several words (PRIMARY KEY)
        self._words = [
            (part if plain else "", token)
            for token in read_tokens
            for plain in (token.token_type not in (*TEXTS, TokenType.IDENTIFIER),)
            for part in (token.text.upper().split() if plain else [""])
        ]
        self._at = 0

    def skip(self, *phrase: str) -> bool:
        """Go past a phrase, if it comes next."""
        if [w for w, _ in self._words[self._at : self._at + len(phrase)]] != list(phrase):
            return False
        self._at += len(phrase)
        return True

    def one_of(self, *phrases: str) -> str | None:
        """Go past the first of some phrases that comes next, and return it."""
        return next((p for p in phrases if self.skip(*p.split())), None)

    def past(self, word: str) -> bool:
        """Go past the next occurrence of a word outside brackets."""
        depth = 0
        for place in range(self._at, len(self._words)):
            found, token = self._words[place]
            if depth == 0 and found == word:
                self._at = place + 1
                return True
            depth += _BRACKETS.get(token.token_type, 0)
        return False

    def single(self) -> str:
        """Return the next word as a name without a schema."""
        name = self.name()
        if len(name.parts) != 1:
            raise NotUnderstood(UNKNOWN)
        return name.parts[0]

    def name(self) -> Name:
        """Return the name that comes next."""
        parts = [self._identifier()]
        while self.skip("."):
            parts.append(self._identifier())
        return Name(tuple(parts))

    def _identifier(self) -> str:
        if self._at >= len(self._words):
            raise NotUnderstood(UNKNOWN)
        word, token = self._words[self._at]
        quoted = token.token_type == TokenType.IDENTIFIER
        if not quoted and not (word[:1].isalpha() or word[:1] == "_"):
            raise NotUnderstood(UNKNOWN)
        self._at += 1
        return identifier(token)

    def names(self) -> tuple[Name, ...]:
        """Return the names that come next, with commas between."""
        found = [self.name()]
        while self.skip(","):
            found.append(self.name())
        return tuple(found)

    def parts(self) -> list[_Words]:
        """Return what is left, cut at the commas outside brackets."""
        pieces, depth = [_Words([])], 0
        for word, token in self._words[self._at :]:
            depth += _BRACKETS.get(token.token_type, 0)
            if depth == 0 and word == ",":
                pieces.append(_Words([]))
            else:
                pieces[-1]._words.append((word, token))
        return pieces


# --- CREATE ----------------------------------------------------------------------------------------------------


def _create(words: _Words) -> Sentence:
    words.skip("OR", "REPLACE")
    if words.skip("TABLE"):
        words.skip("IF", "NOT", "EXISTS")
        return _made("CREATE TABLE", "TABLE", words.name(), "table")
    if words.skip("VIEW"):
        return _made("CREATE VIEW", "VIEW", words.name(), "view")
    if words.skip("SEQUENCE"):
        words.skip("IF", "NOT", "EXISTS")
        return replace(_made("CREATE SEQUENCE", "SEQUENCE", words.name(), "table"), owner=_owned_by(words))
    if words.one_of("INDEX", "UNIQUE INDEX"):
        return _create_index(words)
    if words.skip("STATISTICS"):
        words.skip("IF", "NOT", "EXISTS")
        made = words.name()
        return Sentence("CREATE STATISTICS", "TABLE", ("indexes",), (_after(words, "FROM"),), (made.parts[-1],))
    if words.one_of("TRIGGER", "CONSTRAINT TRIGGER"):
        part = words.single()
        return Sentence("CREATE TRIGGER", "TABLE", ("triggers",), (_after(words, "ON"),), part=part)
    if words.skip("FUNCTION"):
        return Sentence("CREATE FUNCTION", "FUNCTION", ("triggers",))
    if words.skip("POLICY"):
        part = words.single()
        return Sentence("CREATE POLICY", "TABLE", ("row_level_security",), (_after(words, "ON"),), part=part)
    raise NotUnderstood(STAYS)


def _made(kind: str, thing: str, name: Name, block: str) -> Sentence:
    return Sentence(kind, thing, (block,), (name,), (name.parts[-1],))


def _after(words: _Words, word: str) -> Name:
    if not words.past(word):
        raise NotUnderstood(UNKNOWN)
    return words.name()


def _create_index(words: _Words) -> Sentence:
    if words.skip("CONCURRENTLY"):
        raise NotUnderstood(
            "CONCURRENTLY does not go: the file is run in transactions, on a table that nobody uses yet"
        )
    words.skip("IF", "NOT", "EXISTS")
    made = () if words.skip("ON") else (words.single(),)
    if made and not words.skip("ON"):
        raise NotUnderstood(UNKNOWN)
    words.skip("ONLY")
    return Sentence("CREATE INDEX", "TABLE", ("indexes",), (words.name(),), made)


def _owned_by(words: _Words) -> Name | None:
    if not (words.past("OWNED") and words.skip("BY")):
        return None
    name = words.name()
    return None if name.parts == ("none",) else Name(name.parts[:-1])


# --- ALTER -----------------------------------------------------------------------------------------------------


def _alter(words: _Words) -> Sentence:
    if words.skip("TABLE"):
        words.skip("IF", "EXISTS")
        words.skip("ONLY")
        name = words.name()
        actions = [_action(part) for part in words.parts()]
        blocks = [b for b in actions[0].blocks if all(b in a.blocks for a in actions)]
        makes = tuple(m for a in actions for m in a.makes)
        return replace(actions[0], blocks=tuple(blocks), targets=(name,), makes=makes)
    if words.skip("SEQUENCE"):
        words.skip("IF", "EXISTS")
        name = words.name()
        if words.skip("OWNER"):
            raise NotUnderstood(OWNER)
        return Sentence("ALTER SEQUENCE", "SEQUENCE", ("table",), (name,), owner=_owned_by(words))
    if words.skip("INDEX"):
        words.skip("IF", "EXISTS")
        return Sentence("ALTER INDEX", "INDEX", ("indexes",), (words.name(),))
    if words.skip("VIEW"):
        words.skip("IF", "EXISTS")
        name = words.name()
        if words.skip("OWNER"):
            raise NotUnderstood(OWNER)
        if not words.one_of("SET (", "RESET", "ALTER"):
            raise NotUnderstood(UNKNOWN)
        return Sentence("ALTER VIEW", "VIEW", ("view", "security_invoker"), (name,))
    if words.skip("POLICY"):
        part = words.single()
        return Sentence("ALTER POLICY", "TABLE", ("row_level_security",), (_after(words, "ON"),), part=part)
    if words.one_of("FUNCTION", "PROCEDURE", "ROUTINE") and words.past("OWNER"):
        raise NotUnderstood(OWNER)
    raise NotUnderstood(UNKNOWN)


_CONSTRAINTS = {
    "PRIMARY KEY": ("indexes",),
    "UNIQUE": ("indexes",),
    "EXCLUDE": ("indexes",),
    "FOREIGN KEY": ("foreign_keys",),
    "CHECK": ("table",),
    "NOT NULL": ANY_ORDER,
}
_ACTIONS = {
    "VALIDATE CONSTRAINT": ("validate",),
    "ENABLE ROW LEVEL SECURITY": ("row_level_security",),
    "DISABLE ROW LEVEL SECURITY": ("row_level_security",),
    "FORCE ROW LEVEL SECURITY": ("row_level_security",),
    "NO FORCE ROW LEVEL SECURITY": ("row_level_security",),
    "ENABLE TRIGGER": ("triggers",),
    "ENABLE ALWAYS TRIGGER": ("triggers",),
    "ENABLE REPLICA TRIGGER": ("triggers",),
    "DISABLE TRIGGER": ("triggers",),
    "REPLICA IDENTITY": ("indexes", "table"),
    "CLUSTER ON": ("indexes",),
    "SET WITHOUT CLUSTER": ("indexes",),
    "SET (": ANY_ORDER,
    "RESET (": ANY_ORDER,
    "SET ACCESS METHOD": ("table",),
    "SET TABLESPACE": ("table",),
}


def _action(words: _Words) -> Sentence:
    if words.skip("OWNER", "TO"):
        raise NotUnderstood(OWNER)
    if words.skip("ADD"):
        part = words.single() if words.skip("CONSTRAINT") else None
        kind = words.one_of(*_CONSTRAINTS)
        if kind:
            makes = (part,) if part and _CONSTRAINTS[kind] == ("indexes",) else ()
            return Sentence(f"ALTER TABLE … ADD {kind}", "TABLE", _CONSTRAINTS[kind], makes=makes, part=part)
        raise NotUnderstood(UNKNOWN)
    if words.skip("ALTER"):
        return _alter_column(words)
    kind = words.one_of(*_ACTIONS)
    if kind is None:
        raise NotUnderstood(UNKNOWN)
    return Sentence(f"ALTER TABLE … {kind.rstrip(' (')}", "TABLE", _ACTIONS[kind])


def _alter_column(words: _Words) -> Sentence:
    words.skip("COLUMN")
    words.single()
    if not words.one_of("SET", "RESET", "ADD GENERATED"):
        raise NotUnderstood(UNKNOWN)
    named = words.past("(") and words.skip("SEQUENCE", "NAME")
    makes = (words.name().parts[-1],) if named else ()
    return Sentence("ALTER TABLE … ALTER COLUMN", "TABLE", ANY_ORDER, makes=makes)


# --- GRANT, REVOKE, COMMENT ------------------------------------------------------------------------------------


def _grant(words: _Words) -> Sentence:
    if not words.past("ON"):
        raise NotUnderstood("it makes a role the member of another, for the whole server; run it by hand")
    if words.skip("SEQUENCE"):
        return Sentence("GRANT", "SEQUENCE", ("grants",), words.names())
    words.skip("TABLE")
    found = words.names()
    if not words.one_of("TO", "FROM"):  # ALL TABLES IN SCHEMA, FUNCTION f(), SCHEMA s
        raise NotUnderstood(UNKNOWN)
    return Sentence("GRANT", "TABLE", ("grants",), found)


_PARTS = {"CONSTRAINT": "comments", "POLICY": "row_level_security", "TRIGGER": "triggers"}


def _comment(words: _Words) -> Sentence:
    words.skip("ON")
    for thing, block in _PARTS.items():
        if words.skip(thing):
            part = words.single()
            return Sentence(f"COMMENT ON {thing}", "TABLE", (block,), (_after(words, "ON"),), part=part)
    thing = words.one_of("TABLE", "COLUMN", "INDEX", "SEQUENCE", "VIEW") or ""
    if not thing:
        raise NotUnderstood(UNKNOWN)
    name = words.name()
    if thing == "COLUMN":
        return Sentence("COMMENT ON COLUMN", "TABLE", ("comments",), (Name(name.parts[:-1]),))
    return Sentence(f"COMMENT ON {thing}", thing, ("comments",), (name,))


_READERS: dict[str, Callable[[_Words], Sentence]] = {
    "CREATE": _create,
    "ALTER": _alter,
    "GRANT": _grant,
    "REVOKE": _grant,
    "COMMENT": _comment,
}
