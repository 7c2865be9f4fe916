"""What of others goes along with a swap: foreign keys of tables outside, publications, the replica identity.

Each kind is its own module's; here they are put together for all pairs of one swap, whichever way it goes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from psycopg import sql

from aicfg_pipeline.postgres.catalog import Relation
from aicfg_pipeline.postgres.session import Session
from aicfg_pipeline.postgres.statements import ident
from aicfg_pipeline.postgres.wording import counted
from aicfg_pipeline.rollback.ledger import Ledger
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.state import Look, PairState
from aicfg_pipeline.rollback.tables import outside_keys, publications
from aicfg_pipeline.rollback.tables.outside_keys import OutsideKey
from aicfg_pipeline.rollback.tables.publications import Identity, Membership
from aicfg_pipeline.rollback.tables.sources import Way, back_way, forth_way
from aicfg_pipeline.rollback.work import Work
from aicfg_pipeline.spec.model import Pair

MEMBERS = "publications"
"""Under this name the ledger's row of a swap has the publications that were given the other table."""


@dataclass(frozen=True)
class Along:
    """All that refers to the tables that leave, whether it can go along or not."""

    keys: tuple[OutsideKey, ...] = ()
    members: tuple[Membership, ...] = ()
    identities: tuple[Identity, ...] = ()

    @property
    def carried(self) -> Along:
        """Only what can go along."""
        return Along(
            tuple(k for k in self.keys if k.why_not is None),
            tuple(m for m in self.members if m.why_not is None),
            tuple(i for i in self.identities if i.why_not is None),
        )

    @property
    def labels(self) -> set[tuple[str, str]]:
        """Kind and name of each, as `dependents` has them."""
        return {*(("foreign key", k.label) for k in self.keys), *(("publication", m.label) for m in self.members)}

    @property
    def locks(self) -> list[sql.Composable]:
        """What locks the tables of others."""
        return outside_keys.locks(self.keys)

    @property
    def outside(self) -> list[int]:
        """The numbers of the tables of others."""
        return sorted({k.table_oid for k in self.keys})

    @property
    def statements(self) -> list[sql.Composable]:
        """What makes all of them refer to the tables that have come, when those are in their place."""
        return [s for part in (self.identities, self.keys, self.members) for one in part for s in one.statements]

    def facts(self, pair: Pair) -> dict[str, Any]:
        """What the ledger's row of the swap says of one pair; nothing where nothing went along."""
        found = outside_keys.facts(self.keys, pair)
        members = [m.publication for m in self.members if m.pair.old == pair.old]
        named = {i.pair.old: {"kind": i.kind, "index": i.named} for i in self.identities}
        found |= {MEMBERS: members} if members else {}
        return found | ({publications.IDENTITY: named[pair.old]} if pair.old in named else {})

    def validating(self, step: str) -> Iterator[Work]:
        """Yield what is done after the swap, while nobody waits."""
        yield from (k.validating(step) for k in self.keys if k.held)


def find_along(
    session: Session,
    book: Ledger,
    going: Sequence[tuple[Way, tuple[str, str]]],
    ours: Sequence[int],
    left: sql.Composable | None = None,
) -> Along:
    """Look at what refers to the sources of these ways; each with the place, schema and name, where its target will be.

    `left` is where the source is then, if it is not parked.
    """
    keys, members, identities = list[OutsideKey](), list[Membership](), list[Identity]()
    for way, place in going:
        keys += outside_keys.find_outside_keys(session, book, way, place, ours)
        members += publications.find_memberships(session, way, place, left)
        identity = publications.find_identity(session, way, place)
        identities += [identity] if identity else []
    return Along(tuple(keys), tuple(members), tuple(identities))


def settle_outside(run: Run, step: str, in_use: Sequence[tuple[Pair, int]]) -> dict[str, list[str]]:
    """Validate the keys that the last swap has moved to the tables in use. Returns their names by pair."""
    book, ours = run.look().ledger, [oid for _, oid in in_use]
    done: dict[str, list[str]] = {}
    for pair, oid in in_use:
        waiting = outside_keys.waiting(run.session, book, pair, oid, ours)
        validated = outside_keys.validate_all(run, step, waiting)
        if validated:
            done[pair.old] = validated
            run.say(f"{pair.old}: {counted(len(validated), 'foreign key')} of other tables validated")
    return done


def along_forth(session: Session, look: Look, states: Sequence[PairState]) -> Along:
    """Look at what refers to the old tables of pairs that are cut over, on its way to the new ones."""
    ways = [(forth_way(session, s.pair, s.old_table, s.parked), (s.old_table.schema, s.pair.new)) for s in states]
    ours = [r.oid for s in states for r in (s.at_old_name, s.private_old, s.private_new) if r is not None]
    return find_along(session, look.ledger, ways, ours)


def along_back(session: Session, look: Look, states: Sequence[PairState], models: Mapping[str, Relation]) -> Along:
    """Look at what refers to the new tables of pairs, on its way to the old ones; `models` are the shadows, or made like them."""
    ways = [
        (back_way(session, s.pair, models[s.pair.old], s.new_table), (s.new_table.schema, s.pair.old)) for s in states
    ]
    ours = [r.oid for s in states for r in (s.at_old_name, s.at_new_name, s.private_old) if r is not None]
    return find_along(session, look.ledger, ways, ours)


def along_forward(session: Session, book: Ledger, way: Way, ours: Sequence[int]) -> Along:
    """Look at what refers to an old table that goes forward; it is where it was until all of that is moved."""
    source = ident(way.source.schema, way.source.name)
    return find_along(session, book, [(way, (way.source.schema, way.pair.new))], ours, source)
