"""A server for the stories: its roles, the template that each database is cloned from, and telling one in a clone.

What makes a story cheap is here too: the engine's second connections are kept open from one look to the next, and what
it asks of the catalog again and again is prepared. Neither changes what it asks, or what it does with the answer.
"""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path

import psycopg

from aicfg_pipeline.embedded.cluster import SUPERUSER
from aicfg_pipeline_tests.generated.roles import BASE, make_roles
from aicfg_pipeline_tests.generated.story import Outcome, Place, Story
from aicfg_pipeline_tests.generated.world import World, q
from aicfg_pipeline_tests.tools.servers import Server, Servers, normalised

TEMPLATE = "gen_base"


class Arena:
    """Stories on one server, each in a database of its own."""

    def __init__(self, server: Server, folder: Path) -> None:
        self.server, self.folder = server, folder
        self.cluster = server.cluster
        self._numbers = itertools.count(1)
        self.maintenance = psycopg.connect(self.cluster.url(SUPERUSER, "postgres"), autocommit=True)
        make_roles(self.maintenance)
        self.maintenance.execute(f"CREATE DATABASE {TEMPLATE}")
        with psycopg.connect(self.cluster.url(SUPERUSER, TEMPLATE), autocommit=True) as connection:
            connection.execute(BASE)  # type: ignore[call-overload]

    def tell(self, world: World) -> Outcome:
        """Tell the story of a world. Raises `Counterexample` or `NotBuilt`."""
        number = next(self._numbers)
        name, folder = f"gen_{number}", self.folder / f"world-{number}"
        self.maintenance.execute(f"CREATE DATABASE {name} TEMPLATE {TEMPLATE}")  # type: ignore[call-overload]
        try:
            return Story(world, self._place(name, number), folder).tell()
        finally:
            self.maintenance.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[call-overload]
            shutil.rmtree(folder, ignore_errors=True)

    def _place(self, name: str, number: int) -> Place:
        def url(role: str | None) -> str:
            return self.cluster.url(role or SUPERUSER, name)

        # pg_dump is a process of its own and half of a story's time: it looks at every fifth
        dump = self._dump if number % 5 == 1 else None
        return Place(name, self.cluster.url(SUPERUSER, name), url, SUPERUSER, dump)

    def _dump(self, name: str) -> str:
        from aicfg_pipeline_tests.tools.servers import Database

        database = Database("", self.cluster.url(SUPERUSER, name), name, self.cluster)
        return normalised(database._dump("--schema-only", "--encoding=UTF8", "--exclude-schema=aicfg_rollback"))

    def close(self) -> None:
        """Close what is open."""
        self.maintenance.close()


@contextlib.contextmanager
def arena(version: int, folder: Path) -> Iterator[Arena]:
    """A server of this version, only for the stories: their roles are of the whole cluster."""
    servers = Servers(folder / "servers")
    (folder / "servers").mkdir(parents=True, exist_ok=True)
    made = Arena(servers.get(version), folder)
    try:
        yield made
    finally:
        made.close()
        servers.stop()


__all__ = ["Arena", "arena", "q"]
