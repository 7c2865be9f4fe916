"""What makes the columns of a table, and the table as a whole, those of the old one: what no row holds.

Things with a name of their own (indexes, constraints, triggers, policies) are `rename`'s.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.statements import Statement, comma, engine, ident, text
from aicfg_pipeline.rollback.tables.change import NAMED_NOT_NULL_SINCE, Ahead, Change, Sides, beside, said
from aicfg_pipeline.rollback.tables.sameness import Thing

_STORAGE = {"p": "PLAIN", "e": "EXTERNAL", "m": "MAIN", "x": "EXTENDED"}
_COMPRESSION = {"p": "pglz", "l": "lz4", "": "DEFAULT"}


def column_changes(sides: Sides) -> Iterator[Change]:
    """Yield what makes the columns those wanted: what no row holds, and whether they may be empty."""
    for live, wanted in zip(sides.live.of("column"), sides.wanted.of("column"), strict=True):
        for name, say in _COLUMN.items():
            if live.facts[name] != wanted.facts[name]:
                yield _property(sides, live.name, name, say(wanted.facts[name]), say(live.facts[name]))
        yield from _options(sides, live, wanted)
        yield from _nullable(sides, live, wanted)
        if live.comment != wanted.comment:
            what = sql.SQL("COLUMN {}").format(ident(sides.schema, sides.table, live.name))
            yield Change(f"comment on column {live.name}", (said(what, wanted.comment),), (said(what, live.comment),))


_COLUMN: dict[str, Callable[[Any], sql.Composable]] = {
    "default": lambda v: text("DROP DEFAULT") if v is None else text(f"SET DEFAULT {v}"),
    "storage": lambda v: text(f"SET STORAGE {_STORAGE[v]}"),
    "compression": lambda v: text(f"SET COMPRESSION {_COMPRESSION[v]}"),
    "statistics": lambda v: text(f"SET STATISTICS {v}"),
}


def _property(sides: Sides, column: str, name: str, do: sql.Composable, back: sql.Composable) -> Change:
    def altered(what: sql.Composable) -> Statement:
        return engine("alter_column", table=sides.ident, column=ident(column), what=what)

    return Change(f"{name} of column {column}", (altered(do),), (altered(back),))


def _options(sides: Sides, live: Thing, wanted: Thing) -> Iterator[Change]:
    have, want = live.facts["options"] or [], wanted.facts["options"] or []
    do, back = _set_options(have, want), _set_options(want, have)
    if do:
        made = [_property(sides, live.name, "options", d, d) for d in do]
        unmade = [_property(sides, live.name, "options", b, b) for b in back]
        yield Change(
            f"options of column {live.name}",
            tuple(s for c in made for s in c.do),
            tuple(s for c in unmade for s in c.do),
        )


def _set_options(have: Sequence[str], want: Sequence[str], prefix: str = "") -> list[sql.Composable]:
    """Return what makes options of these: those that go are reset, those that come or change are set."""
    now, then = (dict(o.split("=", 1) for o in side) for side in (have, want))
    prefixed = sql.SQL(prefix)
    goes = [prefixed + ident(name) for name in now if name not in then]
    comes = [
        sql.SQL("{}{} = {}").format(prefixed, ident(name), sql.Literal(value))
        for name, value in then.items()
        if now.get(name) != value
    ]
    reset: list[sql.Composable] = [sql.SQL("RESET ({})").format(comma(goes))] if goes else []
    return reset + ([sql.SQL("SET ({})").format(comma(comes))] if comes else [])


def _nullable(sides: Sides, live: Thing, wanted: Thing) -> Iterator[Change]:
    """A NOT NULL is proven by a check that was validated before, so that no row is read under the locks."""
    name, facts = live.name, (live.facts, wanted.facts)
    if live.facts["not_null"] == wanted.facts["not_null"]:
        one, other = (f["not_null_name"] for f in facts)
        if one != other and one and other:
            do, back = (
                engine("rename_constraint", table=sides.ident, constraint=ident(a), name=ident(b))
                for a, b in ((one, other), (other, one))
            )
            yield Change(f"NOT NULL of column {name} is called {other}", (do,), (back,))
        return
    check = beside(f"{name}_not_null")
    called = (wanted if wanted.facts["not_null"] else live).facts["not_null_name"]
    if sides.version >= NAMED_NOT_NULL_SINCE and called:
        definition = sql.SQL("NOT NULL {}").format(ident(name))
        on = engine("add_constraint", table=sides.ident, constraint=ident(called), definition=definition)
    else:
        on = engine("alter_column", table=sides.ident, column=ident(name), what=text("SET NOT NULL"))
    comes = (on, engine("drop_constraint", table=sides.ident, constraint=ident(check)))
    goes = (engine("alter_column", table=sides.ident, column=ident(name), what=text("DROP NOT NULL")),)
    ahead = (Ahead("check", check, column=name),)
    if wanted.facts["not_null"]:
        yield Change(f"column {name} gets NOT NULL", comes, goes, ahead=ahead)
    else:
        yield Change(f"column {name} may be NULL", goes, comes, ahead_back=ahead)


_IDENTITY = {"d": "DEFAULT", "n": "NOTHING", "f": "FULL"}


def table_changes(sides: Sides) -> Iterator[Change]:
    """Yield what makes the table as a whole the one wanted."""
    live, wanted = sides.live.itself, sides.wanted.itself

    def altered(properties: Sequence[sql.Composable]) -> tuple[sql.Composable, ...]:
        return tuple(engine("alter_table", table=sides.ident, what=p) for p in properties)

    for name, prefix in (("options", ""), ("toast_options", "toast.")):
        if do := _set_options(live[name], wanted[name], prefix):
            yield Change(f"{name} of the table", altered(do), altered(_set_options(wanted[name], live[name], prefix)))
    for name, words in _FLAGS.items():
        if live[name] != wanted[name]:
            yield Change(f"{name} of the table", altered([words(wanted[name])]), altered([words(live[name])]))
    if live["comment"] != wanted["comment"]:
        what = sql.SQL("TABLE {}").format(sides.ident)
        yield Change("comment on the table", (said(what, wanted["comment"]),), (said(what, live["comment"]),))


_FLAGS: dict[str, Callable[[Any], sql.Composable]] = {
    "identity": lambda v: text(f"REPLICA IDENTITY {_IDENTITY[v]}"),
    "secured": lambda v: text(f"{'ENABLE' if v else 'DISABLE'} ROW LEVEL SECURITY"),
    "forced": lambda v: text(f"{'FORCE' if v else 'NO FORCE'} ROW LEVEL SECURITY"),
}
