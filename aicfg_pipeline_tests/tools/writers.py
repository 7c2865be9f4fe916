"""Writers that never stop: threads that write and read through the old names, whatever lies behind them just then.

Each thread owns its rows (and one column of the settings row), so it knows at any time exactly what they must hold.
`verify` holds the database against that, value by value. How a rollback runs meanwhile is the tests' business.
"""

from __future__ import annotations

import random
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import psycopg

OLD_PROMPTS = "org_prompt_engineering"
NEW_PROMPTS = "ai_cfg_org_prompts"
OLD_SETTINGS = "sys_rag"

# What a writer writes of a prompts row. Neither the users' columns (they differ between table and view) nor the times
# (the server's) are among them.
COLUMNS = (
    *("org_id", "policy_mission_type", "custom_system_prompt", "custom_context_prompt", "citation_style"),
    *("include_page_numbers", "response_tone", "org_system_prompt"),
)
# One column of the single settings row for each thread: they write the same row, and still know what it holds.
SETTINGS_COLUMNS = (
    *("max_chunk_size_tokens", "min_chunk_size_tokens", "max_search_results_global", "max_context_tokens_global"),
    *("processing_timeout_minutes", "max_concurrent_jobs_global", "backup_retention_days", "max_embedding_batch_size"),
    "embedding_cache_ttl_hours",
)
TEXTS = (
    "plain",
    "",
    None,
    "О'Брайен — «ё»",
    "עברית",
    "العربية",
    "नमस्ते",
    "漢字かな",
    "한글",
    "👩🏽‍💻",
    'back\\slash "q" \n\t%s {x}',
)
MOST_ERRORS = 1000
UNDEFINED_TABLE = "42P01"
AVOID_SECONDS = 0.5  # a name that is not there is not tried again at once

Row = tuple[Any, ...]


@dataclass(frozen=True)
class WriterError:
    """A statement that failed, or an answer that was wrong."""

    thread: int
    sqlstate: str | None
    message: str
    statement: str
    at: float  # time.time()


@dataclass(frozen=True)
class Acknowledged:
    """A write that the server has confirmed."""

    thread: int
    kind: str  # insert, update, exchange, delete, delete_org, settings
    keys: tuple[object, ...]  # prompts ids, or the settings column
    at: float
    milliseconds: float


@dataclass(frozen=True)
class Oddity:
    """A row that is not as the acknowledged writes left it."""

    kind: str  # lost, resurrected, odd
    key: object
    expected: object
    found: object


@dataclass
class _Model:
    """What one thread knows: each row's content, or contents where a connection broke before the answer came."""

    rows: dict[uuid.UUID, tuple[Row | None, ...]] = field(default_factory=dict)
    live: dict[uuid.UUID, Row] = field(default_factory=dict)  # of those, the rows that are there for certain
    setting: tuple[int, ...] = ()
    orgs: list[uuid.UUID] = field(default_factory=list)  # spare organisations, without a prompts row


class Writers:
    """Context manager: `threads` writers on the database at `url` until the block ends.

    `pause` is what each waits between two writes, in seconds. `rows` is how many rows each tries to have. With
    `both_names` they use the new table's name too, while there is one.
    """

    def __init__(
        self,
        url: str,
        threads: int = 4,
        *,
        pause: float = 0.0,
        rows: int = 30,
        seed: int = 0,
        both_names: bool = False,
    ) -> None:
        assert threads <= len(SETTINGS_COLUMNS), "each thread needs a settings column of its own"
        self.token = uuid.uuid4().hex[:12]
        self.errors: list[WriterError] = []
        self.journal: list[Acknowledged] = []
        self.statements = 0
        self.longest_wait_ms = 0.0
        self.longest_statement = ""
        self.both_names = both_names
        self._stop = threading.Event()
        self._guard = threading.Lock()
        self._writers = [_Writer(self, url, number, pause, rows, seed) for number in range(threads)]

    @property
    def acknowledged(self) -> int:
        """How many writes the server has confirmed so far."""
        return len(self.journal)

    def __enter__(self) -> Writers:
        for writer in self._writers:
            writer.start()
        try:
            # A test that is faster than the writers would prove nothing: each has written before the block begins.
            self.wait_for(len(self._writers) * 5)
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop writing; the statements under way come to their end."""
        self._stop.set()
        for writer in self._writers:
            writer.join(timeout=60)
        assert not any(writer.is_alive() for writer in self._writers), "a writer is stuck in a statement"

    def wait_for(self, more: int, seconds: float = 30) -> None:
        """Wait until `more` further writes have been acknowledged."""
        wanted, deadline = self.acknowledged + more, time.monotonic() + seconds
        while self.acknowledged < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(
                    f"the writers got {self.acknowledged} of {wanted} writes done; errors: {self.errors[:3]}"
                )
            time.sleep(0.002)

    def verify(
        self, connection: psycopg.Connection, prompts: str = OLD_PROMPTS, settings: str = OLD_SETTINGS
    ) -> list[Oddity]:
        """Return every row that is not as the acknowledged writes left it; call it after the block."""
        listed = ", ".join(COLUMNS)
        # By the token and not by the keys: what was deleted must not be there, and nothing twice.
        found: dict[uuid.UUID, list[Row]] = {}
        query = f"SELECT id, {listed} FROM {prompts} WHERE custom_context_prompt LIKE %s"
        for key, *row in connection.execute(query, (f"{self.token}:%",)):
            found.setdefault(key, []).append(tuple(row))
        expected = {key: rows for writer in self._writers for key, rows in writer.model.rows.items()}
        odd = [
            oddity
            for key in sorted(expected.keys() | found.keys(), key=str)
            if (oddity := _compared(key, expected.get(key, (None,)), found.get(key, [])))
        ]
        return odd + self._verify_settings(connection, settings)

    def _verify_settings(self, connection: psycopg.Connection, settings: str) -> list[Oddity]:
        query = f"SELECT {', '.join(SETTINGS_COLUMNS)} FROM {settings}"
        rows = connection.execute(query).fetchall()
        if len(rows) != 1:
            return [Oddity("odd", settings, "one row", f"{len(rows)} rows")]
        return [
            Oddity("odd", f"{settings}.{SETTINGS_COLUMNS[w.number]}", w.model.setting, rows[0][w.number])
            for w in self._writers
            if w.model.setting and rows[0][w.number] not in w.model.setting
        ]


def _compared(key: uuid.UUID, expected: tuple[Row | None, ...], found: list[Row]) -> Oddity | None:
    if len(found) > 1 or (found and found[0] not in expected):
        kind = "resurrected" if expected == (None,) else "odd"
        return Oddity(kind, key, expected, found)
    return None if found or None in expected else Oddity("lost", key, expected, None)


class _Writer(threading.Thread):
    def __init__(self, owner: Writers, url: str, number: int, pause: float, rows: int, seed: int) -> None:
        super().__init__(name=f"writer-{number}", daemon=True)
        self.owner, self.url, self.number, self.pause, self.most_rows = owner, url, number, pause, rows
        self.random = random.Random(f"{seed}/{number}")
        self.model = _Model()
        self.connection: psycopg.Connection | None = None
        self.statement = ""
        self.version = 0
        self.prompts = OLD_PROMPTS
        self.new_name_again = 0.0  # time.monotonic()

    def run(self) -> None:
        while not self.owner._stop.is_set():
            work = self._choose()
            self.prompts = self._name_to_use()
            try:
                work()
            except Exception as error:
                self._failed(error)
            if self.pause:
                self.owner._stop.wait(self.pause)
        if self.connection is not None:
            self.connection.close()

    # --- what to do next ---

    def _name_to_use(self) -> str:
        """Return by which name the prompts are written this time."""
        if not self.owner.both_names or time.monotonic() < self.new_name_again:
            return OLD_PROMPTS
        return self.random.choice((OLD_PROMPTS, NEW_PROMPTS))

    def _choose(self) -> Callable[[], None]:
        many = len(self.model.live) >= self.most_rows
        if len(self.model.live) < 3:
            return self._insert
        choices = (
            self._update,
            self._update,
            self._read,
            self._settings,
            self._exchange,
            self._delete,
            self._delete_org,
        )
        weights = (4, 3, 3, 2, 1, 1 if many else 0, 1, 0 if many else 4)
        return self.random.choices((*choices, self._insert), weights)[0]

    def _row(self, org_id: uuid.UUID) -> Row:
        self.version += 1
        pick = self.random.choice
        long = (
            "long " * 1200 + uuid.UUID(int=self.random.getrandbits(128)).hex if self.version % 9 == 0 else pick(TEXTS)
        )
        return (
            *(org_id, pick(("research", "compliance", None)), long),
            f"{self.owner.token}:{self.number}:{self.version}",  # never twice: an older version can't pass for this one
            *(pick(("inline", "none")), pick((True, False)), pick(("casual", "simple", None)), pick(TEXTS)),
        )

    def _any_row(self) -> tuple[uuid.UUID, Row]:
        return self.random.choice(list(self.model.live.items()))

    # --- the writes: each says what it is about to do to the model, does it, and notes the answer ---

    def _insert(self) -> None:
        """Insert a prompts row, half of the time in one transaction with its organisation."""
        key = self._new_uuid()
        if self.model.orgs and self.random.random() < 0.5:
            row = self._row(self.model.orgs.pop())
            self._write("insert", {key: row}, lambda: self._insert_row(key, row))
            return
        row = self._row(self._new_uuid())

        def both() -> None:
            self._execute("BEGIN")
            self._insert_org(row[0])
            self._insert_row(key, row)
            self._execute("COMMIT")

        self._write("insert", {key: row}, both)

    def _update(self) -> None:
        key, before = self._any_row()
        row = self._row(before[0])
        self._write("update", {key: row}, lambda: self._update_row(key, row))

    def _exchange(self) -> None:
        """Move a row to a spare organisation and another row to the one just given up: the unique value wanders."""
        if not self.model.orgs:
            spare = self._new_uuid()
            self._write("insert", {}, lambda: self._insert_org(spare))
            self.model.orgs.append(spare)
        (first, before_first), (second, before_second) = self.random.sample(list(self.model.live.items()), 2)
        spare = self.model.orgs.pop()
        moved = self._row(spare)
        self._write("exchange", {first: moved}, lambda: self._update_row(first, moved))
        follows = self._row(before_first[0])
        self._write("exchange", {second: follows}, lambda: self._update_row(second, follows))
        self.model.orgs.append(before_second[0])

    def _delete(self) -> None:
        key, before = self._any_row()
        self._write("delete", {key: None}, lambda: self._one(f"DELETE FROM {self.prompts} WHERE id = %s", (key,)))
        self.model.orgs.append(before[0])

    def _delete_org(self) -> None:
        """Delete an organisation: its prompts row goes with it, wherever that row is just then."""
        key, before = self._any_row()
        self._write("delete_org", {key: None}, lambda: self._one("DELETE FROM orgs WHERE id = %s", (before[0],)))

    def _settings(self) -> None:
        column, value = SETTINGS_COLUMNS[self.number], self.random.randrange(1, 2_000_000_000)
        before = self.model.setting
        self.model.setting = (*before, value)
        started = time.monotonic()
        try:
            self._one(f"UPDATE {OLD_SETTINGS} SET {column} = %s", (value,))
        except psycopg.Error:
            self._restore_setting(before)
            raise
        self.model.setting = (value,)
        self._acknowledge("settings", (column,), started)

    def _restore_setting(self, before: tuple[int, ...]) -> None:
        # Before the very first write the column's value is not known: an empty model matches anything.
        if not self._broken():
            self.model.setting = before
        elif not before:
            self.model.setting = ()

    def _read(self) -> None:
        """Read one's own row back: right after a swap of names too it must be what was written last."""
        key, written = self._any_row()
        rows = self._execute(f"SELECT {', '.join(COLUMNS)} FROM {self.prompts} WHERE id = %s", (key,)).fetchall()
        if rows != [written]:
            self._note("wrong_answer", f"read {rows!r}, wrote {written!r}")

    # --- how ---

    def _write(self, kind: str, changes: dict[uuid.UUID, Row | None], do: Callable[[], None]) -> None:
        before = {key: self.model.rows.get(key, (None,)) for key in changes}
        started = time.monotonic()
        try:
            do()
        except psycopg.Error:
            self._roll_back()
            if self._broken():  # it may have been committed or not: both are right
                for key, row in changes.items():
                    self.model.rows[key] = (*before[key], row)
                    self.model.live.pop(key, None)
            raise
        for key, row in changes.items():
            self.model.rows[key] = (row,)
            if row is None:
                self.model.live.pop(key, None)
            else:
                self.model.live[key] = row
        self._acknowledge(kind, tuple(changes), started)

    def _acknowledge(self, kind: str, keys: tuple[object, ...], started: float) -> None:
        took = (time.monotonic() - started) * 1000
        self.owner.journal.append(Acknowledged(self.number, kind, keys, time.time(), took))

    def _insert_org(self, org_id: uuid.UUID) -> None:
        self._one("INSERT INTO orgs (id, name) VALUES (%s, %s)", (org_id, f"{self.owner.token} {org_id}"))

    def _insert_row(self, key: uuid.UUID, row: Row) -> None:
        marks = ", ".join(["%s"] * (1 + len(COLUMNS)))
        self._one(f"INSERT INTO {self.prompts} (id, {', '.join(COLUMNS)}) VALUES ({marks})", (key, *row))

    def _update_row(self, key: uuid.UUID, row: Row) -> None:
        assignments = ", ".join(f"{column} = %s" for column in COLUMNS)
        self._one(f"UPDATE {self.prompts} SET {assignments} WHERE id = %s", (*row, key))

    def _one(self, statement: str, params: tuple[object, ...]) -> None:
        cursor = self._execute(statement, params)
        if cursor.rowcount != 1:
            self._note("wrong_answer", f"{cursor.rowcount} rows instead of 1")

    def _execute(self, statement: str, params: tuple[object, ...] | None = None) -> psycopg.Cursor[Any]:
        if self.connection is None or self.connection.closed:
            self.connection = None  # if the next line fails, nothing was sent
            # No prepared statements: behind a swapped name they fail once, which is known and not what is tested.
            self.connection = psycopg.connect(self.url, autocommit=True, prepare_threshold=None)
        self.statement = statement
        started = time.monotonic()
        try:
            return self.connection.execute(statement, params)
        finally:
            took = (time.monotonic() - started) * 1000
            with self.owner._guard:
                self.owner.statements += 1
                if took > self.owner.longest_wait_ms:
                    self.owner.longest_wait_ms, self.owner.longest_statement = took, statement

    def _broken(self) -> bool:
        return self.connection is not None and self.connection.closed

    def _roll_back(self) -> None:
        if self.connection is not None and not self.connection.closed:
            try:
                self.connection.execute("ROLLBACK")
            except psycopg.Error:
                self.connection.close()

    def _failed(self, error: Exception) -> None:
        if getattr(error, "sqlstate", None) == UNDEFINED_TABLE and self.prompts == NEW_PROMPTS:
            self.new_name_again = time.monotonic() + AVOID_SECONDS  # rolled back: only the old name is left
            return
        self._note(getattr(error, "sqlstate", None), f"{type(error).__name__}: {error}")
        self.owner._stop.wait(0.01)  # a database that is gone must not be hammered

    def _note(self, sqlstate: str | None, message: str) -> None:
        if len(self.owner.errors) < MOST_ERRORS or sqlstate == "wrong_answer":
            self.owner.errors.append(WriterError(self.number, sqlstate, message, self.statement, time.time()))

    def _new_uuid(self) -> uuid.UUID:
        return uuid.uuid4()
