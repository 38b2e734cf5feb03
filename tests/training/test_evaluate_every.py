"""Runs whose samples are measured while they train, most of them by a judge that a test makes up."""

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import NOISY, TINY, contents, files, newest_checkpoint, stopped, train

import gannet.api as api
import gannet.display as display
import gannet.sessions as sessions
from gannet.config import read_recipe
from gannet.display import Lines, in_words
from gannet.errors import UserError
from gannet.evaluating import reals
from gannet.evaluating.during import Evaluating, extractor_for
from gannet.evaluation.efficientnet import EfficientNetLite0
from gannet.evaluation.protocol import Score
from gannet.experiments.records import read_run
from gannet.files import put_back, remove_parts, whole_folder
from gannet.generation.load import Generator
from gannet.plan import moved
from gannet.training import run as run_module
from gannet.training.best import best_of, is_better
from gannet.training.pictures import read_stats, save_curves
from gannet.training.run import Snapshot

Pictures = Callable[..., Path]
Judging = Callable[[Generator], list[Score]]
EVERY: dict[str, Any] = {"train.evaluate_every": 0.008, "train.evaluate_num": 4}
PROTOCOL = {"extractor": "made up", "generated images": 3, "torch": "9.9"}


def kid(value: float) -> list[Score]:
    return [Score("KID", value, value - 0.1, value + 0.1, "lower", PROTOCOL)]


def restless(G: Generator) -> list[Score]:
    """What the weights say, after every source of random numbers has moved."""
    torch.rand(7), np.random.rand(7), random.random()
    return kid(G.sample(3).square().mean().item())


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> Callable[[Judging], None]:
    """Puts a judge in the place of the one that would look at images."""

    def by(judge: Judging) -> None:
        def measuring(recipe: Any, *_: Any) -> Any:
            return (lambda run: Evaluating(run, judge)) if recipe.train.evaluate_every else None

        monkeypatch.setattr(sessions, "measuring", measuring)

    return by


def in_turn(*values: float | Exception) -> Judging:
    left: Iterator[float | Exception] = iter(values)

    def judge(G: Generator) -> list[Score]:
        value = next(left)
        if isinstance(value, Exception):
            raise value
        return kid(value)

    return judge


def of_type(lines: list[dict[str, Any]], *types: str) -> list[dict[str, Any]]:
    return [line for line in lines if line["type"] in types]


def best_files(run: Path) -> dict[str, Any]:
    """All that is in `best/`, apart from the seconds that it took."""
    found = {
        name: (run / "best" / name).read_bytes() for name in files(run / "best") if name.startswith(("gen", "dis"))
    }
    (checkpoint,) = (run / "best").glob("*.pt")
    state = torch.load(checkpoint, weights_only=True)
    return {**found, "kimg": best_of(run)["kimg"], "value": best_of(run)["value"], "at": state["counters"]["cur_nimg"]}


def test_samples_are_measured_now_and_then_and_at_the_end(pictures: Pictures, tmp_path: Path, judged: Any) -> None:
    judged(in_turn(3.0, float("nan"), 2.0))
    made = train(pictures(), tmp_path / "run", {**TINY, **EVERY, "train.length": "5 iterations"})
    lines = of_type(made.stats, "metric")
    assert [(line["kimg"], line["value"]) for line in lines] == [(0.008, 3.0), (0.016, None), (0.02, 2.0)]
    first, second = lines[:2]
    assert list(first)[:2] == ["type", "kimg"]
    assert set(first) == {
        *("type", "kimg", "metric", "value", "low", "high", "better", "protocol", "seconds", "evaluation seconds")
    }
    assert (first["metric"], first["low"], first["high"], first["better"]) == ("KID", 2.9, 3.1, "lower")
    assert first["protocol"] == PROTOCOL and first["evaluation seconds"] > 0
    assert second["low"] is second["high"] is None
    assert len([line for line in made.stats if "loss D" in line]) == 5
    assert (made.path / "samples" / "kimg000000.020.png").exists()
    recipe = read_recipe(made.path / "recipe.toml")[0]
    assert (recipe.train.evaluate_every, recipe.train.metric, recipe.train.extractor) == (0.008, "kid", "inception")


def test_a_measured_run_ends_as_one_that_is_not(pictures: Pictures, tmp_path: Path, judged: Any) -> None:
    """Bit for bit, though the judge draws random numbers of every kind."""
    judged(restless)
    data = pictures()
    plain = contents(train(data, tmp_path / "plain", NOISY).path)
    seen = contents(train(data, tmp_path / "seen", {**NOISY, **EVERY}).path)
    assert seen["state"] == plain["state"]
    assert seen["files"] == plain["files"]
    assert of_type(seen["lines"], "stats") == of_type(plain["lines"], "stats") and len(seen["lines"]) > len(
        plain["lines"]
    )


@pytest.mark.parametrize("killed", [True, False])
def test_interrupted_and_resumed_equals_uninterrupted(
    pictures: Pictures, tmp_path: Path, judged: Any, killed: bool
) -> None:
    judged(restless)
    data, settings, parts = pictures(), {**NOISY, **EVERY}, tmp_path / "parts"
    whole = train(data, tmp_path / "whole", settings).path
    with stopped(7, killed):
        if killed:
            with pytest.raises(RuntimeError, match="killed"):
                train(data, parts, settings)
        else:
            assert not train(data, parts, settings).finished
    with stopped(2):
        assert not api.resume(parts).finished
    assert api.resume(parts).finished
    expected, found = contents(whole), contents(parts)
    assert len(of_type(expected["lines"], "metric")) == 6
    for what in ("state", "lines", "files"):
        assert found[what] == expected[what], what
    assert best_files(parts) == best_files(whole)


def test_seconds_of_measuring_are_apart_also_after_a_resume(
    pictures: Pictures, tmp_path: Path, judged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that stands still but while samples are measured, which takes 100 seconds each time."""
    clock = SimpleNamespace(now=0.0)
    monkeypatch.setattr(run_module, "time", SimpleNamespace(monotonic=lambda: clock.now))

    def slow(G: Generator) -> list[Score]:
        clock.now += 100
        return kid(1.0)

    judged(slow)
    with stopped(4):
        assert not train(pictures(), tmp_path / "run", {**TINY, **EVERY}).finished
    assert api.resume(tmp_path / "run").finished
    lines = read_stats(tmp_path / "run" / "stats.jsonl")
    found = {(line["seconds"], line["evaluation seconds"]) for line in of_type(lines, "stats", "metric")}
    assert found == {(0, 0), (100, 100), (200, 200), (300, 300)}
    record = read_run(tmp_path / "run")
    assert (record.seconds, record.evaluation_seconds, record.seconds_at(0.02)) == (0, 300, 0)


@pytest.mark.parametrize("number", [1, 2, 6])
def test_a_run_that_is_killed_while_it_is_measured_is_measured_again(
    pictures: Pictures, tmp_path: Path, judged: Any, number: int
) -> None:
    """The sixth time is at the end, where nothing is left to train. The training goes back by nothing."""
    calls = iter(range(1, 100))

    def deadly(G: Generator) -> list[Score]:
        if next(calls) == number:
            raise RuntimeError("killed")
        return restless(G)

    data, settings = pictures(), {**NOISY, **EVERY}
    judged(restless)
    whole = train(data, tmp_path / "whole", settings).path
    judged(deadly)
    with pytest.raises(RuntimeError, match="killed"):
        train(data, tmp_path / "parts", settings)
    assert newest_checkpoint(tmp_path / "parts")["counters"]["cur_nimg"] == min(8 * number, 44)
    assert api.resume(tmp_path / "parts").finished
    expected, found = contents(whole), contents(tmp_path / "parts")
    assert found["state"] == expected["state"] and found["lines"] == expected["lines"]
    assert best_files(tmp_path / "parts") == best_files(whole)


def test_a_best_when_first_measured_is_said_to_be_doubtful(
    pictures: Pictures, tmp_path: Path, judged: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    doubt = "which is when it was first measured"
    for values, doubted in (((0.1, 0.2, 0.3), True), ((0.3, 0.1, 0.2), False)):
        judged(in_turn(*values))
        train(pictures(), tmp_path / f"run{values[0]}", {**TINY, **EVERY})
        assert (doubt in capsys.readouterr().out) == doubted


def test_the_best_weights_are_kept_and_sampled_from(
    pictures: Pictures, tmp_path: Path, judged: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(in_turn(0.3, 0.1, 0.2))
    run = train(pictures(), tmp_path / "run", {**TINY, **EVERY, "ema.half_life_kimg": 0.01}).path
    said = capsys.readouterr().out
    assert "KID 0.2 (0.1 to 0.3)" in said and "evaluation took " in said
    assert f"best      KID 0.1 (0 to 0.2) at 0.016 kimg: gannet sample {run / 'best'}" in said
    assert files(run / "best") == {
        *("metric.json", "kimg000000.016.pt"),
        *(f"{part}/{name}" for part in ("generator", "discriminator") for name in ("config.json", "model.safetensors")),
    }
    (line,) = (line for line in api.Trained(run, True).stats if line.get("value") == 0.1)
    assert best_of(run) == line
    state = torch.load(run / "best" / "kimg000000.016.pt", weights_only=True)
    G: Any = api.load(run / "best")
    assert state["counters"]["cur_nimg"] == 16
    assert all(torch.equal(value, state["ema"]["G"][name]) for name, value in G.network.state_dict().items())
    last: Any = api.load(run)
    assert not torch.equal(G.sample(2), last.sample(2))
    assert len(api.sample(run / "best", num=2, out=tmp_path / "out").files) == 2


def test_a_resumed_run_knows_what_was_best(pictures: Pictures, tmp_path: Path, judged: Any) -> None:
    judged(in_turn(0.1, 0.3, 0.2))
    data, settings = pictures(), {**TINY, **EVERY}
    with stopped(3):
        train(data, tmp_path / "run", settings)
    assert api.resume(tmp_path / "run").finished
    assert best_files(tmp_path / "run")["kimg"] == 0.008
    judged(in_turn(0.05))
    assert api.resume(tmp_path / "run", kimg=0.028).finished
    assert best_files(tmp_path / "run")["kimg"] == 0.028


@pytest.mark.parametrize("error", [UserError("features that are NaN"), torch.OutOfMemoryError("CUDA out of memory")])
def test_a_judge_that_fails_does_not_end_the_run(
    pictures: Pictures, tmp_path: Path, judged: Any, error: Exception, capsys: pytest.CaptureFixture[str]
) -> None:
    judged(in_turn(0.1, error, 0.2))
    made = train(pictures(), tmp_path / "run", {**TINY, **EVERY})
    (event,) = of_type(made.stats, "event")
    assert made.finished and (event["kimg"], event["event"]) == (0.016, "not measured")
    assert event["reason"] in ("features that are NaN", "out of memory")
    assert f"not measured at 0.016 kimg, and training goes on: {event['reason']}" in capsys.readouterr().out
    assert [line["kimg"] for line in of_type(made.stats, "metric")] == [0.008, 0.024]


LINE = {"metric": "KID", "value": 0.2, "better": "lower", "protocol": {"extractor": "a", "torch": "1"}}


@pytest.mark.parametrize(
    ("other", "better"),
    [
        ({"value": 0.1}, True),
        ({"value": 0.2}, False),
        ({"value": 0.3}, False),
        ({"value": None}, False),
        ({"value": 0.3, "metric": "FID"}, True),
        ({"value": 0.3, "protocol": {"extractor": "b", "torch": "1"}}, True),
        ({"value": 0.3, "protocol": {"extractor": "a", "torch": "2"}}, False),
        ({"value": 0.1, "protocol": {"extractor": "a", "torch": "2"}}, True),
    ],
)
def test_only_numbers_of_one_kind_are_compared(other: dict[str, Any], better: bool) -> None:
    assert is_better(LINE | other, LINE) == better


def test_where_more_is_better_the_larger_number_is() -> None:
    line = LINE | {"better": "higher"}
    assert is_better(line | {"value": 0.3}, line) and not is_better(line | {"value": 0.1}, line)
    assert is_better(line, {})


DIE = """
import os, shutil, sys
from contextlib import contextmanager
from pathlib import Path
import gannet.files as files
left = int(sys.argv[2])
def counted(do):
    def counting(*args, **more):
        global left
        left -= 1
        if left < 0:
            os._exit(9)
        return do(*args, **more)
    return counting
for module, name in ((os, "rename"), (os, "replace"), (os, "mkdir"), (os, "fsync"), (os, "unlink"), (os, "rmdir")):
    setattr(module, name, counted(getattr(module, name)))
with files.whole_folder(Path(sys.argv[1])) as new:
    for name in ("one", "two"):
        files.write_text(new / name, "new")
"""


def test_a_kill_at_any_moment_leaves_the_old_folder_or_the_new_one_whole(tmp_path: Path) -> None:
    found, after, status = set(), 0, 9
    while status == 9:
        place = tmp_path / str(after) / "best"
        place.mkdir(parents=True)
        for name in ("one", "two"):
            (place / name).write_text("old")
        status = subprocess.run([sys.executable, "-c", DIE, place, str(after)], check=False).returncode
        put_back(place)
        remove_parts(place.parent)
        found.add(tuple(path.read_text() for path in sorted(place.iterdir())))
        assert [path.name for path in place.parent.iterdir()] == ["best"], after
        after += 1
    assert status == 0 and after > 8
    assert found == {("old", "old"), ("new", "new")}


def test_an_error_while_a_folder_is_filled_leaves_the_old_one(tmp_path: Path) -> None:
    (tmp_path / "best").mkdir()
    with pytest.raises(UserError, match="No space left"), whole_folder(tmp_path / "best") as new:
        (new / "half").write_text("x")
        raise OSError(28, "No space left on device")
    assert files(tmp_path) == set() and (tmp_path / "best").is_dir()


@pytest.mark.parametrize(("name", "makes"), [("pix2pix", "images of images"), ("srgan", "images of images")])
def test_what_is_not_made_from_noise_is_one_line(name: str, makes: str) -> None:
    with pytest.raises(UserError, match=rf"from noise, and '{name}' makes {makes}: leave it out"):
        extractor_for(api.find_recipe(name), torch.device("cpu"))


def test_clips_are_one_line() -> None:
    with pytest.raises(UserError, match="and 'dvdgan' makes clips: leave it out, and use gannet evaluate"):
        extractor_for(api.find_recipe("dvdgan"), torch.device("cpu"))


@pytest.mark.parametrize(
    ("setting", "complaint"),
    [
        ({"train.metric": "kidd"}, "no metric 'kidd': choose from frechet, kid, "),
        ({"train.metric": "is"}, "Inception"),
        ({"train.metric": "ppl"}, "best where G has collapsed"),
        ({"train.extractor": "nothing.onnx"}, "nothing.onnx"),
        ({"train.extractor": "mine:it"}, "allow-code"),
    ],
)
def test_what_cannot_be_measured_is_one_line_before_anything_begins(
    pictures: Pictures, tmp_path: Path, setting: dict[str, Any], complaint: str
) -> None:
    with pytest.raises(UserError, match=complaint) as caught:
        train(pictures(), tmp_path / "run", {**TINY, **EVERY, "train.extractor": "efficientnet-lite0", **setting})
    assert "\n" not in str(caught.value) and not (tmp_path / "run").exists()


def test_too_few_images_for_a_frechet_distance_leave_no_run_behind(pictures: Pictures, tmp_path: Path) -> None:
    settings = {**TINY, **EVERY, "train.extractor": "efficientnet-lite0", "train.metric": "frechet"}
    with pytest.raises(UserError, match="take the metric kid"):
        train(pictures(), tmp_path / "run", settings)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["new/run", "there"])
def test_an_extractor_that_is_blind_to_the_reals_leaves_nothing(
    name: str, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def blind(self: Any, x: torch.Tensor) -> tuple[torch.Tensor, None]:
        return torch.ones(len(x), 3), None

    monkeypatch.setattr(EfficientNetLite0, "forward", blind)
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine.txt").touch()
    settings = {**TINY, **EVERY, "train.extractor": "efficientnet-lite0"}
    with pytest.raises(UserError, match="gives the same features of every image"):
        train(pictures(), tmp_path / name, settings)
    assert [path.name for path in (tmp_path / "there").iterdir()] == ["mine.txt"]
    assert not (tmp_path / "new").exists()


def test_a_refused_run_without_a_name_leaves_no_folder(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*asked: Any, **named: Any) -> None:
        raise UserError("no such luck")

    data = pictures()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sessions, "begun", refused)
    with pytest.raises(UserError, match="no such luck"):
        api.train(data, recipe="dcgan-shapes", settings=TINY)
    assert list((tmp_path / "runs").iterdir()) == []


def test_what_another_session_makes_in_the_folder_is_not_removed(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    @contextmanager
    def too_late(run: Path) -> Iterator[None]:
        (run / "recipe.toml").touch()  # of the one that was first
        raise UserError("another process trains it")
        yield

    monkeypatch.setattr(sessions, "alone_in", too_late)
    with pytest.raises(UserError, match="another process trains it"):
        train(pictures(), tmp_path / "run")
    assert (tmp_path / "run" / "recipe.toml").exists()


def test_a_run_that_cannot_be_measured_later_on_keeps_what_it_has(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(self: Evaluating, snapshot: Snapshot) -> None:
        if snapshot.cur_nimg:
            raise UserError("the disk is full")

    monkeypatch.setattr(Evaluating, "on_tick", refused)
    settings = {**TINY, **EVERY, "train.extractor": "efficientnet-lite0", "stats.every": 1}
    settings["checkpoints.when"] = "every 100 kimg"
    with pytest.raises(UserError, match="the disk is full"):
        train(pictures(), tmp_path / "run", settings)
    assert (tmp_path / "run" / "stats.jsonl").read_bytes()


def test_the_judge_of_gannet_evaluate_measures_a_run(pictures: Pictures, tmp_path: Path) -> None:
    settings = {**TINY, **EVERY, "train.extractor": "efficientnet-lite0", "train.length": "4 iterations"}
    made = train(pictures(), tmp_path / "run", settings)
    lines = of_type(made.stats, "metric")
    assert [line["kimg"] for line in lines] == [0.008, 0.016]
    for line in lines:
        assert line["metric"].startswith("KID") and line["low"] <= line["value"] <= line["high"]
        protocol = line["protocol"]
        assert (protocol["extractor"], protocol["generated images"]) == ("efficientnet-lite0", 4)
    assert lines[0]["value"] != lines[1]["value"]
    assert best_of(made.path)["value"] == min(line["value"] for line in lines)


def test_a_log_says_that_reals_and_samples_are_measured(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reals, "BATCH", 2)
    monkeypatch.setattr(display, "SECONDS_BETWEEN_LINES", 0.0)
    settings = {**TINY, **EVERY, "train.extractor": "efficientnet-lite0", "train.length": "2 iterations"}
    train(pictures(), tmp_path / "run", settings)
    said = [line.partition(":")[0] for line in capsys.readouterr().err.splitlines() if line.startswith("measuring")]
    assert list(dict.fromkeys(said)) == ["measuring the real images", "measuring the samples"]


def test_the_display_keeps_the_last_metric_in_sight(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Lines(2000)
    line = {"type": "metric", "kimg": 1.0, "metric": "KID", "value": 0.01234, "low": 0.01, "high": None}
    shown.on_stats({"type": "stats", "kimg": 1.0, "loss D": 0.5})
    shown.on_stats(line)
    shown.on_stats({"type": "stats", "kimg": 2.0, "loss D": 0.25})
    said = capsys.readouterr().out.splitlines()
    assert in_words(line) == "KID 0.01234 (0.01 to not finite)"
    assert said[1] == "kimg 1.0/2.0  KID 0.01234 (0.01 to not finite)"  # alone: the statistics stand above it
    assert ["loss D" in text for text in said] == [True, False, True]
    assert [f"{in_words(line)} at 1 kimg" in text for text in said] == [False, False, True]


def test_metrics_have_a_panel_of_their_own(tmp_path: Path) -> None:
    stats = [{"type": "stats", "kimg": i, "loss D": 1.0} for i in range(4)]
    metric = {"type": "metric", "metric": "KID", "low": 0.1, "high": 0.3}
    heights = []
    for lines in ([], [{**metric, "kimg": 1, "value": None}], [{**metric, "kimg": i, "value": 0.2} for i in range(3)]):
        save_curves([*stats, *lines], tmp_path / "curves.png")
        with Image.open(tmp_path / "curves.png") as picture:
            heights.append(picture.height)
    assert heights[0] < heights[1] == heights[2]


def test_the_file_of_an_extractor_is_found_from_the_run(tmp_path: Path) -> None:
    (tmp_path / "mine.onnx").touch()
    recipe = api.find_recipe("dcgan-shapes")
    for name, expected in [("mine.onnx", "../../mine.onnx"), ("inception", "inception")]:
        asked = api.overridden(recipe, {"train.extractor": name})
        assert moved(asked, tmp_path, tmp_path / "runs" / "one").train.extractor == expected


@pytest.mark.parametrize("setting", [{"train.evaluate_every": -1.0}, {"train.evaluate_num": 1}])
def test_numbers_that_cannot_be_are_refused(setting: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="and must be at least"):
        api.overridden(api.find_recipe("dcgan"), setting)


def test_a_damaged_note_of_the_best_is_as_none(tmp_path: Path) -> None:
    for text in ("{", "[1]"):
        (tmp_path / "best").mkdir(exist_ok=True)
        (tmp_path / "best" / "metric.json").write_text(text)
        assert best_of(tmp_path) == {}
    (tmp_path / "best" / "metric.json").write_text(json.dumps(LINE))
    assert best_of(tmp_path) == LINE
