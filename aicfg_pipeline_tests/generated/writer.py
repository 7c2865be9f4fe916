"""Someone who goes on using the tables between the steps, under whichever name there is. Its writes must all succeed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import psycopg

from aicfg_pipeline_tests.generated import roles, values
from aicfg_pipeline_tests.generated.dice import Dice
from aicfg_pipeline_tests.generated.values import CHANGES, KINDS
from aicfg_pipeline_tests.generated.world import Column, Pair, World, beside_values, q

Key = tuple[str | None, ...]


@dataclass
class Writer:
    """Writes at random. `touched` are the keys of each pair that it has written since it was last emptied."""

    connection: psycopg.Connection
    world: World
    dice: Dice
    number: int = 100
    touched: dict[str, set[Key]] = field(default_factory=dict)
    told: list[str] = field(default_factory=list)

    def write(self, side: str, how_many: int) -> None:
        """Write so many times into tables of the old or new side."""
        for _ in range(how_many):
            pair = self.dice.pick(self.world.pairs)
            act = self.dice.pick(
                (self.insert, self.insert, self.change, self.change, self.touch, self.rename, self.remove, self.empty)
            )
            table = q("public", pair.table(side))
            if side == "new" and pair.shape in ("view", "renamed") and not pair.forced and self.dice.chance(40):
                table = q("public", pair.old)
            act(pair, side, table)

    # --- what it does ---

    def insert(self, pair: Pair, side: str, table: str) -> None:
        self.number += 50  # sequences go on behind what is written: leave them room
        cells = dict(self.cells(pair, side, self.number))
        for key in pair.key:
            column = pair.column(key)
            cells[key] = values.key_value(column.key_kind, self.number)
            if column.identity and len(pair.key) == 1 and self.dice.chance(60):
                del cells[key]  # the sequence's turn
        names = beside_values(", ".join(q(n) for n in cells))
        marks = ", ".join(self.mark(pair.column(n), side) for n in cells)
        if cells:
            self.run(
                pair,
                f"INSERT INTO {beside_values(table)} ({names}) OVERRIDING SYSTEM VALUE VALUES ({marks})",
                list(cells.values()),
            )

    def change(self, pair: Pair, side: str, table: str) -> None:
        self.number += 50  # sequences go on behind what is written: leave them room
        cells = dict(self.dice.some(list(self.cells(pair, side, self.number)), 3))
        self.update(pair, side, table, cells)

    def touch(self, pair: Pair, side: str, table: str) -> None:
        key, found = beside_values(q(pair.key[0])), self.some_key(pair, table)
        if found and pair.column(pair.key[0]).identity != "ALWAYS":
            self.run(pair, f"UPDATE {beside_values(table)} SET {key} = {key} WHERE {self.where(pair)}", [*found])

    def rename(self, pair: Pair, side: str, table: str) -> None:
        self.number += 50  # sequences go on behind what is written: leave them room
        columns = [pair.column(k) for k in pair.key]
        if any(c.identity == "ALWAYS" for c in columns):
            return
        if pair.shape == "coexisting" and any(c.unique or c.name in pair.excluded for c in pair.columns):
            return  # the old table still has the row under its old key, and the two would not go together
        self.update(
            pair, side, table, {c.name: values.key_value(c.key_kind, self.number) for c in columns}, renaming=True
        )

    def update(
        self, pair: Pair, side: str, table: str, cells: dict[str, str | None], *, renaming: bool = False
    ) -> None:
        found = self.some_key(pair, table)
        if not found or not cells:
            return
        if renaming:
            self.touched.setdefault(pair.old, set()).add(found)
        assignments = ", ".join(f"{beside_values(q(n))} = {self.mark(pair.column(n), side)}" for n in cells)
        self.run(
            pair, f"UPDATE {beside_values(table)} SET {assignments} WHERE {self.where(pair)}", [*cells.values(), *found]
        )

    def remove(self, pair: Pair, side: str, table: str) -> None:
        found = self.some_key(pair, table)
        if found:
            self.run(pair, f"DELETE FROM {beside_values(table)} WHERE {self.where(pair)}", [*found])

    def empty(self, pair: Pair, side: str, table: str) -> None:
        outside = {d.kind for d in (*self.world.dependents, *self.world.later)} & {"key", "partitioned"}
        between = any(c.reference and c.reference.between for p in self.world.pairs for c in p.columns)
        if self.dice.chance(30) and not outside and not between:
            self.connection.execute(f"TRUNCATE {q('public', pair.table(side))}")  # type: ignore[call-overload]
            self.told.append(f"TRUNCATE {pair.table(side)}")

    # --- with which values ---

    def cells(self, pair: Pair, side: str, number: int) -> Iterator[tuple[str, str | None]]:
        for column in pair.side(side):
            if column.name in pair.key or column.generated or column.name == pair.changed_at:
                continue
            yield column.name, self.cell(pair, column, side, number)

    def cell(self, pair: Pair, column: Column, side: str, number: int) -> str | None:
        if column.unique:
            return str(number)
        if column.name in pair.excluded:
            return f"[{number * 10},{number * 10 + 5})"
        if not column.not_null and not column.old_check and self.dice.chance(15):
            return None
        if column.old and column.new and column.old != column.new:
            return self.dice.pick(column.values or CHANGES[column.new, column.old])
        if column.reference and column.reference.between:
            return self.some_cell(column, side)
        if column.reference:
            there = {"uuid": roles.USERS, "integer": ["1", "2", "3", "4"], "text": roles.CODES}[column.kind]
            return self.dice.pick(there)
        return self.dice.pick(column.values or KINDS[column.kind].values)

    def some_cell(self, column: Column, side: str) -> str | None:
        """A key of the pair that the column refers to, as it is just now."""
        reference = column.reference
        assert reference is not None
        name, table = q(reference.column), q(*reference.target(side))
        found = self.connection.execute(f"SELECT {name}::text FROM {table} ORDER BY 1").fetchall()  # type: ignore[call-overload]
        return self.dice.pick([None, *(value for (value,) in found)])

    @staticmethod
    def mark(column: Column, side: str) -> str:
        """A value goes in as one of the new table's, also where the old one is written: it must come back."""
        through = f"::{column.type('new')}" if column.new and side == "old" else ""
        return f"%s::text{through}::{column.type(side)}"

    # --- on which rows ---

    def some_key(self, pair: Pair, table: str) -> Key | None:
        keys = ", ".join(f"{q(k)}::text" for k in pair.key)
        found = self.connection.execute(f"SELECT {keys} FROM {table} ORDER BY {keys}").fetchall()  # type: ignore[call-overload]
        return tuple(self.dice.pick(found)) if found else None

    @staticmethod
    def where(pair: Pair) -> str:
        return " AND ".join(f"{beside_values(q(k))}::text = %s" for k in pair.key)

    def run(self, pair: Pair, statement: str, given: list[str | None]) -> None:
        keys = beside_values(", ".join(f"{q(k)}::text" for k in pair.key))
        self.told.append(f"{statement} {given}")
        self.connection.execute("SET search_path = pg_catalog, public")
        for row in self.connection.execute(f"{statement} RETURNING {keys}", given).fetchall():  # type: ignore[call-overload]
            self.touched.setdefault(pair.old, set()).add(tuple(row))
