"""Values that move while a run goes on: by hand, in the loop, across a stop and a divergence."""

import copy
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import PREDICTION
from exact import BATCH, DENSE, same, tiny, weights
from runs import NOISY, TINY, contents, stopped, train
from translation import GIVEN

import gannet.api as api
from gannet.augment import AUGMENTATIONS
from gannet.config import overridden, read_recipe
from gannet.errors import UserError
from gannet.games import GAMES
from gannet.losses import OBJECTIVES, PENALTIES
from gannet.parts import settings_of
from gannet.recipes import recipe
from gannet.training.build import completed
from gannet.training.checkpoint import restore, state_of
from gannet.training.loop import Training, iterate
from gannet.training.schedule import Schedule, in_kimg, movable, part_setter

Pictures = Callable[..., Path]


@pytest.mark.parametrize(
    ("text", "start", "values"),
    [
        ("linear to 0 over 10 kimg", 2.0, [2.0, 1.5, 1.0, 0.0, 0.0]),
        ("linear to 3 from 2.5 to 7.5 kimg", 1.0, [1.0, 1.0, 2.0, 3.0, 3.0]),
        ("cosine to 1 over 10 kimg", 3.0, [3.0, 2 + math.sqrt(0.5), 2.0, 1.0, 1.0]),
        ("cosine to 4 over 10 kimg", 0.0, [0.0, 2 - math.sqrt(2), 2.0, 4.0, 4.0]),
        ("exponential to 1e-4 over 10 kimg", 1.0, [1.0, 0.1, 0.01, 1e-4, 1e-4]),
    ],
)
def test_values_by_hand(text: str, start: float, values: list[float]) -> None:
    """At 0, 2.5, 5, 10 and 99 kimg."""
    schedule = Schedule.parse(text)
    assert [schedule.at(start, n) for n in (0, 2500, 5000, 10_000, 99_000)] == pytest.approx(values)
    assert schedule.at(start, 10_000) == schedule.final


@pytest.mark.parametrize(
    ("text", "written"),
    [
        ("linear to 0 from 50% to 100%", "linear to 0 from 150 to 300 kimg"),
        ("linear to 0 from 50 to 100 %", "linear to 0 from 150 to 300 kimg"),
        ("cosine to 5e-5 over 50%", "cosine to 5e-05 over 150 kimg"),
        ("exponential to 1e-05 over 1 epoch", "exponential to 1e-05 over 0.25 kimg"),
        (" linear to 0 from 2 epochs to 4 epochs", "linear to 0 from 0.5 to 1 kimg"),
        ("linear to 0 over 7.5 kimg", "linear to 0 over 7.5 kimg"),
        ("linear to 0.5x from 40% to 100%", "linear to 0.0001 from 120 to 300 kimg"),
        ("Linear to 1E-5 over 1 KIMG", "linear to 1e-05 over 1 kimg"),
    ],
)
def test_moments_become_kimg(text: str, written: str) -> None:
    """Of a run of 300 kimg on 250 images; what is in kimg stays, whatever the run."""
    whole = completed(overridden(recipe("dcgan"), {"schedules.optim.G.lr": text}))
    made = in_kimg(whole, 300_000, 250)
    assert made.schedules == {"optim.G.lr": written}
    assert in_kimg(made, 999, 9) == made


def test_none_takes_a_schedule_away() -> None:
    whole = completed(overridden(recipe("small"), {"schedules.optim.G.lr": "none"}))
    assert set(in_kimg(whole, 300_000, 250).schedules) == {"optim.D.lr"}


BAD: list[tuple[str, str, str]] = [
    (
        "optim.G.rl",
        "linear to 0 over 1 kimg",
        "there is no setting 'optim.G.rl' that can move; did you mean 'optim.G.lr'",
    ),
    ("optim.Q.lr", "linear to 0 over 1 kimg", "there is no setting 'optim.Q.lr'"),
    ("train.batch", "linear to 0 over 1 kimg", "there is no setting 'train.batch'"),
    ("penalties.r2.gamma", "linear to 0 over 1 kimg", "there is no setting 'penalties.r2.gamma'"),
    ("penalties.r1.every", "linear to 9 over 1 kimg", "there is no setting 'penalties.r1.every'"),
    ("optim.G.lr", "linear to 0", "write it like 'linear to 0 over 50%' or"),
    ("optim.G.lr", "square to 0 over 1 kimg", "it has another form"),
    ("optim.G.lr", "linear to 0 over 1 hour", "it has another form"),
    ("optim.G.lr", "linear to x over 1 kimg", "it has another form"),
    ("optim.G.lr", "linear to 0 from 5% to 9 kimg", "its moments have two units"),
    ("optim.G.lr", "linear to 0 from 9 to 9 kimg", "its moments are not in order"),
    ("optim.G.lr", "linear to 1e999 over 9 kimg", "its moments are not in order"),
    ("optim.G.lr", "exponential to 0 over 1 kimg", "from 0.0002 to 0 nothing goes exponentially"),
    ("ema.half_life_kimg", "exponential to 5 over 1 kimg", "from 0 to 5 nothing goes exponentially"),
    ("optim.G.lr", "linear to -1 over 1 kimg", "goes to -1, and must go to 0 or more"),
    ("optim.G.beta2", "linear to 1 over 1 kimg", "goes to 1, and must go to 0 to below 1"),
    (
        "penalties.r1.gamma",
        "linear to -1 over 1 kimg",
        "where the schedules end, penalties.r1: gamma is -1.0, and must be at least 0",
    ),
    ("objective.label_noise", "linear to 0.7 over 1 kimg", "objective.label_noise is 0.7"),
    ("game.top_k", "linear to 0 over 1 kimg", "where the schedules end, game.top_k is 0.0"),
]


@pytest.mark.parametrize(("name", "text", "says"), BAD)
def test_what_is_no_schedule_is_one_line(name: str, text: str, says: str) -> None:
    with pytest.raises(UserError) as caught:
        tiny({**DENSE, "penalties.r1.gamma": 1.0, f"schedules.{name}": text})
    assert says in str(caught.value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 350


def test_a_bad_schedule_is_found_before_anything_is_trained(pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no setting 'optim\.G\.rl' that can move"):
        train(pictures(), tmp_path / "run", {**TINY, "schedules.optim.G.rl": "linear to 0 over 50%"})
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("table", [OBJECTIVES, PENALTIES, AUGMENTATIONS], ids=lambda table: table.kind)
def test_every_number_of_every_part_can_move(table: Any) -> None:
    """A part keeps it as an attribute of the same name."""
    for name in table.rows:
        part = table.find(name)(**({"network": "efficientnet-lite0"} if name == "content" else {}))
        for key, parameter in settings_of(table.find(name)).items():
            if parameter.annotation is float:
                part_setter(part, key, f"{name}.{key}")(0.25)
                assert float(getattr(part, key)) == 0.25, (name, key)


@pytest.mark.parametrize("name", GAMES.rows)
def test_every_number_of_every_game_can_move(name: str) -> None:
    labelled = {**DENSE, "data.labels": True, "game": {"name": name}}
    needs = {"fastgan": {**labelled, "data.resolution": 32, "D": {"name": "fastgan", "width": 1}}} | GIVEN
    settings = (needs | {"prediction": PREDICTION}).get(name, labelled)
    keys = [key for key, parameter in settings_of(GAMES.find(name)).items() if parameter.annotation is float]
    moves = {f"schedules.game.{key}": "linear to 0.5 over 0.004 kimg" for key in keys}
    t = tiny({**settings, **moves}, ("a", "b") if "data.labels" in settings else ())
    assert t.movers.keys() == {f"game.{key}" for key in keys}
    for mover in t.movers.values():
        mover.move(4)
    assert all(getattr(t.game, key) == 0.5 for key in keys)


def test_what_a_part_does_not_keep_cannot_move() -> None:
    with pytest.raises(UserError, match=r"'augment\.p' is read once"):
        part_setter(object(), "p", "augment.p")


MOVING: dict[str, Any] = {
    **DENSE,
    "objective": {"name": "relativistic"},
    "penalties.r1.gamma": 0.4,
    "augment": {"name": "ada", "target": 0.0},
    "schedules.optim.G.lr": "linear to 0 over 0.04 kimg",
    "schedules.optim.D.beta1": "linear to 0.7 over 0.04 kimg",
    "schedules.optim.D.beta2": "cosine to 0.9 over 0.016 kimg",
    "schedules.penalties.r1.gamma": "exponential to 0.04 over 0.016 kimg",
    "schedules.ema.half_life_kimg": "linear to 0.1 over 0.04 kimg",
    "schedules.augment.p": "linear to 0.5 from 0.004 to 0.012 kimg",
}


def state(t: Training) -> list[Any]:
    """What the settings have become where they are used."""
    networks: Any = t.networks
    assert t.ema
    betas = t.optimizers["D"].param_groups[0]["betas"]
    rate = t.optimizers["G"].param_groups[0]["lr"]
    return [rate, *betas, networks["penalty r1"].gamma, t.ema.half_life_kimg, networks["augment"].p.item()]


def test_the_loop_sets_every_value_by_the_images_seen() -> None:
    """Iteration i begins after 4 i images."""
    assert BATCH == 4
    t = tiny(MOVING)
    for i in range(12):
        iterate(t)
        expected = [
            2e-4 * max(1 - i / 10, 0),
            0.5 + 0.2 * min(i / 10, 1),
            0.9 + 0.099 * (1 + math.cos(math.pi * min(i / 4, 1))) / 2,
            0.4 * 0.1 ** min(i / 4, 1),
            0.1 * min(i / 10, 1),
            0.5 * min(max((i - 1) / 2, 0), 1),
        ]
        assert state(t) == pytest.approx(expected), i
        assert t.moved["penalties.r1.gamma"] == pytest.approx(expected[3])
    assert t.optimizers["D"].param_groups[0]["lr"] == 2e-4


def test_in_the_middle_of_its_schedules_a_training_is_restored() -> None:
    whole, first, second = (tiny(MOVING) for _ in range(3))
    for _ in range(6):
        iterate(whole)
    for _ in range(3):
        iterate(first)
    restore(second, copy.deepcopy(state_of(first)))
    for _ in range(3):
        iterate(second)
    assert state(whole) == state(second)
    for name, network in whole.networks.items():
        assert same(weights(network), weights(second.networks[name])), name


def test_rmsprop_moves_its_one_average() -> None:
    t = tiny({**DENSE, "optim.D.name": "rmsprop", "schedules.optim.D.beta2": "linear to 0.9 over 0.004 kimg"})
    for expected in (0.999, 0.9):
        iterate(t)
        assert t.optimizers["D"].param_groups[0]["alpha"] == expected
    plain = completed(overridden(t.recipe, {"optim.G.name": "rmsprop"}))
    assert {"optim.G.lr", "optim.G.beta2"} <= movable(plain).keys() and "optim.G.beta1" not in movable(plain)


def test_a_rate_that_was_halved_stays_half_of_its_schedule() -> None:
    t = tiny({**DENSE, "schedules.optim.G.lr": "linear to 1e-4 over 0.008 kimg"})
    group = t.optimizers["G"].param_groups[0]
    iterate(t)
    group["initial_lr"] /= 2  # as a divergence leaves it
    rates = []
    for _ in range(3):
        iterate(t)
        rates.append(group["lr"])
    assert rates == pytest.approx([0.75e-4, 0.5e-4, 0.5e-4])


def test_the_average_grows_from_a_half_life_of_0() -> None:
    """At 0 it is G; then it lags behind."""
    t = tiny({**DENSE, "schedules.ema.half_life_kimg": "linear to 0.008 over 0.004 kimg"})
    assert t.ema and t.samplers["G"] is t.ema.networks["G"]
    iterate(t)
    first = weights(t.networks["G"])
    assert same(weights(t.ema.networks["G"]), first)
    iterate(t)
    second, average = t.networks["G"].state_dict(), t.ema.networks["G"].state_dict()
    for name, value in first.items():
        if value.is_floating_point():
            torch.testing.assert_close(average[name], value + (1 - 0.5**0.5) * (second[name] - value))


def test_a_stopped_run_goes_on_along_its_schedules(pictures: Pictures, tmp_path: Path) -> None:
    settings = {
        **NOISY,
        "penalties.r1.gamma": 1.0,
        "schedules.optim.G.lr": "cosine to 5e-5 from 10% to 90%",
        "schedules.penalties.r1.gamma": "linear to 0.1 over 50%",
        "schedules.ema.half_life_kimg": "linear to 0.1 over 1 epoch",
    }
    data = pictures()
    whole, parts = train(data, tmp_path / "whole", settings).path, tmp_path / "parts"
    with stopped(5):
        assert not train(data, parts, settings).finished
    assert read_recipe(parts / "recipe.toml")[0].schedules == {
        "optim.G.lr": "cosine to 5e-05 from 0.0044 to 0.0396 kimg",
        "penalties.r1.gamma": "linear to 0.1 over 0.022 kimg",
        "ema.half_life_kimg": "linear to 0.1 over 0.016 kimg",
    }
    assert api.resume(parts).finished
    expected, found = contents(whole), contents(parts)
    assert found["state"] == expected["state"] and found["lines"] == expected["lines"]
    rates = [line["optim.G.lr"] for line in found["lines"] if "loss G" in line]
    assert rates[0] > rates[2] > rates[4] and rates[-1] == pytest.approx(5e-5, rel=1e-2)
    assert api.resume(parts, kimg=0.06).finished
    assert [line for line in contents(parts)["lines"] if "loss G" in line][-1]["penalties.r1.gamma"] == 0.1
