"""The deploy script: run as it is, its output passed on line by line, with an end in sight and secrets masked.

No shell is involved: the command is a list of words. What the script deploys, and whether the result is any good, do
not belong here; its exit status is all that is judged.
A server that the script leaves running on purpose should have its output redirected: ours ends with the script.
A pipeline that is killed outright (SIGKILL) can't end the script: it goes on by itself, as any deploy in CI would.
"""

from __future__ import annotations

import contextlib
import math
import os
import queue
import re
import shlex
import shutil
import signal
import subprocess
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import quote

from aicfg_pipeline.environment import everything
from aicfg_pipeline.errors import ConfigError, ServiceError, redact

DEFAULT_COMMAND = ("./scripts/deploy-lambda.sh", "module-ai/ai-config-handler")

_SECRET_NAME = re.compile(
    r"SECRET|TOKEN|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|PRIVATE|APIKEY|(?:^|_)(?:KEY|PASS|AUTH)(?:_|$)|_PWD(?:_|$)|WEBHOOK",
    re.IGNORECASE,
)
_URL_PASSWORD = re.compile(r"[a-z][a-z0-9+.-]*://[^\s:/@]*:([^\s@]+)@", re.IGNORECASE)
# Values that a variable may well have whatever its name says; masking them would blacken half of the output.
_PLAIN_WORDS = frozenset({"true", "false", "none", "null", "default", "disabled", "enabled"})
_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b\][^\x07]*\x07|[\x00-\x08\x0b-\x1f\x7f]")
_LONGEST_LINE = 4_000
_TAIL = 20
_GRACE_SECONDS = 5.0
# A process left behind on purpose (a server) may hold our pipe open for ever; so the rest is awaited only this long.
_LINGER_SECONDS = 1.0


@dataclass(frozen=True)
class DeployResult:
    """What became of a deploy that succeeded. `last_lines` has secrets masked."""

    command: tuple[str, ...]
    directory: str
    exit_status: int
    seconds: float
    lines: int
    last_lines: tuple[str, ...]


class DeployService:
    """One deploy command in one directory."""

    def __init__(
        self,
        directory: str | os.PathLike[str],
        command: str | Sequence[str] = DEFAULT_COMMAND,
        *,
        timeout_seconds: float = 900.0,
        environment: Mapping[str, str] | None = None,
        secrets: Iterable[str] = (),
    ) -> None:
        self.directory = Path(directory).expanduser()
        self.command = words_of(command)
        self._timeout = timeout_seconds
        self._environment = {"PYTHONUNBUFFERED": "1", **everything(), **(environment or {})}
        self._secrets = (*secrets, *secret_values(self._environment))

    def check(self) -> Path:
        """Refuse a directory or script that isn't there or can't be run; return the program that would be run."""
        if not self.directory.is_dir():
            raise ServiceError(
                f"there is no folder {self.directory} to deploy from",
                expected="the infra directory",
                remedy="correct the configured directory",
            )
        program = self.command[0]
        if "/" not in program:
            return self._on_path(program)
        path = self.directory / program
        if not path.exists():
            raise ServiceError(
                f"the deploy script {program} does not exist in {self.directory}",
                expected="a script there",
                remedy="correct the command or the directory",
            )
        if path.is_dir() or not os.access(path, os.X_OK):
            what = "is a folder" if path.is_dir() else "is not executable"
            raise ServiceError(
                f"the deploy script {path} {what}",
                expected="a program that may be run",
                remedy=f"`chmod +x {shlex.quote(str(path))}`, or correct the command",
            )
        return path

    def run(self, on_line: Callable[[str], None]) -> DeployResult:
        """Run the command and hand each line of its output to `on_line` as it comes, in the caller's thread.

        Raises `ServiceError` if it can't be started, fails or doesn't end in time; then the whole process group is
        ended first. Masked in every line: the secrets given, and the value of each environment variable whose name
        looks like one.
        """
        self.check()
        began = time.monotonic()
        process = self._start()
        tail: deque[str] = deque(maxlen=_TAIL)
        count = 0
        ended = False
        try:
            for line in _lines(process, began + self._timeout):
                clean = self._clean(line)
                tail.append(clean)
                count += 1
                on_line(clean)
            status = process.wait(timeout=max(0.0, began + self._timeout - time.monotonic()) + 0.1)
            ended = True
        except subprocess.TimeoutExpired:
            raise self._hung(tail) from None
        finally:
            # Also when `on_line` raises or the run is interrupted: no deploy goes on that nobody watches.
            if not ended:
                _end_group(process)
        seconds = round(time.monotonic() - began, 3)
        if status != 0:
            raise self._failed(status, seconds, tail)
        return DeployResult(self._shown_command(), str(self.directory), status, seconds, count, tuple(tail))

    def _on_path(self, program: str) -> Path:
        found = shutil.which(program, path=self._environment.get("PATH"))
        if found is None:
            raise ServiceError(
                f"the deploy command {program!r} is not on the PATH",
                remedy="install it, or configure the path of the script",
            )
        return Path(found)

    def _start(self) -> subprocess.Popen[bytes]:
        try:
            return subprocess.Popen(
                self.command,
                cwd=self.directory,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                bufsize=0,
                start_new_session=True,
            )
        except FileNotFoundError as error:
            # The script itself is there (`check`), so it is the program of its first line that is missing.
            raise ServiceError(
                f"the deploy script {self.command[0]} names an interpreter that is not installed",
                remedy="look at its first line (#!), or at the line endings of the file",
            ) from error
        except OSError as error:
            raise ServiceError(
                f"the deploy command {self.command[0]} can't be started: {error.strerror}",
                expected="a program, or a script whose first line names its interpreter (#!/bin/sh)",
                remedy="mend the script, then run again",
            ) from error

    def _clean(self, line: str) -> str:
        text = redact(_CONTROL.sub("", line), self._secrets)
        return text if len(text) <= _LONGEST_LINE else text[:_LONGEST_LINE] + "…"

    def _shown_command(self) -> tuple[str, ...]:
        return tuple(self._clean(word) for word in self.command)

    def _failed(self, status: int, seconds: float, tail: Iterable[str]) -> ServiceError:
        how = f"exit status {status}"
        if status < 0:
            with contextlib.suppress(ValueError):
                how = f"ended by signal {signal.Signals(-status).name}"
        elif status == 127:
            how += ": a command that it runs is not installed"
        elif status == 126:
            how += ": a command that it runs is not executable"
        return ServiceError(
            f"the deploy command {shlex.join(self._shown_command())} failed after {seconds:g} s ({how})",
            complaints=tuple(tail) or ("(it said nothing)",),
            expected="exit status 0",
            remedy="mend what it says above, then run again",
        )

    def _hung(self, tail: Iterable[str]) -> ServiceError:
        return ServiceError(
            f"the deploy command {shlex.join(self._shown_command())} had not ended after {self._timeout:g} s "
            "and was ended with every process it started",
            complaints=tuple(tail) or ("(it said nothing)",),
            expected="an end within the configured timeout",
            remedy="see what it waited for, or raise the timeout, then run again; the deploy may be half done",
        )


def words_of(command: str | Sequence[str]) -> tuple[str, ...]:
    """Return a command as words; a string is split as a shell would split it, but nothing in it is expanded."""
    try:
        words = tuple(shlex.split(command)) if isinstance(command, str) else tuple(command)
    except ValueError as error:
        raise ConfigError(f"the deploy command can't be split into words: {error}", remedy="mend its quotes") from error
    if not words or not words[0] or any("\0" in word for word in words):
        raise ConfigError("the deploy command is empty", expected="a program and its arguments")
    return words


def secret_values(environment: Mapping[str, str]) -> tuple[str, ...]:
    """Return every value that must not be shown: of variables named like a secret, and passwords within URLs.

    Values of several lines are returned line by line too, since that is how a script would print them.
    """
    found: set[str] = set()
    for name, value in environment.items():
        found.update(_URL_PASSWORD.findall(value))
        if _SECRET_NAME.search(name):
            found.update({value, value.strip(), quote(value, safe="")})
            found.update(line.strip() for line in value.splitlines() if len(line.strip()) >= 8)
    return tuple(sorted(text for text in found if len(text) >= 4 and text.lower() not in _PLAIN_WORDS))


def _lines(process: subprocess.Popen[bytes], deadline: float) -> Iterable[str]:
    """Yield the lines of the output as they come; raise `TimeoutExpired` at the deadline."""
    assert process.stdout is not None
    lines: queue.Queue[str | None] = queue.Queue()
    threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
    ended_at = math.inf
    while True:
        now = time.monotonic()
        if process.poll() is not None:
            ended_at = min(ended_at, now)
            if now - ended_at >= _LINGER_SECONDS:
                yield from _queued(lines)
                return
        elif now >= deadline:
            # Checked between lines too: a script that talks without pause must not talk itself past its deadline.
            raise subprocess.TimeoutExpired("deploy", 0)
        try:
            line = lines.get(timeout=0.1)
        except queue.Empty:
            continue
        if line is None:
            return
        yield line


def _queued(lines: queue.Queue[str | None]) -> Iterable[str]:
    """Yield what is queued at this moment and wait for nothing more."""
    for _ in range(lines.qsize()):
        line = lines.get_nowait()
        if line is not None:
            yield line


def _read(stream: IO[bytes], lines: queue.Queue[str | None]) -> None:
    """Split the stream into lines (a progress bar's carriage return ends one too) and queue them; None is the end."""
    rest = b""
    with contextlib.suppress(OSError, ValueError):
        while chunk := stream.read(8192):
            *whole, rest = re.split(rb"\r?\n|\r(?!\n|$)", rest + chunk)
            for line in whole:
                lines.put(line.decode("utf-8", errors="replace"))
            if len(rest) > 16 * _LONGEST_LINE:
                lines.put(rest.decode("utf-8", errors="replace"))
                rest = b""
    if rest:
        lines.put(rest.rstrip(b"\r").decode("utf-8", errors="replace"))
    lines.put(None)


def _end_group(process: subprocess.Popen[bytes]) -> None:
    """End the process and everything it started: politely, then for good."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        deadline = time.monotonic() + _GRACE_SECONDS
        while time.monotonic() < deadline and _group_lives(process):
            time.sleep(0.05)
        if not _group_lives(process):
            return


def _group_lives(process: subprocess.Popen[bytes]) -> bool:
    process.poll()
    try:
        os.killpg(process.pid, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
