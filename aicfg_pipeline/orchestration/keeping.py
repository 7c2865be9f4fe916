"""The store that exports go to, refused before anything is touched where it can't be written or would not last."""

from __future__ import annotations

from pathlib import Path

from aicfg_pipeline import environment
from aicfg_pipeline.errors import ExportError
from aicfg_pipeline.orchestration.home import Target, home
from aicfg_pipeline.store.durable import why_not_durable
from aicfg_pipeline.store.folder import Folder
from aicfg_pipeline.store.kept import Store, open_store, try_writing


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
        raise ExportError(
            f"Exports can't be written to {store.name}: {error.strerror or error}. Nothing was touched.",
            expected="a place that this process may write to, read from and remove from",
            remedy="Set AICFG_STORE to a folder or a bucket where it may, and launch the job again.",
        ) from None
    return store


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
