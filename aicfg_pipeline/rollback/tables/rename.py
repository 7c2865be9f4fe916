"""What makes the live new table the old one where it is: every difference as statements, each with its inverse.

The statements name the table and its columns as they are called while it is the new one: on the way back the names change
last, on an undo first. What has to be built before, and what is proven after, is said with each. Nothing is read or run here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from psycopg import sql

from aicfg_pipeline.postgres.statements import columns, engine, ident, text
from aicfg_pipeline.rollback.tables.change import OURS, Ahead, Change, Sides, beside, said
from aicfg_pipeline.rollback.tables.grant_changes import grant_changes
from aicfg_pipeline.rollback.tables.rename_columns import column_changes, table_changes
from aicfg_pipeline.rollback.tables.sameness import Key, Matched, Thing, match
from aicfg_pipeline.spec.model import ForeignKey, shortened


def changes(sides: Sides) -> list[Change]:
    """Return every change, in the order in which they can be made: what goes, what gets another name, what comes."""
    gone: list[Change] = []
    renamed: list[Change] = []
    come: list[Change] = []
    for kind, forms in _FORMS.items():
        found = match(sides.live.of(kind), sides.wanted.of(kind))
        gone += [_taken_away(sides, forms, t) for t in found.too_much]
        renamed += _renamed(sides, forms, found)
        come += [_made(sides, forms, t) for t in found.missing]
        come += [c for a, b in found.pairs for c in _comment(sides, forms, a, b)]
    keys_gone, keys_renamed, keys_come = _foreign_keys(sides)
    return [
        *keys_gone,
        *gone,
        *renamed,
        *keys_renamed,
        *come,
        *keys_come,
        *column_changes(sides),
        *table_changes(sides),
        *grant_changes(sides.ident, sides.live.grants, sides.wanted.grants, Change),
    ]


def renames(pair_columns: Mapping[str, str], schema: str, new: str, old: str) -> Change:
    """Return the change of the names of columns (new to old) and of the table itself: the last on the way, the first back."""
    table, renamed = ident(schema, new), [(n, o) for n, o in pair_columns.items() if n != o]
    do: list[sql.Composable] = [
        engine("rename_column", table=table, column=ident(n), name=ident(o)) for n, o in renamed
    ]
    back: list[sql.Composable] = []
    if new != old:
        do.append(engine("table_takes_name", table=table, name=ident(old)))
        back.append(engine("table_takes_name", table=ident(schema, old), name=ident(new)))
    back += [engine("rename_column", table=table, column=ident(o), name=ident(n)) for n, o in reversed(renamed)]
    return Change(f"{new} takes the name {old}", tuple(do), tuple(back))


# --- things with a name of their own ---------------------------------------------------------------------------


@dataclass(frozen=True)
class _Forms:
    """How things of one kind are made, taken away, renamed and commented on. Each takes the sides and the thing."""

    make: Callable[[Sides, Thing], Change]
    drop: Callable[[Sides, Thing], sql.Composable]
    rename: Callable[[Sides, Thing, str], sql.Composable]
    comment: Callable[[Sides, str], sql.Composable]


def _taken_away(sides: Sides, forms: _Forms, thing: Thing) -> Change:
    """Return the inverse of making it: what was missing is made, what is too much goes by the same statements."""
    there = replace(
        thing, facts={**thing.facts, "ending": sides.back_endings.get(thing.name, thing.facts.get("ending"))}
    )
    made = forms.make(sides, there)
    return Change(
        f"{thing.kind} {thing.name} goes",
        (forms.drop(sides, thing),),
        made.do,
        ahead_back=made.ahead,
        prove_back=made.prove,
    )


def _made(sides: Sides, forms: _Forms, thing: Thing) -> Change:
    made = forms.make(sides, thing)
    return replace(made, what=f"{thing.kind} {thing.name} comes", back=(forms.drop(sides, thing),))


def _renamed(sides: Sides, forms: _Forms, found: Matched) -> Iterator[Change]:
    """Names may be exchanged: one that another still has is taken in two steps."""
    wanted = [(a, b.name) for a, b in found.pairs if a.name != b.name]
    busy = {a.name for a, _ in wanted}
    first = [(a, name) for a, name in wanted if name in busy]
    for thing, name in first:
        yield _rename(sides, forms, thing, _on_the_way(name))
    for thing, name in wanted:
        yield _rename(sides, forms, replace(thing, name=_on_the_way(name)) if (thing, name) in first else thing, name)


def _on_the_way(name: str) -> str:
    return shortened(f"{OURS}swap_", name)


def _rename(sides: Sides, forms: _Forms, thing: Thing, name: str) -> Change:
    other = replace(thing, name=name)
    return Change(
        f"{thing.kind} {thing.name} is called {name}",
        (forms.rename(sides, thing, name),),
        (forms.rename(sides, other, thing.name),),
    )


def _comment(sides: Sides, forms: _Forms, live: Thing, wanted: Thing) -> Iterator[Change]:
    if live.comment != wanted.comment:
        what = forms.comment(sides, wanted.name)
        do, back = said(what, wanted.comment), said(what, live.comment)
        yield Change(f"comment on {wanted.kind} {wanted.name}", (do,), (back,))


def _with_comment(sides: Sides, forms: _Forms, thing: Thing) -> list[sql.Composable]:
    return [said(forms.comment(sides, thing.name), thing.comment)] if thing.comment is not None else []


def _make_index(sides: Sides, thing: Thing) -> Change:
    ahead = Ahead("index", beside(thing.name), bool(thing.facts["unique"]), str(thing.facts["ending"]))
    named = engine("rename_index", index=ident(sides.schema, ahead.name), name=ident(thing.name))
    return Change("", (named, *_with_comment(sides, _FORMS["index"], thing)), (), ahead=(ahead,))


def _make_constraint(sides: Sides, thing: Thing) -> Change:
    constraint = {"table": sides.ident, "constraint": ident(thing.name)}
    told = _with_comment(sides, _FORMS["constraint"], thing)
    if thing.facts["type"] == "c":
        rule = str(thing.facts["definition"])
        later = rule.endswith(("NOT VALID", "NOT ENFORCED"))
        made = engine("add_constraint", **constraint, definition=text(rule if later else f"{rule} NOT VALID"))
        return Change("", (made, *told), (), prove=() if later else (thing.name,))
    ahead = Ahead("index", beside(thing.name), True, str(thing.facts["ending"]))
    timing = " DEFERRABLE" * bool(thing.facts["deferrable"]) + " INITIALLY DEFERRED" * bool(thing.facts["deferred"])
    kind = text("PRIMARY KEY" if thing.facts["type"] == "p" else "UNIQUE")
    made = engine("constraint_by_index", **constraint, kind=kind, index=ident(ahead.name), timing=text(timing))
    return Change("", (made, *told), (), ahead=(ahead,))


def _make_trigger(sides: Sides, thing: Thing) -> Change:
    kind = text("CONSTRAINT" if thing.facts["constraint"] else "")
    made = engine("create_trigger", constraint=kind, trigger=ident(thing.name), tail=text(str(thing.facts["tail"])))
    fires = {"D": "DISABLE", "R": "ENABLE REPLICA", "A": "ENABLE ALWAYS"}.get(str(thing.facts["fires"]))
    also = [engine("trigger_fires", table=sides.ident, fires=text(fires), trigger=ident(thing.name))] if fires else []
    return Change("", (made, *also, *_with_comment(sides, _FORMS["trigger"], thing)), ())


def _make_policy(sides: Sides, thing: Thing) -> Change:
    tail = text(str(thing.facts["tail"]))
    made = engine("create_policy", policy=ident(thing.name), table=sides.ident, tail=tail)
    return Change("", (made, *_with_comment(sides, _FORMS["policy"], thing)), ())


def _impossible(sides: Sides, thing: Thing) -> Change:
    raise AssertionError(f"{thing.kind} {thing.name} can't be made: `way` has to say so before")


def _place(kind: str) -> Callable[[Sides, str], sql.Composable]:
    """Return how a thing on a table is named in a comment."""
    return lambda sides, name: sql.SQL("{} {} ON {}").format(text(kind), ident(name), sides.ident)


def _own_place(kind: str) -> Callable[[Sides, str], sql.Composable]:
    """Return how a thing of the schema is named in a comment."""
    return lambda sides, name: sql.SQL("{} {}").format(text(kind), ident(sides.schema, name))


_FORMS: dict[str, _Forms] = {
    "constraint": _Forms(
        _make_constraint,
        lambda s, t: engine("drop_constraint", table=s.ident, constraint=ident(t.name)),
        lambda s, t, name: engine("rename_constraint", table=s.ident, constraint=ident(t.name), name=ident(name)),
        _place("CONSTRAINT"),
    ),
    "index": _Forms(
        _make_index,
        lambda s, t: engine("drop_index", index=ident(s.schema, t.name)),
        lambda s, t, name: engine("rename_index", index=ident(s.schema, t.name), name=ident(name)),
        _own_place("INDEX"),
    ),
    "trigger": _Forms(
        _make_trigger,
        lambda s, t: engine("drop_trigger", trigger=ident(t.name), table=s.ident),
        lambda s, t, name: engine("rename_trigger", trigger=ident(t.name), table=s.ident, name=ident(name)),
        _place("TRIGGER"),
    ),
    "policy": _Forms(
        _make_policy,
        lambda s, t: engine("drop_policy", policy=ident(t.name), table=s.ident),
        lambda s, t, name: engine("rename_policy", policy=ident(t.name), table=s.ident, name=ident(name)),
        _place("POLICY"),
    ),
    "sequence": _Forms(
        _impossible,
        lambda s, t: engine("drop_index", index=ident(t.name)),
        lambda s, t, name: engine("rename_sequence", sequence=ident(str(t.facts["schema"]), t.name), name=ident(name)),
        _own_place("SEQUENCE"),
    ),
    "statistics": _Forms(
        _impossible,
        lambda s, t: engine("drop_index", index=ident(t.name)),
        lambda s, t, name: engine(
            "rename_statistics", statistics=ident(str(t.facts["schema"]), t.name), name=ident(name)
        ),
        _own_place("STATISTICS"),
    ),
}


# --- foreign keys ----------------------------------------------------------------------------------------------


def _foreign_keys(sides: Sides) -> tuple[list[Change], list[Change], list[Change]]:
    """Return those that go, that get another name and that come. `wanted_keys` are said in the new table's names."""
    left, waiting = list(sides.live_keys), list(sides.wanted_keys)
    renamed: list[Change] = []
    for same_name in (True, False):
        for wanted in list(waiting):
            alike = (k for k in left if str(k.key) == str(wanted) and (k.key.name == wanted.name or not same_name))
            found = next(alike, None)
            if found is None:
                continue
            left.remove(found)
            waiting.remove(wanted)
            if found.key.name != wanted.name:
                thing = Thing("foreign key", found.key.name, "", {})
                renamed.append(_rename(sides, _FORMS["constraint"], thing, wanted.name))
    return [_key_goes(sides, k) for k in left], renamed, [_key_comes(sides, k) for k in waiting]


def _key_goes(sides: Sides, key: Key) -> Change:
    held = not key.definition.endswith(("NOT VALID", "NOT ENFORCED"))
    definition = text(key.definition + (" NOT VALID" if held else ""))
    constraint = {"table": sides.ident, "constraint": ident(key.key.name)}
    return Change(
        f"foreign key {key.key.name} goes",
        (engine("drop_constraint", **constraint),),
        (engine("add_constraint", **constraint, definition=definition),),
        prove_back=(key.key.name,) if held else (),
        referred=(key.ref_oid,),
    )


def _key_comes(sides: Sides, key: ForeignKey) -> Change:
    constraint = {"table": sides.ident, "constraint": ident(key.name)}
    return Change(
        f"foreign key {key.name} comes",
        (engine("add_constraint", **constraint, definition=_key_definition(key)),),
        (engine("drop_constraint", **constraint),),
        prove=(key.name,),
        referred=(sides.references[key.references],),
    )


_ORDER = ("MATCH", "ON DELETE", "ON UPDATE", "DEFERRABLE", "INITIALLY")


def _key_definition(key: ForeignKey) -> sql.Composed:
    words = sorted(key.options, key=lambda o: next((n for n, w in enumerate(_ORDER) if o.startswith(w)), len(_ORDER)))
    return sql.SQL("FOREIGN KEY ({}) REFERENCES {} ({}) {} NOT VALID").format(
        columns(key.columns), ident(*key.references), columns(key.target_columns), text(" ".join(words))
    )
