"""Which relations a DDL file names, and where they are to be: in the place where the file is run.

A file may name the schema of what it makes or not; dumps do. It is run in several places (the shadow's, a scratch schema,
the migration's own), and `public.t` would mean whatever bears that name at that moment. So the schema is left out wherever
it stands before a name of the file's own, and the search path of the place says the rest. What a statement changes has to be
the file's own, else the file is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from sqlglot.errors import SqlglotError
from sqlglot.tokens import Token, TokenType

from aicfg_pipeline.spec.blocks import Block, identifier, tokens
from aicfg_pipeline.spec.grammar import TEXTS, NotUnderstood, Sentence, read
from aicfg_pipeline.spec.model import MAX_NAME_BYTES


@dataclass(frozen=True)
class Around:
    """What a file is about: the table or view it makes in `schema`, and the migration's other relations.

    `earlier` are old tables that are made before this one, `later` those that are made after it, `leaving` the new tables,
    which are parked at the cut-over.
    """

    schema: str
    relation: str
    earlier: frozenset[str] = frozenset()
    later: frozenset[str] = frozenset()
    leaving: frozenset[str] = frozenset()


@dataclass
class _Own:
    """What a file makes besides its table or view."""

    sequences: set[str] = field(default_factory=set)
    indexes: set[str] = field(default_factory=set)
    keys: set[str] = field(default_factory=set)

    @property
    def names(self) -> set[str]:
        return self.sequences | self.indexes


def resolve(
    path: str, blocks: Mapping[str, Block], known: Sequence[str], around: Around, complaints: list[str]
) -> dict[str, Block]:
    """Return the blocks with every statement in the block it is for, and without the schema of what the file makes.

    Adds what can't be used to `complaints`, with file, line, block and statement.
    """
    understood: list[tuple[Block, int, str, Sentence]] = []
    for block in blocks.values():
        for line, statement in zip(block.lines, block.statements, strict=True):
            try:
                understood.append((block, line, statement, read(statement)))
            except (NotUnderstood, SqlglotError) as error:
                complaints.append(_complaint(path, block, line, statement, str(error)))
    own = _own(around, [(s, statement) for _, _, statement, s in understood])
    placed: dict[str, list[tuple[str, int]]] = {name: [] for name in blocks}
    moved: dict[str, list[tuple[str, int]]] = {}
    for block, line, statement, sentence in understood:
        place = _place(block, sentence, known, own)
        wrong = [*_strays(sentence, around, own), *_ambiguous(statement, around)]
        wrong = wrong or [*_left_behind(sentence, statement, around)]
        if place is None:
            wrong.insert(0, _elsewhere(sentence, known))
        complaints += [_complaint(path, block, line, statement, w) for w in wrong]
        into = placed if place in (block.name, None) else moved
        into.setdefault(place or block.name, []).append((_without_schema(statement, sentence, around, own), line))
    complaints += [f"{path}: {c}" for c in _unbound(around, [s for *_, s in understood])]
    return {
        name: _block(name, blocks.get(name), [*placed.get(name, ()), *moved.get(name, ())])
        for name in dict.fromkeys((*placed, *moved))
    }


def _block(name: str, written: Block | None, statements: Sequence[tuple[str, int]]) -> Block:
    run, lines = tuple(s for s, _ in statements), tuple(n for _, n in statements)
    if written is None:
        return Block(name, "comments that stand in other blocks", "", run, lines)
    return replace(written, statements=run, lines=lines)


def _complaint(path: str, block: Block, line: int, statement: str, why: str) -> str:
    short = " ".join(statement.split())
    short = short if len(short) <= 80 else short[:79] + "…"
    return f"{path}, line {line}, block {block.name}: {short!r}: {why}"


# --- what is the file's own ------------------------------------------------------------------------------------


def _own(around: Around, statements: Sequence[tuple[Sentence, str]]) -> _Own:
    own = _Own()
    for sentence, statement in statements:
        if sentence.kind == "CREATE TABLE":
            columns, indexes = _inside(statement)
            own.sequences |= {object_name(around.relation, c, "seq") for c in columns}
            own.indexes |= indexes
        elif sentence.kind in ("CREATE SEQUENCE", "ALTER TABLE … ALTER COLUMN"):
            own.sequences |= set(sentence.makes)
        elif sentence.kind == "ALTER TABLE … ADD FOREIGN KEY":
            own.keys |= {sentence.part} if sentence.part else set()
        elif sentence.kind != "CREATE VIEW":
            own.indexes |= set(sentence.makes)
    return own


def _inside(statement: str) -> tuple[list[str], set[str]]:
    """Return the columns of a CREATE TABLE that draw numbers (serial or identity), and the names of its constraints."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in tokens(statement):
        depth -= token.token_type == TokenType.R_PAREN
        if depth == 1 and token.token_type == TokenType.COMMA:
            parts.append([])
        elif depth >= 1:
            parts[-1].append(token)
        depth += token.token_type == TokenType.L_PAREN
    numbers, constraints = ("SERIAL", "BIGSERIAL", "SMALLSERIAL", "IDENTITY"), set()
    columns = []
    for part in (p for p in parts if p):
        words = [t.text.upper() if t.token_type not in (*TEXTS, TokenType.IDENTIFIER) else "" for t in part]
        constraints |= {identifier(after) for word, after in zip(words, part[1:], strict=False) if word == "CONSTRAINT"}
        if any(w in numbers for w in words[1:]):
            columns.append(identifier(part[0]))
    return columns, constraints


def object_name(table: str, column: str, label: str) -> str:
    """Return the name that the server gives to what belongs to a column: `table_column_label`, the longer part cut."""
    first, second = table.encode(), column.encode()
    room = MAX_NAME_BYTES - len(label.encode()) - 2
    while len(first) + len(second) > room:
        if len(first) > len(second):
            first = first[:-1]
        else:
            second = second[:-1]
    return "_".join([first.decode(errors="ignore"), second.decode(errors="ignore"), label])


# --- may it stand here? ----------------------------------------------------------------------------------------


def _place(block: Block, sentence: Sentence, known: Sequence[str], own: _Own) -> str | None:
    """Return the block that a statement is run with, or None where it may not stand in this one.

    A comment may stand anywhere: it is run when there is what it is on.
    """
    if sentence.kind.startswith("COMMENT ON"):
        wanted = "validate" if sentence.part in own.keys else sentence.blocks[0]
        return wanted if wanted in known else None
    return block.name if block.name in sentence.blocks else None


def _elsewhere(sentence: Sentence, known: Sequence[str]) -> str:
    blocks = [b for b in sentence.blocks if b in known]
    what = sentence.kind
    return f"{what} belongs in the block {' or '.join(blocks)}" if blocks else f"{what} is not for this file"


def _strays(sentence: Sentence, around: Around, own: _Own) -> Iterator[str]:
    """Say of each relation that a statement changes why it is not the file's own."""
    for target in sentence.targets:
        name = target.parts[-1]
        theirs = len(target.parts) > 2 or (len(target.parts) == 2 and target.parts[0] != around.schema)
        if sentence.thing in ("SEQUENCE", "INDEX"):
            there = own.sequences if sentence.thing == "SEQUENCE" else own.indexes
            # one without a schema can only be found in the place where the file is run; if not, the scratch run tells
            fits = name in there or len(target.parts) == 1
        else:
            fits = name == around.relation or (sentence.kind == "GRANT" and name in own.sequences)
        if theirs or not fits:
            yield (
                f"it changes {target}, which this file does not make; it may change only {around.schema}.{around.relation}"
                " and what belongs to it"
            )


def _unbound(around: Around, sentences: Sequence[Sentence]) -> Iterator[str]:
    """A sequence goes along with its table only where it is bound to it."""
    made = {n for s in sentences if s.kind == "CREATE SEQUENCE" for n in s.makes}
    bound = {n.parts[-1] for s in sentences if s.owner and s.owner.parts[-1] == around.relation for n in s.targets}
    for name in sorted(made - bound):
        yield (
            f"block table: CREATE SEQUENCE {name} … would stay in the private schema; bind it (ALTER SEQUENCE {name}"
            f" OWNED BY {around.relation}.column), or make it beforehand"
        )


def _left_behind(sentence: Sentence, statement: str, around: Around) -> Iterator[str]:
    """What reads another table of the migration would read whatever has that name when the statement is run, for ever."""
    if sentence.kind == "CREATE FUNCTION":
        return  # its text is read again each time that it runs
    is_key = sentence.kind == "ALTER TABLE … ADD FOREIGN KEY"
    waiting = around.leaving if is_key else around.leaving | around.later
    words = tokens(statement)
    for place, token in enumerate(words):
        name = identifier(token) if token.token_type not in TEXTS else ""
        if name not in waiting:
            continue
        before = words[place - 1].text.upper() if place else ""
        named = before == "." and place > 1 and identifier(words[place - 2]) == around.schema
        if named or before in ("FROM", "JOIN", "REFERENCES"):
            why = (
                "which is parked at the cut-over" if name in around.leaving else "which is not made yet at that moment"
            )
            mend = "" if name in around.leaving else f"; name the pair of {name} before this one in migration.yaml"
            yield f"it refers to {name}, {why}{mend}"


def _ambiguous(statement: str, around: Around) -> Iterator[str]:
    """A query in WITH that has the table's own name would be taken for the table once the schema is left out."""
    words = tokens(statement)
    if not any(w.text.upper() == "WITH" for w in words):
        return
    for name, after, then in zip(words, words[1:], words[2:], strict=False):
        follows = (after.text.upper(), then.text.upper())
        if identifier(name) == around.relation and follows in (("AS", "("), ("AS", "NOT"), ("AS", "MATERIALIZED")):
            yield f"a query in WITH has the name {around.relation}, too; give it another one"


# --- without the schema ----------------------------------------------------------------------------------------

_CALLS = ("FUNCTION", "PROCEDURE", "COLLATE", "OPERATOR")
_BEFORE_A_RELATION = ("TABLE", "STATISTICS", "ONLY", "FROM", "JOIN", "VIEW", "EXISTS", "SEQUENCE", "NAME")
_TAKES_A_RELATION = ("NEXTVAL", "CURRVAL", "SETVAL", "TO_REGCLASS")


def _without_schema(statement: str, sentence: Sentence, around: Around, own: _Own) -> str:
    """Return the statement without the schema before every name of the file's own, also in texts that name a relation."""
    if sentence.kind == "CREATE FUNCTION":
        return statement
    ours = {around.relation, *own.names, *around.earlier}
    words = tokens(statement)
    cuts: list[tuple[int, int, str]] = []
    for place, token in enumerate(words):
        if token.token_type == TokenType.STRING and _names_relation(words, place):
            short = _short_text(token.text, around.schema, ours)
            cuts += [(token.start, token.end + 1, short)] if short else []
        elif _is_ours(words, place, sentence, around.schema, ours):
            cuts.append((token.start, words[place + 2].start, ""))
    for start, end, text in reversed(cuts):
        statement = statement[:start] + text + statement[end:]
    return statement


def _is_ours(words: Sequence[Token], place: int, sentence: Sentence, schema: str, ours: set[str]) -> bool:
    """Say whether here is `schema.name` with a name of ours, and it is not a function's."""
    if place + 2 >= len(words) or words[place].token_type in TEXTS or identifier(words[place]) != schema:
        return False
    before = words[place - 1].text.upper() if place else ""
    # what a foreign key refers to is told by its schema: whoever puts the key on knows where that table is by then
    if words[place + 1].token_type != TokenType.DOT or before in (".", "REFERENCES", *_CALLS):
        return False
    if identifier(words[place + 2]) not in ours:
        return False
    called = place + 3 < len(words) and words[place + 3].token_type == TokenType.L_PAREN
    return not called or before in _BEFORE_A_RELATION or (before == "ON" and sentence.kind == "CREATE INDEX")


def _names_relation(words: Sequence[Token], place: int) -> bool:
    after = [t.text.upper() for t in words[place + 1 : place + 3]]
    before = [t.text.upper() for t in words[max(place - 2, 0) : place]]
    return after == ["::", "REGCLASS"] or (len(before) == 2 and before[0] in _TAKES_A_RELATION and before[1] == "(")


def _short_text(text: str, schema: str, ours: set[str]) -> str | None:
    """Return the text of a relation's name without its schema, as a literal; None where it is not one of ours."""
    try:
        words = tokens(text)
    except SqlglotError:
        return None
    if len(words) != 3 or words[1].token_type != TokenType.DOT:
        return None
    if identifier(words[0]) != schema or identifier(words[2]) not in ours:
        return None
    return "'" + text[words[2].start :].replace("'", "''") + "'"
