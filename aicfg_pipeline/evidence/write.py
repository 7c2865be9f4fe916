"""Writing evidence to a folder and reading it back. A report is written whole or not at all, and never overwritten.

What a report says and how it looks does not belong here.
"""

from __future__ import annotations

import os
import re
import secrets as random
from collections.abc import Iterable
from datetime import UTC
from pathlib import Path

from pydantic import ValidationError

from aicfg_pipeline.errors import ConfigError, ExportError
from aicfg_pipeline.evidence.facts import FORMAT_VERSION, Evidence
from aicfg_pipeline.evidence.gather import safe
from aicfg_pipeline.evidence.render import html
from aicfg_pipeline.files import OWNER_ONLY_FILE, make_private_folder, new_private_file

MOST_OF_ONE_NAME = 1000


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
    made: list[Path] = []
    for ending, text in texts.items():
        if not _put(folder / f"{stem}{ending}", text):
            for path in made:
                path.unlink(missing_ok=True)
            return False
        made.append(folder / f"{stem}{ending}")
    return True


def _put(path: Path, text: str) -> bool:
    """Write a file under another name, flush it to disk, and give it its name only if that name is free."""
    if path.exists():
        return False
    draft = path.with_name(f".{path.name}.{random.token_hex(6)}")
    try:
        with new_private_file(draft) as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError:  # a file system without links
            return _renamed(draft, path)
        return True
    finally:
        draft.unlink(missing_ok=True)


def _renamed(draft: Path, path: Path) -> bool:
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, OWNER_ONLY_FILE))
    except FileExistsError:
        return False
    os.replace(draft, path)
    return True


def read(path: Path) -> Evidence:
    """Read a JSON file that `write` has written. Raises `ConfigError` where it is not one."""
    remedy = f"Name a .json file that this pipeline wrote beside a report (format version {FORMAT_VERSION})."
    try:
        return Evidence.model_validate_json(Path(path).read_bytes())
    except OSError as error:
        raise ConfigError(f"{path} can't be read: {error.strerror or type(error).__name__}.", remedy=remedy) from None
    except ValidationError as error:
        complaints = [
            f"{'.'.join(map(str, e['loc'])) or 'the file'}: {e['msg']}" for e in error.errors(include_input=False)[:10]
        ]
        raise ConfigError(f"{path} is not evidence.", complaints=complaints, remedy=remedy) from None
