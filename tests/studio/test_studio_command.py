"""`gannet studio` and `show(run)`: an address that answers, and an end that leaves nothing."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from studios import Runs, stats

from gannet import UserError
from gannet.cli import main
from gannet.studio import notebook, start
from gannet.studio.notebook import Studio, show
from gannet.studio.start import bind, opened


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What is opened in the browser."""
    opened: list[str] = []
    monkeypatch.setattr(notebook, "open_browser", opened.append)
    monkeypatch.setattr(start, "open_browser", opened.append)
    return opened


@pytest.fixture
def studio(runs: Runs, shown: list[str], tmp_path: Path) -> Iterator[Studio]:
    runs("one", stats(3))
    made = show(tmp_path / "runs")
    yield made
    made.stop()


def test_a_studio_answers_in_the_background_until_it_is_stopped(studio: Studio, shown: list[str]) -> None:
    assert shown == [studio.url] and studio.url in repr(studio)
    assert httpx.get(f"{studio.url}api/runs").json()[0]["name"] == "one"
    with httpx.stream("GET", f"{studio.url}api/runs/one/events") as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        assert "event: " in next(text for text in answer.iter_text() if "event" in text)
        studio.stop()  # though a page still watches
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"{studio.url}api/runs")


@pytest.mark.parametrize("imported", ["", "import gannet.studio.runs; "])
def test_the_verb_is_the_module(imported: str, tmp_path: Path) -> None:
    """Whether or not the room was entered before."""
    code = f"import gannet; {imported}gannet.studio('nothing')"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True)
    assert done.stderr.strip().endswith("UserError: there is no run and no folder of runs at nothing")


def test_the_page_of_one_run_is_opened(runs: Runs, shown: list[str]) -> None:
    made = show(runs("one", stats(3)))
    made.stop()
    assert shown == [made.url] and made.url.endswith("/#/run/one")


def test_in_a_notebook_it_is_a_frame_and_in_colab_behind_its_proxy(
    runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs("one", stats(3))
    frames: list[str] = []
    monkeypatch.setattr(notebook, "inline", lambda url, height: frames.append(url))
    monkeypatch.setattr(notebook, "in_notebook", lambda: True)
    made = show(tmp_path / "runs")
    made.stop()
    assert frames == [made.url]

    class Colab:
        class output:
            @staticmethod
            def eval_js(code: str) -> str:
                port = code.removeprefix("google.colab.kernel.proxyPort(").rstrip(")")
                return f"https://{port}-abc.colab.example/"

    monkeypatch.setitem(sys.modules, "google.colab", Colab)
    made = show(tmp_path / "runs" / "one")
    proxy = f"{made.made.port}-abc.colab.example"
    try:
        assert frames[-1] == f"https://{proxy}/#/run/one"
        local = f"http://127.0.0.1:{made.made.port}/api/runs"
        for host in (proxy, f"localhost:{made.made.port}"):
            assert httpx.get(local, headers={"host": host}).status_code == 200
        asked: dict[str, Any] = {"headers": {"host": proxy, "origin": f"https://{proxy}"}, "json": {}}
        assert httpx.post(f"{local}/one/stop", **asked).status_code == 409
        assert httpx.get(local, headers={"host": "other.colab.example"}).status_code == 403
    finally:
        made.stop()


def test_another_address_than_this_machines_has_a_token(runs: Runs, tmp_path: Path) -> None:
    runs("one", stats(3))
    made = opened(tmp_path / "runs", host="0.0.0.0", port=0)
    running = Studio(made, "")
    try:
        assert "?token=" in made.url
        local, token = f"http://127.0.0.1:{made.port}", made.url.partition("token=")[2]
        assert httpx.get(f"{local}/api/runs").status_code == 401
        with httpx.Client(base_url=local, follow_redirects=True) as client:
            client.get(f"/?token={token}")
            assert client.get("/api/runs").status_code == 200
            assert client.get("/api/runs", headers={"host": "any.name:1"}).status_code == 200  # behind a name server
    finally:
        running.stop()


def test_the_usual_port_gives_way_and_an_asked_one_does_not(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        number = taken.getsockname()[1]
        monkeypatch.setattr(start, "USUAL_PORT", number)
        other = bind("127.0.0.1", None)
        assert other.getsockname()[1] != number
        other.close()
        with pytest.raises(UserError, match=f"port {number}.*--port"):
            bind("127.0.0.1", number)
    for port in (-1, 99999):
        with pytest.raises(UserError, match="--port"):
            bind("127.0.0.1", port)
    with pytest.raises(UserError, match=r"192\.0\.2\.7"):
        bind("192.0.2.7", 0)


def test_what_cannot_be_shown_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    for argv, says in (
        (["studio", str(tmp_path / "nothing")], "there is no folder"),
        (["studio", str(tmp_path / "file")], "is a file"),
        (["studio", str(tmp_path), "--data", str(tmp_path / "nothing")], "--data"),
        (["studio", "--port", "x"], "--port"),
    ):
        assert main(argv) == 2
        assert says in capsys.readouterr().err
    with pytest.raises(UserError, match="no run"):
        show(tmp_path / "nothing")


def test_without_the_packages_it_is_said_how_to_have_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"fastapi and uvicorn: pip install 'gannet-gan\[studio\]'"):
        opened(tmp_path)


def test_the_command_prints_its_address_and_ends_with_ctrl_c(runs: Runs, tmp_path: Path) -> None:
    runs("one", stats(3))
    command = [sys.executable, "-m", "gannet", "studio", str(tmp_path / "runs"), "--no-browser", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    url, ctrl_c = process.stdout.readline().split()[1], process.stdout.readline()
    assert httpx.get(f"{url}api/runs", timeout=30).json()[0]["name"] == "one"
    with httpx.stream("GET", f"{url}api/runs/one/events", timeout=30) as page:
        assert next(page.iter_lines()) == "retry: 2000"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    assert process.communicate()[1] == "" and "Ctrl-C" in ctrl_c
