"""Draws a world. What is drawn is always a database that could be; what a migration does to it is up to chance."""

from __future__ import annotations

from dataclasses import replace

from aicfg_pipeline_tests.generated import roles, values
from aicfg_pipeline_tests.generated.dice import Dice
from aicfg_pipeline_tests.generated.values import CHANGES, KEYS, KINDS, SECRET
from aicfg_pipeline_tests.generated.world import (
    Column,
    Dependent,
    Grant,
    Index,
    Pair,
    Policy,
    Reference,
    Trigger,
    World,
    new_name,
    q,
)

TABLES = (
    "widgets", "Mixed Case", 'qu"ote', "per%cent", "b{r}ace", "ünï 漢", "order", "L" * 58, "ledger_x", "a.b",
    "\"é漢" * 9 + "wxyz",
)  # fmt: skip
COLUMNS = (
    "word", "Upper", 'with "quote', "select", "per%cent", "x{y}", "漢字", "c" * 63, "source", "target", "kind", "row_",
    "older", "newer", "key", "n", "at", "replayed", "whole_table", "number", "aicfg_row", "user", "wanted", "kept", "side",
    "tableoid_", "rule_0", "aicfg_n", "logged", "parked", "old", "new", "entry", "remembered",
)  # fmt: skip

HASHED = ("integer", "bigint", "uuid", "text", "varchar(12)", "jsonb", "date", "timestamptz")
Feature = str
FEATURES: frozenset[Feature] = frozenset(
    {
        "type_changes", "key_change", "old_only", "new_only", "back", "view_grants", "new_grants", "renamed", "coexisting",
        "serial", "identity", "references", "not_valid", "deferred", "triggers", "rls", "exclusion", "member", "superuser",
        "default_privileges", "settings", "dependents", "publication", "old_check", "generated", "names", "plain_view",
        "own_names", "old_only_check", "between", "later", "identities", "statistics", "owners",
        "file_statistics", "more_default_privileges",
    }
)  # fmt: skip
"""What a world may have. What a finding keeps from working is left out until it is mended: see `known.py`."""


class Drawing:
    """Draws one world with these features."""

    def __init__(self, dice: Dice, features: frozenset[Feature] = FEATURES) -> None:
        self.dice, self.features = dice, features

    def has(self, feature: Feature, percent: int) -> bool:
        """Say whether a feature is drawn; the dice are thrown in any case."""
        drawn = self.dice.chance(percent)
        return drawn and feature in self.features

    def world(self) -> World:
        dice = self.dice
        pairs = tuple(self.pair(n) for n in range(dice.pick((1, 1, 1, 2, 2, 3))))
        if self.has("between", 8) and len(pairs) == 1 and pairs[0].shape != "coexisting":
            pairs = (self.referring(pairs[0], pairs[0]),)
        if any(p.shape == "coexisting" for p in pairs):
            pairs = tuple(replace(p, shape="coexisting" if p.shape == "coexisting" else "view") for p in pairs)
        world = World(
            pairs=pairs,
            owner=dice.pick(("gen_keeper", "gen_keeper", *roles.OWNERS)),
            runner=self.runner(),
            default_privileges=self.default_privileges() if self.has("default_privileges", 40) else (),
            accept=dice.chance(85),
            writes=tuple(dice.number(0, 9999) for _ in range(dice.number(0, 12))),
        )
        if self.has("settings", 35):
            world = replace(world, database_settings=self.settings(), role_settings=self.settings())
        if self.has("dependents", 15):
            kinds = ("view", "matview", "function", "key", "policy", "partitioned")
            world = replace(
                world, dependents=(Dependent(dice.pick(kinds), dice.number(0, len(pairs) - 1), dice.chance(50)),)
            )
        if self.has("publication", 12):
            world = replace(world, publication=dice.pick(("table", "all", "schema", "columns", "filter")))
        if self.has("later", 8):
            kind = dice.pick(("view", "key", "partitioned", "matview", "policy"))
            if not world.dependents:
                world = replace(world, later=(Dependent(kind, dice.number(0, len(pairs) - 1)),))
        return world if len(pairs) == 1 else self.together(world)

    def together(self, world: World) -> World:
        """What is between pairs: a key from one to the first, and owners of their own."""
        first, second, *others = world.pairs
        apart = any(p.shape == "coexisting" for p in world.pairs)
        if self.has("between", 60) and not apart:
            second = self.referring(second, first)
        elif self.has("owners", 20):
            world = replace(world, runner="superuser")
            second = replace(second, owner=self.dice.pick([o for o in roles.OWNERS if o != world.owner]))
        return replace(world, pairs=(first, second, *others))

    def referring(self, pair: Pair, target: Pair) -> Pair:
        """Return a pair with a key to another one, or to itself, on both sides."""
        kinds = {target.column(k).old for k in target.key} | {target.column(k).new for k in target.key}
        if len(target.key) != 1 or len(kinds) != 1:
            return pair
        key, kind = target.key[0], target.column(target.key[0]).new
        there = tuple(row[n] for row in target.rows for n, c in enumerate(target.columns) if c.name == key)
        reach = tuple(v for v in there if v is not None)
        on_delete = self.dice.pick(("ON DELETE CASCADE", "ON DELETE SET NULL"))
        reference = Reference(("public", target.old), key, f"{on_delete} ON UPDATE CASCADE", between=True)
        column = Column("refers_to", kind, kind, values=reach, reference=reference)
        rows = tuple((*row, self.dice.pick((None, *reach))) for row in pair.rows)
        return replace(pair, columns=(*pair.columns, column), rows=rows, new_order=())

    def runner(self) -> str:
        member, superuser = self.has("member", 20), self.has("superuser", 20)
        return "superuser" if superuser else "member" if member else "owner"

    def default_privileges(self) -> tuple[str, ...]:
        dice, said = self.dice, []
        for _ in range(dice.number(1, 3)):
            place = dice.pick((" IN SCHEMA public", "", ""))
            kinds = [
                "ALL ON TABLES",
                "SELECT ON TABLES",
                "ALL ON SEQUENCES",
                "USAGE ON SEQUENCES",
                "EXECUTE ON FUNCTIONS",
            ]
            kinds += [] if place else ["USAGE ON SCHEMAS", "ALL ON SCHEMAS"]
            if self.has("more_default_privileges", 40):
                kinds = ["USAGE ON TYPES", "SELECT, UPDATE ON SEQUENCES", "TRIGGER, TRUNCATE, REFERENCES ON TABLES"]
            role = dice.pick((*roles.GRANTEES, ""))
            said.append(f"{place} GRANT {dice.pick(kinds)} TO {q(role) if role else 'PUBLIC'}")
        if dice.chance(20):
            said.append(" REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC")
        if self.has("more_default_privileges", 20):
            role = q(dice.pick(roles.GRANTEES))
            of_owner = (" REVOKE USAGE ON TYPES FROM PUBLIC", f" GRANT SELECT ON TABLES TO {role} WITH GRANT OPTION")
            said.append(dice.pick(of_owner))
        return tuple(said)

    def settings(self) -> tuple[tuple[str, str], ...]:
        return tuple((name, self.dice.pick(given)) for name, given in self.dice.some(SETTINGS, 3))

    # --- pairs ---

    def pair(self, number: int) -> Pair:
        dice = self.dice
        name = dice.pick(TABLES) if self.has("names", 50) else "widgets"
        old, new = f"{name}{number}", new_name(f"{name}{number}")
        shape = self.shape()
        columns = self.columns(number)
        pair = Pair(old=old, new=new, columns=columns, key=self.key(columns), shape=shape)
        if dice.chance(40):
            stamp = Column(
                "updated_at", "timestamptz", "timestamptz", not_null=True, old_default="now()", new_default="now()"
            )
            pair = replace(pair, columns=(*pair.columns, stamp), changed_at="updated_at")
        pair = self.mapped(pair)
        pair = self.guarded(self.indexed(pair))
        if shape != "renamed" and dice.chance(40):
            pair = replace(pair, new_order=tuple(dice.shuffled(range(len(pair.columns)))))
        pair = replace(pair, rows=tuple(self.row(pair, n, "new") for n in range(dice.number(0, 8))))
        if shape == "coexisting":
            pair = self.coexisting(pair)
        if dice.chance(30):
            pair = replace(pair, comment=dice.pick(("It's", "漢 % {x}", "a\nb")), fillfactor=dice.pick((0, 70)))
        return pair

    def shape(self) -> str:
        shapes = ["view"] * 5 + ["none"]
        shape = self.dice.pick(shapes)
        renamed, coexisting = self.has("renamed", 15), self.has("coexisting", 12)
        return "renamed" if renamed else "coexisting" if coexisting else shape

    def key(self, columns: tuple[Column, ...]) -> tuple[str, ...]:
        return tuple(c.name for c in columns if c.name.startswith("id"))

    def columns(self, number: int) -> tuple[Column, ...]:
        keys = [self.key_column(f"id{n}" if n else "id") for n in range(2 if self.dice.chance(20) else 1)]
        names = [n for n in self.dice.some(COLUMNS, 6) if n != "aicfg_row" or "own_names" in self.features]
        columns = [*keys, *(self.column(n) for n in names)]
        if self.has("generated", 15):
            columns.append(Column("made", "boolean", "boolean", generated=f"({q(columns[-1].name)} IS NOT NULL)"))
        if self.has("references", 30):
            columns += self.references()
        if len(keys) == 1 and self.dice.chance(30):
            columns = self.dice.shuffled(columns)
        # a generated column reads one that both tables have
        both = {c.name for c in columns if c.old and c.old == c.new}
        return tuple(c for c in columns if not c.generated or any(q(n) in c.generated for n in both))

    def key_column(self, name: str) -> Column:
        kind = self.dice.pick(KEYS)
        identity = ""
        if kind in ("integer", "bigint", "smallint"):
            serial, own = self.has("serial", 30), self.has("identity", 30)
            identity = "serial" if serial else self.dice.pick(("ALWAYS", "BY DEFAULT")) if own else ""
        old = kind
        if self.has("key_change", 15):
            old = {
                "integer": "bigint",
                "bigint": "integer",
                "text": "varchar(12)",
                "varchar(12)": "text",
                "smallint": "integer",
            }.get(kind, kind)
        if kind == "bigint" and old == "integer":
            kind, old = "integer", "bigint"  # the values of the rows fit into both
        return Column(name, old, kind, not_null=True, identity=identity)

    def column(self, name: str) -> Column:
        dice = self.dice
        kind = dice.pick(tuple(KINDS))
        column = Column(name, kind, kind, comment=dice.pick(("", "", "", "it's 'a' column")))
        kinds = KINDS[kind]
        side = dice.number(0, 9)
        if side == 9 and "old_only" in self.features:
            column = replace(column, new=None)
        elif side in (7, 8) and "new_only" in self.features:
            column = replace(column, old=None)
        elif side == 6 and "type_changes" in self.features:
            new, old = dice.pick(tuple(CHANGES))
            safe = CHANGES[new, old] if dice.chance(80) else ()
            column, kinds = replace(column, new=new, old=old, values=safe), KINDS[new]
        elif dice.chance(20):
            default = "'" + dice.pick(kinds.values).replace(SECRET, "dflt").replace("'", "''") + f"'::{kinds.type}"
            column = replace(column, old_default=default, new_default=default)
            column = replace(column, not_null=dice.chance(50))
        if column.old == column.new and kinds.text and dice.chance(20):
            column = replace(column, check=f"length({q(name)}::text) < 5000")
        if (
            self.has("old_check", 4)
            and column.old
            and "couple" not in (column.old, column.new)
            and (column.new or "old_only_check" in self.features)
        ):
            column = replace(column, old_check=f"{q(name)} IS NOT NULL")
        return column

    def references(self) -> list[Column]:
        dice, made = self.dice, []
        targets = ((("auth", "users"), "id", "uuid", roles.USERS), (("public", "orgs"), "id", "integer", ["1", "2", "3", "4"]),
                   (("public", "Ref T"), "code", "text", roles.CODES))  # fmt: skip
        for number in range(dice.number(1, 2)):
            table, column, kind, there = dice.pick(targets)
            wild = self.has("not_valid", 25)
            orphan = {"uuid": "00000000-0000-0000-0000-0000000000ff", "integer": "99", "text": "gone"}[kind]
            side = dice.number(0, 5)
            deferred = self.has("deferred", 15)
            on_delete = dice.pick(("", "ON DELETE CASCADE", "ON DELETE SET NULL", "ON UPDATE CASCADE"))
            reference = Reference(table, column, on_delete, deferred, valid=not wild, old=not dice.chance(20))
            reach = (*there, orphan) if wild and (side == 5 or not reference.old) else tuple(there)
            name = f"ref{number}"
            old = None if side == 5 and "new_only" in self.features else kind
            made.append(Column(name, old, kind, values=reach, reference=reference))
        return made

    # --- what maps to what ---

    def mapped(self, pair: Pair) -> Pair:
        """Now and then a column of the old table is replaced by two of the new one, as `configured_by` was."""
        if not self.has("back", 25):
            return pair
        kind, values_ = self.dice.pick(
            (("uuid", tuple(roles.USERS)), ("text", (SECRET, SECRET + "x")), ("integer", ("1", "2")))
        )
        made = [
            Column("configured_by", kind, None),
            Column("created_by", None, kind, values=values_),
            Column("updated_by", None, kind, values=values_),
        ]
        if kind == "uuid" and "references" in self.features and self.dice.chance(60):
            wild = self.has("not_valid", 30)
            reference = Reference(("auth", "users"), "id", valid=not wild)
            reach = (*values_, "00000000-0000-0000-0000-0000000000ff") if wild and self.dice.chance(50) else values_
            made = [replace(made[0], values=values_, reference=reference if self.dice.chance(70) else None)]
            made += [
                Column("created_by", None, kind, values=reach, reference=reference),
                Column("updated_by", None, kind, values=values_, reference=reference),
            ]
        keep = ("created_by",) if self.dice.chance(60) else ()
        return replace(
            pair,
            columns=(*pair.columns, *made),
            back=(("configured_by", "coalesce(updated_by, created_by)"),),
            forth=(("created_by", "configured_by"), ("updated_by", "configured_by")),
            keep=keep,
        )

    # --- indexes, triggers, policies, grants ---

    def indexed(self, pair: Pair) -> Pair:
        dice = self.dice
        both = [
            c
            for c in pair.columns
            if c.old and c.new and KINDS[c.kind].ordered and KINDS[c.old].ordered and not c.generated
        ]
        small = [c for c in both if not KINDS[c.kind].text or c.kind in ("varchar(12)", "char(11)", "name")]
        indexes = []
        for number, column in enumerate(dice.some(small, 3)):
            kind = dice.number(0, 4)
            name, on = f"ix{number}", q(column.name)
            if kind == 0:
                indexes.append(Index(name, on, needs=(column.name,)))
            elif kind == 1:
                indexes.append(Index(name, f"({on} IS NULL), {on} DESC", needs=(column.name,)))
            elif kind == 2:
                indexes.append(Index(name, on, where=f"{on} IS NOT NULL", needs=(column.name,)))
            elif kind == 3 and column.kind in HASHED and column.old in HASHED:
                indexes.append(Index(name, on, method="hash", needs=(column.name,)))
            else:
                indexes.append(
                    Index(
                        name, f"{on}, {', '.join(q(k) for k in pair.key)}", unique=True, needs=(column.name, *pair.key)
                    )
                )
        texts = [c for c in both if KINDS[c.kind].text]
        if texts and dice.chance(30):
            column = dice.pick(texts)
            indexes.append(Index("md", f"md5({q(column.name)}::text)", needs=(column.name,)))
        pair = replace(pair, indexes=tuple(indexes))
        return self.beside(pair, [c.name for c in both])

    def beside(self, pair: Pair, plain: list[str]) -> Pair:
        """Draw what makes a table besides its columns and indexes; `plain` are columns that have an order."""
        dice = self.dice
        if self.has("exclusion", 10):
            span = Column("span", "int4range", "int4range")
            pair = replace(pair, columns=(*pair.columns, span), excluded=("span",))
        if dice.chance(15):
            pair = replace(pair, columns=(*pair.columns, Column("only_one", "integer", "integer", unique=True)))
        if dice.chance(15):
            pair = replace(pair, extra_indexes=(Index("extra", q(pair.key[0]), needs=pair.key),))
        if self.has("identities", 10):
            pair = replace(pair, identity=dice.pick(("FULL", "")), new_identity=dice.pick(("FULL", "")))
        if self.has("statistics", 10) and len(plain) > 1:
            pair = replace(pair, statistics=tuple(plain[:2]))
        if self.has("file_statistics", 10) and len(plain) > 1:
            pair = replace(pair, file_statistics=tuple(plain[:3]))
        return pair

    def guarded(self, pair: Pair) -> Pair:
        dice = self.dice
        if self.has("triggers", 35):
            whens = ("BEFORE UPDATE", "BEFORE INSERT OR UPDATE", "AFTER INSERT OR UPDATE OR DELETE")
            made = [Trigger(dice.pick(("stamp", 'Tr "g"')), dice.pick(whens), shared=dice.chance(40))]
            if dice.chance(30):
                made.append(Trigger("each_statement", "AFTER INSERT", "STATEMENT", shared=True))
            pair = replace(pair, triggers=tuple(made))
        if self.has("rls", 30):
            commands = ("ALL", "SELECT", "INSERT", "UPDATE", "DELETE")
            policies = tuple(
                Policy(
                    f"may {n}",
                    dice.pick(commands),
                    tuple(dice.some(roles.GRANTEES, 2)),
                    dice.pick(("true", "false", "current_user = 'gen_anon'")),
                )
                for n in range(dice.number(0, 2))
            )
            pair = replace(pair, rls=True, forced=dice.chance(15), policies=policies)
        pair = replace(
            pair,
            old_grants=self.grants(pair, "old"),
            invoker=not self.has("plain_view", 70),
            file_invoker=dice.chance(50),
        )
        if self.has("view_grants", 40):
            pair = replace(pair, view_grants=self.grants(pair, "new"))
        if self.has("new_grants", 30):
            pair = replace(pair, new_grants=self.grants(pair, "new"))
        return pair

    def grants(self, pair: Pair, side: str) -> tuple[Grant, ...]:
        dice, made = self.dice, []
        for role in dice.some((*roles.GRANTEES, ""), 3):
            column = dice.pick([c.name for c in pair.side(side) if c.old and c.new]) if dice.chance(20) else ""
            options = (
                ("SELECT", "UPDATE", "SELECT, INSERT")
                if column
                else ("SELECT", "SELECT, INSERT, UPDATE, DELETE", "ALL", "TRUNCATE, REFERENCES, TRIGGER")
            )
            made.append(Grant(role, dice.pick(options), column, dice.chance(15)))
        return tuple(made)

    # --- rows ---

    def row(self, pair: Pair, number: int, side: str) -> tuple[str | None, ...]:
        return tuple(self.cell(pair, c, number, side) for c in pair.columns)

    def cell(self, pair: Pair, column: Column, number: int, side: str) -> str | None:
        kind = getattr(column, side)
        if kind is None or column.generated:
            return None
        if column.name in pair.key:
            return values.key_value(column.key_kind, number)
        if column.unique:
            return str(number)
        if column.name in pair.excluded:
            return f"[{number * 10},{number * 10 + 5})"
        if column.name == pair.changed_at:
            return f"2026-01-{self.dice.number(10, 20)} 12:00:00+00"
        asked = column.old_check and (side == "old" or pair.shape == "renamed")
        if not column.not_null and not asked and self.dice.chance(20):
            return None
        return values.value(self.dice, kind, only=column.values or None)

    def coexisting(self, pair: Pair) -> Pair:
        """The old table stands beside: some rows are the same, some later, some only there."""
        # an old table's only values must be of its own kinds, so types are the same on both sides here
        columns = tuple(replace(c, old=c.old and (c.new or c.old)) for c in pair.columns)
        pair = replace(pair, columns=columns)
        old = [self.row(pair, n, "old") for n in range(len(pair.rows) + 2) if self.dice.chance(60)]
        return replace(pair, old_rows=tuple(old))


SETTINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("DateStyle", ("German", "SQL, DMY", "Postgres, MDY")),
    ("IntervalStyle", ("sql_standard", "iso_8601", "postgres_verbose")),
    ("TimeZone", ("Europe/Berlin", "Asia/Kathmandu", "America/St_Johns")),
    ("array_nulls", ("off",)),
    ("bytea_output", ("escape",)),
    ("extra_float_digits", ("-5", "3")),
    ("standard_conforming_strings", ("off",)),
    ("quote_all_identifiers", ("on",)),
    ("check_function_bodies", ("off",)),
    ("transform_null_equals", ("on",)),
    ("xmloption", ("document",)),
    ("row_security", ("off",)),
    ("default_transaction_isolation", ("serializable", "'repeatable read'")),
    ("default_transaction_deferrable", ("on",)),
    ("lock_timeout", ("1ms", "10s")),
    ("search_path", ("''", "auth, pg_catalog", "pg_catalog, public")),
    ("client_min_messages", ("debug1", "error")),
    ("client_encoding", ("LATIN1",)),
    ("enable_indexscan", ("off",)),
    ("enable_hashjoin", ("off",)),
    ("plan_cache_mode", ("force_generic_plan",)),
    ("default_toast_compression", ("pglz",)),
    ("synchronous_commit", ("off",)),
    ("work_mem", ("64kB",)),
    ("jit", ("on",)),
    ("gin_pending_list_limit", ("64kB",)),
    ("idle_in_transaction_session_timeout", ("5s",)),
    ("statement_timeout", ("20s",)),
    ("lc_messages", ("C",)),
    ("escape_string_warning", ("off",)),
    ("backslash_quote", ("on",)),
)


def draw(dice: Dice, features: frozenset[Feature] = FEATURES) -> World:
    """Draw one world."""
    return Drawing(dice, features).world()
