"""The target's URL: its parts, what of it may be shown, and what must not. Connecting is `session`'s."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from ipaddress import ip_address
from urllib.parse import urlsplit

import psycopg
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

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


def _astray(url: str, parts: Mapping[str, str]) -> dict[str, str]:
    """Return the parts that may well be pieces of a password.

    Where one of them is, nothing tells where the password ended: then all of them are suspect.
    """
    unclear = "://" in url and url.count("@") > 1  # where the login ends can't be known
    strange = any(k in parts and not looks.fullmatch(parts[k]) for k, looks in _HARMLESS.items())
    return {k: parts[k] for k in _HARMLESS if k in parts} if unclear or strange else {}


def shown(url: str) -> str:
    """Return the URL as it may be shown: user, host and database, never the password."""
    parts = parts_of(url)
    if parts is None:
        return "named by AICFG_DATABASE_URL (it is not a PostgreSQL URL)"
    parts |= dict.fromkeys(_astray(url, parts), "?")
    host = parts.get("host") or parts.get("hostaddr") or "local socket"
    return f"{parts.get('dbname') or '?'} at {host}:{parts.get('port') or 5432} as {parts.get('user') or '?'}"


_PROJECT_HOST = re.compile(r"db\.([a-z0-9]+)\.supabase\.co")
_POOLER_HOST = re.compile(r".*\.pooler\.supabase\.com")
_PROJECT_USER = re.compile(r"[^.]+\.([a-z0-9]{16,})")  # role.project, as Supabase's pooler takes it
ALWAYS_THERE = "postgres"
"""The database that every server has, and the only one that a Supabase project has: its name says nothing."""


def target_name(url: str) -> str:
    """Return what a person calls the target, told from the URL alone, and never a piece of a password."""
    parts = parts_of(url)
    if parts is None:
        return "?"
    parts |= dict.fromkeys(_astray(url, parts), "?")
    given = {k.keyword.decode(): (k.val or b"").decode() for k in Conninfo.get_defaults()}  # PGHOST and its like
    given |= {"host": "", "hostaddr": ""} if parts.keys() & {"host", "hostaddr"} else {}
    given |= parts
    host, user = given.get("host") or given.get("hostaddr") or "", given.get("user", "")
    return name_of(host, given.get("port", ""), user, given.get("dbname") or user)


def name_of(host: str, port: str | int, user: str, database: str) -> str:
    """Return a Supabase project's ref, else `database@host:port` (through a socket `database@local`)."""
    host = host.lower()
    project = _project(host, user)
    if project:
        return project if database == ALWAYS_THERE else f"{database}@{project}"
    if not host or host.startswith(("/", "@")):
        return f"{database or '?'}@local"
    return f"{database or '?'}@{host}:{port or 5432}"


def _project(host: str, user: str) -> str | None:
    direct, through_pooler = _PROJECT_HOST.fullmatch(host), _PROJECT_USER.fullmatch(user)
    if direct:
        return direct[1]
    pooled = _POOLER_HOST.fullmatch(host) or user.startswith(f"{ALWAYS_THERE}.")
    return through_pooler[1] if through_pooler and pooled else None


def over_network(host: str, hostaddr: str) -> bool:
    """Say whether a connection to there leaves this machine: it goes neither through a socket nor to a loopback address."""
    if (not host and not hostaddr) or host.startswith(("/", "@")):
        return False
    try:
        return not ip_address(hostaddr or host).is_loopback
    except ValueError:  # a name that was not looked up by us
        return host.lower().rstrip(".") not in ("localhost", "localhost.localdomain")


def confirms(named: str | None, target: str, database: str) -> bool:
    """Say whether `named` means this target: its name, or the database's own name where that says anything."""
    return named is not None and (named == target or (named == database and database != ALWAYS_THERE))


def secrets_of(url: str) -> list[str]:
    """Return what of the URL must never be shown, as written and decoded."""
    parts = parts_of(url) or {}
    astray = _astray(url, parts)
    secrets = [parts.get("password", ""), *astray.values()]
    if "://" in url and "@" in url:  # as it was meant: all between the first colon of the login and the last @
        rest = url.split("://", 1)[1].partition(":")[2]  # where it went astray no part of that may be left over
        meant = rest.rpartition("@")[0]
        secrets += [meant, *([rest, *re.split(r"[@/:?#&=]", meant)] if astray else ())]
    given = re.search(r"(?i)\bpassword\s*=\s*(.+)", url, re.DOTALL)
    if "://" not in url and given:  # a backslash that was not doubled is gone from what was read
        secrets.append(given[1])
    with suppress(ValueError):
        secrets.append(urlsplit(url).password or "")
    return [s for s in secrets if s]
