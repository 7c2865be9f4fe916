"""What a revert is asked to do and what it hands back, as plain values. How it is done is `repository`'s business."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Move:
    """One file that goes back from the archive: `source` becomes `target`."""

    source: str
    target: str


@dataclass(frozen=True)
class Reference:
    """One place where a name stands that should not be there any more, and what should stand there instead."""

    path: str
    line: int
    name: str
    instead: str
    text: str


@dataclass(frozen=True)
class RevertResult:
    """What `revert_paths` did, or found already done.

    `commit` is None when there was nothing left to change and so no commit was made. `discarded` names the commits
    whose changes to the paths are no longer in effect. `already_moved` and `already_removed` were that way before.
    """

    already_done: bool
    branch: str | None
    commit: str | None
    restored_from: str
    earlier_branch: str | None
    earlier_commit: str
    restored: tuple[str, ...]
    moved: tuple[str, ...]
    already_moved: tuple[str, ...]
    removed: tuple[str, ...]
    already_removed: tuple[str, ...]
    discarded: tuple[str, ...]


@dataclass(frozen=True)
class UndoResult:
    """Where the working copy is after `undo`. `branch` is None where it stands on a commit without a branch."""

    already_done: bool
    branch: str | None
    commit: str
    branch_deleted: bool


@dataclass(frozen=True)
class PushResult:
    """What was pushed where."""

    remote: str
    branch: str
    commit: str
