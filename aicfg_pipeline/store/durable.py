"""Whether a folder outlives the container or the machine's memory that it is in, as far as Linux says."""

from __future__ import annotations

from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
LOST = {
    "overlay": "is on the container's own disk, which goes when the container goes",
    "aufs": "is on the container's own disk, which goes when the container goes",
    "tmpfs": "is in memory, which goes when the machine or the container stops",
    "ramfs": "is in memory, which goes when the machine or the container stops",
}


def why_not_durable(folder: Path) -> str | None:
    """Return what is wrong with keeping something in a folder; None where nothing is known to be."""
    return LOST.get(_file_system(folder.resolve()) or "")


def _file_system(folder: Path) -> str | None:
    """Return the kind of file system of a folder, which need not be there yet; None where there is no /proc."""
    try:
        lines = MOUNTS.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    mounted = {_plain(line.split()[4]): line.split(" - ", 1)[1].split()[0] for line in lines}  # the last one is on top
    return next((mounted[str(place)] for place in (folder, *folder.parents) if str(place) in mounted), None)


def _plain(path: str) -> str:
    """Return a path of mountinfo, where a blank is written as its octal number."""
    for code, character in (("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")):
        path = path.replace(code, character)
    return path
