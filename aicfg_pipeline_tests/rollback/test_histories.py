"""Random histories, each against a plain model: whatever is done in whatever order, the rows are as it says.

Migrate, write through either name, copy, roll back, undo, drop, be killed. The model is a dictionary and knows nothing
of SQL; a history is made from its number, so that a failure can be run again. Thirty are run; a hundred with everything.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest

from aicfg_pipeline.embedded.database import fill_demo
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline_tests.tools.everything import EVERYTHING
from aicfg_pipeline_tests.tools.kills import counting, survived
from aicfg_pipeline_tests.tools.migration import migrate_forward, running
from aicfg_pipeline_tests.tools.servers import Database, Server

HISTORIES, TOGETHER, STEPS = (100 if EVERYTHING else 30), 3, 5
OLD, NEW = "org_prompt_engineering", "ai_cfg_org_prompts"
USERS = [uuid.UUID(int=n) for n in range(1, 7)]
ORGS = [uuid.UUID(int=n) for n in range(101, 109)]
KEYS = [uuid.UUID(int=n) for n in range(201, 207)]


@dataclass
class Row:
    """A prompts row under either name: `configured` is the old table's, `created` and `updated` the new one's."""

    org: uuid.UUID
    text: str
    at: Any
    configured: uuid.UUID | None = None
    created: uuid.UUID | None = None
    updated: uuid.UUID | None = None


@dataclass
class Model:
    """What the database must hold. `parked` is what the parked table had for each key; `written` the keys since."""

    new: bool = True
    rows: dict[uuid.UUID, Row] = field(default_factory=dict)
    parked: dict[uuid.UUID, Row] | None = None
    written: set[uuid.UUID] = field(default_factory=set)
    users: list[uuid.UUID] = field(default_factory=lambda: list(USERS))
    orgs: list[uuid.UUID] = field(default_factory=lambda: list(ORGS))
    setting: tuple[int, uuid.UUID | None] = (2000, None)

    # --- what the engine does to rows ---

    def rolled_back(self) -> None:
        self.parked = {k: Row(r.org, r.text, r.at, None, r.created, r.updated) for k, r in self.rows.items()}
        self.written, self.new = set(), False
        for row in self.rows.values():
            row.configured = row.updated or row.created

    def undone(self) -> None:
        assert self.parked is not None
        for key, row in self.rows.items():
            was = self.parked.get(key)
            row.created = was.created if was and (was.created in self.users or not was.created) else row.configured
            row.updated = row.configured if key in self.written or not was else was.updated
        self.parked, self.new = None, True

    def dropped(self) -> None:
        self.parked = None

    def migrated(self) -> None:
        self.new = True
        for row in self.rows.values():
            row.created = row.updated = row.configured

    # --- who refers to whom, in the tables that are in use ---

    def refers_to(self, user: uuid.UUID) -> bool:
        people = [(r.created, r.updated) if self.new else (r.configured,) for r in self.rows.values()]
        return user == self.setting[1] or any(user in p for p in people)


class History:
    """One history on one database."""

    def __init__(self, number: int, database: Database, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.dice = random.Random(number)
        self.database, self.folder, self.monkeypatch = database, folder, monkeypatch
        self.connection = database.connect()
        self.model = Model()
        self.told: list[str] = []

    def run(self) -> None:
        for _ in range(STEPS):
            self.step()
            self.agrees()
        after = self.undoing if self.model.parked is not None else self.migrating
        self.act(self.rolling_back if self.model.new else after)  # the way back from wherever it has led
        self.agrees()

    def step(self) -> None:
        for _ in range(self.dice.randrange(4)):
            self.write()
        possible = [self.copying, self.rolling_back] if self.model.new else [self.migrating]
        if self.model.parked is not None:
            possible = [self.undoing, self.undoing, self.dropping]
        self.act(self.dice.choice([*possible, self.rolling_back]))

    def agrees(self) -> None:
        found = dict(self.everything())
        predicted = {k: self.seen(r) for k, r in self.model.rows.items()}
        assert found == predicted, "\n".join(self.told)
        setting = self.connection.execute("SELECT max_chunk_size_tokens, updated_by FROM sys_rag").fetchall()
        assert setting == [self.model.setting], "\n".join(self.told)

    def seen(self, row: Row) -> tuple[object, ...]:
        people = (row.created, row.updated) if self.model.new else (row.configured,)
        return (row.org, row.text, row.at, *people)

    def everything(self) -> Iterator[tuple[uuid.UUID, tuple[object, ...]]]:
        people = "created_by, updated_by" if self.model.new else "configured_by"
        for key, *row in self.connection.execute(
            f"SELECT id, org_id, custom_system_prompt, updated_at, {people} FROM {OLD}"
        ):
            yield key, tuple(row)

    # --- the engine ---

    def act(self, action: Callable[[Run], None]) -> None:
        """Do it; every third time it is killed somewhere on the way, and what it came to is looked up."""
        kill_after = self.dice.randrange(1, 120) if self.dice.random() < 0.34 else None
        self.told.append(f"{action.__name__}{f', killed after {kill_after}' if kill_after else ''}")
        before = self.swaps()
        with ExitStack() as stack:
            if kill_after:
                stack.enter_context(counting(self.database, self.monkeypatch, kill_after=kill_after))
                stack.enter_context(survived())
            action(stack.enter_context(running(self.database.url)))
        for step in self.swaps()[len(before) :]:
            {
                "cut_over": self.model.rolled_back,
                "undo": self.model.undone,
                "drop": self.model.dropped,
                "migrate": self.model.migrated,
            }[step]()

    def swaps(self) -> list[str]:
        query = (
            "SELECT step FROM aicfg_rollback.ledger WHERE outcome = 'done' AND pair = %s AND step <> 'run' ORDER BY id"
        )
        return [s for (s,) in self.connection.execute(query, (OLD,))]

    def copying(self, run: Run) -> None:
        copy_back(run, OLD)

    def rolling_back(self, run: Run) -> None:
        for pair in run.migration.pairs:
            copy_back(run, pair.old)
        compare(run)
        cut_over(run)

    def undoing(self, run: Run) -> None:
        undo_rollback(run)

    def dropping(self, run: Run) -> None:
        drop_new_tables(run, Folder(self.folder), [], before_retention_ends=True)

    def migrating(self, run: Run) -> None:
        migrate(run)

    # --- writes ---

    def write(self) -> None:
        writes = (self.put, self.put, self.put, self.change, self.change, self.remove, self.rename, self.set_setting)
        self.dice.choice((*writes, self.remove_user, self.remove_org, self.empty))()

    @property
    def table(self) -> str:
        return self.dice.choice((OLD, NEW)) if self.model.new else OLD

    def person(self) -> uuid.UUID | None:
        return self.dice.choice([None, *self.model.users, *self.model.users])

    def people(self, row: Row) -> dict[str, object]:
        if self.model.new:
            row.created, row.updated = self.person(), self.person()
            return {"created_by": row.created, "updated_by": row.updated}
        row.configured = self.person()
        return {"configured_by": row.configured}

    def put(self) -> None:
        free = [o for o in self.model.orgs if o not in {r.org for r in self.model.rows.values()}]
        keys = [k for k in KEYS if k not in self.model.rows]
        if not free or not keys:
            return
        key, row = self.dice.choice(keys), Row(self.dice.choice(free), f"put {self.dice.random()}", None)
        values = {"id": key, "org_id": row.org, "custom_system_prompt": row.text, **self.people(row)}
        names, marks = ", ".join(values), ", ".join(["%s"] * len(values))
        query = f"INSERT INTO {self.table} ({names}) VALUES ({marks}) RETURNING updated_at"
        row.at = self.ask(query, values.values())[0][0]
        self.model.rows[key] = row
        self.model.written.add(key)

    def change(self) -> None:
        if self.model.rows:
            key, row = self.dice.choice(sorted(self.model.rows.items(), key=lambda item: item[0]))
            row.text = f"change {self.dice.random()}"
            values = {"custom_system_prompt": row.text, **(self.people(row) if self.dice.random() < 0.6 else {})}
            self.update(key, row, values)

    def update(self, key: uuid.UUID, row: Row, values: dict[str, object]) -> None:
        assignments = ", ".join(f"{name} = %s" for name in values)
        query = f"UPDATE {self.table} SET {assignments} WHERE id = %s RETURNING updated_at"
        row.at = self.ask(query, [*values.values(), key])[0][0]
        self.model.written.add(key)

    def rename(self) -> None:
        """The key itself changes; and an organisation is given on from one row to another."""
        keys = [k for k in KEYS if k not in self.model.rows]
        if self.model.rows and keys:
            key = self.dice.choice(sorted(self.model.rows))
            fresh, row = self.dice.choice(keys), self.model.rows.pop(key)
            self.update(key, row, {"id": fresh})
            self.model.rows[fresh] = row
            self.model.written.add(fresh)

    def remove(self) -> None:
        if self.model.rows:
            key = self.dice.choice(sorted(self.model.rows))
            self.ask(f"DELETE FROM {self.table} WHERE id = %s RETURNING id", [key])
            del self.model.rows[key]
            self.model.written.add(key)

    def remove_org(self) -> None:
        org = self.dice.choice(self.model.orgs)
        if len(self.model.orgs) > 4:
            self.ask("DELETE FROM orgs WHERE id = %s RETURNING id", [org])
            self.model.orgs.remove(org)
            gone = {k for k, r in self.model.rows.items() if r.org == org}
            self.model.rows = {k: r for k, r in self.model.rows.items() if k not in gone}
            self.model.written |= gone

    def remove_user(self) -> None:
        """It goes exactly when nothing in use refers to it, whatever a parked table still holds."""
        user = self.dice.choice(self.model.users)
        if len(self.model.users) < 4:
            return
        if self.model.refers_to(user):
            with pytest.raises(psycopg.errors.ForeignKeyViolation):
                self.ask("DELETE FROM auth.users WHERE id = %s RETURNING id", [user])
            self.told.append("  and it was refused")
            return
        self.ask("DELETE FROM auth.users WHERE id = %s RETURNING id", [user])
        self.model.users.remove(user)

    def set_setting(self) -> None:
        self.model.setting = (self.dice.randrange(200, 9000), self.person())
        query = "UPDATE sys_rag SET max_chunk_size_tokens = %s, updated_by = %s RETURNING id"
        self.ask(query, self.model.setting)

    def empty(self) -> None:
        if self.dice.random() < 0.3:
            self.told.append("truncate")
            self.connection.execute(f"TRUNCATE {NEW if self.model.new else OLD}")
            self.model.written |= self.model.rows.keys()
            if self.model.parked is not None:
                self.model.written |= self.model.parked.keys()
            self.model.rows.clear()

    def ask(self, query: str, values: Any) -> list[tuple[Any, ...]]:
        values = list(values)
        self.told.append(f"  {query} {[str(v) for v in values]}")
        found = self.connection.execute(query, values).fetchall()
        assert len(found) == 1
        return found


def fill(database: Database) -> None:
    """No prompts yet; users and organisations of the model's own."""
    fill_demo(database.admin_url, database.url, organisations=1)
    with psycopg.connect(database.admin_url) as connection:
        connection.execute(f"TRUNCATE {OLD}; UPDATE sys_rag SET max_chunk_size_tokens = 2000, updated_by = NULL")
        connection.cursor().executemany("INSERT INTO auth.users (id) VALUES (%s)", [(u,) for u in USERS])
        connection.cursor().executemany("INSERT INTO orgs (id, name) VALUES (%s, 'model')", [(o,) for o in ORGS])
    migrate_forward(database.url)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, HISTORIES, TOGETHER))
def test_the_rows_are_as_the_model_predicts(
    first: int, running_server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(first, min(first + TOGETHER, HISTORIES)):
        with running_server.database("history", fill) as database:
            history = History(number, database, tmp_path, monkeypatch)
            history.run()
            history.connection.close()
