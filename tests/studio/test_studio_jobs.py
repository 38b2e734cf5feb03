"""Trainings that are started from the page: the same command, as a process that outlives the studio."""

import os
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from starlette.testclient import TestClient
from studios import ORIGIN, Ask, Runs, error, stats

from gannet.studio import jobs
from gannet.studio.data import Folders

Commands = list[list[str]]


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> Commands:
    """The commands that are started, in whose place a process waits for a moment."""
    commands: Commands = []
    popen = subprocess.Popen

    def start(command: list[str], **options: Any) -> Any:
        assert command[:3] == [sys.executable, "-m", "gannet"] and not options.get("shell")
        assert options["start_new_session"] and options["stdin"] == subprocess.DEVNULL
        commands.append(command[3:])
        return popen([sys.executable, "-c", "import time; time.sleep(20)"], **options)

    monkeypatch.setattr(jobs.subprocess, "Popen", start)
    return commands


def post(client: TestClient, path: str, **body: Any) -> Any:
    return client.post(path, json=body, headers=ORIGIN)


def test_a_training_is_the_command_with_its_options(started: Commands, ask: Ask, tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    settings: dict[str, Any] = {"data.resolution": 32, "optim.G.betas": [0.5, 0.9], "D.bias": True, "data.flip": False}
    settings["samples.when"] = "every 2 kimg"
    asked = {"data": "images", "recipe": "dcgan", "settings": settings, "name": "first", "kimg": 5}
    client = ask(data=[tmp_path])
    assert post(client, "/api/runs", **asked).json() == {"name": "first"}
    folder, run = str(tmp_path / "images"), str(tmp_path / "runs" / "first")
    words = ["--data.resolution=32", "--optim.G.betas", "0.5", "0.9", "--D.bias", "--data.no-flip"]
    words += ["--samples.when=every 2 kimg", "--kimg=5"]
    assert started == [["train", folder, "--recipe", "dcgan", "--run", run, *words]]
    row = client.get("/api/runs").json()[0]
    assert (row["name"], row["state"], row["live"]) == ("first", "starting", True)
    assert client.get("/api/runs/first").json()["state"] == "starting"
    assert "already" in error(post(client, "/api/runs", **asked), 409)
    post(client, "/api/runs/first/stop")


def test_a_name_alone_is_the_option_itself() -> None:
    settings = {"data.no-labels": True, "D.bias": True, "seed": False, "data.labels": False}
    assert jobs.options({"settings": settings}, Folders([], Path())) == [
        "--data.no-labels",
        "--D.bias",
        "--no-seed",
        "--data.no-labels",
    ]


def test_a_name_is_made_where_none_is_asked_for(started: Commands, runs: Runs, ask: Ask) -> None:
    runs("shapes-picked", stats(3))
    client = ask()
    assert post(client, "/api/runs", data="shapes").json()["name"] == "shapes-picked-2"
    assert started[0][:2] == ["train", "shapes"] and "--recipe" not in started[0]
    post(client, "/api/runs/shapes-picked-2/stop")


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({}, 400),
        ({"data": ""}, 400),
        ({"data": ["shapes"]}, 400),
        ({"data": "--allow-code"}, 400),
        ({"data": "/etc"}, 403),
        ({"data": "../outside"}, 403),
        ({"data": "hf://owner/name"}, 403),
        ({"data": "shapes", "recipe": "../evil.toml"}, 400),
        ({"data": "shapes", "recipe": "/tmp/evil.toml"}, 400),
        ({"data": "shapes", "recipe": "--allow-code"}, 400),
        ({"data": "shapes", "name": "../out"}, 400),
        ({"data": "shapes", "name": ".hidden"}, 400),
        ({"data": "shapes", "name": "a/b"}, 400),
        ({"data": "shapes", "name": "--run"}, 400),
        ({"data": "shapes", "settings": []}, 400),
        ({"data": "shapes", "settings": {"allow-code": True}}, 400),
        ({"data": "shapes", "settings": {"run": "x"}}, 400),
        ({"data": "shapes", "settings": {"init": "x"}}, 400),
        ({"data": "shapes", "settings": {"data.cache": "/tmp/x"}}, 400),
        ({"data": "shapes", "settings": {"data.source": "/etc"}}, 400),
        ({"data": "shapes", "settings": {"data.other": "/etc"}}, 403),
        ({"data": "shapes", "settings": {"data.group-by": "/etc/hostname"}}, 403),
        ({"data": "shapes", "settings": {"train.extractor": "/etc/secret.ONNX"}}, 403),
        ({"data": "shapes", "settings": {"optim.G.betas": [0.5, 0.9, "/etc"]}}, 400),
        ({"data": "shapes", "settings": {"optim.G.lr": {"x": 1}}}, 400),
        ({"data": "shapes", "settings": {"optim.G.lr": None}}, 400),
        ({"data": "shapes", "settings": {"data.fit pad --allow-code x.y": 1}}, 400),
    ],
)
def test_what_may_not_be_asked_starts_nothing(
    started: Commands, ask: Ask, body: dict[str, Any], code: int, tmp_path: Path
) -> None:
    error(post(ask(), "/api/runs", **body), code)
    assert started == [] and not (tmp_path / "runs").exists()


def test_only_so_many_trainings_go_on_at_once(started: Commands, ask: Ask, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "MOST_JOBS", 1)
    client = ask()
    assert post(client, "/api/runs", data="shapes", name="a").status_code == 200
    assert "stop one" in error(post(client, "/api/runs", data="shapes", name="b"), 503)
    post(client, "/api/runs/a/stop")


def test_again_takes_the_recipe_of_the_run_and_the_change(started: Commands, runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    change = {"penalties.r1.gamma": 1, "optim.D.lr": 1e-05}
    assert post(client, "/api/runs/one/again", settings=change).json() == {"name": "one-again"}
    place = ["train", "--recipe", str(run / "recipe.toml"), "--run", str(run.parent / "one-again")]
    assert started == [[*place, "--penalties.r1.gamma=1", "--optim.D.lr=1e-05"]]
    post(client, "/api/runs/one-again/stop")


def test_again_names_the_series_of_a_run_too(started: Commands, runs: Runs, ask: Ask) -> None:
    runs("wide/trial000/seed0", stats(3))
    client = ask()
    assert post(client, "/api/runs/wide%3Atrial000%3Aseed0/again").json() == {"name": "wide_trial000_seed0-again"}
    post(client, "/api/runs/wide_trial000_seed0-again/stop")


def test_no_value_of_a_setting_is_taken_for_data_or_an_option(started: Commands, runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    settings = {"D.bias": "/etc", "G.name": "--allow-code"}
    assert post(client, "/api/runs/one/again", settings=settings).status_code == 200
    place = ["train", "--recipe", str(run / "recipe.toml"), "--run", str(run.parent / "one-again")]
    assert started == [[*place, "--D.bias=/etc", "--G.name=--allow-code"]]
    post(client, "/api/runs/one-again/stop")


def test_of_two_clicks_at_once_the_second_starts_nothing(
    started: Commands, runs: Runs, ask: Ask, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs("one", stats(3))
    client, is_live = ask(), jobs.is_live
    monkeypatch.setattr(jobs, "is_live", lambda run: (time.sleep(0.3), is_live(run))[1])
    with ThreadPoolExecutor(2) as pool:
        codes = pool.map(lambda _: post(client, "/api/runs/one/resume").status_code, range(2))
    assert sorted(codes) == [200, 409] and len(started) == 1
    post(client, "/api/runs/one/stop")


def test_a_link_among_what_was_printed_is_not_written_through(started: Commands, runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    mine = run.parent.parent / "mine.txt"
    mine.write_text("mine")
    logs = run.parent / ".studio"
    logs.mkdir()
    (logs / "one.log").symlink_to(mine)
    assert post(client, "/api/runs/one/resume").status_code == 200
    post(client, "/api/runs/one/stop")
    assert mine.read_text() == "mine" and not (logs / "one.log").is_symlink()
    logs.rename(run.parent.parent / "elsewhere")
    logs.symlink_to(run.parent.parent / "elsewhere")
    wait_until(lambda: not client.get("/api/runs/one").json()["live"])
    assert "link" in error(post(client, "/api/runs/one/resume"), 403)


def test_a_run_is_resumed_and_stopped_by_its_name(started: Commands, runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    assert "not being trained" in error(post(client, "/api/runs/one/stop"), 409)
    assert post(client, "/api/runs/one/resume").json() == {"name": "one"} and started == [["resume", str(run)]]
    assert "already" in error(post(client, "/api/runs/one/resume"), 409)
    assert client.get("/api/runs/one").json()["state"] == "running"
    assert post(client, "/api/runs/one/stop").status_code == 200
    wait_until(lambda: not client.get("/api/runs/one").json()["live"])
    error(post(client, "/api/runs/nothing/resume"), 404)


def test_a_run_at_its_end_goes_on_to_a_new_one_only(started: Commands, runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(100)), ask()
    assert client.get("/api/runs/one").json()["at_end"] and not client.get("/api/runs/one").json()["live"]
    assert "at its end" in error(post(client, "/api/runs/one/resume"), 409)
    for kimg in (10, 3.5, -1, "20", True, [20]):
        assert "kimg" in error(post(client, "/api/runs/one/resume", kimg=kimg), 400)
    assert post(client, "/api/runs/one/resume", kimg=12.5).json() == {"name": "one"}
    assert started == [["resume", str(run), "--kimg", "12.5"]]
    found = client.get("/api/runs/one").json()
    assert (found["state"], found["live"], found["at_end"]) == ("running", True, True)  # until it says its new end
    post(client, "/api/runs/one/stop")


def test_what_a_training_prints_lies_beside_the_runs(started: Commands, runs: Runs, ask: Ask) -> None:
    run = runs("one", stats(3))
    before, client = set(run.rglob("*")), ask(run)
    assert post(client, "/api/runs/one/resume").status_code == 200 and len(started) == 1
    assert "one run" in error(post(client, "/api/runs", data="shapes"), 409)
    post(client, "/api/runs/one/stop")
    assert set(run.rglob("*")) == before and (run.parent / ".studio" / "one.log").exists()


def test_a_run_that_was_started_elsewhere_is_stopped_too(runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    hold = (
        "import sys, time; from filelock import FileLock; lock = FileLock(sys.argv[1]); lock.acquire(); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", hold, str(run / ".lock")])
    wait_until(lambda: client.get("/api/runs/one").json()["live"])
    error(post(client, "/api/runs/one/resume"), 409)
    assert post(client, "/api/runs/one/stop").status_code == 200
    assert holder.wait(10) < 0 and not client.get("/api/runs/one").json()["live"]


def test_who_has_the_lock_open_and_does_not_hold_it_is_left_alone(runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    look = "import fcntl, sys, time; file = open(sys.argv[1], 'w'); {}print(flush=True); time.sleep(60)"
    onlooker, holder = (
        subprocess.Popen([sys.executable, "-c", look.format(hold), str(run / ".lock")], stdout=subprocess.PIPE)
        for hold in ("", "fcntl.flock(file, fcntl.LOCK_EX); ")
    )
    try:
        assert onlooker.stdout and onlooker.stdout.readline() and holder.stdout and holder.stdout.readline()
        with (run / ".lock").open():  # as this studio has it for a moment
            assert jobs.holder_of(run) == holder.pid and onlooker.pid < holder.pid
            assert post(client, "/api/runs/one/stop").status_code == 200
        assert holder.wait(10) < 0 and onlooker.poll() is None
        assert jobs.holder_of(run) is None
    finally:
        onlooker.kill()
        holder.kill()


def test_asking_whether_a_run_is_live_keeps_none_from_starting(runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(3)), ask()
    (run / ".lock").touch()
    assert not client.get("/api/runs/one").json()["live"]
    with FileLock(run / ".lock", blocking=False):
        assert client.get("/api/runs/one").json()["live"]


def wait_until(holds: Callable[[], bool], seconds: float = 120) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.1)


def test_a_training_that_cannot_begin_says_why(ask: Ask) -> None:
    client = ask()
    name = post(client, "/api/runs", data="shapes", settings={"G.width": -3}, kimg=1).json()["name"]
    wait_until(lambda: client.get("/api/runs").json()[0]["state"] == "failed")
    row = client.get("/api/runs").json()[0]
    assert row["name"] == name and "width" in row["problem"] and not row["problem"].startswith("gannet:")


def test_a_real_training_is_seen_outlives_the_studio_and_stops(
    ask: Ask, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    settings: dict[str, Any] = {"data.resolution": 16, "G.width": 4, "D.width": 4, "train.precision": "float32"}
    settings |= {"train.batch": 8, "samples.num": 4, "train.device": "cpu"}
    asked = {"data": "shapes", "recipe": "dcgan-shapes", "settings": settings, "name": "real", "kimg": 100_000}
    assert post(ask(), "/api/runs", **asked).json() == {"name": "real"}
    another = ask()  # that knows nothing of what the first has started

    def kimg() -> float:
        return next((row["kimg"] for row in another.get("/api/runs").json() if row["name"] == "real"), 0.0)

    wait_until(lambda: kimg() > 0)
    row = another.get("/api/runs").json()[0]
    assert row["state"] == "running" and row["total_kimg"] == 100_000
    assert post(another, "/api/runs/real/stop").status_code == 200
    wait_until(lambda: not another.get("/api/runs").json()[0]["live"])
    run = tmp_path / "runs" / "real"
    assert another.get("/api/runs/real").json()["state"] == "stopped" and (run / "generator" / "config.json").exists()
    assert os.listdir(tmp_path / "runs" / ".studio") == ["real.log"]
    assert all(str(tmp_path) not in path.read_text("utf-8", "replace") for path in run.glob("*.toml"))
