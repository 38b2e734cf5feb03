"""Looks at what G makes of given images, and at the classes that it was asked for."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from runs import TINY, contents, stopped, train
from translation import GIVEN, told_apart

import gannet.api as api
import gannet.training.run as run_module
from gannet.config import overridden
from gannet.data.dataset import Dataset
from gannet.plan import random_dataset
from gannet.recipes import recipe as named
from gannet.training.build import build_training, completed
from gannet.training.engine import Engine
from gannet.training.looks import Looks
from gannet.training.loop import Training
from gannet.training.run import Run

Pictures = Callable[..., Path]


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A look every other iteration, however short the run is."""
    monkeypatch.setattr(run_module, "BETWEEN_ITERATIONS", 2)
    monkeypatch.setattr(run_module, "BETWEEN_IMAGES", 0)
    yield


def built(settings: dict[str, Any], classes: tuple[str, ...] = ()) -> Training:
    """A small training on 40 random items, 40 of the other set where there are two."""
    recipe = completed(overridden(named("dcgan"), {**TINY, **settings}))
    dataset = random_dataset(recipe, 3, classes)

    def many(known: Dataset) -> Dataset:
        images = np.random.default_rng(1).integers(0, 256, (40, *known.images.shape[1:]), np.uint8)
        labels = np.arange(40) % max(1, len(classes))
        return replace(known, images=images, labels=labels, other=many(known.other) if known.other else None)

    return build_training(recipe, many(dataset), Engine(torch.device("cpu")))


PREDICTION: dict[str, Any] = {
    "data.kind": "clips",
    "data.frames": 4,
    "G": {"name": "dvdgan", "width": 2, "z_dim": 6, "embedding_dim": 3, "given": 1},
    "D": {"name": "dvdgan", "width": 2, "num_spatial": 2},
    "game": {"name": "prediction"},
    "objective": {"name": "hinge"},
}
OF_IMAGES = ("sample distance", "diversity", "duplicates", "real above sample", "D of sample")


@pytest.mark.parametrize("game", [*GIVEN, "prediction"])
def test_what_is_made_of_images_is_looked_at(game: str) -> None:
    """As they begin, all of them make next to the same of every image: grey; and nothing is said of copies."""
    found = Looks(built({**GIVEN, "prediction": PREDICTION}[game])).take()
    assert set(OF_IMAGES) <= set(found) and not {"copies", "sample saturated"} & set(found)
    assert found["sample distance"] > 3 and found["data images"] == 40
    assert game == "srgan" or found["diversity"] < 0.6  # noise reduced and enlarged is still of many kinds


def test_of_a_pair_the_target_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """A G that knows every target is as near as can be, with D asked of whole pairs."""
    t = built(GIVEN["pix2pix"])
    looks = Looks(t)
    shown = t.game.show
    monkeypatch.setattr(t.game, "show", lambda networks, batch: {**shown(networks, batch), "output": batch.x})
    found = looks.take()
    assert found["sample distance"] < 3 and found["diversity"] > 0.7
    assert found["real above sample"] == pytest.approx(0.5, abs=0.15)
    assert looks.depth == 3 and looks.samples().shape[1] == 6


def test_before_d_plays_it_is_not_asked() -> None:
    t = built({**GIVEN["srgan"], "game": {"name": "srgan", "start_kimg": 1.0}})
    assert not {"real above sample", "D of sample"} & set(Looks(t).take())
    t.cur_nimg = 1000
    assert {"real above sample", "D of sample"} <= set(Looks(t).take())


@pytest.mark.parametrize("game", GIVEN)
def test_translators_with_looks_end_as_without_and_resume(
    game: str, pictures: Pictures, tmp_path: Path, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = pictures(40, size=20, classes=("a", "b")) if game == "cyclegan" else pictures(40, size=20)
    data, settings = told_apart(made, {**GIVEN[game], "train.length": "7 iterations"})
    settings = {**{k: v for k, v in TINY.items() if k[:2] not in ("G.", "D.")}, **settings}
    if game == "pix2pix":
        settings["data.fit"] = "stretch"
    seen = contents(train(data, tmp_path / "seen", settings).path)
    with stopped(4):
        assert not train(data, tmp_path / "parts", settings).finished
    assert api.resume(tmp_path / "parts").finished
    assert contents(tmp_path / "parts")["lines"] == seen["lines"]
    monkeypatch.setattr(Run, "look", lambda run: None)
    plain = contents(train(data, tmp_path / "plain", settings).path)
    assert len([line for line in seen["lines"] if "sample mean" in line]) == 5 and plain["state"] == seen["state"]


def test_the_class_asked_for_is_looked_for_in_the_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    """Dark and bright images as classes: a G that follows its labels, and one that draws the other class."""
    t = built({"data.labels": True}, classes=("a", "b"))
    dark = t.loader.dataset.labels == 0
    t.loader.dataset.images[:] = t.loader.dataset.images // 8 + np.where(dark, 40, 180)[:, None, None, None]
    asked = t.loader.labels(0, 20)[:, 1, None, None, None]
    noise = torch.rand(20, 3, 16, 16, generator=torch.Generator().manual_seed(0)) / 4
    for samples, expected in ((1.1 * asked - 0.7 + noise, 1), (0.4 - 1.1 * asked + noise, -1)):
        monkeypatch.setattr(t.game, "show", lambda networks, batch, samples=samples: {"sample": samples})
        found = Looks(t).take()
        assert found["class agreement real"] > 0.9
        assert found["class agreement sample"] == pytest.approx(expected, abs=0.1)
