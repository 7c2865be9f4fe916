"""Where things are kept on this machine (`AICFG_HOME`), and which database is the target.

The environment is read when asked, never at import. Nothing is created for a target that was named.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from aicfg_pipeline.embedded.database import EmbeddedDatabase, ensure_embedded
from aicfg_pipeline.errors import ConfigError
from aicfg_pipeline.postgres.address import shown
from aicfg_pipeline.postgres.session import connect
from aicfg_pipeline.rollback.lock import take_run_lock
from aicfg_pipeline.rollback.run import Run
from aicfg_pipeline.rollback.steps.migrate import migrate
from aicfg_pipeline.spec import load as spec

DATABASE_VARIABLE = "AICFG_DATABASE_URL"
HOME_VARIABLE = "AICFG_HOME"
EXPORT_VARIABLE = "AICFG_EXPORT_DIR"


@dataclass(frozen=True)
class Target:
    """The database to work on. `embedded` is the demo's, which needs no confirmation."""

    url: str
    embedded: bool

    def __repr__(self) -> str:
        """Never the password."""
        return f"Target({shown(self.url)}, embedded={self.embedded})"


def home() -> Path:
    """Return `AICFG_HOME`, default `.aicfg` in the working directory."""
    return Path(os.environ.get(HOME_VARIABLE) or ".aicfg").resolve()


def export_folder() -> Path:
    """Return where exports go."""
    return Path(os.environ.get(EXPORT_VARIABLE) or home() / "exports").resolve()


def report_folder() -> Path:
    """Return where reports go."""
    return home() / "reports"


def target() -> Target:
    """Return the database to work on; starts the embedded one where none is named."""
    url = os.environ.get(DATABASE_VARIABLE)
    if url is None:
        return Target(embedded().url, embedded=True)
    if not url.strip():
        raise ConfigError(
            f"{DATABASE_VARIABLE} is set but empty.",
            expected="the URL of the target database",
            remedy=f"Set it to postgresql://user:password@host:5432/database, or unset {DATABASE_VARIABLE} for the demo.",
        )
    return Target(url, embedded=False)


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
