"""Where things are kept on this machine (`AICFG_HOME`), and which database is the target.

The environment is read when asked, never at import. Nothing is created for a target that was named.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from aicfg_pipeline import environment
from aicfg_pipeline.embedded.database import DEMO_DATABASE, EmbeddedDatabase, ensure_embedded
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.postgres.address import shown, target_name
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.lock import take_run_lock
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.spec import load as spec
from aicfg_pipeline.spec.model import Migration

DEMO = "demo"
"""What AICFG_DATABASE_URL is set to where the embedded demo is meant."""


TARGET_TAG, CHANGES_TAG, MIGRATION_TAG = "target", "changes", "migration"
"""The tags of every run that say on which database it works, what it changes there, and of which migration it is."""


def tagged(migration: Migration) -> str:
    """Return a migration's name as a tag may be."""
    return migration.name[:63]


@dataclass(frozen=True)
class Target:
    """The database to work on. `embedded` is the demo's, which needs no confirmation."""

    url: str
    embedded: bool
    migration: str | None = None
    """Which of several migrations of the code location works on it; of a single one nothing has to be said."""

    @property
    def name(self) -> str:
        """What a person calls it; `confirm_database` takes this."""
        return target_name(self.url)

    @property
    def told(self) -> str:
        """The name for the first and the last line of a run; of the demo it says so, and of one of several migrations which."""
        told = f"{self.name} (the embedded demo)" if self.embedded else self.name
        return f"{told}, migration {self.migration}" if self.migration else told

    def __repr__(self) -> str:
        """Never the password."""
        return f"Target({shown(self.url)}, embedded={self.embedded})"


def home() -> Path:
    """Return `AICFG_HOME`, default `.aicfg` in the working directory."""
    return Path(environment.HOME.value() or ".aicfg").resolve()


def report_folder() -> Path:
    """Return where reports go."""
    return home() / "reports"


def plan_folder() -> Path:
    """Return where the statements of plans go."""
    return home() / "plans"


def target(variable: str = environment.DATABASE_URL.name) -> Target:
    """Return the database to work on; starts the embedded one where the demo is named. Raises `ConfigError`."""
    url = replace(environment.DATABASE_URL, name=variable).value()
    if url is None:
        raise ConfigError(
            f"{variable} is not set, so no database is named. Nothing was touched.",
            expected="the database to work on, by its URL, or the word demo",
            remedy=f"Set {variable} to its URL (postgresql://user@host:5432/database, with the password); or set"
            f" {variable}={DEMO} for the embedded demo.",
        )
    return Target(embedded().url, embedded=True) if url.strip() == DEMO else Target(url, embedded=False)


def named_target(variable: str = environment.DATABASE_URL.name) -> str:
    """Return the target's name as far as the environment says it, without connecting or starting anything."""
    url = environment.named(variable) or ""
    if url.strip() == DEMO:
        return f"{DEMO_DATABASE}@local"
    return target_name(url) if url.strip() else f"none: {variable} is not set"


def embedded() -> EmbeddedDatabase:
    """Start the embedded server where it does not run; its first start ends in the migrated state."""
    return ensure_embedded(home(), after_fill=migrate_demo)


def migrate_demo(url: str) -> None:
    """Run the forward migration on the demo's fresh database."""
    session = connect(url, "aicfg_pipeline demo")
    try:
        take_run_lock(session)
        migrate(Run(session, spec.load(), "demo", say=lambda line: None))
    finally:
        session.close()
