"""What tests rely on in their own tools: who runs on which version, and that the checkout stays as it is."""

from __future__ import annotations

import os
from pathlib import Path

from aicfg_pipeline import environment
from aicfg_pipeline_tests.tools import checkout
from aicfg_pipeline_tests.tools.everything import drawn

OTHERS = (14, 15, 16, 17)


def test_every_version_has_its_share_and_a_name_draws_the_same_one_each_time() -> None:
    names = [f"rollback/test_x.py::test_x[{n}]" for n in range(40)]
    first = [drawn(name, OTHERS) for name in names]
    assert all(first.count(version) >= 5 for version in OTHERS)
    assert [drawn(name, OTHERS) for name in names] == first


def test_where_there_is_one_version_only_nothing_else_is_drawn() -> None:
    assert drawn("rollback/test_x.py::test_x", ()) is None


def test_what_tests_leave_goes_to_a_folder_of_the_session() -> None:
    home = environment.HOME.value()
    assert home is not None
    assert checkout.PROJECT not in Path(home).resolve().parents
    assert os.access(home, os.W_OK)


def test_a_file_that_a_test_leaves_in_the_checkout_is_seen(tmp_path: Path) -> None:
    before = checkout.files(tmp_path)
    for folder in (".aicfg/server-messages", "aicfg_pipeline/__pycache__"):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / "left.txt").touch()
    (tmp_path / "aicfg_pipeline" / "new.py").touch()
    assert checkout.files(tmp_path) - before == {".aicfg/server-messages/left.txt"}


def test_a_demo_that_was_there_before_may_go_on_writing_and_others_may_not(tmp_path: Path) -> None:
    """`make demo` and then `make test`: its server is still running."""
    (tmp_path / ".aicfg").mkdir()
    demo = checkout.of_a_demo(tmp_path)
    before = checkout.files(tmp_path, but=demo)
    (tmp_path / ".aicfg" / "of_the_server").touch()
    (tmp_path / "left.txt").touch()
    assert checkout.files(tmp_path, but=demo) - before == {"left.txt"}
