"""Where servers and everything else of a session of tests lie: in memory where that has room, else on the disk.

Databases are cloned by the hundred, and cloning one is copying a thousand small files.
"""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

MEMORY = Path("/dev/shm")
NEEDED = 6 << 30  # five servers for each of three workers, with their logs


def make() -> Path:
    """Make a folder of this process, and remove those in memory of processes that were killed."""
    if not _has_room(MEMORY):
        return Path(tempfile.mkdtemp(prefix="aicfg-tests-"))
    for folder in MEMORY.glob("aicfg-tests-*"):
        owner = re.match(r"aicfg-tests-(\d+)-", folder.name)
        if owner and not Path("/proc", owner[1]).exists():
            shutil.rmtree(folder, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"aicfg-tests-{os.getpid()}-", dir=MEMORY))


def _has_room(folder: Path) -> bool:
    try:
        return os.access(folder, os.W_OK) and Path("/proc/self").exists() and shutil.disk_usage(folder).free > NEEDED
    except OSError:
        return False
