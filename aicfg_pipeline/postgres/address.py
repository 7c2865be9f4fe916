"""The target's URL: its parts, what of it may be shown, and what must not. Connecting is `session`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict

_HARMLESS = {
    "host": re.compile(r"[A-Za-z0-9._:,*-]*|/[^@]*|[A-Za-z]:[^@]*"),
    "hostaddr": re.compile(r"[0-9A-Fa-f.:,]*"),
    "port": re.compile(r"[0-9,]*"),
    "user": re.compile(r"[^:@/]*"),
    "dbname": re.compile(r"[^:@/]*"),
}
"""What a part of a URL looks like that is what it says. A special character that was not escaped puts pieces of the
password into the host, the port or the database."""


def parts_of(url: str) -> dict[str, str] | None:
    """Return the parts of a URL, or None where it is none."""
    if "\x00" in url:
        return None
    try:
        return {k: str(v) for k, v in conninfo_to_dict(url).items() if v is not None}
    except (psycopg.Error, ValueError):
        return None


def _astray(parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts that may well be pieces of a password."""
    astray = {k: parts[k] for k, looks in _HARMLESS.items() if k in parts and not looks.fullmatch(parts[k])}
    if "port" in astray and "password" not in parts:  # user:password without an @host is read as host:port
        astray["host"] = parts.get("host", "")
    return astray


def shown(url: str) -> str:
    """Return the URL as it may be shown: user, host and database, never the password."""
    parts = parts_of(url)
    if parts is None:
        return "named by AICFG_DATABASE_URL (it is not a PostgreSQL URL)"
    parts |= dict.fromkeys(_astray(parts), "?")
    host = parts.get("host") or parts.get("hostaddr") or "local socket"
    return f"{parts.get('dbname') or '?'} at {host}:{parts.get('port') or 5432} as {parts.get('user') or '?'}"


def secrets_of(url: str) -> list[str]:
    """Return what of the URL must never be shown, as written and decoded."""
    parts = parts_of(url) or {}
    secrets = [parts.get("password", ""), *_astray(parts).values()]
    with suppress(ValueError):
        secrets.append(urlsplit(url).password or "")
    return [s for s in secrets if s]
