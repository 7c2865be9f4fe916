"""`AICFG_EVERYTHING=1`: every test on every version, every statement of every kill walk, every history.

Without it, what costs minutes is done as a sample that is the same in each run: what does not depend on the server's
version runs on 18 and on one other, drawn by the test's name, so that each version has its share.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Sequence

EVERYTHING = "AICFG_EVERYTHING" in os.environ


def drawn(name: str, versions: Sequence[int]) -> int | None:
    """Return the version on which what has this name is tried besides the newest one: the same in each run."""
    return versions[zlib.crc32(name.encode()) % len(versions)] if versions else None
