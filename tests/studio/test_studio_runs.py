"""What the studio says of run folders, however they were left."""

import json
import os
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock
from studios import Ask, Runs, error, stats, written

from gannet.diagnosis import diagnose, open_log
from gannet.studio.findings import settings_of
from gannet.studio.server import House


def listed(ask: Ask) -> dict[str, Any]:
    return {row["name"]: row for row in ask().get("/api/runs").json()}


def long_ago(run: Path) -> None:
    for path in run.rglob("*"):
        os.utime(path, (1, 1))


def test_an_empty_folder_and_one_that_is_not_there_have_no_runs(ask: Ask, tmp_path: Path) -> None:
    assert ask().get("/api/runs").json() == []
    (tmp_path / "runs" / "nothing").mkdir(parents=True)
    assert ask().get("/api/runs").json() == []


def test_a_run_is_told_in_short(runs: Runs, ask: Ask) -> None:
    run = runs("one", stats(50), grids=[0, 5], **{"train.length": "8 kimg"})
    (run / "best").mkdir()
    (run / "best" / "metric.json").write_text('{"metric": "KID", "value": 0.02, "better": "lower", "seed": 1}')
    long_ago(run)
    row = listed(ask)["one"]
    assert (row["state"], row["kimg"], row["total_kimg"], row["seconds"]) == ("stopped", 5.0, 8.0, 50.0)
    assert (row["recipe"], row["data"], row["resolution"]) == ("dcgan-shapes", "shapes", 16)
    assert row["metric"] == {"metric": "KID", "value": 0.02, "better": "lower"}
    assert row["grid"] == "/files/one/samples/kimg000005.000.png" and ask().get(row["grid"]).status_code == 200
    assert 40 <= len(row["spark"]) <= 60 and min(row["spark"]) == 2.0
    assert row["seconds_left"] is None and row["problem"] is None


@pytest.mark.parametrize("odd", ["[" * 400 + "]" * 400, '"\\ud800"'], ids=["deep", "half a character"])
def test_what_cannot_be_sent_of_one_run_leaves_the_others(runs: Runs, ask: Ask, odd: str) -> None:
    runs("good", stats(5))
    run = runs("odd", stats(5))
    (run / "best").mkdir()
    (run / "best" / "metric.json").write_text(f'{{"metric": {odd}, "value": 1, "better": "lower"}}')
    with (run / "stats.jsonl").open("a") as file:
        file.write(f'{{"type": "event", "kimg": 0.6, "event": "odd", "what": {odd}}}\n')
        file.write(f'{{"type": "stats", "kimg": 0.6, "seconds": {odd}, "loss G": 1.0}}\n')
    assert listed(ask)["good"]["kimg"] == 0.5 and listed(ask)["odd"]["kimg"] == 0.6
    told = ask().get("/api/runs/odd").json()
    assert [line["event"] for line in told["history"]] == ["odd"] and told["statistics"] == ["loss D", "loss G"]
    assert ask().get("/api/compare?runs=good&runs=odd").status_code == 200


def test_states_follow_from_what_lies_in_the_folder(runs: Runs, ask: Ask) -> None:
    runs("finished", stats(100))
    stopped, torn = runs("stopped", stats(40)), runs("torn")
    runs("starting")
    long_ago(stopped)
    long_ago(torn)
    rows = listed(ask)
    assert {name: row["state"] for name, row in rows.items()} == {
        "finished": "finished",
        "stopped": "stopped",
        "torn": "stopped",
        "starting": "starting",
    }
    assert rows["torn"]["problem"] == "no line of statistics was written"


def test_a_run_whose_folder_is_locked_is_live_and_tells_the_time_left(runs: Runs, ask: Ask) -> None:
    run, empty = runs("one", stats(60)), runs("empty")
    with FileLock(run / ".lock"), FileLock(empty / ".lock"):
        rows = listed(ask)
    assert (rows["one"]["state"], rows["one"]["live"], rows["empty"]["state"]) == ("running", True, "starting")
    assert rows["one"]["seconds_left"] == pytest.approx(40.0)  # 4 kimg, a tenth of one each second
    assert listed(ask)["one"]["state"] == "stopped"  # and a lock that a kill has left holds nothing
    (run / ".lock").touch()
    assert listed(ask)["one"]["state"] == "stopped"


def collapsing(num: int = 400) -> list[dict[str, Any]]:
    """D wins for good after a tenth of the run."""
    late = num // 10
    return stats(
        num,
        loss_D=lambda i: (1.2 if i < late else 0.0005) + 0.01 * (i % 3) * (i < late),
        loss_G=lambda i: (0.9 if i < late else 12.0) + 0.01 * (i % 5),
        **{
            "D(x)": lambda i: 0.55 if i < late else 0.9999,
            "D(G(z))": lambda i: 0.45 if i < late else 0.0001,
            "accuracy_real": lambda i: 0.6 if i < late else 1.0,
            "accuracy_fake": lambda i: 0.6 if i < late else 1.0,
        },
    )


def test_a_failing_run_gets_its_finding_with_the_change_as_settings(runs: Runs, ask: Ask) -> None:
    run = runs("bad", collapsing(), **{"train.length": "50 kimg"})
    client = ask()
    until = time.monotonic() + 60
    while (row := client.get("/api/runs").json()[0])["finding"] is None:  # it looks after it has answered
        assert time.monotonic() < until
        time.sleep(0.05)
    assert row["state"] == "stopped" and row["finding"]["finding"] == "d-wins"
    assert row["finding"]["settings"] == {"penalties.r1.gamma": 1}
    whole = client.get("/api/runs/bad").json()
    assert whole["state"] == "stopped" and whole["diagnosis"]["verdict"] == "failed"
    with FileLock(run / ".lock"):
        assert client.get("/api/runs/bad").json()["state"] == "failing"
    for finding in whole["diagnosis"]["findings"]:
        assert finding.pop("title") and finding.pop("meaning") and finding.pop("settings")
    assert whole["diagnosis"] == json.loads(json.dumps(diagnose(open_log(run)).to_dict()))  # as the command says


def test_a_run_that_came_to_its_end_with_a_finding_is_finished(runs: Runs, ask: Ask) -> None:
    runs("bad", collapsing(100))
    client = ask()
    found = client.get("/api/runs/bad").json()
    assert (found["state"], found["diagnosis"]["verdict"]) == ("finished", "failed")
    row = client.get("/api/runs").json()[0]
    assert (row["state"], row["finding"]["title"]) == ("finished", found["diagnosis"]["findings"][0]["title"])


@pytest.mark.parametrize(
    ("change", "settings"),
    [
        ("--penalties.r1.gamma 1", {"penalties.r1.gamma": 1}),
        ("--optim.D.lr 0.0001 --optim.G.lr 2e-4", {"optim.D.lr": 0.0001, "optim.G.lr": 2e-4}),
        ("--optim.G.betas 0.5 0.999", {"optim.G.betas": [0.5, 0.999]}),
        ("--game.d-steps 2", {"game.d_steps": 2}),
        ("--penalties.gradient-penalty.weight 10", {"penalties.gradient-penalty.weight": 10}),
        ("--D.norm spectral --D.bias", {"D.norm": "spectral", "D.bias": True}),
        ("--lr 1e-4", {"optim.G.lr": 1e-4, "optim.D.lr": 1e-4}),
        ("--kimg 12.5", {"kimg": 12.5}),
        ("stop, and use the weights of step 12", None),
    ],
)
def test_a_change_becomes_settings(change: str, settings: dict[str, Any] | None) -> None:
    assert settings_of(change) == settings


def test_a_run_is_told_in_full(runs: Runs, ask: Ask) -> None:
    metric = {"type": "metric", "kimg": 2.0, "metric": "KID", "value": 0.1, "low": 0.0, "high": 0.2, "better": "lower"}
    event = {"type": "event", "kimg": 1.0, "event": "diverged"}
    lines = [*stats(10), event, *stats(20)[10:], metric]
    runs("one", lines, grids=[0, 2], facts={"classes": ["circle"]})
    found = ask().get("/api/runs/one").json()
    assert (found["metrics"], found["history"], found["classes"]) == ([metric], [event], ["circle"])
    assert [grid["kimg"] for grid in found["grids"]] == [0, 2] and found["real"] is None
    assert found["statistics"] == ["loss D", "loss G"] and found["tail"] == len(written(lines))
    assert found["recipe"]["data.resolution"] == 16 and "[data]" in found["recipe_toml"]
    assert found["diagnosis"]["verdict"] is None and "30" in found["diagnosis"]["why"]
    assert not found["has_generator"] and not found["has_discriminator"]


def test_statistics_are_thinned_zoomed_and_chosen(runs: Runs, ask: Ask) -> None:
    runs("one", stats(100))
    client = ask()
    every = client.get("/api/runs/one/statistics").json()
    assert len(every["kimg"]) == 100 and set(every["series"]) == {"loss D", "loss G"} and every["exact"]
    one = client.get("/api/runs/one/statistics?names=loss%20D,nothing&from=2&to=3&points=4").json()
    assert len(one["kimg"]) == 4 and list(one["series"]) == ["loss D"] and 2 <= one["kimg"][0] <= one["kimg"][-1] <= 3
    assert set(one["series"]["loss D"]["max"]) <= {1.01, 1.02}
    assert "points" in error(client.get("/api/runs/one/statistics?points=0"), 422)
    assert "from" in error(client.get("/api/runs/one/statistics?from=x"), 422)


def test_a_run_of_a_newer_version_is_shown_with_a_warning(runs: Runs, ask: Ask) -> None:
    run = runs("new", stats(40), facts={"gannet": "99.1"})
    path = run / "recipe.toml"
    path.write_text(path.read_text().replace("[data]", "[unheard]\nof = 1\n\n[data]"))
    row = listed(ask)["new"]
    assert "99.1" in row["problem"] and row["kimg"] == 4.0
    assert ask().get("/api/runs/new").json()["recipe"]["unheard.of"] == 1


NESTED, DOTTED = f"a = {'[' * 5000}{']' * 5000}", f"{'a.' * 5000}a = 1"
DIGITS = f'[run]\ngannet = "{"9" * 5000}"\n'


@pytest.mark.parametrize("text", ["", "not toml [", "name = 1\ntrain = 2\n", "run = 3\n", NESTED, DOTTED, DIGITS])
def test_a_recipe_that_cannot_be_understood_hides_nothing_else(runs: Runs, ask: Ask, text: str) -> None:
    run = runs("odd", stats(40), grids=[1])
    (run / "recipe.toml").write_text(text)
    assert listed(ask)["odd"]["kimg"] == 4.0
    found = ask().get("/api/runs/odd")
    assert found.status_code == 200 and len(found.json()["grids"]) == 1


def test_torn_and_strange_lines_hide_nothing_else(runs: Runs, ask: Ask) -> None:
    run = runs("torn", stats(40))
    strange = '{"type": "metric", "kimg": 1}\n{"type": "stats", "kimg": 4.1, "loss D": "x", "loss G": null}\n'
    with (run / "stats.jsonl").open("a") as file:
        file.write(strange + '{"type": "stats", "kim')
    assert listed(ask)["torn"]["kimg"] == 4.1
    assert ask().get("/api/runs/torn").json()["tail"] == len(written(stats(40))) + len(strange)


def test_the_last_statistics_are_found_before_whatever_came_after_them(runs: Runs, ask: Ask) -> None:
    event = {"type": "event", "kimg": 10.0, "event": "told", "why": "x" * 5000}
    runs("long", [*stats(99), {**stats(100)[-1], "note": "x" * 5000}])
    runs("other", [*stats(100), *[event] * 20])
    runs("most", [*stats(100), *[event] * 300])  # too much to be read each time
    rows = listed(ask)
    assert [(rows[name]["kimg"], rows[name]["state"]) for name in ("long", "other")] == [(10.0, "finished")] * 2
    assert rows["most"]["kimg"] > 0


@pytest.mark.parametrize(
    "line",
    [
        "[" * 100_000,
        '{"type": "stats", "kimg": 9' + "9" * 400 + "}",
        '{"type": "stats", "kimg": 4.0, "seconds": 9' + "9" * 400 + ', "loss D": 9' + "9" * 400 + "}",
    ],
)
def test_deep_lines_and_endless_numbers_hide_nothing_else(runs: Runs, ask: Ask, line: str) -> None:
    run = runs("odd")
    (run / "stats.jsonl").write_text(f"{written(stats(39))}{line}\n{written(stats(40)[39:])}")
    (run / "best").mkdir()
    (run / "best" / "metric.json").write_text("[" * 100_000)
    assert listed(ask)["odd"]["kimg"] == 4.0
    assert ask().get("/api/runs/odd").json()["kimg"] == 4.0
    assert ask().get("/api/runs/odd/statistics").status_code == 200


def test_what_is_no_file_is_not_waited_for(runs: Runs, ask: Ask) -> None:
    pipes, folders = runs("pipes", stats(3)), runs("folders", stats(3))
    for name in ("stats.jsonl", ".lock", "ratings.jsonl", "samples/real.png"):
        (pipes / name).unlink(missing_ok=True)
        os.mkfifo(pipes / name)
    (folders / "stats.jsonl").unlink()
    (folders / "stats.jsonl").mkdir()
    client = ask()
    assert {row["name"]: row["kimg"] for row in client.get("/api/runs").json()} == {"pipes": 0, "folders": 0}
    for name in ("pipes", "folders"):
        assert "no file" in error(client.get(f"/api/runs/{name}/statistics"), 400)
    assert client.get("/api/rate/pipes/result").json()["deception"]["num"] == 0
    error(client.get("/files/pipes/samples/real.png"), 404)


def test_a_run_that_is_removed_is_said_to_be_gone(runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(40)), ask()
    assert client.get("/api/runs/one").status_code == 200
    shutil.rmtree(run)
    for path in ("", "/statistics", "/sample", "/events"):
        assert "removed" in error(client.get(f"/api/runs/one{path}"), 404)
    assert client.get("/api/runs").json() == []


def test_a_new_run_of_an_old_name_is_another(runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(40)), ask()
    assert client.get("/api/runs/one/statistics").json()["kimg"][-1] == 4.0
    shutil.rmtree(run)
    runs("one", stats(7, loss_D=lambda i: 3.0))
    found = client.get("/api/runs/one/statistics").json()
    assert found["kimg"][-1] == 0.7 and set(found["series"]["loss D"]["min"]) == {3.0}


def test_the_studio_shows_one_run_too_and_those_in_a_series(runs: Runs, ask: Ask, tmp_path: Path) -> None:
    one, _ = runs("one", stats(3)), runs("seeds/seed0", stats(4), grids=[1])
    assert [row["name"] for row in ask(one).get("/api/runs").json()] == ["one"]
    rows = listed(ask)
    assert set(rows) == {"one", "seeds:seed0"}
    assert ask().get("/api/runs/seeds%3Aseed0").json()["kimg"] == 0.4
    assert ask().get(rows["seeds:seed0"]["grid"]).status_code == 200


def test_a_sweep_with_trials_and_seeds_is_listed(runs: Runs, ask: Ask, tmp_path: Path) -> None:
    for trial in (0, 1):
        runs(f"wide/trial00{trial}/seed0", stats(3))
    runs("too/deep/to/list", stats(3))
    assert list(listed(ask)) == ["wide:trial000:seed0", "wide:trial001:seed0"]
    assert ask().get("/api/runs/wide%3Atrial001%3Aseed0").json()["kimg"] == 0.3


def extended(kimg: float, length: str) -> dict[str, Any]:
    return {"type": "event", "kimg": kimg, "event": "extended", "settings": {"train": {"length": length}}}


def test_a_run_that_was_made_longer_ends_later(runs: Runs, ask: Ask) -> None:
    run, client = runs("one", stats(100)), ask()
    assert client.get("/api/runs").json()[0]["state"] == "finished"
    with (run / "stats.jsonl").open("a", encoding="utf-8") as file:
        file.write(written([extended(10, "15 kimg"), *stats(110)[100:], extended(11, "17 kimg"), *stats(120)[110:]]))
    row = client.get("/api/runs").json()[0]
    assert (row["state"], row["kimg"], row["total_kimg"]) == ("stopped", 12, 17)
    with FileLock(run / ".lock"):
        assert client.get("/api/runs/one").json()["seconds_left"] == pytest.approx(50)
    assert client.get("/api/runs/one").json()["history"][-1] == extended(11, "17 kimg")
    (run / "stats.jsonl").write_text(written(stats(100)))  # as a resume that begins before the events leaves it
    assert client.get("/api/runs").json()[0]["total_kimg"] == 10
    (run / "stats.jsonl").write_text(written([*stats(100), {**extended(10, ""), "settings": 3}, extended(1, "long")]))
    assert client.get("/api/runs").json()[0]["total_kimg"] is None


def test_a_studio_of_one_run_tells_how_to_begin_it_anew(runs: Runs, ask: Ask) -> None:
    run = runs("a run", stats(3))
    assert ask(run).get("/api/runs/a%20run").json()["again"] == f"gannet train --recipe '{run}/recipe.toml'"
    assert ask().get("/api/runs/a%20run").json()["again"] is None


def test_few_looks_among_many_lines_are_found_as_by_the_command(runs: Runs, ask: Ask) -> None:
    """A mode collapse shows in 30 of 30,000 lines, of which the studio reads a third."""
    lines = stats(30_000, **{"D(x)": lambda i: 0.6, "D(G(z))": lambda i: 0.4})
    for k in range(30):
        seen = {"duplicates": 0.0, "diversity": 0.9} if k < 15 else {"duplicates": 0.9, "diversity": 0.05}
        lines[1000 * k + 7] = {**lines[1000 * k + 6], "sample mean": 0.4, "saturated": 0.0, **seen}
    lines[20_000]["loss G"] = None
    run = runs("one", lines, **{"train.length": "4000 kimg"})
    found = ask().get("/api/runs/one").json()["diagnosis"]
    expected = json.loads(json.dumps(diagnose(open_log(run)).to_dict()))
    by_name = {finding["finding"]: finding for finding in found["findings"]}
    assert list(by_name) == [finding["finding"] for finding in expected["findings"]] and "mode-collapse" in by_name
    assert found["verdict"] == expected["verdict"]
    for finding in expected["findings"]:
        assert {name: by_name[finding["finding"]][name] for name in finding} == finding


def test_what_was_read_is_not_read_again(runs: Runs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for i in range(5):
        runs(f"run{i}", stats(10))
    house = House.of(tmp_path / "runs", [])
    first = house.summaries.all()
    monkeypatch.setattr("tomllib.loads", lambda text: pytest.fail("read again"))
    monkeypatch.setattr(json, "loads", lambda text: pytest.fail("read again"))
    assert house.summaries.all() == first
