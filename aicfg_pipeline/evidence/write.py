"""Writing evidence to a folder and reading it back. A report is written whole or not at all, and never overwritten.

What a report says and how it looks does not belong here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from datetime import UTC
from pathlib import Path

from pydantic import ValidationError

from aicfg_pipeline.errors import ConfigError, ExportError
from aicfg_pipeline.evidence.facts import FORMAT_VERSION, Evidence
from aicfg_pipeline.evidence.gather import safe
from aicfg_pipeline.evidence.render import html
from aicfg_pipeline.files import make_private_folder
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline.store.kept import put

MOST_OF_ONE_NAME = 1000
_REMEDY = f"Name a .json file that this pipeline wrote beside a report (format version {FORMAT_VERSION})."


def write(evidence: Evidence, folder: Path, secrets: Iterable[str] = ()) -> tuple[Path, Path]:
    """Write the report and its JSON; return both paths. Raises `ExportError` where that is not possible."""
    evidence = safe(evidence, secrets)
    texts = {".json": evidence.model_dump_json(indent=2) + "\n"}
    folder = Path(folder)
    try:
        make_private_folder(folder)
        for number in range(1, MOST_OF_ONE_NAME):
            stem = name_of(evidence) + (f"-{number}" if number > 1 else "")
            texts[".html"] = html(evidence, json_name=f"{stem}.json")
            if _written(folder, stem, texts):
                return folder / f"{stem}.html", folder / f"{stem}.json"
    except OSError as error:
        raise ExportError(
            f"The report can't be written to {folder}: {error.strerror or type(error).__name__}.",
            expected="a folder that this process may write to",
            remedy="Set AICFG_HOME to such a folder. What the run did stands; the ledger holds the facts.",
        ) from None
    raise ExportError(f"{folder} already holds {MOST_OF_ONE_NAME - 1} reports named {name_of(evidence)}.")


def name_of(evidence: Evidence) -> str:
    """Return the file name without its ending: kind, start and the run's first eight characters."""
    run = re.sub(r"[^A-Za-z0-9]", "", evidence.run_id)[:8] or "run"
    return f"{evidence.kind}-{evidence.started.astimezone(UTC):%Y%m%dT%H%M%SZ}-{run}"


def _written(folder: Path, stem: str, texts: dict[str, str]) -> bool:
    """Write all files of one stem, or none: False where one of the names is taken."""
    store, made = Folder(folder), []
    try:
        for ending, text in texts.items():
            put(store, f"{stem}{ending}", text)
            made.append(f"{stem}{ending}")
    except FileExistsError:
        for file in made:
            store.remove(file)
        return False
    return True


def read(path: Path) -> Evidence:
    """Read a JSON file that `write` has written. Raises `ConfigError` where it is not one."""
    try:
        return parse(Path(path).read_bytes(), str(path))
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or type(error).__name__}.", remedy=_REMEDY) from None


def parse(data: bytes, name: str) -> Evidence:
    """Return the evidence of a JSON text that `write` has written. Raises `ConfigError` where it is not one."""
    try:
        return Evidence.model_validate_json(data)
    except ValidationError as error:
        complaints = [
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors(include_input=False)[:10]
        ]
        raise ConfigError(f"{name} is not evidence.", complaints=complaints, remedy=_REMEDY) from None
