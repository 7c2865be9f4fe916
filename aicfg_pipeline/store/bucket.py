"""A bucket as a store: S3, Google Cloud Storage or Azure, by obstore. Nothing of a file touches this machine's disk.

Who may read the bucket is the bucket's own business: its policy, its encryption, its retention.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import Any, BinaryIO, TypeVar, cast

from aicfg_pipeline.errors import ConfigError

T = TypeVar("T")
_QUERY = re.compile(r"\?\S+")
KINDS = ("s3://", "gs://", "az://")
PIECE = 8 << 20
"""Bytes of one part of an upload, and of one read."""
RETRIES: dict[str, Any] = {"max_retries": 5, "retry_timeout": timedelta(seconds=30)}
MOST_OF_A_MESSAGE = 200


class Bucket:
    """A bucket, or a part of one below a prefix."""

    def __init__(self, url: str, *, endpoint: str | None = None) -> None:
        """`endpoint` is where S3 is spoken to, if not at AWS. Raises `ConfigError` where the URL can't be used."""
        self.name = url.rstrip("/")
        self._store = _opened(self.name, endpoint)

    def location(self, file: str) -> str:
        """Return the file's URL."""
        return f"{self.name}/{file}"

    @contextmanager
    def writer(self, file: str) -> Iterator[BinaryIO]:
        """Upload a new file in parts; the bucket has it when all of them are there, and not before."""
        if self._has(file):
            raise FileExistsError(None, "a file of that name is there", self.location(file))
        upload = _Upload(_translated(lambda: _obstore().open_writer(self._store, file, buffer_size=PIECE)))
        out = io.BufferedWriter(upload, PIECE)
        try:
            yield cast(BinaryIO, out)
            out.flush()
        except BaseException:
            upload.give_up()
            with suppress(OSError, ValueError):
                out.detach()
            raise
        out.detach()
        upload.complete()

    @contextmanager
    def reader(self, file: str) -> Iterator[BinaryIO]:
        """Download a file in pieces."""
        found = _translated(lambda: _obstore().open_reader(self._store, file, buffer_size=PIECE))
        yield cast(BinaryIO, io.BufferedReader(_Download(found), PIECE))

    def size(self, file: str) -> int:
        """Return its bytes."""
        return int(_translated(lambda: _obstore().head(self._store, file))["size"])

    def names(self, ending: str) -> list[str]:
        """Return the names with that ending, the newest first."""
        pages = _translated(lambda: list(_obstore().list(self._store)))
        found = [o for page in pages for o in page if o["path"].endswith(ending) and "/" not in o["path"]]
        return [str(o["path"]) for o in sorted(found, key=lambda o: o["last_modified"], reverse=True)]

    def remove(self, file: str) -> None:
        """Remove a file, if it is there."""
        try:
            _translated(lambda: _obstore().delete(self._store, file))
        except FileNotFoundError:
            return

    def _has(self, file: str) -> bool:
        try:
            self.size(file)
        except FileNotFoundError:
            return False
        return True


def _opened(url: str, endpoint: str | None) -> Any:
    store = _obstore().store
    try:
        if not url.startswith("s3://"):
            return store.from_url(url, retry_config=RETRIES)
        from obstore.auth.boto3 import Boto3CredentialProvider

        provider = Boto3CredentialProvider()
        spoken = {"endpoint": endpoint, "virtual_hosted_style_request": False} if endpoint else {}
        client = {"allow_http": True} if (endpoint or "").startswith("http://") else {}
        return store.from_url(url, credential_provider=provider, client_options=client, retry_config=RETRIES, **spoken)
    except (ValueError, _obstore().exceptions.BaseError) as error:
        raise ConfigError(
            f"AICFG_STORE names {url}, and that can't be opened: {_first_line(error)}",
            expected="a folder, s3://bucket/prefix, gs://bucket/prefix or az://account/container/prefix, with the login"
            " where that cloud's own tools look for it",
        ) from None


def _obstore() -> Any:
    try:
        import obstore
        import obstore.exceptions
        import obstore.store
    except ImportError:
        raise ConfigError(
            "AICFG_STORE names a bucket, and obstore, which speaks to buckets, is not installed.",
            expected="the extra `store`",
            remedy='pip install "aicfg_pipeline[store]", or name a folder.',
        ) from None
    return obstore


def _translated(act: Callable[[], T]) -> T:
    """Do it, and raise obstore's errors as files raise theirs."""
    try:
        return act()
    except (FileNotFoundError, _obstore().exceptions.NotFoundError) as error:
        raise FileNotFoundError(None, _first_line(error)) from None
    except (OSError, _obstore().exceptions.BaseError) as error:
        raise OSError(None, _first_line(error)) from None


def _first_line(error: Exception) -> str:
    """Return what obstore says, as far as a person wants to read it; a URL's query may be a signature."""
    lines = [line for line in str(error).splitlines() if line.strip()] or ["no reason given"]
    return _QUERY.sub("", lines[0])[:MOST_OF_A_MESSAGE]


class _Upload(io.RawIOBase):
    """obstore's upload as a raw file: complete only when told."""

    def __init__(self, writer: Any) -> None:
        self._writer: Any = writer

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if self._writer is None:
            raise ValueError("this upload was given up")
        return int(_translated(lambda: self._writer.write(bytes(data))))

    def complete(self) -> None:
        _translated(self._writer.close)

    def give_up(self) -> None:
        """Let go of the upload: parts without an end never become a file."""
        self._writer = None


class _Download(io.RawIOBase):
    """obstore's download as a raw file."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        found = bytes(_translated(lambda: self._reader.read(len(buffer))))
        buffer[: len(found)] = found
        return len(found)
