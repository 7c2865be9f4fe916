"""The store that exports and reports go to, refused before anything is touched where it can't be written or would not last.

Reports are files of this machine first, which `make dev` serves; where a bucket is named they are kept there too, and there
the last report on a database is looked for, because this machine may be a new one.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ConfigError, ExportError
from aicfg_pipeline.evidence import Evidence, parse, write
from aicfg_pipeline.orchestration.home import Target, home, report_folder
from aicfg_pipeline.store.bucket import KINDS
from aicfg_pipeline.store.durable import why_not_durable
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline.store.kept import Store, open_store, take, try_writing


def export_store(target: Target) -> Store:
    """Return where exports of `target` go; a small file has been written there and read back.

    Raises `ConfigError` for a name that is none, `ExportError` for a place that can't be written to or that would not
    outlive the container. The demo's data are on the same disk as its exports: there the second is not asked.
    """
    store = _named()
    if isinstance(store, Folder) and not target.embedded and not environment.STORE_IS_DURABLE.is_on():
        _must_last(store.path)
    try:
        try_writing(store)
    except OSError as error:
        raise _can_not(store, "Exports", error) from None
    return store


def must_answer() -> None:
    """Try the bucket that reports and exports go to, where one is named. Raises `ExportError`; nothing was touched then."""
    store = _bucket()
    if store is None:
        return
    try:
        try_writing(store)
    except OSError as error:
        raise _can_not(store, "Reports", error) from None


def write_report_file(evidence: Evidence, secrets: Iterable[str] = ()) -> tuple[Path, Path]:
    """Write a report and its JSON to this machine, and to the bucket where one is named; return both paths.

    Raises `ExportError`.
    """
    html, json = write(evidence, report_folder(), secrets=secrets)
    keep(html, json)
    return html, json


def keep(*files: Path, again: bool = False) -> None:
    """Put files of this machine into the bucket, where one is named. Raises `ExportError`; the files stay.

    A report is never overwritten; what is written once more for the same run is, with `again`.
    """
    store = _bucket()
    if store is None:
        return
    try:
        for file in files:
            if again:
                store.remove(file.name)
            with store.writer(file.name) as out, file.open("rb") as lines:
                shutil.copyfileobj(lines, out)
    except OSError as error:
        raise ExportError(
            f"{files[0].name} is on this machine, and can't be kept in {store.name}: {error.strerror or error}.",
            expected="a place that this process may write to",
            remedy=f"Copy it yourself from {files[0].parent}, and mend AICFG_STORE.",
        ) from None


def where_kept(file: Path) -> str | None:
    """Return where a report is in the bucket; None where none is named."""
    place = _bucket_name()
    return f"{place}/{file.name}" if place else None


def reports_kept() -> Iterator[tuple[str, Evidence]]:
    """Yield the reports that can be read, the newest first: those of the bucket, where one is named."""
    store = _bucket() or Folder(report_folder())
    with suppress(OSError):
        for name in store.names(".json"):
            with suppress(ConfigError):  # another file, or of another version
                yield name, parse(take(store, name), name)


def _bucket() -> Store | None:
    place = _bucket_name()
    return open_store(place, endpoint=environment.S3_ENDPOINT.value()) if place else None


def _bucket_name() -> str | None:
    where = environment.STORE.value()
    return f"{where.rstrip('/')}/reports" if where and where.startswith(KINDS) else None


def _can_not(store: Store, what: str, error: OSError) -> ExportError:
    return ExportError(
        f"{what} can't be written to {store.name}: {error.strerror or error}. Nothing was touched.",
        expected="a place that this process may write to, read from and remove from",
        remedy="Set AICFG_STORE to a folder or a bucket where it may, and launch the job again.",
    )


def _named() -> Store:
    where = environment.EXPORT_DIR.value()
    if where is None:
        kept = environment.STORE.value()
        where = f"{kept.rstrip('/')}/exports" if kept else str(home() / "exports")
    return open_store(where, endpoint=environment.S3_ENDPOINT.value())


def _must_last(folder: Path) -> None:
    reason = why_not_durable(folder)
    if reason:
        raise ExportError(
            f"The parked tables are dropped for good, and {folder}, where their exports would go, {reason}."
            " Nothing was touched.",
            expected="a mounted volume, or a bucket",
            remedy="Set AICFG_STORE to s3://bucket/prefix, gs://… or az://…, or to a folder on a volume; or"
            " AICFG_STORE_IS_DURABLE=1 where this folder does last.",
        )
