"""Who launched a run, why, and with what that is not the default: for the ledger and the report."""

from __future__ import annotations

import getpass
import os
import platform
from collections.abc import Mapping
from typing import Any

from aicfg_pipeline.errors import redact
from aicfg_pipeline.orchestration.config import Request

_USER_TAGS = ("user", "dagster/user")
LONGEST_REASON = 500


def who(tags: Mapping[str, str]) -> str:
    """Return the user that Dagster names, else what launched the run; with the user and host of its process."""
    process = f"{_user()}@{platform.node() or 'unknown host'}"
    named = next((tags[t] for t in _USER_TAGS if tags.get(t)), None)
    if named:
        return f"{named} ({process})"
    for tag, kind in (("dagster/sensor_name", "sensor"), ("dagster/schedule_name", "schedule")):
        if tags.get(tag):
            return f"the {kind} {tags[tag]} ({process})"
    return f"the UI of Dagster ({process})" if tags.get("dagster/from_ui") else process


def origin(tags: Mapping[str, str], request: Request) -> dict[str, Any]:
    """Return who, why and with which settings, as the ledger keeps it with the beginning of a run."""
    reason = redact(request.reason.strip())[:LONGEST_REASON]
    return {"who": who(tags), "asked": asked(request), **({"reason": reason} if reason else {})}


def asked(request: Request) -> dict[str, Any]:
    """Return what was asked for beside what is so by default; the reason has a place of its own."""
    default = Request().as_config()
    return {k: v for k, v in request.as_config().items() if k != "reason" and v != default[k]}


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError, ImportError):  # a container without that user in its passwd
        return f"uid {os.getuid()}"
