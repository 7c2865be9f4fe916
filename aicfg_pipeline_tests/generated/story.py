"""Takes one world through its story and judges each chapter: plan, rollback, undo, rollback, drop, with writes between.

Either the plan refuses and nothing has changed, or every chapter ends as the witnesses predict.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import psycopg

from aicfg_pipeline.errors import GateError, HazardError, PipelineError
from aicfg_pipeline.rollback import lifecycle
from aicfg_pipeline.rollback.hazards import ACCEPTABLE
from aicfg_pipeline.rollback.lock import release_run_lock, take_run_lock
from aicfg_pipeline.rollback.run import Run, Settings
from aicfg_pipeline.rollback.steps import plan, verify
from aicfg_pipeline.rollback.steps.compare import compare
from aicfg_pipeline.rollback.steps.copy_back import copy_back
from aicfg_pipeline.rollback.steps.cut_over import cut_over
from aicfg_pipeline.rollback.steps.drop import drop_new_tables
from aicfg_pipeline.rollback.steps.undo import undo_rollback
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline_tests.generated import expected, files, prediction, witness
from aicfg_pipeline_tests.generated.building import (
    Built,
    build,
    dependent_statement,
    goes_along,
    login,
    published_along,
)
from aicfg_pipeline_tests.generated.connections import connections
from aicfg_pipeline_tests.generated.dice import Dice
from aicfg_pipeline_tests.generated.values import SECRET
from aicfg_pipeline_tests.generated.witness import Rows
from aicfg_pipeline_tests.generated.world import Pair, World
from aicfg_pipeline_tests.generated.writer import Writer

OURS = "aicfg_rollback"


class Counterexample(AssertionError):
    """Something is not as predicted. `kind` is what counterexamples of one class have in common."""

    def __init__(self, kind: str, told: str) -> None:
        self.kind = kind
        super().__init__(f"{kind}: {told}")


class NotBuilt(Exception):
    """The world can't be built: it says nothing about the pipeline."""


@dataclass
class Outcome:
    """How a story has ended: refused, or whole; the codes of the hazards, what else was refused, which hazards refused it."""

    end: str
    hazards: tuple[str, ...] = ()
    refused: tuple[str, ...] = ()
    blocked: tuple[str, ...] = ()


@dataclass(frozen=True)
class Place:
    """A database to tell a story in, and how to reach it."""

    name: str
    admin_url: str
    url: Callable[[str | None], str]  # role to URL; None is the superuser
    superuser: str
    dump: Callable[[str], str] | None = None


@dataclass
class Seen:
    """Everything outside the private schema at one moment."""

    around: dict[str, Any]
    shapes: dict[str, Any]
    access: set[tuple[str, ...]]
    sequences: dict[str, set[tuple[str, ...]]]
    rows: dict[str, Rows]
    other_rows: list[Any]
    dump: str | None


@dataclass
class Story:
    """One world in one database."""

    world: World
    place: Place
    folder: Path
    said: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    told: set[str] = field(default_factory=set)

    def tell(self) -> Outcome:
        """Tell it from the beginning. Raises `Counterexample`, or `NotBuilt`."""
        files.write(self.world, self.folder / "sql")
        with ExitStack() as opened:
            self.witness = opened.enter_context(witness.connect(self.place.admin_url))
            self.connections = opened.enter_context(connections())
            self.built = self._built()
            self.migration = self._loaded()
            number = int("".join(map(str, self.world.writes)) or "0")
            self.writer = Writer(self.witness, self.world, Dice(random.Random(number)))
            try:
                outcome = self._chapters()
            except PipelineError as error:
                self._no_secret("an error", str(error))
                raise Counterexample(
                    f"{self.chapter}: {type(error).__name__} after a plan that passed: {expected.gist(error)}",
                    str(error),
                ) from error
            except Counterexample:
                raise
            except psycopg.Error as error:
                raise Counterexample(
                    f"{self.chapter}: {type(error).__name__} in the test's own statement", self._history(str(error))
                ) from error
            except Exception as error:
                raise Counterexample(
                    f"{self.chapter}: {type(error).__name__}, which is no error of the pipeline's",
                    self._history(repr(error)),
                ) from error
        return outcome

    def _built(self) -> Built:
        try:
            return build(self.witness, self.world, self.place.name, self.place.superuser)
        except psycopg.Error as error:
            raise NotBuilt(str(error)) from error

    def _loaded(self) -> Any:
        self.chapter = "files"
        try:
            return spec.load(self.folder / "sql")
        except PipelineError as error:
            raise Counterexample("files: the migration's files can't be read", str(error)) from error

    # --- chapters --------------------------------------------------------------------------------------------------

    def _chapters(self) -> Outcome:
        times = [*self.world.writes, 0, 0, 0, 0, 0, 0][:6]
        first = self._look()
        hazards = self._planned(first, again=False)
        if hazards is None:
            return Outcome("refused", tuple(sorted(self.told)), blocked=self.blocked)
        try:
            self._rolled_back(first, times[0] % 4)
        except HazardError as error:  # what was written since the plan is a hazard that nobody has accepted
            self._no_secret("a refusal before the swap", str(error))
            if self.world.accept:
                raise
            self._same(
                first,
                replace(self._look(dump=False), rows=first.rows, around=first.around, shapes=first.shapes),
                "a refusal",
            )
            return Outcome("refused before the swap", tuple(sorted(self.told)))
        except GateError as error:
            self._no_secret("a refusal on the way", str(error))
            if not expected.may_stop_fitting(self.world, error):
                raise
            now = replace(self._look(dump=False), rows=first.rows, around=first.around, shapes=first.shapes)
            self._same(first, now, "a refusal on the way")
            return Outcome("refused on the way", tuple(sorted(self.told)))
        self._write("old", times[1] % 5)
        for dependent in self.world.later:
            self.witness.execute(dependent_statement(self.world.pairs[dependent.pair], dependent, later=True))  # type: ignore[call-overload]
        if self._undone(first, times[5] % 4):
            self._write("new", times[2] % 4)
            second = self._look()
            if self._planned(second, again=True) is None:
                return Outcome("refused again", tuple(sorted(self.told)), tuple(self.refused), self.blocked)
            self._rolled_back(second, times[3] % 4, again=True)
            self._write("old", times[4] % 4)
        self._dropped()
        return Outcome("whole", tuple(sorted(self.told)), tuple(self.refused))

    def _planned(self, before: Seen, *, again: bool) -> Sequence[Any] | None:
        """Plan; None where it refuses. What it refuses must be there, and nothing may have changed."""
        self.chapter = "plan again" if again else "plan"
        self.lossless = {p.old: prediction.same_there_and_back(self.witness, p) for p in self.world.pairs}
        with self._run(lock=False) as run:
            found = plan.make_plan(run, must_confirm=False)
        for hazard in found.hazards:
            self._no_secret("a hazard", str(hazard))
        self.codes = sorted({h.code for h in found.hazards})
        self.told |= {*self.codes}
        unfounded = [h for h in found.hazards if not expected.may_be(h, self.world, before, self.lossless)]
        if unfounded:
            raise Counterexample(
                f"{self.chapter}: {unfounded[0].code} without a reason", "\n".join(map(str, unfounded))
            )
        # who accepts nothing accepts nothing: a refusal of such a world says which hazards there are, no more
        self.accepted = tuple(sorted(ACCEPTABLE)) if self.world.accept else ()
        self.blocked = tuple(sorted({h.code for h in found.hazards if h.blocks(self.accepted)}))
        try:
            plan.gate(found, self.accepted)
        except HazardError as error:
            self._no_secret("a refusal", str(error))
            if not error.complaints or not error.remedy:
                raise Counterexample("a refusal without what was found and what to do", str(error)) from error
            self._same(before, self._look(), "a plan that refused")
            return None
        for what, codes in expected.must_be(self.world, before, self.lossless).items():
            if not codes & set(self.codes):
                raise Counterexample(
                    f"{self.chapter}: it passes and does not tell of {re.sub(' of .* that| of .* with', ' that', what)}",
                    what,
                )
        self._same(before, self._look(dump=False), "a plan that passed")
        return found.hazards

    def _rolled_back(self, before: Seen, writes: int, *, again: bool = False) -> None:
        self.chapter = "rollback again" if again else "rollback"
        self.merged = {p.old for p in self.world.pairs if self._coexists(p)}
        self.parked: dict[str, Rows] = {}
        with self._run() as run:
            lifecycle.begin(run, "rollback")
            for pair in self.world.pairs:
                copy_back(run, pair.old)
            self._write("new", writes)
            self._closed()
            compare(run)
            predicted: dict[str, Rows] = {}

            def last_moment(how_many: int = writes // 2) -> None:
                self._write("new", how_many)
                for p in self.world.pairs:
                    together = p.old in self.merged
                    predicted[p.old] = (prediction.merged if together else prediction.going_back)(self.witness, p)
                    self.parked[p.old] = witness.rows(self.witness, p, "new")

            last_moment(0)
            run.session.write = last_moment  # type: ignore[attr-defined]
            before.sequences = {p.old: witness.sequence_access(self.witness, p.new) for p in self.world.pairs}
            self.chapter = self.chapter.replace("rollback", "cut over")
            cut_over(run)
            self.chapter = self.chapter.replace("cut over", "verify")
            verify.gate(verify.run_checks(run.session, run.migration), remedy="")
            self.chapter = self.chapter.replace("verify", "rollback")
        self.writer.touched.clear()
        self.since = {p.old: witness.rows(self.witness, p, "old") for p in self.world.pairs}
        for pair in self.world.pairs:
            self._equal(f"{self.chapter}: rows of the old table", predicted[pair.old], self.since[pair.old])
            self._restored(pair, before)
        self._closed()
        self._neighbours(before)
        self._followed(before)

    def _undone(self, first: Seen, how_many: int) -> bool:
        """Undo; False where it refuses for a reason, and nothing has changed then."""
        self.chapter = "undo"
        before = self._look(dump=False)
        predicted: dict[str, Rows] = {}

        def last_moment(how_many: int = how_many // 2) -> None:
            self._write("old", how_many)
            if how_many:
                before.rows = self._look(dump=False).rows
            for p in self.world.pairs:
                touched = self.writer.touched.get(p.old, set())
                predicted[p.old] = prediction.undone(self.witness, p, self.parked[p.old], touched, self.since[p.old])

        last_moment(0)
        lossless = {p.old: prediction.same_there_and_back(self.witness, p, "old", "new") for p in self.world.pairs}
        try:
            with self._run() as run:
                lifecycle.begin(run, "undo_rollback")
                run.session.write = last_moment  # type: ignore[attr-defined]
                undo_rollback(run)
                verify.run_checks(run.session, run.migration)
                lifecycle.finish(run, {})
        except PipelineError as error:
            self._no_secret("an undo's refusal", str(error))
            if not expected.undo_may_refuse(self.world, lossless, self.writer):
                raise
            self.refused.append(f"undo: {expected.gist(error)}")
            self._same(before, self._look(dump=False), "an undo that refused")
            return False
        for pair in self.world.pairs:
            if pair.old not in self.merged:
                self._equal("undo: rows of the new table", predicted[pair.old], witness.rows(self.witness, pair, "new"))
        now = self._look()
        now.rows = first.rows
        if self.world.later:  # accepted: what was made since goes on pointing at the old table, which is kept for it
            return True
        if not self.merged:
            self._same(first, now, "an undo")
        self._nothing_left("undo")
        return True

    def _dropped(self) -> None:
        self.chapter = "drop"
        before = {p.old: witness.rows(self.witness, p, "old") for p in self.world.pairs}
        try:
            with self._run() as run:
                lifecycle.begin(run, "drop_new_tables")
                checks = verify.run_checks(run.session, run.migration)
                drop_new_tables(run, Folder(self.folder / "exports"), checks, before_retention_ends=True)
                lifecycle.finish(run, {})
        except PipelineError as error:
            stays = [d for d in self.world.dependents if not goes_along(self.world.pairs[d.pair], d)]
            published = self.world.publication in ("columns", "filter") and not published_along(self.world)
            if not stays and not self.world.later and not published:
                raise
            self._no_secret("a drop's refusal", str(error))
            self.refused.append(f"drop: {expected.gist(error)}")
            return
        for pair in self.world.pairs:
            self._equal("drop: rows of the old table", before[pair.old], witness.rows(self.witness, pair, "old"))
            found = witness.shape(self.witness, pair.old)
            self._equal("drop: the old table", _comparable(self._wanted(pair), pair), _comparable(found, pair))
        self._nothing_left("drop")
        self._write("old", 2)

    # --- what is judged --------------------------------------------------------------------------------------------

    def _wanted(self, pair: Pair) -> dict[str, Any]:
        """The old table as its file makes it, with the new table's replica identity where the file says none."""
        made = self.built.old_shape[pair.old]
        return {**made, "replica_identity": "f" if pair.new_identity == "FULL" else made["replica_identity"]}

    def _followed(self, before: Seen) -> None:
        """Keys from outside and publications refer to the old table now, and are what they were in every other way."""
        now = witness.around(self.witness)
        for dependent in self.world.dependents:
            pair = self.world.pairs[dependent.pair]
            if goes_along(pair, dependent):
                found = [[k for k in at["keys"] or () if "outside" in k[0]] for at in (before.around, now)]
                wanted = [
                    [t, n, d.replace(self._quoted(pair.new), self._quoted(pair.old)), v] for t, n, d, v in found[0]
                ]
                self._equal(f"{self.chapter}: a key of a table outside", wanted, found[1])
        if published_along(self.world) and not any(everything for _, everything in now["publications"] or ()):
            names = {p.new: p.old for p in self.world.pairs}
            told = [
                {**t, "tablename": names.get(t["tablename"], t["tablename"])} for t in before.around["published"] or ()
            ]
            self._equal(f"{self.chapter}: what is published", _by_name(told), _by_name(now["published"] or ()))

    def _quoted(self, name: str) -> str:
        return str(self.witness.execute("SELECT 'public.' || quote_ident(%s)", (name,)).fetchone()[0])  # type: ignore[index]

    def _restored(self, pair: Pair, before: Seen) -> None:
        """The old table is what its file makes of it; whoever could draw from its sequences still can."""
        found = witness.shape(self.witness, pair.old)
        without_log = {
            **(found or {}),
            "triggers": [t for t in (found or {}).get("triggers") or [] if OURS not in t["definition"]] or None,
        }
        self._equal(
            f"{self.chapter}: the old table",
            _comparable(self._wanted(pair), pair),
            _comparable(without_log, pair),
        )
        access = witness.access(self.witness, [pair.old])
        self._equal(
            f"{self.chapter}: access to the old table", _sorted(self.built.old_access[pair.old]), _sorted(access)
        )
        still = {x[:3] for x in access}
        lost = {a for a in before.access if self._reaches(a, pair, before) and (a[0], pair.old, a[2]) not in still}
        if lost and not set(self.codes) & expected.ACCESS_CODES:
            raise Counterexample(f"{self.chapter}: a role has lost access and no hazard said so", str(sorted(lost)[:5]))
        may_insert = {a[0] for a in access if a[2] == "INSERT"}
        sequences = witness.sequence_access(self.witness, pair.old)
        missing = {s for s in before.sequences[pair.old] if s not in sequences and s[0] in may_insert}
        if missing:
            raise Counterexample(
                f"{self.chapter}: who may insert can't use the sequence any more", str(sorted(missing)[:5])
            )

    @staticmethod
    def _reaches(doing: tuple[str, ...], pair: Pair, before: Seen) -> bool:
        """Say whether someone gets at the rows so: through a view with readers' rights only with the table's too."""
        role, name, privilege = doing[:3]
        invoker = "security_invoker=true" in ((before.shapes[pair.old] or {}).get("options") or ())
        of_rows = privilege in ("SELECT", "INSERT", "UPDATE", "DELETE")  # a view can't be emptied or referred to
        return name == pair.new or (
            name == pair.old and of_rows and (not invoker or (role, pair.new, privilege, "True") in before.access)
        )

    def _neighbours(self, before: Seen) -> None:
        """Nothing else has changed: functions, types, other tables, default privileges, settings."""
        now = witness.around(self.witness)
        for name in ("functions", "types", "schemas", "defaults", "settings", "publications", "prepared"):
            self._equal(f"{self.chapter}: {name} around the tables", before.around[name], now[name])
        names = {n for p in self.world.pairs for n in (p.old, p.new)}
        for name in ("relations", "policies", "extended"):
            mine = [[x for x in found[name] or [] if not _speaks_of(x, names)] for found in (before.around, now)]
            self._equal(f"{self.chapter}: {name} around the tables", *mine)

    def _closed(self) -> None:
        """Shadow, log and ledger are for their owner only, whatever default privileges say."""
        found = witness.open_private(self.witness)
        if found:
            raise Counterexample("the private schema is open to others", str(found[:5]))

    def _nothing_left(self, after: str) -> None:
        found = self.witness.execute(witness.ASKED["left"]).fetchall()
        kept = [f for (f,) in found if not (after == "undo" and f.startswith("superseded") and self._is_told())]
        if kept:
            raise Counterexample(f"{after}: something of the pipeline is left", str(kept))

    def _is_told(self) -> bool:
        """Whether the ledger says of the undo that it has kept a table: its values are nowhere else."""
        told = "SELECT FROM aicfg_rollback.ledger WHERE step = 'undo' AND jsonb_array_length(facts -> 'kept') > 0"
        return self.merged or bool(self.witness.execute(told).fetchall())

    def _same(self, before: Seen, after: Seen, what: str) -> None:
        for name in ("around", "shapes", "access", "sequences", "rows", "other_rows"):
            one, two = getattr(before, name), getattr(after, name)
            self._equal(f"{self.chapter}: {what} has changed {name}", one, two)
        if before.dump is not None and after.dump is not None and before.dump != after.dump:
            raise Counterexample(
                f"{self.chapter}: {what} has changed pg_dump's text",
                _difference(before.dump.splitlines(), after.dump.splitlines()),
            )

    def _equal(self, kind: str, wanted: Any, found: Any) -> None:
        if wanted != found:
            where, told = _first_difference(wanted, found)
            raise Counterexample(f"{kind}{where}", self._history(told))

    def _no_secret(self, what: str, told: str) -> None:
        if SECRET in told:
            raise Counterexample(f"{self.chapter}: {what} tells a value of a row", told)

    def _history(self, told: str) -> str:
        return "\n".join([told, *(f"  wrote: {w[:300]}" for w in self.writer.told)])

    # --- the pieces ------------------------------------------------------------------------------------------------

    def _coexists(self, pair: Pair) -> bool:
        found = self.witness.execute(
            "SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", (_name(pair.old),)
        ).fetchone()
        return bool(found and found[0] in ("r", b"r"))

    def _write(self, side: str, how_many: int) -> None:
        before, self.chapter = self.chapter, f"writing after {self.chapter}"
        self.writer.write(side, how_many)
        self.chapter = before

    def _look(self, *, dump: bool = True) -> Seen:
        w, pairs = self.witness, self.world.pairs
        names = [n for p in pairs for n in (p.old, p.new)]
        others = ["auth.users", "public.orgs", 'public."Ref T"', "public.bystander"]
        return Seen(
            around=witness.around(w),
            shapes={n: witness.shape(w, n) for n in names},
            access=witness.access(w, names),
            sequences={p.old: witness.sequence_access(w, p.new) for p in pairs},
            rows={n: self._rows(p, n) for p in pairs for n in (p.old, p.new)},
            other_rows=[w.execute(f"SELECT t::text FROM {t} t ORDER BY 1").fetchall() for t in others],  # type: ignore[call-overload]
            dump=self.place.dump(self.place.name) if dump and self.place.dump else None,
        )

    def _rows(self, pair: Pair, name: str) -> Rows | None:
        found = self.witness.execute(
            "SELECT relkind FROM pg_class WHERE oid = to_regclass(%s)", (_name(name),)
        ).fetchone()
        if not found or found[0] not in ("r", b"r"):
            return None
        return witness.rows(self.witness, pair, "old" if name == pair.old else "new")

    @contextmanager
    def _run(self, *, lock: bool = True) -> Iterator[Run]:
        session = self.connections.first(self.place.url(login(self.world)))
        said: list[str] = []
        try:
            if lock:
                take_run_lock(session)
            accepted = getattr(self, "accepted", ())
            yield Run(
                session,
                self.migration,
                "generated",
                settings=Settings(accept_hazards=accepted, lock_attempts=5),
                say=said.append,
            )
            for line in said:
                self._no_secret("a line for the person who watches", line)
            if lock:
                self._no_secret(
                    "the ledger",
                    json.dumps([r[0] for r in self.witness.execute("SELECT l::text FROM aicfg_rollback.ledger l")]),
                )
        finally:
            if lock and not session.connection.closed:
                release_run_lock(session)


def _name(name: str) -> str:
    return 'public."' + name.replace('"', '""') + '"'


def _comparable(shape: dict[str, Any] | None, pair: Pair) -> dict[str, Any] | None:
    """Leave out who publishes a table: that is the publication's, and `dependents` tells of it.

    PostgreSQL 18 counts the names it makes for NOT NULL up where a coexisting table of before lies aside.
    """
    if shape is None:
        return None
    made = {**shape, "constraints": [dict(c) for c in shape["constraints"] or ()]}
    for constraint in made["constraints"]:
        if pair.shape == "coexisting" and constraint["definition"].startswith("NOT NULL"):
            constraint["name"] = constraint["name"].rstrip("123456789")
    return {k: v for k, v in made.items() if k != "publications"}


def _speaks_of(found: Any, names: set[str]) -> bool:
    told = json.dumps(found, ensure_ascii=False).replace('\\"', '"').replace('""', '"')
    return any(n in told for n in names) or "outside" in told


def _by_name(found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """In one order, and the columns that are published without theirs: where all are, they are the old table's."""
    return sorted(({k: v for k, v in t.items() if k != "attnames"} for t in found), key=lambda t: str(t["tablename"]))


def _sorted(found: set[tuple[str, ...]]) -> list[tuple[str, ...]]:
    return sorted(found)


def _difference(one: Sequence[str], two: Sequence[str]) -> str:
    gone, come = [x for x in one if x not in set(two)], [x for x in two if x not in set(one)]
    return "\n".join([*(f"- {x}" for x in gone[:12]), *(f"+ {x}" for x in come[:12])])


def _first_difference(wanted: Any, found: Any) -> tuple[str, str]:
    """Return where two values differ, in words that counterexamples of one class have in common, and the difference."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for key in wanted:
            if wanted[key] != found.get(key, "<absent>"):
                inner, told = _first_difference(wanted[key], found.get(key, "<absent>"))
                return (
                    f" ({key}{inner})"
                    if isinstance(key, str) and key.isascii() and key.islower() and len(key) < 14
                    else inner
                ), f"at {key!r}: {told}"
        return " (more than wanted)", f"more than wanted: {[k for k in found if k not in wanted][:3]!r}"
    if isinstance(wanted, (list, set)) and isinstance(found, (list, set)):
        gone, come = [x for x in wanted if x not in found], [x for x in found if x not in wanted]
        if len(gone) == len(come) == 1 and isinstance(gone[0], dict):
            return _first_difference(gone[0], come[0])
        return " (list)", f"missing {gone[:4]!r}; not wanted {come[:4]!r}"
    return "", f"wanted {wanted!r}, found {found!r}"
