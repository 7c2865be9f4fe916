"""The git working copy that holds the Lambda's code and the schema files: taken back in one commit, and back again.

The commit is made beside the working copy (in an index of its own), and the working copy is switched to it as the last
step. So until that step nothing has changed, and whatever fails leaves the files as they were. The repository's hooks
are not run, except before a push: they are written for people at a keyboard.
Which paths, which commit and which names are meant is the caller's; deploying what is there now is `deploy`'s.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath

from aicfg_pipeline.errors import ConfigError, ServiceError, redact
from aicfg_pipeline.services.git import Entry, WorkingCopy, few
from aicfg_pipeline.services.reverted import Move, PushResult, Reference, RevertResult, UndoResult

_TRAILER = "Aicfg-Rollback"
_EARLIER_BRANCH = "Aicfg-Earlier-Branch"


@dataclass(frozen=True)
class _Request:
    """What is to be reverted, with paths and commit made exact."""

    paths: tuple[str, ...]
    commit: str
    moves: tuple[Move, ...]
    removals: tuple[str, ...]

    @property
    def fingerprint(self) -> str:
        """The same for the same work, whichever run asks for it."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:24]


class _Plan:
    """The changes that a request needs on top of a commit, and what of it is done already."""

    def __init__(self) -> None:
        self.write: dict[str, Entry] = {}
        self.drop: list[str] = []
        self.restored: list[str] = []
        self.moved: list[str] = []
        self.already_moved: list[str] = []
        self.removed: list[str] = []
        self.already_removed: list[str] = []
        self.complaints: list[str] = []

    @property
    def empty(self) -> bool:
        """Whether there is nothing to change."""
        return not self.write and not self.drop


class Repository(WorkingCopy):
    """One git working copy. Paths are relative to its top folder."""

    def check(self, paths: Sequence[str] = (), commit: str | None = None) -> str | None:
        """Refuse what would make `revert_paths` refuse, as far as it can be known now; return the exact commit."""
        self._inside(paths)
        self._refuse_unfinished()
        exact = self._commit(commit) if commit else None
        self._refuse_dirty()
        return exact

    def revert_paths(
        self,
        paths: Sequence[str],
        commit: str,
        *,
        moves: Sequence[Move] = (),
        removals: Sequence[str] = (),
        branch: str,
        message: str,
    ) -> RevertResult:
        """Restore `paths` from `commit`, make the `moves` and `removals`, all in one commit on the new `branch`.

        A path that is a folder gets back every file that `commit` has in it; files added to it since stay. If an
        earlier run did the same work on `branch`, the working copy is put on it and nothing else is done.
        """
        request = self._request(paths, commit, moves, removals)
        self._check_branch_name(branch)
        self._refuse_unfinished()
        done = self._earlier_commit(branch, request)
        if done is not None:
            return self._already_on(branch, done, request)
        self._refuse_dirty()
        earlier_branch, base = self.head()
        plan = self._plan(request, base)
        self._refuse_untracked(plan, base)
        new = None
        if not plan.empty:
            trailers = f"{_TRAILER}: {request.fingerprint}\n{_EARLIER_BRANCH}: {earlier_branch or '(none)'}\n"
            new = self._make_commit(plan, base, f"{redact(message).strip()}\n\n{trailers}")
            self._move_to(branch, new, plan)
        return RevertResult(
            already_done=plan.empty,
            branch=branch if new else earlier_branch,
            commit=new,
            restored_from=request.commit,
            earlier_branch=earlier_branch,
            earlier_commit=base,
            restored=tuple(plan.restored),
            moved=tuple(plan.moved),
            already_moved=tuple(plan.already_moved),
            removed=tuple(plan.removed),
            already_removed=tuple(plan.already_removed),
            discarded=self._discarded(request, base),
        )

    def references(self, paths: Sequence[str], names: Mapping[str, str]) -> tuple[Reference, ...]:
        """Return every place in the tracked files of `paths` where a new name stands as a word of its own.

        `names` is old → new. A name within a longer one (`idx_NAME`, `NAME_v2`) is another word.
        """
        inside = self._inside(paths)
        instead = {new: old for old, new in names.items()}
        if not inside or not instead:
            return ()
        listed = self._git("ls-files", "-z", "--", *inside) or ""
        files = [name for name in listed.split("\0") if name]
        absent = [p for p in inside if not any(f == p or f.startswith(p + "/") for f in files)]
        if absent:
            raise ServiceError(
                f"git has no file at: {', '.join(absent)}",
                expected=f"tracked files of {self.root}",
                remedy="correct the paths",
            )
        words = re.compile(
            r"(?<![A-Za-z0-9_$])(" + "|".join(re.escape(n) for n in sorted(instead)) + r")(?![A-Za-z0-9_$])"
        )
        found: list[Reference] = []
        for name in sorted(set(files)):
            found += self._references_in(name, words, instead)
        return tuple(found)

    def push(self, remote: str, branch: str) -> PushResult:
        """Push `branch` to `remote`, never by force. Nothing else here ever talks to a remote."""
        if not remote or remote.startswith("-"):
            raise ConfigError(f"{remote!r} can't be the name of a remote")
        self._check_branch_name(branch)
        commit = self._git("rev-parse", "--verify", "--quiet", f"refs/heads/{branch}^{{commit}}", fails=True)
        if commit is None:
            raise ServiceError(f"there is no branch {branch!r} to push in {self.root}")
        self._git("push", "--porcelain", remote, f"refs/heads/{branch}:refs/heads/{branch}", hooks=True)
        return PushResult(remote=remote, branch=branch, commit=commit)

    def undo(self, branch: str, *, delete_branch: bool = False) -> UndoResult:
        """Put the working copy back to where it was before `revert_paths` made `branch`; keep the branch unless told.

        Where the working copy is not on `branch` there is nothing to put back.
        """
        self._check_branch_name(branch)
        self._refuse_unfinished()
        current, commit = self.head()
        already = current != branch
        if not already:
            self._refuse_dirty()
            made = self._git("log", "-1", "--format=%H", f"--grep=^{_TRAILER}: ", branch)
            if not made:
                raise ServiceError(
                    f"branch {branch!r} was not made by this pipeline, so where it came from is not known",
                    remedy="switch to the branch you want with `git switch`",
                )
            self._switch_back(made)
            current, commit = self.head()
        deleted = False
        if delete_branch and self._exists(f"refs/heads/{branch}"):
            self._git("branch", "-D", "--", branch)
            deleted = True
        return UndoResult(already_done=already, branch=current, commit=commit, branch_deleted=deleted)

    # What is asked, made exact

    def _request(self, paths: Sequence[str], commit: str, moves: Sequence[Move], removals: Sequence[str]) -> _Request:
        sources = self._inside([move.source for move in moves])
        targets = self._inside([move.target for move in moves])
        return _Request(
            paths=self._inside(paths),
            moves=tuple(Move(source, target) for source, target in zip(sources, targets, strict=True)),
            removals=self._inside(removals),
            commit=self._commit(commit),
        )

    def _inside(self, paths: Sequence[str]) -> tuple[str, ...]:
        """Return `paths` relative to the top folder; refuse those that lead out of it, all at once."""
        inside: list[str] = []
        outside: list[str] = []
        for path in paths:
            relative = os.path.relpath(os.path.normpath(self.root / path), self.root)
            leads_out = not (self.root / relative).parent.resolve().is_relative_to(self.root)
            parts = PurePosixPath(relative).parts
            if not path or not parts or parts[0] in (".", "..", ".git") or leads_out:
                outside.append(path)
            inside.append(str(PurePosixPath(*parts)) if parts else relative)
        if outside:
            raise ServiceError(
                f"not a path inside the repository {self.root}: {', '.join(map(repr, outside))}",
                expected="files or folders below the repository's top folder",
                remedy="correct the paths; nothing has been changed",
            )
        return tuple(inside)

    # What is refused

    def _refuse_untracked(self, plan: _Plan, base: str) -> None:
        """Refuse to write over a file that git does not have, ignored ones too: it could not be brought back."""
        tracked = self._tree(base)
        in_the_way = [path for path in plan.write if path not in tracked and os.path.lexists(self.root / path)]
        if in_the_way:
            raise ServiceError(
                f"files that git does not have are in the way: {few(in_the_way)}",
                expected="nothing at the places where files come back",
                remedy="move them away, then run again; nothing has been changed",
            )

    # The work

    def _plan(self, request: _Request, base: str) -> _Plan:
        now, before = self._tree(base), self._tree(request.commit)
        plan = _Plan()
        for path in request.paths:
            self._plan_restore(plan, path, now, before)
        for move in request.moves:
            self._plan_move(plan, move, now)
        for path in request.removals:
            self._plan_removal(plan, path, now, base)
        if plan.complaints:
            raise ServiceError(
                f"the files of {self.root} are not as they should be",
                complaints=plan.complaints,
                expected="paths that the commit has, and schema files that are where the migration put them",
                remedy="correct the configuration; nothing has been changed",
            )
        return plan

    def _plan_restore(self, plan: _Plan, path: str, now: Mapping[str, Entry], before: Mapping[str, Entry]) -> None:
        files = [name for name in before if name == path or name.startswith(path + "/")]
        if not files:
            plan.complaints.append(f"{path}: the commit to restore from has no such file or folder")
        for name in files:
            if now.get(name) != before[name]:
                plan.write[name] = before[name]
                plan.restored.append(name)

    def _plan_move(self, plan: _Plan, move: Move, now: Mapping[str, Entry]) -> None:
        source, target = now.get(move.source), now.get(move.target)
        arrow = f"{move.source} → {move.target}"
        if source and (target is None or target == source):
            plan.write[move.target] = source
            plan.drop.append(move.source)
            plan.moved.append(arrow)
        elif source:
            plan.complaints.append(f"{arrow}: both are there and differ; decide which one is right")
        elif target:
            plan.already_moved.append(arrow)
        elif os.path.lexists(self.root / move.source):
            plan.complaints.append(f"{arrow}: {move.source} is there but not in git; add and commit it")
        else:
            plan.complaints.append(f"{arrow}: neither of them is there")

    def _plan_removal(self, plan: _Plan, path: str, now: Mapping[str, Entry], base: str) -> None:
        if path in now:
            plan.drop.append(path)
            plan.removed.append(path)
        elif self._git("rev-list", "-1", base, "--", path) or self._shallow():
            # A shallow clone may have forgotten that the file ever was: that is no reason to refuse.
            plan.already_removed.append(path)
        else:
            plan.complaints.append(f"{path}: is to be removed, but never was in the history")

    def _make_commit(self, plan: _Plan, base: str, message: str) -> str:
        with tempfile.TemporaryDirectory(prefix="aicfg-index-") as folder:
            env = {"GIT_INDEX_FILE": str(Path(folder) / "index"), **self._identity()}
            self._git("read-tree", base, env=env)
            dropped = [path for path in plan.drop if path not in plan.write]
            lines = [f"0 {'0' * len(base)}\t{path}" for path in dropped]
            lines += [f"{entry.mode} {entry.object_id}\t{path}" for path, entry in plan.write.items()]
            self._git("update-index", "-z", "--index-info", env=env, stdin="".join(f"{line}\0" for line in lines))
            tree = self._git("write-tree", env=env) or ""
            return self._git("commit-tree", tree, "-p", base, "-F", "-", env=env, stdin=message) or ""

    def _move_to(self, branch: str, commit: str, plan: _Plan) -> None:
        """Make the branch and put the working copy on it; if that fails, leave neither a branch nor half the files."""
        before = self._git("symbolic-ref", "--quiet", "HEAD", fails=True)
        _, base = self.head()
        new_files = [path for path in plan.write if not os.path.lexists(self.root / path)]
        self._git("update-ref", f"refs/heads/{branch}", commit, "")
        try:
            self._switch(branch)
        except BaseException:
            self._put_back(before, base, new_files)
            self._git("update-ref", "-d", f"refs/heads/{branch}", commit, fails=True)
            raise

    def _put_back(self, branch_ref: str | None, base: str, new_files: Sequence[str]) -> None:
        if branch_ref:
            self._git("symbolic-ref", "HEAD", branch_ref, fails=True)
        else:
            self._git("update-ref", "--no-deref", "HEAD", base, fails=True)
        # There was no local change when we began, so this brings back exactly what was there.
        self._git("reset", "--hard", "--quiet", base, fails=True)
        for path in new_files:
            (self.root / path).unlink(missing_ok=True)

    def _switch_back(self, made: str) -> None:
        """Switch to where the working copy was before commit `made`; to the bare commit if its branch is gone."""
        earlier = self._git("log", "-1", f"--format=%(trailers:key={_EARLIER_BRANCH},valueonly)", made) or ""
        if self._exists(f"refs/heads/{earlier.strip()}"):
            self._switch(earlier.strip())
        else:
            self._git("switch", "--quiet", "--detach", f"{made}^")

    # What is there already

    def _earlier_commit(self, branch: str, request: _Request) -> str | None:
        """Return the commit on `branch` that did this very work; None if there is no such branch yet."""
        if not self._exists(f"refs/heads/{branch}"):
            return None
        found = self._git("log", "-1", "--format=%H", f"--grep=^{_TRAILER}: {request.fingerprint}$", branch)
        if found:
            return found
        raise ServiceError(
            f"there is already a branch {branch!r} in {self.root}, and it holds something else",
            expected="no branch of that name, or the one an earlier run made for the same work",
            remedy="delete or rename it, or configure another branch name; nothing has been changed",
        )

    def _already_on(self, branch: str, done: str, request: _Request) -> RevertResult:
        current, head = self.head()
        # Where the branch was merged since, the work is in effect without it.
        if current != branch and not self._plan(request, head).empty:
            if self._git("merge-base", "--is-ancestor", head, branch, fails=True) is None:
                raise ServiceError(
                    f"branch {branch!r} did this work, but {current or head[:12]} has newer commits that it lacks",
                    remedy="merge them, or delete that branch and run again; nothing has been changed",
                )
            self._refuse_dirty()
            self._switch(branch)
        parent = self._git("rev-parse", f"{done}^") or ""
        earlier = self._git("log", "-1", f"--format=%(trailers:key={_EARLIER_BRANCH},valueonly)", done) or ""
        earlier = earlier.strip()
        plan = self._plan(request, parent)
        return RevertResult(
            already_done=True,
            branch=branch,
            commit=done,
            restored_from=request.commit,
            earlier_branch=None if earlier == "(none)" else earlier,
            earlier_commit=parent,
            restored=tuple(plan.restored),
            moved=tuple(plan.moved),
            already_moved=tuple(plan.already_moved),
            removed=tuple(plan.removed),
            already_removed=tuple(plan.already_removed),
            discarded=self._discarded(request, parent),
        )

    def _discarded(self, request: _Request, base: str) -> tuple[str, ...]:
        if not request.paths:
            return ()
        lines = self._git("log", "--format=%h %s", f"{request.commit}..{base}", "--", *request.paths) or ""
        return tuple(line for line in lines.splitlines() if line)

    def _references_in(self, name: str, words: re.Pattern[str], instead: Mapping[str, str]) -> list[Reference]:
        path = self.root / name
        if path.is_symlink() or not path.is_file():
            return []
        content = path.read_bytes()
        if b"\0" in content:
            return []
        found = []
        for number, line in enumerate(content.decode(errors="replace").split("\n"), start=1):
            for match in words.finditer(line):
                new = match[1]
                found.append(Reference(name, number, new, instead[new], redact(line.strip())[:200]))
        return found
