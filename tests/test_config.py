import dataclasses
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gannet.config import (
    CONVERTER,
    Optim,
    Part,
    Recipe,
    Train,
    When,
    amount,
    changed,
    from_toml,
    overridden,
    part,
    read_recipe,
    to_toml,
    to_when,
)
from gannet.errors import UserError, nearest
from gannet.recipes import RECIPES, recipe
from gannet.training.build import completed

EXAMPLES = {bool: True, int: 3, float: 0.25, str: "x"}
UNITS = {"iterations": 8.0, "epochs": 100.0, "kimg": 1000.0}


def flat(table: Any, place: str = "") -> dict[str, Any]:
    """`{"train": {"batch": 8}}` as `{"train.batch": 8}`."""
    if not isinstance(table, dict):
        return {place: table}
    return {k: v for name, value in table.items() for k, v in flat(value, f"{place}.{name}" if place else name).items()}


def settings(of: Recipe) -> dict[str, Any]:
    return flat(CONVERTER.unstructure(of))


def another(name: str, value: Any, of: Recipe) -> Any:
    """A value that a setting may have, and has not."""
    special: dict[str, Any] = {
        "train.length": "7 kimg",
        "train.micro_batch": 1,
        "train.precision": "bfloat16",
        "data.channels": 4 if value != 4 else 1,
        "data.resolution": 16,
        "data.fit": "stretch",
        "data.kind": "unpaired" if value != "unpaired" else "pairs",
        "data.filter": "nearest",
        "data.alpha": "black",
        "data.range": [1.0, 99.0],
        "samples.when": "every 7 kimg",
        "samples.noise": "fresh" if value == "fixed" else "fixed",
        "samples.mode": "train" if value == "eval" else "eval",
        "checkpoints.when": "at 3, 4 epochs",
        "G.label": "embedding",
        "D.label": "projection" if value != "projection" else "none",
        "G.norm": "batch"
        if value in ("conditional", "instance")
        else "instance"
        if of.G.name in ("unet", "resnet-blocks")
        else "conditional",
        "G.scale": 2 if value != 2 else 4,
        "G.up_kernel": 4 if value != 4 else 3,
        "D.minibatch": "deviation",
        "D.pool": "mean" if value == "sum" else "sum",
        "D.patch": 16 if value != 16 else 70,
        "G.init": "glorot_uniform" if value != "glorot_uniform" else "dcgan",
        "D.init": "glorot_uniform" if value != "glorot_uniform" else "dcgan",
        "game.start_distance": "absolute" if value != "absolute" else "squared",
        "penalties.content.network": "efficientnet-lite0" if value != "efficientnet-lite0" else "vgg19",
        "D.norm": "none" if value != "none" else "layer",
    }
    if name in special:
        return special[name]
    if name.startswith("schedules."):
        return "linear to 0 over 7 kimg"
    if name.endswith("betas"):
        return [0.25, 0.75]
    if isinstance(value, list | tuple):
        return [3, 5]
    if isinstance(value, bool):
        return not value
    if isinstance(value, float):
        return 0.125
    return value + 1 if isinstance(value, int) else f"{value}x"


def test_every_recipe_goes_through_toml_unchanged() -> None:
    for name in RECIPES.rows:
        whole = completed(recipe(name))
        again, facts = from_toml(to_toml(whole), "it")
        assert completed(again) == whole
        assert facts == {}


def test_facts_stand_apart_from_the_settings() -> None:
    facts = {"gannet": "1", "num_images": 3, "classes": ["a", "b"]}
    again, told = from_toml(to_toml(recipe("dcgan"), facts), "it")
    assert again == recipe("dcgan")
    assert told == facts


@given(st.text(max_size=30), st.floats(1e-9, 1), st.integers(0, 2**63 - 1))
def test_texts_and_numbers_go_through_toml_exactly(text: str, rate: float, seed: int) -> None:
    whole = Recipe(text, text, about=text, seed=seed, optim={"G": Optim(lr=rate), "D": Optim()})
    assert from_toml(to_toml(whole), "it")[0] == whole


def test_what_is_left_out_has_its_default() -> None:
    made, _ = from_toml('name = "a"\nsource = "b"\n[train]\nbatch = 8\n', "it")
    assert made == Recipe("a", "b", train=Train(batch=8))


@pytest.mark.parametrize("name", RECIPES.rows)
def test_one_override_keeps_all_else(name: str) -> None:
    whole = completed(recipe(name))
    before = settings(whole)
    assert len(before) > 50
    for key, value in before.items():
        if key.endswith(".name"):
            continue
        new = another(key, value, whole)
        after = settings(completed(overridden(whole, {key: new})))
        assert after[key] != value, key
        assert after == {**before, key: tuple(new) if isinstance(value, tuple) else new}, key


def test_overrides_leave_what_they_are_given_as_it_is() -> None:
    game, penalties = {"name": "gan"}, {"r1": {"gamma": 1.0}}
    given = {"game": game, "game.d_steps": 2, "penalties": penalties, "penalties.r1.gamma": 3.0}
    made = overridden(recipe("dcgan"), given)
    assert made.game.settings == {"d_steps": 2} and made.penalties == {"r1": {"gamma": 3.0}}
    assert game == {"name": "gan"} and penalties == {"r1": {"gamma": 1.0}}


def test_an_override_of_a_part_keeps_its_other_settings() -> None:
    glasses = recipe("dcgan-glasses")
    expected = Part("dcgan", {**glasses.D.settings, "dropout": 0.3})
    assert expected == overridden(glasses, {"D.dropout": 0.3}).D
    assert changed(glasses, "train", batch=8).train == dataclasses.replace(glasses.train, batch=8)


BAD: list[tuple[dict[str, Any], str]] = [
    ({"train.batchs": 3}, "unknown setting 'train.batchs'; did you mean 'batch'?"),
    ({"trian.batch": 3}, "there is no setting 'trian.batch'; did you mean 'train'?"),
    ({"optim.Q.lr": 3.0}, "there is no setting 'optim.Q.lr'"),
    ({"optim.G.rl": 3.0}, "unknown setting 'optim.G.rl'; did you mean 'lr'?"),
    ({"sed": 3}, "unknown setting 'sed'; did you mean 'seed'?"),
    ({"train.batch": "many"}, "train.batch: 'many' is not of type int"),
    ({"train.batch": 6.5}, "train.batch: 6.5 is not of type int"),
    ({"train.batch": True}, "train.batch: True is not of type int"),
    ({"data.flip": 1}, "data.flip: 1 is not of type bool"),
    ({"optim.D.lr": "fast"}, "optim.D.lr: 'fast' is not of type float"),
    ({"data.source": 3}, "data.source: 3 is not of type str"),
    ({"data.fit": "crup"}, "data.fit"),
    ({"train.precision": "float16"}, "train.precision"),
    ({"data.channels": 2}, "data.channels"),
    ({"optim.G.betas": [0.5]}, "optim.G.betas"),
    ({"train": 3}, "train"),
    ({"train.batch": 0}, "train.batch is 0, and must be at least 1"),
    ({"train.micro_batch": 3, "train.batch": 8}, "train.micro_batch is 3"),
    ({"train.micro_batch": -1}, "train.micro_batch is -1"),
    ({"train.length": "soon"}, "train.length: 'soon' is not a number above 0"),
    ({"data.resolution": 2}, "data.resolution is 2"),
    ({"data.range": [99.0, 1.0]}, "data.range"),
    ({"data.range": [1.0, 101.0]}, "data.range"),
    ({"data.jitter": 1.0}, "data.jitter is 1.0"),
    ({"data.enlarge": 1.5}, "data.enlarge is 1.5"),
    ({"data.frames": 1}, "data.frames is 1, and must be at least 2"),
    ({"data.stride": 0}, "data.stride is 0"),
    ({"data.fit": "tiles", "data.kind": "pairs"}, "data.fit is tiles, and must be crop, pad or stretch for pairs"),
    ({"data.held_out": 1.0}, "data.held_out is 1.0"),
    ({"data.max_unreadable": 1.5}, "data.max_unreadable is 1.5"),
    ({"ema.half_life_kimg": -1.0}, "ema.half_life_kimg is -1.0"),
    ({"ema.half_life_kimg": math.nan}, "ema.half_life_kimg is nan"),
    ({"samples.num": 0}, "samples.num is 0"),
    ({"stats.every": 0}, "stats.every is 0"),
    ({"seed": -1}, "seed is -1"),
    ({"optim.D.lr": 0.0}, "optim.D.lr is 0.0"),
    ({"optim.D.lr": math.nan}, "optim.D.lr is nan"),
    ({"optim.D.lr": math.inf}, "optim.D.lr is inf"),
    ({"optim.D.eps": 0.0}, "optim.D.eps is 0.0"),
    ({"optim.G.betas": [0.5, 1.0]}, "optim.G.betas"),
]


@pytest.mark.parametrize(("values", "says"), BAD)
def test_a_bad_setting_is_one_line_that_names_it(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        overridden(recipe("dcgan"), values)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = ", "recipe.toml is not TOML"),
        ('source = "b"', "the setting 'name' is missing"),
        ('name = "a"\nsource = "b"\nresolution = 3', "unknown setting 'resolution'"),
        ('name = "a"\nsource = "b"\n[G]\nz_dim = 3', "the setting 'G.name' is missing"),
        ('name = "a"\nsource = "b"\n[train]\nlength = "1 hour"', "'1 hour' is not a number above 0"),
        ('name = "a"\nsource = "b"\n[optim.G]\nlr = -1.0', "optim.G.lr is -1.0"),
        ('name = "a"\nsource = "b"\nG = "dcgan"', "G"),
    ],
)
def test_a_bad_file_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    (tmp_path / "recipe.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        read_recipe(tmp_path / "recipe.toml")
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_or_not_text_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "b.toml").write_bytes(b"\xff\xfe\x00")
    for name in ("a.toml", "b.toml"):
        with pytest.raises(UserError, match=f"cannot read the recipe .*{name}"):
            read_recipe(tmp_path / name)


def test_a_schedule_is_changed_by_its_dotted_name() -> None:
    whole = recipe("wgan-gp")
    made = overridden(whole, {"schedules.optim.G.lr": "linear to 0 over 9%", "schedules.optim.G.beta2": "x"})
    assert made.schedules == {**whole.schedules, "optim.G.lr": "linear to 0 over 9%", "optim.G.beta2": "x"}
    assert from_toml(to_toml(made), "it")[0] == made
    with pytest.raises(UserError, match=r"schedules.optim.G.lr: 3 is not of type str"):
        overridden(whole, {"schedules.optim.G.lr": 3})


BAD_PARTS: list[tuple[dict[str, Any], str]] = [
    ({"G.widht": 3}, "G 'dcgan' has no setting 'widht'; did you mean 'width'?"),
    ({"G.name": "dcgna"}, "there is no generator 'dcgna'; did you mean 'dcgan'?"),
    ({"D.width": "wide"}, "D.width is 'wide', and must be int"),
    ({"D.norm": "layer"}, "D.norm is 'layer', and must be one of 'batch', 'spectral', 'none'"),
    ({"game.name": "chess"}, "there is no game 'chess'"),
    ({"objective.name": "nonsaturating"}, "did you mean 'non-saturating'?"),
]


@pytest.mark.parametrize(("values", "says"), BAD_PARTS)
def test_a_bad_setting_of_a_part_is_one_line_that_names_it(values: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        completed(overridden(recipe("dcgan"), values))
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("100 epochs", (100.0, "epochs")),
        ("1 epoch", (1.0, "epochs")),
        ("1 iteration", (1.0, "iterations")),
        ("2.5 kimg", (2.5, "kimg")),
        (" 3 minutes ", (3.0, "minutes")),
        ("1 minute", (1.0, "minutes")),
    ],
)
def test_amounts(text: str, expected: tuple[float, str]) -> None:
    assert amount(text) == expected


@pytest.mark.parametrize("text", ["", "100", "epochs", "0 kimg", "-1 kimg", "nan kimg", "inf kimg", "3 hours", "3kimg"])
def test_what_is_no_amount(text: str) -> None:
    with pytest.raises(UserError, match="is not a number above 0 and one of kimg, epochs, iterations, minutes"):
        amount(text)


def moments(text: str, until: int) -> list[float]:
    when, now, found = to_when(text, UNITS), 0, []
    while (following := when.next(now)) <= until:
        found.append(following)
        now = math.ceil(following)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("every 10 iterations", [80.0, 160.0, 240.0]),
        ("every 1 epoch", [100.0, 200.0, 300.0]),
        ("every 0.15 kimg", [150.0, 300.0]),
        ("at 1, 3 epochs", [100.0, 300.0]),
        ("at 2,1 epochs", [100.0, 200.0]),
        ("at 1 epoch", [100.0]),
        ("at 9 kimg", []),
    ],
)
def test_moments_of_a_run(text: str, expected: list[float]) -> None:
    assert moments(text, 300) == expected


def test_a_moment_that_was_passed_is_not_played_again() -> None:
    when = to_when("every 10 iterations", UNITS)
    assert [when.next(n) for n in (0, 79, 80, 81, 1000)] == [80, 80, 160, 160, 1040]
    assert When(at=(5.0, 9.0)).next(5) == 9.0
    assert When().next(0) == math.inf


@pytest.mark.parametrize("text", ["", "10 epochs", "every", "every epochs", "at", "at 1 2 epochs", "every 3 minutes"])
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(UserError) as caught:
        to_when(text, UNITS)
    assert "\n" not in str(caught.value)


def test_the_nearest_name_or_all_of_them() -> None:
    assert nearest("bacth", ["batch", "lr"]) == "; did you mean 'batch'?"
    assert nearest("xyz", ["lr", "batch"]) == "; choose from: batch, lr"
    assert nearest("xyz", []) == ""


def test_a_part_by_its_name() -> None:
    assert part("dcgan", width=8) == Part("dcgan", {"width": 8})
