"""Reports over HTTP: one opens by its address, and nothing else is given away."""

from __future__ import annotations

import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from aicfg_pipeline.evidence import write
from aicfg_pipeline.evidence.serving import address_of, served
from aicfg_pipeline_tests.evidence.samples import sample
from aicfg_pipeline_tests.tools.servers import free_port


@pytest.fixture
def reports(tmp_path: Path) -> Path:
    return write(sample(), tmp_path / "reports")[0]


@pytest.fixture
def address(reports: Path, tmp_path: Path) -> Iterator[str]:
    with served(reports.parent, tmp_path, free_port()) as found:
        yield found


def test_a_report_opens_by_its_address_and_so_does_its_json(address: str, reports: Path) -> None:
    page = httpx.get(f"{address}{reports.name}")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.content == reports.read_bytes()
    assert page.headers["cache-control"] == "no-store"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    assert httpx.get(f"{address}{reports.stem}.json").json()["kind"] == "rollback"
    assert httpx.head(f"{address}{reports.name}").status_code == 200


def test_nothing_else_is_served(address: str, reports: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.html").write_text("secret")
    (reports.parent / "differences-1.csv").write_text("a row")  # beside the reports, and full of data
    (reports.parent / "link.html").symlink_to(tmp_path / "secret.html")
    (reports.parent / ".hidden.html").write_text("half written")
    origin = address[: address.index("/", len("http://"))]
    for path in (
        *(f"{address}{name}" for name in ("", "differences-1.csv", "link.html", ".hidden.html", "none.html")),
        *(f"{address}{name}" for name in ("../secret.html", "%2e%2e/secret.html", "..%2fsecret.html", "x/y.html")),
        *(f"{origin}/{reports.name}", f"{origin}/wrong/{reports.name}", f"{origin}//{reports.name}", origin),
    ):
        assert httpx.get(path).status_code == 404, path
    assert httpx.post(f"{address}{reports.name}").status_code == 501


def test_it_listens_on_this_machine_only_and_ends_with_make_dev(reports: Path, tmp_path: Path) -> None:
    with served(reports.parent, tmp_path, free_port()) as address:
        port = int(address.split(":")[2].split("/")[0])
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 1)  # another address of this machine
    with pytest.raises(httpx.ConnectError):
        httpx.get(address)


def test_old_links_go_on_working_and_the_address_is_its_owners(reports: Path, tmp_path: Path) -> None:
    address = address_of(tmp_path, free_port())  # a run of the command line, before `make dev` was ever started
    assert stat.S_IMODE((tmp_path / "reports-address").stat().st_mode) == 0o600
    for _ in range(2):
        with served(reports.parent, tmp_path, free_port()) as again:
            assert again == address
            assert httpx.get(f"{again}{reports.name}").status_code == 200


def test_where_somebody_has_the_port_another_is_taken(reports: Path, tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        with served(reports.parent, tmp_path, taken.getsockname()[1]) as address:
            assert httpx.get(f"{address}{reports.name}").status_code == 200
            assert address_of(tmp_path, 1) == address
