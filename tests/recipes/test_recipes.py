"""Every recipe: what its tutorial says, two steps, samples, and golden losses."""

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import golden
import numpy as np
import pytest
import torch
from golden import GOLDEN, NAMES, losses, shrunk
from translation import told_apart

from gannet import api
from gannet.config import Optim, overridden
from gannet.networks import TRANSLATORS
from gannet.plan import random_dataset
from gannet.recipes import RECIPES, recipe
from gannet.recipes.pick import Facts, fitting, pick
from gannet.training import measure
from gannet.training.build import build_networks, completed
from gannet.training.schedule import in_kimg, schedules_of

Pictures = Callable[..., Path]


@pytest.mark.parametrize("name", NAMES)
def test_the_losses_are_golden(name: str) -> None:
    expected = json.loads(GOLDEN.read_text())[name]
    found = losses(name)
    assert set(found) == set(expected)
    for key, values in expected.items():
        assert found[key] == pytest.approx(values, rel=1e-6), key


def test_golden_losses_move_with_the_mathematics(monkeypatch: pytest.MonkeyPatch) -> None:
    """A thousandth of a learning rate shows."""
    expected = json.loads(GOLDEN.read_text())["dcgan"]
    small = overridden(shrunk("dcgan"), {"optim.D.lr": 2.0002e-4})
    monkeypatch.setattr(golden, "shrunk", lambda name: completed(small))
    assert losses("dcgan")["loss D"] != pytest.approx(expected["loss D"], rel=1e-6)


def test_golden_losses_are_of_every_recipe() -> None:
    assert set(json.loads(GOLDEN.read_text())) == set(NAMES)


@pytest.mark.parametrize("name", RECIPES.rows)
def test_every_recipe_trains_two_steps_and_samples(
    name: str, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    small = shrunk(name)
    classes = ("a", "b") if small.data.labels or small.data.kind == "unpaired" else ()
    data = pictures(num=10, size=20, mode="L" if small.data.channels == 1 else "RGB", classes=classes)
    data, settings = told_apart(data, {"train.length": "2 iterations", "data.kind": small.data.kind})
    (tmp_path / "small.toml").write_text(api.to_toml(overridden(small, settings)))
    run = api.train(data, recipe=tmp_path / "small.toml", run=tmp_path / "run")
    assert run.finished
    if small.G.name in TRANSLATORS.rows:
        made = api.translate(run, data, out=tmp_path / "out")
        assert len(made.files) == made.num >= 5
        return
    drawn = api.sample(run, num=3, out=tmp_path / "out", given=data if small.game.name == "prediction" else None)
    assert len({path.read_bytes() for path in drawn.files}) == len(drawn.files) >= drawn.num == 3


ADAM = Optim(2e-4, (0.5, 0.999), 1e-8)
KERAS = Optim(2e-4, (0.5, 0.999), 1e-7)
SHAPES: dict[str, Any] = {
    "data": {"resolution": 32, "channels": 3, "flip": False, "jitter": 0.0},
    "train": {"batch": 64, "length": "10 epochs"},
    "samples": {"num": 16, "when": "every 1 epochs", "mode": "eval"},
    "G": {"z_dim": 64, "width": 32, "init": "pytorch"},
    "D": {"width": 32, "bias": True, "init": "pytorch", "dropout": 0.0},
    "game": {"name": "gan", "d_steps": 1, "g_steps": 1, "fresh_noise": True},
    "optim": (ADAM, ADAM),
}
PAPER: dict[str, Any] = {
    "data": {"resolution": 64, "flip": False, "jitter": 0.0},
    "train": {"batch": 128, "length": "100 epochs"},
    "samples": {"num": 64},
    "G": {"z_dim": 100, "width": 64, "init": "dcgan"},
    "D": {"width": 64, "norm": "batch", "bias": False, "init": "dcgan", "dropout": 0.0},
    "game": {"name": "gan", "d_steps": 1, "g_steps": 1, "fresh_noise": False},
    "optim": (ADAM, ADAM),
}
FACTS: dict[str, dict[str, Any]] = {
    "dcgan": PAPER,
    "dcgan-xray": {
        **PAPER,
        "data": {"resolution": 64, "fit": "pad", "labels": False},
        "samples": {"num": 64, "when": "at 1, 5, 10, 20, 50, 100 epochs", "noise": "fixed"},
        "stats": {"every": 1},
    },
    "dcgan-glasses": {
        "data": {"resolution": 64, "channels": 3, "flip": True, "jitter": 0.1},
        "train": {"batch": 128, "length": "200 epochs"},
        "samples": {"num": 64, "when": "every 10 iterations", "noise": "fixed", "mode": "train"},
        "G": {"z_dim": 100, "width": 64, "init": "pytorch"},
        "D": {"width": 64, "norm": "batch", "bias": False, "init": "pytorch", "dropout": 0.1},
        "game": {"name": "gan", "d_steps": 1, "g_steps": 1, "fresh_noise": False},
        "optim": (ADAM, Optim(1e-4, (0.5, 0.999), 1e-8)),
    },
    "mlp-fashion-mnist": {
        "data": {"source": "fashion-mnist", "resolution": 28, "channels": 1, "labels": False},
        "train": {},
        "samples": {"when": "every 1 epochs"},
        "checkpoints": {"when": "every 15 epochs"},
        "G": {
            "name": "mlp",
            "z_dim": 100,
            "hidden": (128, 256, 512, 1024),
            "norm_first": True,
            "first_norm": False,
            "bn_momentum": 0.9,
            "bn_eps": 0.8,
            "init": "he_uniform",
        },
        "D": {"name": "mlp", "hidden": (512, 256), "init": "he_uniform"},
        "game": {"name": "gan-simultaneous"},
        "optim": (KERAS, KERAS),
    },
    "mlp-mnist": {
        "data": {"source": "mnist", "resolution": 28, "channels": 1, "replacement": True},
        "train": {"batch": 32, "length": "12000 iterations"},
        "samples": {"num": 25, "when": "every 200 iterations", "noise": "fresh"},
        "G": {
            "name": "mlp",
            "z_dim": 100,
            "hidden": (256, 512, 1024),
            "norm_first": False,
            "first_norm": True,
            "bn_momentum": pytest.approx(0.3),
            "bn_eps": 1e-3,
            "init": "glorot_uniform",
        },
        "D": {"name": "mlp", "hidden": (512, 256), "init": "glorot_uniform"},
        "game": {"name": "gan-halves", "g_steps": 2},
        "optim": (KERAS, KERAS),
    },
    "dcgan-shapes": {**SHAPES, "data": {**SHAPES["data"], "source": "shapes"}, "D": {**SHAPES["D"], "norm": "batch"}},
    "sngan-shapes": {**SHAPES, "D": {**SHAPES["D"], "norm": "spectral"}},
    "sngan-shapes-ttur": {
        **SHAPES,
        "D": {**SHAPES["D"], "norm": "spectral"},
        "optim": (Optim(1e-4, (0.5, 0.999)), Optim(4e-4, (0.5, 0.999))),
    },
    "cdcgan-shapes": {
        **SHAPES,
        "train": {"batch": 64, "length": "180 epochs"},
        "samples": {**SHAPES["samples"], "when": "every 10 epochs"},
        "data": {**SHAPES["data"], "source": "shapes-labelled", "labels": True},
        "G": {**SHAPES["G"], "label": "one-hot"},
        "D": {**SHAPES["D"], "label": "channel", "norm": "batch"},
    },
}


RELATIVISTIC = {"objective": "relativistic", "d_steps": 1, "optim": (2e-4, 2e-4), "betas": (0.0, 0.9)}
PAPERS: dict[str, dict[str, Any]] = {
    "lsgan": {"objective": "lsgan", "batch": 64, "d_steps": 1, "optim": (1e-3, 1e-3), "betas": (0.5, 0.999)},
    "wgan": {"objective": "wasserstein", "batch": 64, "d_steps": 5, "optim": (5e-5, 5e-5), "betas": (0.5, 0.99)},
    "wgan-gp": {"objective": "wasserstein", "batch": 64, "d_steps": 5, "optim": (2e-4, 2e-4), "betas": (0.0, 0.9)},
    "sngan-cifar10": {"objective": "hinge", "batch": 64, "d_steps": 5, "optim": (2e-4, 2e-4), "betas": (0.0, 0.9)},
    "sagan": {"objective": "hinge", "batch": 256, "d_steps": 1, "optim": (1e-4, 4e-4), "betas": (0.0, 0.9)},
    "biggan-cifar10": {"objective": "hinge", "batch": 50, "d_steps": 4, "optim": (2e-4, 2e-4), "betas": (0.0, 0.999)},
    "cgan-mnist": {
        "objective": "non-saturating",
        "batch": 100,
        "d_steps": 1,
        "optim": (2e-4, 2e-4),
        "betas": (0.5, 0.999),
    },
    "acgan": {"objective": "non-saturating", "batch": 100, "d_steps": 1, "optim": (2e-4, 2e-4), "betas": (0.5, 0.999)},
    "infogan-mnist": {
        "objective": "non-saturating",
        "batch": 128,
        "d_steps": 1,
        "optim": (1e-3, 2e-4),
        "betas": (0.5, 0.999),
    },
    "pix2pix": {"objective": "non-saturating", "batch": 1, "d_steps": 1, "optim": (2e-4, 2e-4), "betas": (0.5, 0.999)},
    "cyclegan": {"objective": "lsgan", "batch": 1, "d_steps": 1, "optim": (2e-4, 2e-4), "betas": (0.5, 0.999)},
    "srgan": {"objective": "non-saturating", "batch": 16, "d_steps": 1, "optim": (1e-4, 1e-4), "betas": (0.9, 0.999)},
    "esrgan": {
        "objective": "relativistic-average",
        "batch": 16,
        "d_steps": 1,
        "optim": (1e-4, 1e-4),
        "betas": (0.9, 0.999),
    },
    "dvdgan": {"objective": "hinge", "batch": 512, "d_steps": 2, "optim": (1e-4, 5e-4), "betas": (0.0, 0.999)},
    "dvdgan-fp": {"objective": "hinge", "batch": 512, "d_steps": 2, "optim": (1e-4, 5e-4), "betas": (0.0, 0.999)},
    "fastgan-fewshot": {"objective": "hinge", "batch": 8, "d_steps": 1, "optim": (2e-4, 2e-4), "betas": (0.5, 0.999)},
    "r3gan-cifar10": {**RELATIVISTIC, "batch": 512},
    "r3gan-ffhq64": {**RELATIVISTIC, "batch": 256},
    "r3gan-imagenet64": {**RELATIVISTIC, "batch": 4096},
    "stylegan2-ada": {
        "objective": "non-saturating",
        "batch": 64,
        "d_steps": 1,
        "optim": (0.04 / 18, 0.04 / 17),
        "penalties": {"r1": {"gamma": 1.0, "every": 16}, "path-length": {"weight": 1.0, "decay": 0.99, "every": 8}},
        "half_life_kimg": 20.0,
    },
}


def test_every_tutorial_and_paper_has_its_facts() -> None:
    own = {name for name in RECIPES.rows if name == "best" or name.endswith("small")}
    assert {*FACTS, *PAPERS} == set(RECIPES.rows) - own


@pytest.mark.parametrize("name", PAPERS)
def test_a_recipe_is_what_its_paper_says(name: str) -> None:
    whole, facts = completed(recipe(name)), PAPERS[name]
    assert whole.objective.name == facts["objective"]
    assert (whole.train.batch, whole.game.settings.get("d_steps", 1)) == (facts["batch"], facts["d_steps"])
    assert (whole.optim["G"].lr, whole.optim["D"].lr) == pytest.approx(facts["optim"])
    if "betas" in facts:
        assert whole.optim["G"].betas == whole.optim["D"].betas == facts["betas"]
    if "penalties" in facts:
        assert whole.penalties == facts["penalties"]
    if "half_life_kimg" in facts:
        assert whole.ema.half_life_kimg == facts["half_life_kimg"]
    if whole.objective.name == "wasserstein":
        assert (whole.optim["D"].clip == 0.01) != (
            whole.penalties == {"gradient-penalty": {"weight": 10.0, "every": 1}}
        )


@pytest.mark.parametrize(
    ("name", "kimg", "gamma", "half_life", "p", "classes", "counts"),
    [
        ("r3gan-cifar10", 20_000, (0.05, 0.005), 5_000, 0.55, 10, (20_781_952, 21_280_512)),
        ("r3gan-ffhq64", 20_000, (2.0, 0.2), 500, 0.3, 0, (22_429_824, 22_381_440)),
        ("r3gan-imagenet64", 200_000, (1.0, 0.1), 50_000, 0.4, 1000, (103_570_432, 107_205_120)),
    ],
)
def test_r3gan_moves_everything_while_it_burns_in(
    name: str, kimg: int, gamma: tuple[float, float], half_life: int, p: float, classes: int, counts: tuple[int, int]
) -> None:
    whole = completed(recipe(name))
    moves = {key: (start, s.shape, s.final, s.begin, s.end) for key, (start, s) in schedules_of(whole).items()}
    both = {
        "optim.{}.lr": (2e-4, "cosine", 5e-5, 0, kimg),
        "optim.{}.beta2": (0.9, "cosine", 0.99, 0, kimg),
    }
    expected = {key.format(player): move for key, move in both.items() for player in ("G", "D")}
    expected |= {f"penalties.{r}.gamma": (gamma[0], "cosine", gamma[1], 0, kimg) for r in ("r1", "r2")}
    expected |= {"ema.half_life_kimg": (0, "cosine", half_life, 0, kimg), "augment.p": (0, "cosine", p, 0, kimg)}
    assert moves == expected
    assert whole.augment.settings["target"] == 0 and bool(classes) == whole.data.labels
    with torch.device("meta"):
        networks = build_networks(whole, 3, classes)
    assert tuple(sum(p.numel() for p in networks[n].parameters()) for n in ("G", "D")) == counts


GIVEN: dict[str, dict[str, Any]] = {
    "pix2pix": {
        "data": {"kind": "pairs", "resolution": 256, "flip": True, "enlarge": 30 / 256},
        "G": {"name": "unet", "width": 64, "max_width": 512, "dropout": 0.5, "norm": "instance"},
        "D": {"name": "patchgan", "patch": 70, "width": 64, "norm": "batch"},
        "game": {"name": "pix2pix", "l1": 100.0},
        "train": {"length": "200 epochs"},
    },
    "cyclegan": {
        "data": {"kind": "unpaired", "resolution": 256, "flip": True, "enlarge": 30 / 256},
        "G": {"name": "resnet-blocks", "width": 64},
        "D": {"name": "patchgan", "patch": 70, "width": 64, "norm": "instance"},
        # The paper's 10, as twice what is beside a half of its least squares.
        "game": {"name": "cyclegan", "cycle": 5.0, "identity": 0.5, "pool": 50},
        "train": {"length": "200 epochs"},
    },
    "srgan": {
        "data": {"kind": "images", "resolution": 96, "fit": "tiles"},
        "G": {"name": "srresnet", "scale": 4, "width": 64, "blocks": 16},
        "D": {"name": "vgg", "width": 64, "hidden": 1024},
        "game": {"name": "srgan", "adversarial": 1e-3, "pixel": 0.0, "start_distance": "squared"},
        "penalties": {"content": {"weight": 1.0, "network": "vgg19", "activated": True}},
    },
    "esrgan": {
        "data": {"kind": "images", "resolution": 128, "fit": "tiles", "flip": True},
        "G": {"name": "rrdb", "scale": 4, "width": 64, "blocks": 23, "growth": 32},
        "D": {"name": "vgg", "width": 64, "hidden": 1024},
        "game": {"name": "srgan", "adversarial": 5e-3, "pixel": 1e-2, "start_distance": "absolute"},
        "penalties": {"content": {"weight": 1.0, "network": "vgg19", "activated": False}},
    },
    "dvdgan": {
        "data": {"kind": "clips", "frames": 12, "resolution": 64, "labels": True},
        "D": {"name": "dvdgan", "num_spatial": 8},
        "train": {"length": "307200 kimg", "batch": 512},
    },
    "dvdgan-fp": {
        "data": {"kind": "clips", "frames": 16, "resolution": 64, "labels": False},
        "G": {"name": "dvdgan", "given": 5},
        "game": {"name": "prediction"},
    },
}


@pytest.mark.parametrize("name", GIVEN)
def test_a_recipe_of_images_to_images_or_clips_has_the_settings_of_its_paper(name: str) -> None:
    whole = completed(recipe(name))
    for section, facts in GIVEN[name].items():
        part = getattr(whole, section)
        has = {"name": part.name, **part.settings} if section in ("G", "D", "game") else part
        has = has if isinstance(has, dict) else vars(has)
        assert {key: has[key] for key in facts} == facts, section


@pytest.mark.parametrize(("name", "from_", "to"), [("srgan", 1e-4, 1e-5), ("esrgan", 1e-4, 6.25e-6)])
def test_the_second_half_of_super_resolution_is_played_with_d_and_slows_down(
    name: str, from_: float, to: float
) -> None:
    whole = completed(recipe(name))
    kimg = float(whole.train.length.split()[0])
    assert whole.game.settings["start_kimg"] == kimg / 2
    start, schedule = schedules_of(in_kimg(whole, int(1000 * kimg), 1000))["optim.G.lr"]
    assert schedule.at(start, int(500 * kimg)) == from_
    assert schedule.at(start, int(1000 * kimg)) == pytest.approx(to)


def test_the_small_translators_are_what_was_measured() -> None:
    """docs/translation.md: nearer to the reals than with patches of 70, doublings of 3x3 and blurred reals."""
    small = completed(recipe("cyclegan-small"))
    assert small.data.enlarge == recipe("pix2pix-small").data.enlarge == 0
    assert small.D.settings["patch"] == 34
    assert (small.G.settings["up_kernel"], small.G.settings["norm"]) == (4, "batch")
    assert completed(recipe("cyclegan")).G.settings["up_kernel"] == 3, "the paper's"


def test_the_rates_of_cyclegan_fall_over_the_second_half() -> None:
    whole = completed(recipe("cyclegan"))
    for player in ("G", "D"):
        start, schedule = schedules_of(in_kimg(whole, 200_000, 1000))[f"optim.{player}.lr"]
        rates = [schedule.at(start, epochs * 1000) for epochs in (0, 100, 150, 200)]
        assert rates == pytest.approx([2e-4, 2e-4, 1e-4, 0])


@pytest.mark.parametrize("name", ["wgan-gp", "sngan-cifar10"])
def test_the_rates_of_both_fall_to_0_at_the_end(name: str) -> None:
    whole = recipe(name)
    text = "linear to 0 over 100%"
    assert whole.schedules == {"optim.G.lr": text, "optim.D.lr": text}


@pytest.mark.parametrize("name", FACTS)
def test_a_recipe_is_what_its_tutorial_says(name: str) -> None:
    whole = completed(recipe(name))
    for section, facts in FACTS[name].items():
        if section == "optim":
            assert (whole.optim["G"], whole.optim["D"]) == facts
            continue
        part = getattr(whole, section)
        has = {"name": part.name, **part.settings} if section in ("G", "D", "game") else vars(part)
        for key, value in facts.items():
            assert has[key] == value, f"{section}.{key}"
    assert whole.ema.half_life_kimg == 0
    assert whole.objective.name == "non-saturating"
    assert dict(whole.objective.settings) == {"real_label": 1.0, "fake_label": 0.0, "label_noise": 0.0}


@pytest.mark.parametrize("name", RECIPES.rows)
def test_every_recipe_names_itself_and_its_source(name: str) -> None:
    made = recipe(name)
    assert made.name == name
    assert len(made.source) > 10 and len(made.about) > 10
    assert inspect.getdoc(RECIPES.find(name))


def facts(**changes: Any) -> Facts:
    usual: dict[str, Any] = {
        "num": 500,
        "side": 64,
        "classes": 0,
        "pixel_art": False,
        "dark_border": False,
        "drawn": False,
        "accelerated": False,
    }
    return Facts(**{**usual, **changes})


@pytest.mark.parametrize(
    ("side", "largest", "expected"),
    [(64, 64, 64), (28, 64, 32), (100, 256, 128), (90, 256, 64), (91, 256, 128), (5000, 128, 128), (3, 64, 16)],
)
def test_the_resolution_is_the_nearest_power_of_two(side: int, largest: int, expected: int) -> None:
    assert fitting(side, largest) == expected


def test_a_pick_follows_the_data_and_says_why() -> None:
    plain = pick(facts()).recipe
    assert (plain.data.resolution, plain.data.fit, plain.data.filter) == (64, "crop", "bicubic")
    assert not plain.data.labels and not plain.data.flip
    assert plain.train.length == "10 minutes"
    assert pick(facts()).why == []
    labelled = pick(facts(classes=10))
    assert labelled.recipe.data.labels and "10 class folders" in labelled.why[0]
    sprites = pick(facts(side=28, pixel_art=True))
    assert (sprites.recipe.data.filter, sprites.recipe.data.fit) == ("nearest", "pad")
    assert len(sprites.why) == 2


def test_a_pick_says_what_helps_with_few_images() -> None:
    assert "300 images are few" in pick(facts(num=300)).why[0] and "--init" in pick(facts(num=300)).why[0]
    assert "fastgan-fewshot" in pick(facts(num=300, accelerated=True)).why[0]


def test_a_pick_follows_the_device() -> None:
    cpu, gpu = (pick(facts(side=500, accelerated=accelerated)).recipe for accelerated in (False, True))
    assert (cpu.data.resolution, gpu.data.resolution) == (64, 128)
    assert gpu.G.settings["width"] > cpu.G.settings["width"]
    assert pick(facts(drawn=True)).recipe.train.length == "2 minutes"


@pytest.mark.parametrize("accelerated", [False, True])
@pytest.mark.parametrize("side", [5, 28, 64, 3000])
def test_every_pick_can_be_built(accelerated: bool, side: int) -> None:
    made = completed(pick(facts(side=side, accelerated=accelerated, classes=3)).recipe)
    with torch.device("meta"):
        assert set(build_networks(made, 3, 3)) == {"G", "D"}


def test_random_data_stands_in_for_the_real() -> None:
    dataset = random_dataset(shrunk("cdcgan-shapes"), 3, ("a", "b"))
    assert dataset.images.shape == (8, 3, 16, 16) and dataset.images.dtype == np.uint8
    assert dataset.labels.tolist() == [0, 1] * 4
