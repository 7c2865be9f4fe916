"""Resources: the connection to the target. The URL comes from the environment and is never a field, so the UI, the
run's config and the logs have nothing to hide. Steps and checks do not belong here.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
from dagster import ConfigurableResource, InitResourceContext
from pydantic import Field, PrivateAttr

from aicfg_pipeline.environment import DATABASE_URL
from aicfg_pipeline.orchestration.home import Target, target
from aicfg_pipeline.postgres.session import Session, connect
from aicfg_pipeline.rollback.lock import release_run_lock, take_run_lock
from aicfg_pipeline.spec.model import Instance


def resource(context: Any, instance: Instance, key: str) -> Any:
    """Return a resource of an instance, from the context of an op, a hook, a check or a sensor.

    A sensor that is called directly is given them by their keys, too; it takes them from here all the same.
    """
    return getattr(context.resources, instance.named(key))


class PostgresResource(ConfigurableResource[Any]):
    """The target database. One session a run holds the run lock; it is given back when the run ends."""

    url_variable: str = Field(
        default=DATABASE_URL.name,
        description="Name of the environment variable that holds the target's URL, or the word demo for the embedded"
        " demo. Where that is not set, every job refuses. The URL itself is never shown.",
    )

    _locked: Session | None = PrivateAttr(default=None)

    def target(self) -> Target:
        """Return the database to work on. Raises `ConfigError`."""
        return target(self.url_variable)

    @contextmanager
    def get_connection(self) -> Iterator[psycopg.Connection[Any]]:
        """Yield a connection in autocommit mode, closed at the end. Raises `UnreachableError`."""
        with self.session() as session:
            yield session.connection

    @contextmanager
    def session(self, application_name: str = "aicfg_pipeline") -> Iterator[Session]:
        """Yield a session of its own, closed at the end. Raises `UnreachableError`."""
        session = connect(self.target().url, application_name)
        try:
            yield session
        finally:
            session.close()

    def locked_session(self, application_name: str) -> Session:
        """Return the session that holds the run lock, for the rest of this run. Raises `AlreadyRunningError`."""
        if self._locked is None or self._locked.connection.closed:
            session = connect(self.target().url, application_name)
            try:
                take_run_lock(session)
            except BaseException:
                session.close()
                raise
            self._locked = session
        return self._locked

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Give the run lock back."""
        if self._locked is not None:
            release_run_lock(self._locked)
            self._locked.close()
            self._locked = None
