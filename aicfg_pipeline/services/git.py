"""Runs git in one working copy, and reads what is there: branch, commit, tree. What is reverted is `repository`'s business.

The repository's hooks are not run unless that is asked for, and no setting of a caller's own repository leaks in.
"""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from aicfg_pipeline.environment import everything
from aicfg_pipeline.errors import ConfigError, ServiceError

_BUSY = {
    "MERGE_HEAD": "a merge",
    "rebase-merge": "a rebase",
    "rebase-apply": "a rebase or `git am`",
    "CHERRY_PICK_HEAD": "a cherry-pick",
    "REVERT_HEAD": "a revert",
}
_FULL_HASH = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
# Set within a hook of another repository, say, these would send us there or change what a path means.
_MISLEADING = frozenset(
    {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_COMMON_DIR", "GIT_NAMESPACE", "GIT_PREFIX"}
    | {"GIT_OBJECT_DIRECTORY", "GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_SHALLOW_FILE", "GIT_GRAFT_FILE"}
    | {"GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"}
)


@dataclass(frozen=True)
class Entry:
    """A file as git's tree has it."""

    mode: str
    object_id: str


class WorkingCopy:
    """One git working copy. Paths are relative to its top folder."""

    def __init__(self, path: str | os.PathLike[str], *, git: str = "git", timeout_seconds: float = 120.0) -> None:
        self.path = Path(path).expanduser()
        self._git_program = git
        self._timeout = timeout_seconds
        self._root: Path | None = None

    @property
    def root(self) -> Path:
        """The top folder of the working copy; refuses what is not one."""
        if self._root is None:
            self._root = self._find_root()
        return self._root

    def head(self) -> tuple[str | None, str]:
        """Return the branch the working copy is on (None: none) and its commit."""
        branch = self._git("symbolic-ref", "--quiet", "--short", "HEAD", fails=True)
        commit = self._git("rev-parse", "--verify", "--quiet", "HEAD^{commit}", fails=True)
        if commit is None:
            raise ServiceError(f"the repository {self.root} has no commit yet", expected="a repository with history")
        return (branch or None), commit

    def _commit(self, commit: str) -> str:
        """Return the exact commit of a commit, tag or branch; tell an unknown one from one a shallow clone lacks."""
        found = None
        if commit and not commit.startswith("-"):
            found = self._git(
                "rev-parse", "--verify", "--quiet", "--end-of-options", f"{commit}^{{commit}}", fails=True
            )
        if found and _FULL_HASH.fullmatch(found):
            return found
        if self._git("rev-parse", "--is-shallow-repository") == "true":
            raise ServiceError(
                f"the repository {self.root} is a shallow clone and does not have the commit {commit!r}",
                expected="a clone with the history back to before the migration",
                remedy="run `git fetch --unshallow --tags` there, then run again; nothing has been changed",
            )
        raise ServiceError(
            f"the repository {self.root} knows no commit, tag or branch {commit!r}",
            expected="a commit from before the migration",
            remedy="look for it with `git log`, fetch if it is newer than the clone; nothing has been changed",
        )

    def _check_branch_name(self, branch: str) -> None:
        if branch.startswith("-") or self._git("check-ref-format", "--branch", branch, fails=True) != branch:
            raise ConfigError(f"{branch!r} can't be the name of a branch", remedy="use letters, digits, - and /")

    def _find_root(self) -> Path:
        if not self.path.is_dir():
            raise ServiceError(f"there is no folder {self.path}", remedy="correct the path of the working copy")
        process = self._start(["rev-parse", "--show-toplevel"], cwd=self.path)
        if process.returncode == 0 and process.stdout.strip():
            return Path(process.stdout.strip()).resolve()
        text = process.stderr.strip()
        if "not a git repository" in text or "must be run in a work tree" in text:
            raise ServiceError(
                f"{self.path} is not a git working copy",
                expected="the folder of a git clone with its files checked out",
                remedy="correct the path of the working copy",
            )
        raise ServiceError(f"git can't read {self.path}: {text}", remedy="mend what git says, then run again")

    def _refuse_unfinished(self) -> None:
        folder = Path(self._git("rev-parse", "--absolute-git-dir") or "")
        for name, what in _BUSY.items():
            if (folder / name).exists():
                raise ServiceError(
                    f"{what} is unfinished in {self.root}",
                    expected="a working copy in which nothing is under way",
                    remedy="finish it or abort it, then run again; nothing has been changed",
                )

    def _refuse_dirty(self) -> None:
        status = self._git("status", "--porcelain", "-z", "--untracked-files=no") or ""
        changed = [entry[3:] for entry in status.split("\0") if len(entry) > 3]
        if changed:
            raise ServiceError(
                f"the working copy {self.root} has local changes: {few(changed)}",
                expected="no uncommitted change to a tracked file",
                remedy="commit them or `git stash`, then run again; nothing has been changed",
            )

    def _identity(self) -> dict[str, str]:
        """Give the commit an author where git knows none, as on a machine that nobody works on."""
        if self._git("var", "GIT_COMMITTER_IDENT", fails=True) and self._git("var", "GIT_AUTHOR_IDENT", fails=True):
            return {}
        name, email = "aicfg_pipeline", "aicfg_pipeline@localhost"
        return {
            "GIT_AUTHOR_NAME": name,
            "GIT_AUTHOR_EMAIL": email,
            "GIT_COMMITTER_NAME": name,
            "GIT_COMMITTER_EMAIL": email,
        }

    def _switch(self, branch: str) -> None:
        self._git("switch", "--quiet", "--no-guess", "--no-overwrite-ignore", branch)

    def _tree(self, commit: str) -> dict[str, Entry]:
        listed = self._git("ls-tree", "-r", "-z", "--full-tree", commit) or ""
        entries = {}
        for line in listed.split("\0"):
            if line:
                meta, path = line.split("\t", 1)
                mode, _kind, object_id = meta.split(" ")
                entries[path] = Entry(mode, object_id)
        return entries

    def _exists(self, ref: str) -> bool:
        return self._git("rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}", fails=True) is not None

    def _shallow(self) -> bool:
        return self._git("rev-parse", "--is-shallow-repository") == "true"

    def _git(
        self,
        *words: str,
        fails: bool = False,
        hooks: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> str | None:
        """Run git in the top folder; return what it said. Where it may fail (`fails`), a failure is None."""
        process = self._start(words, cwd=self.root, hooks=hooks, env=env, stdin=stdin)
        if process.returncode == 0:
            return process.stdout.removesuffix("\n")
        if fails:
            return None
        text = (process.stderr.strip() or process.stdout.strip()) or f"exit status {process.returncode}"
        raise ServiceError(
            f"`git {words[0]}` failed in {self.root}: {text}",
            remedy="mend what git says, then run again; the working copy is as it was",
        )

    def _start(
        self,
        words: Sequence[str],
        *,
        cwd: Path,
        hooks: bool = False,
        env: Mapping[str, str] | None = None,
        stdin: str | None = None,
    ) -> subprocess.CompletedProcess[str]:
        no_hooks = () if hooks else ("-c", f"core.hooksPath={os.devnull}")
        command = [self._git_program, "--literal-pathspecs", *no_hooks, *words]
        try:
            return subprocess.run(
                command,
                cwd=cwd,
                env=_environment(env),
                input=stdin,
                stdin=subprocess.DEVNULL if stdin is None else None,
                capture_output=True,
                encoding="utf-8",
                errors="surrogateescape",
                timeout=self._timeout,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ServiceError(
                f"`git {words[0]}` did not end within {self._timeout:g} s in {cwd}",
                remedy="see what it waits for (a network, a lock, a password), then run again",
            ) from error
        except FileNotFoundError as error:
            raise ServiceError(f"the program {self._git_program!r} is not installed", remedy="install git") from error


def _environment(extra: Mapping[str, str] | None) -> dict[str, str]:
    own = {name: value for name, value in everything().items() if name not in _MISLEADING}
    own.setdefault("GIT_SSH_COMMAND", "ssh -o BatchMode=yes")
    # No question is ever answered here, and messages are recognised by their English words.
    return {**own, "LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", **(extra or {})}


def few(names: Sequence[str], limit: int = 8) -> str:
    """Return names in a row, not more than `limit` of them."""
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
