"""Changes that are told: each is one that the recipe takes, and that changes something."""

import re
import shlex
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from golden import shrunk

from gannet import config
from gannet.config import Optim, Recipe, overridden
from gannet.diagnosis import Evidence, Remedy, Sign
from gannet.diagnosis.detectors import DETECTORS
from gannet.diagnosis.logs import flat
from gannet.diagnosis.remedies import BY_EVIDENCE, remedy
from gannet.options import train_options
from gannet.plan import random_dataset
from gannet.recipes import RECIPES, recipe
from gannet.training.build import build_training, completed
from gannet.training.engine import Engine

FINDINGS = [name for name in DETECTORS.rows if name != "past-best"]


def signs(name: str) -> list[Sign]:
    """One for each statistic that the remedy looks at."""
    statistics = BY_EVIDENCE.get(name, ["loss D"])
    return [Sign(10.0, None, 0.9, [Evidence(statistic, 1.0, 2.0, "")]) for statistic in statistics]


def settings_of(known: Recipe) -> dict[str, Any]:
    return dict(flat(config.CONVERTER.unstructure(known)))


def arises(sign: Sign, known: dict[str, Any]) -> bool:
    """Whether a recipe with these settings can have the sign at all."""
    statistic = sign.evidence[0].statistic
    if "class" in statistic:
        return bool(known["data.labels"])
    return statistic in known or not statistic.startswith(("G.", "D."))


def told(name: str, known: Recipe) -> list[Remedy]:
    settings = settings_of(known)
    if name == "labels-ignored" and not settings["data.labels"]:
        return []
    return [remedy(name, settings, sign, "kimg") for sign in signs(name) if arises(sign, settings)]


def at_fault(known: Recipe, name: str) -> Recipe:
    """The recipe with the settings of which a finding speaks put wrong."""
    wrong: dict[str, dict[str, Any]] = {
        "settings": {"G.z_dim": 1, "train.batch": 2, "optim.D.lr": 0.1, "optim.G.lr": 0.1, "D.width": 1},
        "bad-start": {"G.init": "orthogonal"},
        "not-learning": {"optim.D.lr": 1e-9, "optim.G.lr": 1e-9},
    }
    found = {n: v for n, v in wrong.get(name, {}).items() if n in settings_of(known)}
    found |= {f"optim.{p}.betas": (0.99, 0.999) for p in ("G", "D") if name == "settings"}
    return overridden(known, found)


def followed(known: Recipe, change: str) -> Recipe:
    return completed(train_options(known, shlex.split(change))[1])


def flags(change: str) -> set[str]:
    return {word for word in shlex.split(change) if word.startswith("--")}


def together(changes: Iterable[str]) -> list[list[str]]:
    """Changes in groups, in each of which no two set the same, nor anything that goes with another part."""
    groups: list[list[str]] = []
    for change in changes:
        fits = (group for group in groups if not any(flags(change) & flags(other) for other in group))
        if "name" in change or "labels" in change or (group := next(fits, None)) is None:
            groups.append([change])
        else:
            group.append(change)
    return groups


@pytest.mark.parametrize("name", RECIPES.rows)
def test_the_recipe_takes_every_change_and_is_another_then(name: str) -> None:
    """And its game can be played with it."""
    small = shrunk(name)
    changes = {each.change for finding in FINDINGS for each in told(finding, at_fault(small, finding))}
    wrong = at_fault(at_fault(at_fault(small, "settings"), "bad-start"), "not-learning")
    for group in together(sorted(change for change in changes if change.startswith("--"))):
        after, parts = followed(small, " ".join(group)), settings_of(small)
        changed = settings_of(after)
        for change in group:
            for flag in flags(change):
                setting = setting_of(flag)
                before = (parts.get(setting), settings_of(wrong).get(setting))
                assert changed[setting] != before[0] or changed[setting] != before[1], change
        dataset = random_dataset(after, after.data.channels or 3, ("a", "b") if after.data.labels else ())
        build_training(after, dataset, Engine(torch.device("cpu")))


def setting_of(flag: str) -> str:
    """`--game.d-steps` as `game.d_steps`, short names as they are spelt out."""
    name = {"--batch": "train.batch", "--data.no-labels": "data.labels"}.get(flag, flag.removeprefix("--"))
    first, dot, rest = name.rpartition(".")
    return f"{first}{dot}{rest.replace('-', '_')}"


@pytest.mark.parametrize("name", ["small", "cyclegan-small", "mlp-mnist"])
@pytest.mark.parametrize("finding", ["d-wins", "g-wins", "oscillation", "mode-collapse", "copying"])
def test_who_follows_the_advice_is_told_another_change_next(name: str, finding: str) -> None:
    now, seen = completed(recipe(name)), []
    for _ in range(3):
        (each,) = told(finding, now)
        after = followed(now, each.change)
        assert after != now and each.change not in seen
        seen.append(each.change)
        now = after


def settings(name: str = "dcgan", **changes: object) -> dict[str, Any]:
    """Those of a recipe, with some changed by their dotted names."""
    return settings_of(
        completed(overridden(recipe(name), {key.replace("__", "."): value for key, value in changes.items()}))
    )


MOMENTUM = (0.9, 0.999)


@pytest.mark.parametrize(
    ("finding", "known", "change"),
    [
        ("d-wins", {}, "--penalties.r1.gamma 1"),
        ("d-wins", settings(), "--penalties.r1.gamma 1"),
        ("d-wins", settings(optim__D__lr=1e-2), "--optim.D.lr 0.0002"),
        ("d-wins", settings(penalties__r1__gamma=1.0), "--optim.D.lr 0.0001"),
        ("d-wins", settings(penalties__r1__gamma=1.0, optim__D__lr=1e-4), "--objective.real-label 0.9"),
        ("d-wins", settings(penalties={"gradient-penalty": {"weight": 10.0}}), "--optim.D.lr 0.0001"),
        ("d-wins", settings(objective__name="minimax"), "--objective.name non-saturating"),
        ("g-wins", {}, "--game.d-steps 2"),
        ("g-wins", settings(optim__G__lr=1e-2), "--optim.G.lr 0.0002"),
        ("d-asleep", settings(), "--game.d-steps 2"),
        ("g-wins", settings(optim__D__lr=2e-6), "--optim.D.lr 0.0002"),
        ("d-asleep", settings(optim__G__lr=1e-3), "--optim.G.lr 0.0002"),
        ("diverging", settings(optim__G__lr=0.1, optim__D__lr=1e-3), "--optim.G.lr 0.0002 --optim.D.lr 0.0005"),
        ("g-wins", settings(game__d_steps=5), "--game.d-steps 10"),
        ("oscillation", {}, "--penalties.r1.gamma 1"),
        (
            "oscillation",
            settings(optim__G__betas=MOMENTUM),
            "--optim.G.betas 0.5 0.999 --optim.D.betas 0.5 0.999",
        ),
        ("oscillation", settings(objective__name="wasserstein"), "--penalties.gradient-penalty.weight 10"),
        ("mode-collapse", {}, "--D.norm spectral --D.bias"),
        ("diverging", {}, "--lr 1e-4"),
        ("diverging", settings(), "--optim.G.lr 0.0001 --optim.D.lr 0.0001"),
        ("diverging", settings(train__precision="bfloat16"), "--train.precision float32"),
        ("labels-ignored", {}, "--D.label projection"),
        ("labels-ignored", settings("cdcgan-shapes"), "--D.label projection"),
        ("labels-ignored", settings("small", data__labels=True), "--G.label batch-norm"),
        ("labels-ignored", settings("acgan"), "--game.weight 2"),
        ("g-wins", settings("small"), "--game.d-steps 2"),
        ("d-wins", settings("small"), "--optim.D.lr 0.0005"),
        ("mode-collapse", settings("small"), "--D.norm spectral --D.bias"),
        ("g-wins", settings("mlp-mnist"), "--game.g-steps 1"),
        ("g-wins", settings("mlp-fashion-mnist"), "--optim.G.lr 0.0001"),
        ("d-asleep", settings("cyclegan"), "--optim.G.lr 0.0001"),
        ("d-wins", settings("cyclegan"), "--optim.D.lr 0.0001"),
        ("d-wins", settings("r3gan-ffhq64"), "--optim.D.lr 0.0001"),
        ("mode-collapse", settings("stylegan2-ada"), "--train.batch 128"),
        ("mode-collapse", settings("sngan-shapes", penalties__r1__gamma=1.0), "--D.minibatch deviation"),
        ("mode-collapse", settings("cyclegan"), "--D.norm spectral"),
        ("oscillation", settings("wgan-gp"), "--optim.G.lr 0.0001 --optim.D.lr 0.0001"),
        ("oscillation", settings("wgan"), "--penalties.gradient-penalty.weight 10 --optim.D.clip 0"),
        ("copying", settings("wgan"), "--augment.name diffaugment"),
        ("copying", settings("fastgan-fewshot"), "--D.width 32"),
        ("bad-start", settings("r3gan-ffhq64"), "--seed 1"),
        ("d-memorises", settings("stylegan2-ada"), "--optim.D.lr 0.00117647"),
        ("d-memorises", settings(), "--augment.name ada"),
        ("d-memorises", settings(augment={"name": "ada"}, D__width=32), "--D.width 16"),
        ("not-learning", settings(train__precision="bfloat16"), "--train.precision float32"),
        ("not-learning", settings(optim__G__lr=1e-9), "--optim.G.lr 0.0002"),
        ("not-learning", {}, "--lr 2e-4"),
        ("mode-collapse", settings(optim__G__lr=1e-2), "--optim.G.lr 0.0002"),
        ("bad-start", settings(G__init="pytorch"), "--G.init dcgan"),
    ],
)
def test_the_change_fits_the_settings(finding: str, known: dict[str, object], change: str) -> None:
    assert {remedy(finding, known, sign, "kimg").change for sign in signs(finding)[:1]} == {change}


def test_labels_that_cannot_be_told_better_are_looked_at() -> None:
    assert remedy("labels-ignored", settings("biggan-cifar10"), signs("labels-ignored")[0], "kimg").change.startswith(
        "look"
    )


def test_a_d_too_narrow_gets_half_the_width_of_g() -> None:
    sign = Sign(0.0, None, 0.8, [Evidence("D.width", 16, 32, "")])
    assert remedy("settings", settings(G__width=256, D__width=16), sign, "kimg").change == "--D.width 128"


def test_a_game_that_needs_labels_is_changed_with_them() -> None:
    sign = Sign(0.0, None, 0.8, [Evidence("data classes told", 0.1, 0.2, "")])
    assert remedy("data", settings("acgan"), sign, "kimg").change == "--data.no-labels --game.name gan"


def test_sources_name_a_paper() -> None:
    for name in FINDINGS:
        for sign in signs(name):
            assert re.search(r"(19|20)\d\d", remedy(name, settings(), sign, "step").source)


def test_settings_are_named_as_the_recipe_names_them() -> None:
    assert {"optim.D.lr", "optim.G.betas", "objective.name", "train.precision", "game.name"} <= set(settings())
    assert Optim().betas == settings()["optim.D.betas"]
