"""Weights come once, whole and as they should be, or one line says what to do."""

import hashlib
import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from gannet.cli import main
from gannet.errors import UserError
from gannet.evaluation import inception, weights
from gannet.evaluation.weights import Weights, sha256_of, shown

CONTENT = bytes(range(256)) * 5000


class Server:
    """Serves `CONTENT` at /file.pth, half of it at /half.pth, and counts."""

    def __init__(self) -> None:
        asked: list[str] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                asked.append(self.path)
                if self.path not in ("/file.pth", "/half.pth"):
                    self.send_error(404)
                    return
                self.send_response(200)
                self.send_header("Content-Length", str(len(CONTENT)))
                self.end_headers()
                self.wfile.write(CONTENT if self.path == "/file.pth" else CONTENT[: len(CONTENT) // 2])

            def log_message(self, format: str, *args: object) -> None: ...

        self.asked, self.http = asked, ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.http.server_port}"
        threading.Thread(target=self.http.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture(autouse=True)
def no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.http.shutdown()
    server.http.server_close()


def file_at(url: str) -> Weights:
    return Weights("thing", url, len(CONTENT), hashlib.sha256(CONTENT).hexdigest())


def test_a_file_is_loaded_once_with_progress(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "BLOCK", 1_000_000)
    file, seen = file_at(f"{server.address}/file.pth"), []
    for _ in range(2):
        path = file.ready(tmp_path, lambda done, total: seen.append((done, total)))
        assert path == tmp_path / "thing" / "file.pth" and path.read_bytes() == CONTENT
    assert server.asked == ["/file.pth"]
    assert seen == [(1_000_000, 1_280_000), (1_280_000, 1_280_000)]


@pytest.mark.parametrize("path", ["half.pth", "nothing.pth"])
def test_what_does_not_come_whole_is_not_kept(path: str, server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        file_at(f"{server.address}/{path}").ready(tmp_path)
    line = str(caught.value)
    assert "\n" not in line and line.startswith("the weights of thing cannot be had (")
    assert line.endswith(
        "): run gannet fetch thing where there is a network, or put "
        f"{server.address}/{path} to {tmp_path / 'thing' / path}"
    )
    assert [file.name for file in (tmp_path / "thing").iterdir()] in ([], ["lock"])


def test_another_file_than_expected_is_not_kept(server: Server, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"what came, 1 MB of 1 MB, is not the file"):
        replace(file_at(f"{server.address}/file.pth"), sha256="0" * 64).ready(tmp_path)
    assert not (tmp_path / "thing" / "file.pth").exists()


def test_without_a_network_one_line_says_which_file_to_put_where(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{closed.getsockname()[1]}/file.pth"
    with pytest.raises(UserError, match="refused") as caught:
        file_at(address).ready(tmp_path)
    line = str(caught.value)
    assert "\n" not in line and f"put {address} to {tmp_path / 'thing' / 'file.pth'}" in line
    (tmp_path / "thing" / "file.pth").write_bytes(CONTENT)
    assert file_at(address).ready(tmp_path).read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1], CONTENT[:-1] + b"!"])
def test_another_file_in_its_place_is_one_line(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "thing" / "file.pth"
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"file.pth: remove it, and run gannet fetch thing$") as caught:
        file_at("http://nowhere/file.pth").ready(tmp_path)
    assert str(caught.value).startswith(f"{path} is not the file of ")


def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "thing").write_text("in the way")
    with pytest.raises(UserError, match="cannot write"):
        file_at("http://nowhere/file.pth").ready(tmp_path)


def test_a_digest_is_shown_by_its_beginning(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    assert shown(sha256_of(tmp_path / "empty")) == "e3b0c44298fc1c14"


def test_gannet_fetch_inception_loads_its_weights_ahead(
    server: Server, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(inception, "WEIGHTS", replace(file_at(f"{server.address}/file.pth"), name="inception"))
    assert main(["fetch", "inception", "--json"]) == 0
    fetched = json.loads(capsys.readouterr().out)
    assert fetched == [{"name": "inception", "folder": str(cache / "inception"), "bytes": len(CONTENT)}]
    assert (cache / "inception" / "file.pth").read_bytes() == CONTENT
