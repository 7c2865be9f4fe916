"""A real PgBouncer (Debian's) in front of one database, where it is installed. `tools.pooler` is the one that is always here."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Literal

from aicfg_pipeline_tests.tools.servers import Database, free_port

PROGRAM = shutil.which("pgbouncer", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
WHY_NOT = "PgBouncer is not installed (Debian's package pgbouncer)"
SECONDS = 20

SETTINGS = """[databases]
{name} = host={host} port={port} dbname={name}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {listen}
unix_socket_dir =
auth_type = trust
auth_file = {folder}/users.txt
pool_mode = {mode}
default_pool_size = {size}
"""


@contextmanager
def pgbouncer(database: Database, mode: Literal["transaction", "session"], *, size: int = 5) -> Iterator[str]:
    """Run PgBouncer as the server's own user (it refuses root) and give the URL of the database through it."""
    assert PROGRAM is not None, WHY_NOT
    owner = database.cluster.data_dir.stat()
    with tempfile.TemporaryDirectory(prefix="aicfg-pgbouncer-") as name:
        folder, listen = Path(name), free_port()
        host, port = database.cluster.socket_dir, database.cluster.port
        ini = folder / "pgbouncer.ini"
        ini.write_text(
            SETTINGS.format(
                name=database.name, host=host, port=port, listen=listen, folder=folder, mode=mode, size=size
            )
        )
        (folder / "users.txt").write_text('"postgres" ""\n')
        for path in (folder, *folder.iterdir()):
            os.chown(path, owner.st_uid, owner.st_gid)
        as_owner = {"user": owner.st_uid, "group": owner.st_gid, "extra_groups": []} if os.geteuid() == 0 else {}
        with (folder / "log").open("w") as log:
            process = subprocess.Popen([PROGRAM, str(ini)], stdout=log, stderr=log, cwd=folder, **as_owner)  # type: ignore[call-overload]
        try:
            _await_port(listen, process, folder / "log")
            yield f"postgresql://postgres@127.0.0.1:{listen}/{database.name}"
        finally:
            process.terminate()
            process.wait(SECONDS)


def _await_port(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise AssertionError(f"PgBouncer did not start: {log.read_text()}")
