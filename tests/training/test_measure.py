"""How long a run takes, from the times of its iterations."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import save_videos
from runs import TINY
from translation import PIX2PIX, SRGAN

import gannet.plan as plan
from gannet.config import Data, overridden
from gannet.training import measure
from gannet.training.loop import Training
from gannet.training.measure import Speed

Pictures = Callable[..., Path]


def test_a_cheap_beginning_counts_as_long_as_it_lasts() -> None:
    """10 images a second for the first 100 images, then 2."""
    speed = Speed({"float32": 5.0}, "float32", "", 10, {"float32": 1.0}, 100.0)
    assert [speed.seconds_for(num) for num in (50, 100, 120)] == pytest.approx([5, 10, 20])
    assert [speed.images_in(seconds) for seconds in (5, 10, 20)] == pytest.approx([50, 100, 120])


def test_without_one_all_iterations_are_alike() -> None:
    speed = Speed({"float32": 5.0}, "float32", "", 10, {"float32": 5.0})
    assert (speed.seconds_for(20), speed.images_in(10)) == (10, 20)


@pytest.mark.parametrize(("length", "kimg"), [("1 minutes", 0.16), ("0.5 minutes", 0.1), ("0.4 kimg", 0.4)])
def test_super_resolution_is_measured_with_d_and_without(
    pictures: Pictures, monkeypatch: pytest.MonkeyPatch, length: str, kimg: float
) -> None:
    """Iterations of 4 images: 1 s each until 80 images are seen, then 2 s; 20 and 20 fill a minute."""

    def timed(t: Training) -> float:
        return 2.0 if t.cur_nimg >= 80 else 1.0

    monkeypatch.setattr(measure, "time_iterations", timed)
    settings: dict[str, Any] = {**TINY, **SRGAN, "train.length": length}
    settings["game"] = {**SRGAN["game"], "start_kimg": 0.08}
    begin = plan.start(str(pictures()), "dcgan-shapes", "cpu")
    made = plan.make_plan(begin, overridden(begin.recipe, settings))
    assert made.total_nimg == pytest.approx(1000 * kimg)
    assert not [line for line in made.lines if "D never plays" in line]


def test_a_run_that_ends_before_d_plays_says_so(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda t: 1.0)
    settings: dict[str, Any] = {**TINY, **SRGAN, "train.length": "0.05 kimg"}
    settings["game"] = {**SRGAN["game"], "start_kimg": 0.08}
    begin = plan.start(str(pictures()), "dcgan-shapes", "cpu")
    made = plan.make_plan(begin, overridden(begin.recipe, settings))
    assert any("D never plays: the run ends before --game.start-kimg 0.08" in line for line in made.lines)


@pytest.mark.parametrize(("begin", "said"), [(25, True), (50, False)])
def test_rates_that_fall_before_d_plays_are_named(
    begin: int, said: bool, pictures: Pictures, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda t: 1.0)
    settings: dict[str, Any] = {**TINY, **SRGAN, "train.length": "0.2 kimg"}
    settings["game"] = {**SRGAN["game"], "start_kimg": 0.08}
    settings["schedules"] = {"optim.G.lr": f"linear to 0.1x from {begin}% to 60%"}
    started = plan.start(str(pictures()), "dcgan-shapes", "cpu")
    made = plan.make_plan(started, overridden(started.recipe, settings))
    line = "        optim.G.lr falls before D plays, from 0.08 kimg on: set a lower --game.start-kimg"
    assert (line in made.lines) == said


@pytest.mark.parametrize(
    ("name", "hint", "said"),
    [
        ("outlines", "each is twice as wide as high: if it is a pair", True),
        ("circles", "each is twice as wide as high", False),
        ("moving", "the first frame is the image: for clips add --recipe", True),
        ("circles", "the first frame is the image", False),
    ],
)
def test_images_that_may_be_meant_as_pairs_or_clips(
    name: str, hint: str, said: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda t: 1.0)
    begin = plan.start(name, "dcgan-shapes", "cpu")
    made = plan.make_plan(begin, overridden(begin.recipe, TINY))
    assert any(hint in line for line in made.lines) == said


def test_the_clips_of_a_folder_without_classes_have_no_labels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda t: 1.0)
    flat = save_videos(tmp_path / "flat", num=20, frames=4)
    begin = plan.start(str(flat), "dcgan-shapes", "cpu")
    made = plan.make_plan(begin, overridden(begin.recipe, TINY))
    hint = next(line for line in made.lines if "the first frame is the image" in line)
    assert hint.endswith(": for clips add --recipe dvdgan-small --data.no-labels")


def test_square_pictures_as_pairs_are_doubted(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda t: 1.0)
    settings: dict[str, Any] = {**TINY, **PIX2PIX}
    begin = plan.start(str(pictures()), "dcgan-shapes", "cpu", asked=Data(kind="pairs"))
    made = plan.make_plan(begin, overridden(begin.recipe, settings))
    assert any("cut into two halves" in line for line in made.lines)
