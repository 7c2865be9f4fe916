"""The faults: each begins, happens some time after the pipeline has started, and is healed afterwards.

A fault knows the server and the database, never what the pipeline is doing.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg import sql

from aicfg_pipeline_tests.tools.servers import Database
from aicfg_pipeline_tests.tools.tcp_proxy import TcpProxy

OURS = "aicfg_pipeline%"
PIECE, LARGE_DISK = 2**20, 2**29


@dataclass
class Scene:
    """What a fault works on. `pid` is the pipeline's process once it has one; `start_other` starts a second one."""

    database: Database
    proxy: TcpProxy
    folder: Path
    random: random.Random
    start_other: Callable[[], None]
    pid: int | None = None
    restarts: list[tuple[float, float]] | None = None

    def restart(self) -> None:
        """Restart the server as after a crash; remembered, because nobody can write meanwhile."""
        began = time.time()
        self.database.cluster.restart("immediate")
        if self.restarts is not None:
            self.restarts.append((began, time.time()))

    def admin(self) -> psycopg.Connection:
        """Return a superuser's connection."""
        return psycopg.connect(self.database.admin_url, autocommit=True)


Fault = Callable[[Scene], contextlib.AbstractContextManager[Callable[[], None] | None]]
"""Entered before the pipeline starts; what it returns is called some time after that."""


@contextmanager
def kill(scene: Scene) -> Iterator[Callable[[], None]]:
    """SIGKILL of the pipeline's process."""

    def strike() -> None:
        if scene.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(scene.pid, signal.SIGKILL)

    yield strike


@contextmanager
def restart(scene: Scene) -> Iterator[Callable[[], None]]:
    """The server crashes and comes back."""
    yield scene.restart


@contextmanager
def terminate(scene: Scene) -> Iterator[Callable[[], None]]:
    """Someone ends the pipeline's sessions."""

    def strike() -> None:
        with scene.admin() as connection:
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE %s", (OURS,)
            )

    yield strike


@contextmanager
def lock_holder(scene: Scene) -> Iterator[None]:
    """A session that reads or writes, and stays idle in its transaction for seconds."""
    seconds, ended = scene.random.uniform(0.5, 8), threading.Event()
    mode = scene.random.choice(("ACCESS SHARE", "ROW EXCLUSIVE", "SHARE UPDATE EXCLUSIVE"))
    name = scene.random.choice(("org_prompt_engineering", "sys_rag", "orgs", "ai_cfg_org_prompts"))

    def hold() -> None:
        with contextlib.suppress(psycopg.Error), psycopg.connect(scene.database.url) as connection:
            connection.execute(sql.SQL("LOCK TABLE {} IN {} MODE").format(sql.Identifier(name), sql.SQL(mode)))  # type: ignore[arg-type]
            ended.wait(seconds)

    thread = threading.Thread(target=hold, daemon=True)
    thread.start()
    time.sleep(0.05)
    try:
        yield None
    finally:
        ended.set()
        thread.join(timeout=20)


@contextmanager
def idle_timeout(scene: Scene) -> Iterator[None]:
    """The database ends whoever is idle in a transaction for an instant."""
    setting = scene.random.choice(("idle_in_transaction_session_timeout", "idle_session_timeout", "statement_timeout"))
    value = {"statement_timeout": "60ms"}.get(setting, "25ms")
    with _setting(scene, **{setting: value}):
        yield None


@contextmanager
def _setting(scene: Scene, **settings: str) -> Iterator[None]:
    names = [(sql.Identifier(scene.database.name), sql.Identifier(n), v) for n, v in settings.items()]
    with scene.admin() as connection:
        for database, name, value in names:
            query = "ALTER ROLE postgres IN DATABASE {} SET {} TO {}"
            connection.execute(sql.SQL(query).format(database, name, sql.Literal(value)))
    try:
        yield
    finally:
        with _again(scene) as connection:
            for database, name, _ in names:
                connection.execute(sql.SQL("ALTER ROLE postgres IN DATABASE {} RESET {}").format(database, name))


@contextmanager
def _again(scene: Scene) -> Iterator[psycopg.Connection]:
    """A superuser's connection, also while the server is just coming back."""
    for _ in range(100):
        try:
            connection = scene.admin()
            break
        except psycopg.Error:
            time.sleep(0.1)
    with connection:
        yield connection


@contextmanager
def second_pipeline(scene: Scene) -> Iterator[Callable[[], None]]:
    """Someone starts another job at the same time."""
    yield scene.start_other


@contextmanager
def proxy_cut(scene: Scene) -> Iterator[Callable[[], None]]:
    """The connection breaks, at a moment or in the middle of a message."""
    if scene.random.random() < 0.5:
        scene.proxy.cut_after(int(10 ** scene.random.uniform(3, 5.2)))
        yield lambda: None
    else:
        yield lambda: _done(scene.proxy.cut())


@contextmanager
def proxy_delay(scene: Scene) -> Iterator[None]:
    """Every message comes late."""
    scene.proxy.delay = scene.random.choice((0.001, 0.003, 0.006))  # a rollback has hundreds of round trips
    yield None


@contextmanager
def proxy_half_close(scene: Scene) -> Iterator[Callable[[], None]]:
    """One side is told that the other has gone."""
    to_server = scene.random.random() < 0.5
    yield lambda: _done(scene.proxy.half_close(to_server=to_server))


def _done(_: object) -> None:
    """What is returned is of no interest."""


@contextmanager
def disk_full(scene: Scene) -> Iterator[None]:
    """There is no room for the shadow: the disk that tables are made on is full, or temporary files are limited."""
    with ExitStack() as stack:
        if limited(scene.folder):
            resize(scene.folder, spare=PIECE)
            stack.callback(resize, scene.folder, spare=LARGE_DISK)
        else:
            stack.enter_context(_setting(scene, temp_file_limit="64kB", work_mem="64kB"))
        yield None


def limited(folder: Path) -> bool:
    """Say whether tables are made on a disk of their own, that can be made too small."""
    return any((folder / "small").glob("PG_*"))


def limit_disk(database: Database, folder: Path) -> bool:
    """Have new tables made on a disk of their own (a tmpfs: only root may mount one); say whether that was possible."""
    place = folder / "small"
    place.mkdir()
    owner = database.cluster.data_dir.stat()
    options = f"size={LARGE_DISK},mode=700,uid={owner.st_uid},gid={owner.st_gid}"
    words = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place)]
    if os.geteuid() != 0 or shutil.which("mount") is None:
        return False
    if subprocess.run(words, capture_output=True, check=False).returncode:
        return False
    with psycopg.connect(database.admin_url, autocommit=True) as connection:
        connection.execute(
            sql.SQL("CREATE TABLESPACE small OWNER postgres LOCATION {}").format(sql.Literal(str(place)))
        )
        connection.execute(
            sql.SQL("ALTER DATABASE {} SET default_tablespace = small").format(sql.Identifier(database.name))
        )
    return True


def resize(folder: Path, spare: int) -> None:
    """Leave so many bytes free on that disk."""
    place = folder / "small"
    size = shutil.disk_usage(place).used + spare
    subprocess.run(["mount", "-o", f"remount,size={size}", str(place)], check=True, capture_output=True)


def unmount(folder: Path) -> None:
    """Take that disk away, once its server has ended."""
    if limited(folder):
        subprocess.run(["umount", "-l", str(folder / "small")], check=False, capture_output=True)


FAULTS: dict[str, Fault] = {
    "SIGKILL of the pipeline": kill,
    "pg_ctl restart -m immediate": restart,
    "pg_terminate_backend": terminate,
    "lock holder": lock_holder,
    "timeouts": idle_timeout,
    "second pipeline": second_pipeline,
    "proxy cuts": proxy_cut,
    "proxy delays": proxy_delay,
    "proxy half-closes": proxy_half_close,
    "disk full": disk_full,
}
