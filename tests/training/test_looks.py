"""Looks at samples: the feature space by hand and on made-up faults, and runs that they leave as they are."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from runs import NOISY, TINY, contents, stopped, train
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, interpolate

import gannet.api as api
import gannet.training.run as run_module
from gannet.config import overridden
from gannet.plan import random_dataset
from gannet.recipes import recipe as named
from gannet.training.build import build_training, completed
from gannet.training.engine import Engine
from gannet.training.features import (
    Known,
    RandomNet,
    Space,
    Whitened,
    above,
    agreement,
    effective_number,
    energy_distance,
    nearer_than_most,
    to_nearest,
    told_apart,
)
from gannet.training.looks import Looks, num_distinct
from gannet.training.run import Run, next_look

Pictures = Callable[..., Path]
FAR_APART = 100 * torch.eye(5, dtype=torch.float64)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A look every other iteration, however short the run is."""
    monkeypatch.setattr(run_module, "BETWEEN_ITERATIONS", 2)
    monkeypatch.setattr(run_module, "BETWEEN_IMAGES", 0)
    yield


def test_looks_grow_rarer_and_never_closer_than_asked() -> None:
    moments = sorted({next_look(nimg, 100.0) for nimg in range(0, 10**6, 50)})
    assert moments[:40] == [100.0 * i for i in range(1, 41)] and moments[40] == 4100
    steps = np.diff(moments)
    assert steps.min() >= 100 and steps[-1] == pytest.approx(moments[-2] / 40)
    assert len(moments) < 300


def test_numbers_of_points_by_hand() -> None:
    assert effective_number(FAR_APART, 1.0) == pytest.approx(5)
    assert effective_number(FAR_APART[:1].repeat(5, 1), 1.0) == pytest.approx(1)
    assert effective_number(FAR_APART[[0, 0, 1, 1]], 1.0) == pytest.approx(2)
    assert to_nearest(torch.tensor([[0.0], [1.0], [4.0]])).tolist() == [1, 1, 3]
    assert to_nearest(torch.tensor([[0.0], [1.0]]), torch.tensor([[1.0], [4.0]])).tolist() == [1, 0]
    assert nearer_than_most(torch.tensor([[0.0], [0.0], [1.0], [2.0], [5.0]]), 0.5) == 1  # the copy counts for nothing
    assert nearer_than_most(torch.zeros(3, 1), 0.5) == 0
    assert energy_distance(torch.tensor([[0.0]]), torch.tensor([[3.0]])) == 6
    assert energy_distance(FAR_APART, FAR_APART) == pytest.approx(0, abs=1e-9)
    assert above(torch.tensor([2.0, 2.0]), torch.tensor([1.0, 3.0])) == 0.5
    assert above(torch.tensor([2.0]), torch.tensor([2.0])) == 0.5
    assert above(torch.tensor([5.0, 6.0]), torch.tensor([1.0, 3.0])) == 1


def test_classes_that_can_be_told_apart_and_that_cannot() -> None:
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(400) % 2
    points = torch.randn(400, 3, generator=random, dtype=torch.float64)
    right, chance, deviation = told_apart(points, labels)
    assert chance == 0.5 and deviation == pytest.approx(0.025) and abs(right - chance) < 3 * deviation
    assert told_apart(points + 9 * labels[:, None], labels)[0] == 1


def test_agreement_by_hand() -> None:
    labels = torch.tensor([0, 0, 1, 1])
    assert agreement(labels, labels, 2) == (1.0, 0.5)
    assert agreement(labels, torch.tensor([0, 1, 0, 1]), 2)[0] == 0
    assert agreement(labels, torch.tensor([0, 0, 1, 0]), 2)[0] == pytest.approx(0.5)  # 3 of 4, where 2 are by chance
    assert agreement(labels, torch.zeros(4, dtype=torch.int64), 2)[0] == 0  # all of one class
    assert agreement(torch.zeros(4, dtype=torch.int64), torch.zeros(4, dtype=torch.int64), 2)[0] == pytest.approx(1)


def test_every_image_is_compared_with_every_other() -> None:
    """Also those that are alike in one row, and copies of which a part would see few."""
    images = np.random.default_rng(0).integers(0, 256, (5000, 1, 4, 4), np.uint8)
    assert num_distinct(images) == 5000
    images[:, :, 2] = 7
    assert num_distinct(images) == 5000
    images[1::2500] = images[0]
    assert num_distinct(images) == 4998
    assert num_distinct(images[:1].repeat(9, 0)) == 1


def test_whitened_reals_have_spread_one_in_every_direction() -> None:
    random = torch.Generator().manual_seed(0)
    features = torch.randn(300, 40, generator=random) @ torch.randn(40, 40, generator=random)
    whitened = Whitened.by(features)
    assert whitened is not None
    covariance = torch.cov(whitened(features).T, correction=0)
    assert torch.allclose(covariance, torch.eye(len(covariance), dtype=torch.float64), atol=1e-6)
    assert Whitened.by(features[:1].repeat(50, 1)) is None


def drawn(num: int, seed: int, size: int = 16) -> Tensor:
    """Smooth random images in [-1, 1]."""
    noise = torch.randn(num, 1, 5, 5, generator=torch.Generator().manual_seed(seed))
    return torch.tanh(2 * interpolate(noise, size, mode="bilinear"))


@pytest.fixture(scope="module")
def space() -> tuple[Callable[[Tensor], dict[str, float]], Tensor]:
    net, groups = RandomNet(1), [drawn(64, seed) for seed in range(4)]
    features = [net(group) for group in groups]
    whitened = Whitened.by(torch.cat(features))
    assert whitened is not None
    whole = Space(whitened, [whitened(some) for some in features])
    return lambda x: whole.compare(net(x)), drawn(64, 9)


def test_other_reals_are_as_reals(space: Any) -> None:
    compare, x = space
    found = compare(x)
    assert found["diversity"] == pytest.approx(1, abs=0.15)
    assert found["sample distance"] == pytest.approx(1, abs=0.5)
    assert found["duplicates"] < 0.1


FAULTS: dict[str, Callable[[Tensor], Tensor]] = {
    "one image": lambda x: x[:1] + 0.02 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)),
    "four images": lambda x: x[:4].repeat(16, 1, 1, 1) + 0.02 * torch.randn_like(x),
    "between two": lambda x: torch.linspace(0, 1, 64)[:, None, None, None] * (x[:1] - x[1:2]) + x[1:2],
    "a grey beginning": lambda x: 0.01 * torch.randn(x.shape, generator=torch.Generator().manual_seed(1)),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_collapse_is_seen(space: Any, fault: str) -> None:
    compare, x = space
    found = compare(FAULTS[fault](x))
    assert found["diversity"] < 0.15 and found["duplicates"] > 0.9 and found["sample distance"] > 5


@pytest.mark.parametrize("num", [32, 64, 400])
def test_copies_of_training_images_are_told_from_others_of_their_kind(num: int) -> None:
    """Also of few images, of which each lies apart in a space that they were whitened in."""
    net, random = RandomNet(1), torch.Generator().manual_seed(1)
    train, others = drawn(num, 0), drawn(400, 1)
    known = Known.by(net(train))
    assert known is not None and known.copies(net(others)) < 0.15
    again = (train + 0.03 * torch.randn(train.shape, generator=random)).clamp(-1, 1)
    assert known.copies(net(again)) > 0.95
    assert known.copies(net(torch.cat([again, others[:num]]))) == pytest.approx(0.5, abs=0.1)
    assert known.copies(net(FAULTS["a grey beginning"](others))) < 0.1
    assert known.copies(net(interpolate(avg_pool2d(others, 4), scale_factor=4))) < 0.2
    assert Known.by(net(train[:1].repeat(20, 1, 1, 1))) is None


def test_blur_is_far_from_the_data_and_no_collapse(space: Any) -> None:
    compare, x = space
    found = compare(interpolate(avg_pool2d(x, 4), scale_factor=4))
    assert found["sample distance"] > 3 and found["diversity"] > 0.2


def test_reals_of_which_most_are_one_image_have_no_diversity() -> None:
    """Half of them are no way apart, and a width of nothing is none to count by."""
    as_they_are = Whitened(torch.zeros(5, dtype=torch.float64), torch.eye(5, dtype=torch.float64))
    reals = [FAR_APART[[0, *[4] * 8]], FAR_APART[[1, *[4] * 8]]]
    found = Space(as_they_are, reals).compare(FAR_APART)
    assert "diversity" not in found and found["duplicates"] == 0 and found["sample distance"] > 1


def looks(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [line for line in lines if "sample mean" in line]


def test_a_run_with_looks_ends_as_one_without(
    pictures: Pictures, tmp_path: Path, often: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, settings = pictures(40), {**NOISY, "D.norm": "spectral", "data.held_out": 0.2}
    seen = contents(train(data, tmp_path / "seen", settings).path)
    monkeypatch.setattr(Run, "look", lambda run: None)
    plain = contents(train(data, tmp_path / "plain", settings).path)
    assert len(looks(seen["lines"])) == 7 and not looks(plain["lines"])
    for what in ("state", "files", "grids"):
        assert seen[what] == plain[what], what
    assert [line for line in seen["lines"] if "loss D" in line] == plain["lines"]


@pytest.mark.parametrize("killed", [True, False])
def test_looks_of_a_resumed_run_are_those_of_one_that_was_never_stopped(
    pictures: Pictures, tmp_path: Path, often: None, killed: bool
) -> None:
    data, parts = pictures(40, classes=("a", "b")), tmp_path / "parts"
    settings = {**NOISY, "game": {"name": "acgan"}, "data.labels": True, "data.held_out": 0.2}
    whole = contents(train(data, tmp_path / "whole", settings).path)
    with stopped(7, killed):
        if killed:
            with pytest.raises(RuntimeError, match="killed"):
                train(data, parts, settings)
        else:
            assert not train(data, parts, settings).finished
    assert api.resume(parts).finished
    assert len(looks(whole["lines"])) == 7 and contents(parts)["lines"] == whole["lines"]


def test_what_a_look_holds(pictures: Pictures, tmp_path: Path) -> None:
    first, last = looks(train(pictures(40, classes=("a", "b")), tmp_path / "run", {**TINY, "data.labels": True}).stats)
    assert (first["kimg"], last["kimg"]) == (0, 0.024)
    assert first["data images"] == 40 and first["data distinct"] == 1 and first["data smallest class"] == 20
    assert first["data classes told"] < first["data classes chance"] + 3 * first["data classes noise"]  # it is noise
    assert first["diversity"] < 0.3 and first["duplicates"] > 0.5 and first["sample distance"] > 5  # all grey
    assert first["copies"] == 0
    assert first["real low"] == -1 and first["real high"] == 1 and abs(first["sample mean"]) < 0.2
    assert not {"real above held-out", "D of held-out"} & set(last) and "data images" not in last
    assert 0 <= last["real above sample"] <= 1


def test_d_is_asked_of_images_held_out(pictures: Pictures, tmp_path: Path) -> None:
    made = train(pictures(40), tmp_path / "run", {**TINY, "data.held_out": 0.3})
    assert all(0 <= line["real above held-out"] <= 1 for line in looks(made.stats))


def test_a_step_of_nothing_is_an_update_of_nothing(pictures: Pictures, tmp_path: Path) -> None:
    lines = train(pictures(), tmp_path / "run", {**TINY, "optim.D.lr": 1e-30}).stats
    (first,) = [line for line in lines if "update D" in line]
    assert first["iteration"] == 1 and first["update D"] == 0
    assert 1e-3 < first["update G"] < 1  # Adam's first step moves every weight by the rate


def test_d_is_asked_as_it_learns_and_left_as_it_was() -> None:
    recipe = completed(overridden(named("dcgan"), {**TINY, "D.norm": "batch"}))
    t = build_training(recipe, random_dataset(recipe, 3, ()), Engine(torch.device("cpu")))
    norm = next(module for module in t.networks["D"].modules() if isinstance(module, nn.BatchNorm2d))
    asked = Looks(t).take()
    cast(Tensor, norm.running_mean).fill_(50.0)  # what eval mode would go by
    kept = {name: buffer.clone() for name, buffer in t.networks["D"].named_buffers()}
    again = Looks(t).take()
    for name in ("D of real", "D of sample", "real above sample"):
        assert again[name] == asked[name]
    assert all(torch.equal(buffer, kept[name]) for name, buffer in t.networks["D"].named_buffers())
    assert t.networks["D"].training
