"""A real git working copy is taken back in one commit, and back again; whatever fails leaves it as it was."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import asdict
from pathlib import Path

import pytest

from aicfg_pipeline.errors import ConfigError, ServiceError
from aicfg_pipeline.services.repository import Repository
from aicfg_pipeline.services.reverted import Move, Reference, RevertResult

HANDLER = "backend/handler/lambda_function.py"
SCHEMA = "db/schema"
MOVES = (Move(f"{SCHEMA}/archive/006-settings.sql.old", f"{SCHEMA}/006-settings.sql"),)
REMOVALS = (f"{SCHEMA}/006-new-settings.sql",)
NAMES = {"settings": "new_settings", "prompts": "new_prompts"}


def git(folder: Path, *words: str, check: bool = True) -> str:
    identity = ["-c", "user.name=Tester", "-c", "user.email=tester@example.com"]
    done = subprocess.run(["git", *identity, *words], cwd=folder, capture_output=True, text=True, check=check)
    return done.stdout.strip()


def put(folder: Path, files: dict[str, str], message: str) -> str:
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A working copy in the state that the migration left it in; tag `before` is from before it."""
    folder = tmp_path / "toolkit"
    folder.mkdir()
    git(folder, "init", "-q", "-b", "main")
    old = {
        HANDLER: "TABLE = 'settings'\n",
        f"{SCHEMA}/006-settings.sql": "CREATE TABLE settings ();\n",
        "README": "1\n",
    }
    put(folder, old, "first")
    git(folder, "tag", "before")
    (folder / f"{SCHEMA}/archive").mkdir()
    git(folder, "mv", MOVES[0].target, MOVES[0].source)
    new = {HANDLER: "TABLE = 'new_settings'\n", REMOVALS[0]: "CREATE TABLE new_settings ();\n"}
    put(folder, new, "the migration")
    put(folder, {"README": "2\n"}, "something else")
    return folder


def revert(folder: Path, **changes: object) -> RevertResult:
    options = {"moves": MOVES, "removals": REMOVALS, "branch": "back", "message": "Roll back, run 42", **changes}
    paths = options.pop("paths", [HANDLER])
    commit = options.pop("commit", "before")
    return Repository(folder).revert_paths(paths, commit, **options)  # type: ignore[arg-type]


def state(folder: Path) -> tuple[str, str, str, dict[str, bytes]]:
    """All that must be as it was: where HEAD is, which branches there are, what git status says, every file."""
    files = {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and ".git" not in path.parts
    }
    branches = git(folder, "for-each-ref", "--format=%(refname) %(objectname)", "refs/heads")
    head = git(folder, "rev-parse", "HEAD") + " " + git(folder, "branch", "--show-current")
    return head, branches, git(folder, "status", "--porcelain"), files


def refused(folder: Path, said: str, **changes: object) -> ServiceError:
    """Check that a revert is refused, says so, and changes nothing."""
    before = state(folder)
    with pytest.raises(ServiceError, match=said) as caught:
        revert(folder, **changes)
    assert state(folder) == before
    return caught.value


def test_code_and_schema_files_go_back_in_one_commit_on_a_new_branch(clone: Path) -> None:
    base = git(clone, "rev-parse", "HEAD")
    migration = git(clone, "rev-parse", "--short", "HEAD~1")

    done = revert(clone)

    assert (done.already_done, done.branch, done.earlier_branch, done.earlier_commit) == (False, "back", "main", base)
    assert done.commit == git(clone, "rev-parse", "HEAD")
    assert done.restored_from == git(clone, "rev-parse", "before")
    assert (done.restored, done.removed) == ((HANDLER,), REMOVALS)
    assert done.moved == (f"{MOVES[0].source} → {MOVES[0].target}",)
    assert done.discarded == (f"{migration} the migration",)
    assert git(clone, "rev-parse", "HEAD~1") == base
    assert git(clone, "log", "-1", "--format=%s") == "Roll back, run 42"
    assert git(clone, "status", "--porcelain") == ""
    assert state(clone)[3] == {
        HANDLER: b"TABLE = 'settings'\n",
        MOVES[0].target: b"CREATE TABLE settings ();\n",
        "README": b"2\n",  # what was not asked for stays as it is now
    }
    assert json.loads(json.dumps(asdict(done)))["branch"] == "back"


def test_main_is_left_where_it_was_and_nothing_is_pushed(clone: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(clone), "origin.git")
    git(clone, "remote", "add", "origin", str(tmp_path / "origin.git"))
    main = git(clone, "rev-parse", "main")
    revert(clone)
    assert git(clone, "rev-parse", "main") == main
    assert git(clone, "ls-remote", "--heads", "origin") == f"{main}\trefs/heads/main"


def test_a_second_run_finds_it_done_whatever_its_message(clone: Path) -> None:
    first = revert(clone)
    before = state(clone)
    second = revert(clone, message="Roll back, run 43")
    assert (second.already_done, second.commit, second.earlier_branch) == (True, first.commit, "main")
    assert (second.restored, second.moved, second.removed) == (first.restored, first.moved, first.removed)
    assert state(clone) == before


def test_a_run_killed_before_the_switch_is_finished_by_the_next(clone: Path) -> None:
    commit = revert(clone).commit
    git(clone, "switch", "-q", "main")  # the branch is made, the working copy not yet on it
    again = revert(clone)
    assert (again.already_done, again.commit) == (True, commit)
    assert git(clone, "branch", "--show-current") == "back"


def test_work_done_by_hand_needs_no_commit(clone: Path) -> None:
    git(clone, "checkout", "-q", "before", "--", HANDLER)
    git(clone, "mv", MOVES[0].source, MOVES[0].target)
    git(clone, "rm", "-q", REMOVALS[0])
    git(clone, "commit", "-q", "-m", "by hand")
    done = revert(clone)
    assert (done.already_done, done.commit, done.branch) == (True, None, "main")
    assert done.already_moved == (f"{MOVES[0].source} → {MOVES[0].target}",)
    assert done.already_removed == REMOVALS


def test_once_the_branch_is_merged_there_is_nothing_left_to_do(clone: Path) -> None:
    revert(clone)
    git(clone, "switch", "-q", "main")
    git(clone, "merge", "-q", "--no-ff", "-m", "merge", "back")
    assert revert(clone).already_done is True


def test_a_file_already_moved_is_told_apart_from_one_that_is_missing(clone: Path) -> None:
    git(clone, "mv", MOVES[0].source, MOVES[0].target)
    git(clone, "commit", "-q", "-m", "moved by hand")
    missing = Move("db/archive/nothing.old", "db/nothing")
    error = refused(clone, "not as they should be", moves=(*MOVES, missing), removals=("db/never-there.sql",))
    assert error.complaints == (
        "db/archive/nothing.old → db/nothing: neither of them is there",
        "db/never-there.sql: is to be removed, but never was in the history",
    )


def test_an_archived_file_that_differs_from_the_one_in_place_is_refused(clone: Path) -> None:
    put(clone, {MOVES[0].target: "someone else's\n"}, "both")
    error = refused(clone, "not as they should be")
    assert error.complaints[0].endswith("both are there and differ; decide which one is right")


def test_an_archived_file_that_git_does_not_have_is_refused(clone: Path) -> None:
    git(clone, "rm", "-q", "--cached", MOVES[0].source)
    git(clone, "commit", "-q", "-m", "untracked")
    assert "is there but not in git" in refused(clone, "not as they should be").complaints[0]


def test_a_dirty_tree_is_refused(clone: Path) -> None:
    (clone / "README").write_text("mine\n")
    refused(clone, "has local changes: README")


def test_a_staged_change_is_refused_too(clone: Path) -> None:
    (clone / "README").write_text("mine\n")
    git(clone, "add", "README")
    refused(clone, "has local changes: README")


def test_an_untracked_file_elsewhere_is_no_reason_to_refuse(clone: Path) -> None:
    (clone / "notes.txt").write_text("mine\n")
    assert revert(clone).already_done is False
    assert (clone / "notes.txt").read_text() == "mine\n"


@pytest.mark.parametrize("ignored", [False, True])
def test_a_local_file_where_one_comes_back_is_not_overwritten(clone: Path, ignored: bool) -> None:
    if ignored:
        put(clone, {".gitignore": "006-settings.sql\n"}, "ignore")
    (clone / MOVES[0].target).write_text("mine\n")
    refused(clone, "files that git does not have are in the way: db/schema/006-settings.sql")


def test_an_unknown_commit_is_refused(clone: Path) -> None:
    refused(clone, "knows no commit, tag or branch 'deadbeef'", commit="deadbeef")


@pytest.mark.parametrize("commit", ["", "--all", "-x", "0" * 40, "before:README"])
def test_what_is_no_commit_is_refused(clone: Path, commit: str) -> None:
    refused(clone, "knows no commit", commit=commit)


def test_a_shallow_clone_without_the_commit_is_told_apart_from_an_unknown_one(clone: Path, tmp_path: Path) -> None:
    before = git(clone, "rev-parse", "before")
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "-q", "--depth", "1", f"file://{clone}", str(shallow))
    error = refused(shallow, f"is a shallow clone and does not have the commit '{before}'", commit=before)
    assert "git fetch --unshallow" in str(error)


@pytest.mark.parametrize("path", ["../other", "/etc/passwd", "backend/../../x", ".git/config", ".", ""])
def test_a_path_outside_of_the_repository_is_refused(clone: Path, path: str) -> None:
    refused(clone, "not a path inside the repository", paths=[path])


def test_a_link_that_leads_out_of_the_repository_is_refused(clone: Path, tmp_path: Path) -> None:
    (clone / "out").symlink_to(tmp_path)
    refused(clone, "not a path inside the repository", paths=["out/file"])


def test_every_path_outside_is_named_at_once(clone: Path) -> None:
    assert refused(clone, "not a path", paths=["../a", HANDLER, "../b"]).found.endswith("'../a', '../b'")


def test_a_path_that_the_commit_does_not_have_is_refused(clone: Path) -> None:
    error = refused(clone, "not as they should be", paths=[HANDLER, "backend/typo.py"])
    assert error.complaints == ("backend/typo.py: the commit to restore from has no such file or folder",)


def test_a_folder_gets_its_files_back_and_keeps_those_added_since(clone: Path) -> None:
    put(clone, {"backend/handler/added.py": "x\n"}, "added")
    done = revert(clone, paths=["backend"])
    assert done.restored == (HANDLER,)
    assert (clone / "backend/handler/added.py").exists()


def test_a_folder_that_is_no_repository_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServiceError, match="is not a git working copy"):
        Repository(tmp_path).check()
    with pytest.raises(ServiceError, match="there is no folder"):
        Repository(tmp_path / "none").check()


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q")
    with pytest.raises(ServiceError, match="has no commit yet"):
        Repository(tmp_path).head()


def test_an_unfinished_merge_is_refused(clone: Path) -> None:
    git(clone, "switch", "-q", "-c", "other")
    put(clone, {"README": "other\n"}, "other")
    git(clone, "switch", "-q", "main")
    put(clone, {"README": "mine\n"}, "mine")
    git(clone, "merge", "-q", "other", check=False)
    refused(clone, "a merge is unfinished")


def test_an_unfinished_rebase_is_refused(clone: Path) -> None:
    git(clone, "switch", "-q", "-c", "other", "before")
    put(clone, {"README": "other\n"}, "other")
    git(clone, "rebase", "-q", "main", check=False)
    refused(clone, "a rebase is unfinished")


def test_a_branch_that_holds_something_else_is_refused(clone: Path) -> None:
    git(clone, "branch", "back", "before")
    refused(clone, "already a branch 'back' .* and it holds something else")


def test_an_older_rollback_branch_does_not_lose_newer_commits(clone: Path) -> None:
    revert(clone)
    git(clone, "switch", "-q", "main")
    put(clone, {"README": "3\n"}, "newer")
    refused(clone, "main has newer commits that it lacks")


@pytest.mark.parametrize("branch", ["-d", "a b", "a..b", ""])
def test_a_name_that_can_be_no_branch_is_refused(clone: Path, branch: str) -> None:
    with pytest.raises(ConfigError, match="can't be the name of a branch"):
        revert(clone, branch=branch)


def test_a_failure_in_the_middle_of_the_switch_leaves_the_working_copy_as_it_was(clone: Path) -> None:
    put(clone, {"a/comes/back/first": "1\n"}, "one more")
    git(clone, "tag", "more")
    git(clone, "rm", "-q", "a/comes/back/first")
    put(clone, {".gitattributes": "lambda_function.py filter=broken\n"}, "attributes")
    git(clone, "config", "filter.broken.required", "true")
    git(clone, "config", "filter.broken.clean", "cat")
    git(clone, "config", "filter.broken.smudge", "grep since")  # fails for the restored file only
    put(clone, {HANDLER: "TABLE = 'new_settings'  # since changed\n"}, "changed")
    refused(clone, "`git switch` failed", paths=["a", HANDLER], commit="more", moves=(), removals=())


def test_a_lock_left_by_another_git_is_reported_and_nothing_is_changed(clone: Path) -> None:
    (clone / ".git/index.lock").touch()
    before = git(clone, "for-each-ref")
    with pytest.raises(ServiceError, match=r"index\.lock"):
        revert(clone)
    assert git(clone, "for-each-ref") == before
    assert (clone / HANDLER).read_text() == "TABLE = 'new_settings'\n"


def test_the_repositorys_own_hooks_do_not_run(clone: Path) -> None:
    for name in ("pre-commit", "post-checkout", "commit-msg"):
        hook = clone / ".git/hooks" / name
        hook.parent.mkdir(exist_ok=True)
        hook.write_text("#!/bin/sh\nexit 1\n")
        hook.chmod(0o755)
    assert revert(clone).already_done is False


def test_gits_own_variables_do_not_lead_to_another_repository(
    clone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere.git"))
    monkeypatch.setenv("GIT_INDEX_FILE", str(tmp_path / "index"))
    done = Repository(clone).revert_paths([HANDLER], "before", branch="back", message="x")
    assert done.restored == (HANDLER,)


def test_names_with_spaces_and_other_scripts_are_handled(clone: Path) -> None:
    name = "db/größe und *.sql"
    put(clone, {name: "old\n"}, "odd")
    git(clone, "tag", "odd")
    put(clone, {name: "new\n"}, "odd changed")
    done = revert(clone, paths=[name], commit="odd", moves=(), removals=())
    assert done.restored == (name,)
    assert (clone / name).read_text() == "old\n"


def test_the_executable_bit_comes_back(clone: Path) -> None:
    (clone / "tool").write_text("#!/bin/sh\n")
    (clone / "tool").chmod(0o755)
    put(clone, {}, "tool")
    git(clone, "tag", "tool")
    (clone / "tool").chmod(0o644)
    put(clone, {}, "tool without")
    revert(clone, paths=["tool"], commit="tool", moves=(), removals=())
    assert os.access(clone / "tool", os.X_OK)


def test_undo_goes_back_to_the_earlier_branch_and_keeps_the_rollback_branch(clone: Path) -> None:
    before = state(clone)
    commit = revert(clone).commit
    undone = Repository(clone).undo("back")
    assert (undone.already_done, undone.branch, undone.branch_deleted) == (False, "main", False)
    assert git(clone, "rev-parse", "back") == commit
    assert (state(clone)[0], state(clone)[3]) == (before[0], before[3])
    assert Repository(clone).undo("back").already_done is True


def test_undo_deletes_the_branch_when_told(clone: Path) -> None:
    before = state(clone)
    revert(clone)
    assert Repository(clone).undo("back", delete_branch=True).branch_deleted is True
    assert state(clone) == before


def test_undo_goes_back_to_a_bare_commit_where_there_was_no_branch(clone: Path) -> None:
    git(clone, "switch", "-q", "--detach")
    before = state(clone)
    revert(clone)
    undone = Repository(clone).undo("back", delete_branch=True)
    assert undone.branch is None
    assert state(clone) == before


def test_undo_and_roll_back_again_ends_on_the_same_commit(clone: Path) -> None:
    first = revert(clone)
    Repository(clone).undo("back")
    assert revert(clone).commit == first.commit


def test_undo_refuses_to_lose_local_changes_or_to_leave_a_branch_it_does_not_know(clone: Path) -> None:
    revert(clone)
    (clone / "README").write_text("mine\n")
    with pytest.raises(ServiceError, match="has local changes"):
        Repository(clone).undo("back")
    git(clone, "checkout", "-q", "README")
    git(clone, "switch", "-q", "-c", "mine", "before")
    with pytest.raises(ServiceError, match="was not made by this pipeline"):
        Repository(clone).undo("mine")


def test_references_to_new_names_are_found_word_by_word_with_their_lines(clone: Path) -> None:
    text = "a = 'new_settings'\nidx_new_settings = new_settings_v2\nb = new_prompts + public.new_settings\n"
    put(clone, {"backend/x.py": text, "backend/blob": "\0new_settings"}, "x")
    found = Repository(clone).references(["backend/x.py", "backend/blob"], NAMES)
    assert found == (
        Reference("backend/x.py", 1, "new_settings", "settings", "a = 'new_settings'"),
        Reference("backend/x.py", 3, "new_prompts", "prompts", "b = new_prompts + public.new_settings"),
        Reference("backend/x.py", 3, "new_settings", "settings", "b = new_prompts + public.new_settings"),
    )


def test_no_reference_is_left_after_the_rollback(clone: Path) -> None:
    assert [r.path for r in Repository(clone).references(["backend", "db"], NAMES)] == [HANDLER, REMOVALS[0]]
    revert(clone)
    assert Repository(clone).references(["backend", "db"], NAMES) == ()


def test_references_in_a_path_without_files_are_an_error_and_not_a_pass(clone: Path) -> None:
    with pytest.raises(ServiceError, match="git has no file at: backend/typo"):
        Repository(clone).references(["backend/typo", HANDLER], NAMES)


def test_the_branch_is_pushed_when_told_and_never_by_force(clone: Path, tmp_path: Path) -> None:
    git(tmp_path, "clone", "-q", "--bare", str(clone), "origin.git")
    git(clone, "remote", "add", "origin", str(tmp_path / "origin.git"))
    commit = revert(clone).commit
    pushed = Repository(clone).push("origin", "back")
    assert (pushed.remote, pushed.branch, pushed.commit) == ("origin", "back", commit)
    assert f"{commit}\trefs/heads/back" in git(clone, "ls-remote", "--heads", "origin")

    git(tmp_path / "origin.git", "update-ref", "refs/heads/back", "main")
    git(clone, "switch", "-q", "--orphan", "fresh")
    git(clone, "commit", "-q", "--allow-empty", "-m", "unrelated")
    git(clone, "branch", "-f", "back", "fresh")
    with pytest.raises(ServiceError, match=r"(?s)`git push` failed .*rejected"):
        Repository(clone).push("origin", "back")


def test_a_push_that_fails_shows_no_password_of_the_remote(clone: Path) -> None:
    git(clone, "remote", "add", "origin", "http://user:hunter2@127.0.0.1:9/x.git")
    revert(clone)
    with pytest.raises(ServiceError) as caught:
        Repository(clone).push("origin", "back")
    assert "hunter2" not in str(caught.value)
    with pytest.raises(ConfigError, match="name of a remote"):
        Repository(clone).push("--force", "back")


def test_a_git_that_hangs_is_ended(clone: Path, tmp_path: Path) -> None:
    slow = tmp_path / "slow-git"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    with pytest.raises(ServiceError, match=r"did not end within 0\.2 s"):
        Repository(clone, git=str(slow), timeout_seconds=0.2).check()
    with pytest.raises(ServiceError, match="is not installed"):
        Repository(clone, git="no-such-git").check()


def test_check_says_beforehand_what_a_revert_would_refuse(clone: Path) -> None:
    assert Repository(clone).check([HANDLER], "before") == git(clone, "rev-parse", "before")
    (clone / "README").write_text("mine\n")
    with pytest.raises(ServiceError, match="has local changes"):
        Repository(clone).check([HANDLER], "before")
