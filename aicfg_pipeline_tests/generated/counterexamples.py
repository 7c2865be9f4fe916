"""Small databases that were counterexamples once, each under the name of what is promised and with the finding's number."""

from __future__ import annotations

from dataclasses import dataclass, replace

from aicfg_pipeline_tests.generated.values import SECRET
from aicfg_pipeline_tests.generated.world import Column, Dependent, Grant, Index, Pair, Reference, Trigger, World

ID = Column("id", "integer", "integer", not_null=True)
WORD = Column("word", "text", "text")
PLAIN = Pair(
    old="widgets", new="cfg_widgets", columns=(ID, WORD), key=("id",), rows=(("1", SECRET), ("2", None), ("3", "")),
    invoker=True,
)  # fmt: skip
USER, GHOST = "00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-0000000000ff"


def world(pair: Pair = PLAIN, **given: object) -> World:
    """Return a world of one pair, with a few writes."""
    return World(**{"pairs": (pair,), "writes": (3, 4, 3, 3, 3), **given})  # type: ignore[arg-type]


def with_column(column: Column, *values: str | None, pair: Pair = PLAIN, **given: object) -> Pair:
    """Return the plain pair with one column more, its values in the rows."""
    rows = tuple((*row, value) for row, value in zip(pair.rows, values, strict=False))
    return replace(pair, columns=(*pair.columns, column), rows=rows, **given)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Case:
    """One counterexample. `waits_for` is the finding that is not mended yet, "" once it is."""

    name: str
    world: World
    finding: str = ""
    waits_for: str = ""
    end: str = "whole"
    told: tuple[str, ...] = ()
    """The codes of the hazards that must be told."""


CREATED = replace(
    with_column(Column("configured_by", "uuid", None), None, None, None),
    back=(("configured_by", "coalesce(updated_by, created_by)"),),
    forth=(("created_by", "configured_by"), ("updated_by", "configured_by")),
    keep=("created_by",),
)
DEFERRED = Reference(("public", "orgs"), "id", deferred=True)
BETWEEN = Reference(("public", "widgets"), "id", "ON DELETE CASCADE ON UPDATE CASCADE", between=True)
LOOSE = Reference(("auth", "users"), "id", valid=False, old=False)
ORPHANED = with_column(
    Column("updated_by", None, "uuid", values=(USER,)), USER, USER, USER,
    pair=with_column(Column("created_by", None, "uuid", values=(USER,), reference=LOOSE), GHOST, USER, None, pair=CREATED),
)  # fmt: skip

CASES = (
    Case("a plain pair goes back, forth, back and is dropped", world()),
    Case("a table renamed in place keeps its index names", world(replace(PLAIN, shape="renamed")), "O1"),
    Case(
        "who could read the view is named before it loses that",
        world(replace(PLAIN, view_grants=(Grant("gen_anon", "SELECT"),), invoker=False)), "O2",
    ),
    Case(
        "who could write the new table is named before it loses that",
        world(replace(PLAIN, new_grants=(Grant("gen_anon", "SELECT, INSERT, UPDATE, DELETE"),))), "O2",
    ),
    Case("a view without options has none after undo", world(replace(PLAIN, invoker=False)), "O2"),
    Case("the owner stays the owner where a superuser runs it", world(runner="superuser"), "O3"),
    Case("the owner stays the owner where a member of it runs it", world(runner="member"), "O3"),
    Case(
        "who could insert can still draw from the sequence",
        world(
            replace(
                PLAIN,
                columns=(replace(ID, identity="serial"), WORD),
                old_grants=(Grant("gen_anon", "SELECT, INSERT"),),
                new_grants=(Grant("gen_anon", "SELECT, INSERT"),),
            ),
            default_privileges=(" IN SCHEMA public GRANT ALL ON SEQUENCES TO gen_anon",),
        ), "O4",
    ),
    Case(
        "the private schema is closed whatever default privileges say",
        world(default_privileges=(" GRANT USAGE ON SCHEMAS TO gen_anon", " GRANT SELECT ON TABLES TO gen_anon")), "S3",
    ),
    Case(
        "a column that only a coexisting old table has keeps its values",
        world(
            replace(
                with_column(Column("legacy", "text", None), None, None, None),
                shape="coexisting",
                old_rows=(("1", SECRET, "kept"), ("9", "only here", "kept too")),
            )
        ), "D1",
    ),
    Case(
        "values that the old type would round are told before",
        world(with_column(Column("price", "integer", "numeric(10,2)"), "1.50", "9.99", "3.00")), "D3",
        told=("values_change",),
    ),
    Case(
        "a change of type that loses nothing passes",
        world(with_column(Column("price", "numeric(10,2)", "integer"), "1", "9", "3")), "D3",
    ),
    Case(
        "a NULL in an array is a NULL again after undo, whatever array_nulls is",
        world(with_column(Column("tags", None, "text[]"), "{x,NULL}", "{}", None), database_settings=(("array_nulls", "off"),)),
        "D7",
    ),
    Case("a date style of the database's own is no hindrance", world(database_settings=(("DateStyle", "German"),)), "O8"),
    Case("an orphan under a NOT VALID key stays as it was", world(ORPHANED, writes=()), "D6"),
    Case(
        "a deferred key is no hindrance to writers at work",
        world(
            with_column(
                Column("org", "integer", "integer", values=("1", "2"), reference=DEFERRED),
                "1", "2", None,
            )
        ), "O9",
    ),
    Case(
        "a deferred key and a trigger that is out of action during a replay go together in an undo",
        world(
            with_column(
                Column("org", "integer", "integer", values=("1", "2"), reference=DEFERRED), "1", "2", None,
                triggers=(Trigger("stamp", "BEFORE UPDATE"), Trigger("count", "AFTER INSERT", "STATEMENT", shared=True)),
            ),
            writes=(3, 4, 3, 0, 3, 3),
        ),
    ),
    Case(
        "a row that does not fit is told where the plan had no row to tell it by",
        world(
            replace(PLAIN, columns=(ID, WORD, Column("kind", "integer", None, old_check="kind IS NOT NULL")), rows=()),
            writes=(3, 4, 3),
        ),
        end="refused on the way",
    ),
    Case(
        "a column that bears the engine's own alias comes back",
        world(with_column(Column("aicfg_row", None, "text"), SECRET, "x", None), writes=(1, 1, 1, 1, 1)), "O6",
    ),
    Case(
        "a check on a column that only the old table has does not stop the plan",
        world(with_column(Column("kind", "integer", None, values=("1", "7"), old_check="kind > 0"), None, None, None)),
    ),
    Case(
        "a domain's column that only one of two coexisting tables has stays a domain's",
        world(
            replace(
                with_column(Column("size", "positive", None), None, None, None),
                shape="coexisting", old_rows=(("1", SECRET, "7"), ("9", "only here", None)),
            )
        ), "D1",
    ),
    Case(
        "a domain's column of the new table's only is merged, too",
        world(
            replace(
                with_column(Column("size", "citextish", "citextish"), SECRET, None, ""),
                shape="coexisting", old_rows=(("1", SECRET, "x"), ("9", "only here", None)),
            )
        ), "D1",
    ),
    Case(
        "two tables with serial keys that share the first 56 bytes of their names keep their sequences' names",
        World(
            pairs=tuple(
                replace(PLAIN, old=f"{'L' * 58}{n}", new=f"cfg_{'L' * 58}{n}", columns=(replace(ID, identity="serial"), WORD))
                for n in range(2)
            ),
            writes=(3, 4, 3, 3, 3),
        ),
    ),
    Case(
        "a default that holds a carriage return is what its file says",
        world(with_column(Column("note", "text", "text", old_default="'a\rb'", new_default="'a\rb'"), "x", None, None)),
    ),
    Case(
        "a key from one old table to another goes back and forth with them",
        World(
            pairs=(
                PLAIN,
                replace(
                    with_column(Column("of_first", "integer", "integer", values=("1", "2"), reference=BETWEEN), "1", "2", None),
                    old="gadgets", new="cfg_gadgets",
                ),
            ),
            writes=(3, 4, 3, 3, 3),
        ),
    ),
    Case(
        "a key of a table to itself goes back and forth with it",
        world(with_column(Column("parent", "integer", "integer", values=("1", "2"), reference=BETWEEN), "1", "1", None)),
    ),
    Case(
        "a composite value without a single field is a value, and told where it has no place",
        world(with_column(Column("pair", None, "couple"), "(,)", "(1,)", None)), "D4", told=("unmapped_column",),
    ),
    Case(
        "a column that must have a value takes a composite one without a single field",
        world(with_column(Column("pair", "couple", "couple", not_null=True), "(,)", "(1,)", "(2,x)"), accept=False),
    ),
    Case(
        "a composite key without a single field is a key, where two tables are merged too",
        world(
            replace(
                PLAIN, columns=(Column("id", "couple", "couple", not_null=True), WORD), shape="coexisting", invoker=False,
                rows=(("(,)", SECRET), ("(1,)", None)), old_rows=(("(,)", "older"), ("(,x)", "only here")),
            ),
            writes=(),
        ),
    ),
    Case("statistics that stand in both files go back and forth", world(replace(PLAIN, file_statistics=("id", "word")))),
    Case("nothing at the old name is nothing again after undo", world(replace(PLAIN, shape="none"))),
    Case(
        "a view outside that reads the new table stops the drop and nothing else",
        world(dependents=(Dependent("view", 0),)),
    ),
    Case("a publication of the new table follows it back", world(publication="table")),
    Case(
        "a publication of some rows follows the table, and so does its replica identity",
        world(replace(PLAIN, new_identity="FULL"), publication="filter"),
    ),
    Case("a key of a table outside follows the table in use", world(dependents=(Dependent("key", 0),))),
    Case("partial and expression indexes come back", world(replace(PLAIN, indexes=(
        Index("part", '"word"', where='"word" IS NOT NULL', needs=("word",)), Index("md", 'md5("word")', needs=("word",)),
    )))),
)  # fmt: skip
