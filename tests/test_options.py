import dataclasses
import sys
from pathlib import Path
from typing import Any

import pytest

from gannet.config import Part, Recipe, overridden
from gannet.errors import UserError
from gannet.options import budget, spelled_out, train_options
from gannet.parsing import SHORT, one_line
from gannet.recipes import RECIPES, recipe
from gannet.training.build import completed

OVERRIDES: list[tuple[str, str, Any]] = [
    ("train.batch", "9", 9),
    ("train.micro-batch", "1", 1),
    ("train.length", "3 kimg", "3 kimg"),
    ("train.device", "meta", "meta"),
    ("train.precision", "bfloat16", "bfloat16"),
    ("train.evaluate-every", "2.5", 2.5),
    ("train.metric", "recall", "recall"),
    ("train.extractor", "dinov2", "dinov2"),
    ("train.evaluate-num", "512", 512),
    ("data.resolution", "128", 128),
    ("data.channels", "4", 4),
    ("data.fit", "stretch", "stretch"),
    ("data.range", "1 99", (1.0, 99.0)),
    ("data.jitter", "0.3", 0.3),
    ("data.kind", "unpaired", "unpaired"),
    ("data.other", "there", "there"),
    ("data.enlarge", "0.1", 0.1),
    ("data.frames", "8", 8),
    ("data.held-out", "0.2", 0.2),
    ("data.group-by", "^(p)", "^(p)"),
    ("optim.G.lr", "1e-5", 1e-5),
    ("optim.D.lr", "1e-5", 1e-5),
    ("optim.D.betas", "0.1 0.2", (0.1, 0.2)),
    ("optim.G.eps", "1e-3", 1e-3),
    ("ema.half-life-kimg", "7.5", 7.5),
    ("samples.num", "5", 5),
    ("samples.when", "at 1, 2 epochs", "at 1, 2 epochs"),
    ("samples.noise", "fresh", "fresh"),
    ("stats.every", "13", 13),
    ("checkpoints.when", "every 2 kimg", "every 2 kimg"),
    ("seed", "17", 17),
    ("G.z-dim", "33", 33),
]
LABELS = [("G.label", "embedding", "embedding"), ("D.label", "projection", "projection")]
LABELS += [("G.init", "he_uniform", "he_uniform")]
SOME = {
    "dcgan": [*LABELS, ("D.norm", "none", "none"), ("G.extra-convs", "2", 2), ("G.attention", "8", (8,))],
    "mlp": [*LABELS, ("G.hidden", "8 9", (8, 9)), ("G.bn-eps", "0.5", 0.5), ("D.minibatch", "deviation", "deviation")],
    "resnet": [("G.attention", "16 32", (16, 32)), ("D.pool", "mean", "mean"), ("G.norm", "batch", "batch")],
    "biggan": [("G.width", "12", 12), ("D.attention", "16", (16,))],
    "dvdgan": [("G.given", "2", 2), ("D.num-spatial", "5", 5)],
    "fastgan": [("game.top-k", "0.5", 0.5), ("D.width", "12", 12)],
    "r3gan": [("G.widths", "16 16 16 16", (16, 16, 16, 16)), ("D.group-size", "8", 8)],
    "unet": [("G.norm", "instance", "instance"), ("G.dropout", "0.25", 0.25), ("D.width", "12", 12)],
    "resnet-blocks": [("G.blocks", "2", 2), ("G.up-kernel", "4", 4), ("D.width", "12", 12)],
    "srresnet": [("G.scale", "2", 2), ("G.width", "12", 12)],
    "rrdb": [("G.scale", "2", 2), ("G.growth", "8", 8)],
    "relativistic": [],
    "stylegan2": [("G.style-mixing", "0.5", 0.5), ("D.channel-max", "64", 64)],
    "non-saturating": [("objective.real-label", "0.8", 0.8), ("objective.label-noise", "0.05", 0.05)],
    "lsgan": [("objective.c", "0.5", 0.5)],
    "hinge": [],
    "wasserstein": [],
    "relativistic-average": [],
    "prediction": [("game.d-steps", "3", 3), ("game.top-k", "0.5", 0.5)],
    "pix2pix": [("game.l1", "10", 10.0)],
    "cyclegan": [("game.cycle", "5.5", 5.5), ("game.pool", "7", 7)],
    "srgan": [("game.start-kimg", "3", 3.0), ("game.start-distance", "absolute", "absolute")],
    "gan": [("game.d-steps", "4", 4), ("game.g-steps", "5", 5)],
    "gan-halves": [("game.g-steps", "5", 5)],
    "gan-simultaneous": [("game.top-k", "0.5", 0.5)],
    "acgan": [("game.weight", "0.5", 0.5), ("game.d-steps", "4", 4)],
    "infogan": [("game.categories", "5", 5), ("game.continuous-weight", "0.5", 0.5), ("game.top-k", "0.5", 0.5)],
}


def given_to(name: str, *argv: str) -> Recipe:
    return completed(train_options(recipe(name), argv)[1], allow_code="--allow-code" in argv)


def line_of(error: pytest.ExceptionInfo[UserError]) -> str:
    line = str(error.value)
    assert "\n" not in line and not set(line) & set("│╭╰─")
    return line


@pytest.mark.parametrize("name", RECIPES.rows)
def test_no_option_leaves_the_recipe_as_it_is(name: str) -> None:
    assert given_to(name) == completed(recipe(name))


@pytest.mark.parametrize("name", RECIPES.rows)
def test_one_option_keeps_every_other_value_of_the_recipe(name: str) -> None:
    whole = completed(recipe(name))
    overrides = OVERRIDES if name == "dcgan-glasses" else OVERRIDES[::3]  # parsing takes its time
    if "z_dim" not in whole.G.settings:
        overrides = [setting for setting in overrides if setting[0] != "G.z-dim"]
    for part in (whole.G, whole.game, whole.objective):
        overrides = overrides + SOME[part.name]
    for setting, text, value in overrides:
        words = text.split() if isinstance(value, tuple) else [text]
        key = setting.replace("-", "_")
        assert given_to(name, f"--{setting}", *words) == completed(overridden(whole, {key: value})), setting


@pytest.mark.parametrize("name", RECIPES.rows)
def test_switches_go_both_ways(name: str) -> None:
    whole = completed(recipe(name))
    for key in ("flip", "labels", "replacement"):
        assert given_to(name, f"--data.{key}") == completed(overridden(whole, {f"data.{key}": True}))
        assert given_to(name, f"--data.no-{key}") == completed(overridden(whole, {f"data.{key}": False}))


def test_a_schedule_is_an_option_by_its_dotted_name() -> None:
    argv = [
        "--schedules.optim.G.lr",
        "cosine to 5e-5 over 50%",
        "--schedules.ema.half-life-kimg=linear to 2 over 1 kimg",
    ]
    made = given_to("wgan-gp", *argv, "--schedules.penalties.gradient_penalty.weight", "linear to 0 over 9 epochs")
    falls = completed(recipe("wgan-gp")).schedules["optim.D.lr"]
    assert made.schedules == {
        "optim.G.lr": "cosine to 5e-5 over 50%",
        "optim.D.lr": falls,
        "ema.half_life_kimg": "linear to 2 over 1 kimg",
        "penalties.gradient-penalty.weight": "linear to 0 over 9 epochs",
    }
    for argv in (["--schedules.optim.G.lr"], ["--schedules.optim.G.lr", "--seed", "3"]):
        with pytest.raises(UserError, match=r"--schedules\.optim\.G\.lr needs a text behind it"):
            given_to("wgan-gp", *argv)


def test_another_part_leaves_the_schedules_of_the_one_before_behind() -> None:
    text = "linear to 0 over 50%"
    made = given_to("r3gan-cifar10", "--augment.name", "instance-noise", "--schedules.augment.std", text)
    before = completed(recipe("r3gan-cifar10")).schedules
    assert made.schedules == {**{n: t for n, t in before.items() if n != "augment.p"}, "augment.std": text}


def test_underscores_and_equal_signs_work_as_well() -> None:
    assert given_to("dcgan", "--data.held_out=0.1", "--G.z_dim=7").data.held_out == 0.1
    assert given_to("dcgan", "--data.group-by=^(p=.)").data.group_by == "^(p=.)"


@pytest.mark.parametrize("form", ["{} {}", "{}={}"])
def test_short_names_stand_for_their_settings(form: str) -> None:
    asked = {"resolution": ("32", 32), "batch": ("8", 8), "device": ("cpu", "cpu"), "lr": ("1e-3", 1e-3)}
    assert set(asked) == set(SHORT)
    for short, (text, value) in asked.items():
        expected = overridden(completed(recipe("dcgan-glasses")), dict.fromkeys(SHORT[short], value))
        assert given_to("dcgan-glasses", *form.format(f"--{short}", text).split()) == expected


def test_a_short_name_at_the_end_stands_alone() -> None:
    assert spelled_out(["--lr"]) == ["--optim.G.lr", "--optim.D.lr"]
    with pytest.raises(UserError):
        given_to("dcgan", "--lr")


def test_the_last_of_two_values_counts() -> None:
    assert given_to("dcgan", "--batch", "8", "--train.batch", "9").train.batch == 9


def test_the_second_folder_is_the_second_word() -> None:
    options, made = train_options(recipe("cyclegan"), ["horses", "zebras"])
    assert (options.source, options.other) == ("horses", "zebras")
    assert made == completed(overridden(recipe("cyclegan"), {"data.other": "zebras"}))
    assert given_to("cyclegan", "horses").data.other == ""


def test_questions_of_the_command_do_not_touch_the_recipe() -> None:
    argv = ["faces", "--recipe", "dcgan", "--run", "r", "--dry-run", "--json"]
    options, made = train_options(recipe("dcgan"), argv)
    assert made == completed(recipe("dcgan"))
    assert dataclasses.asdict(options) == {
        "source": "faces",
        "other": None,
        "recipe": "dcgan",
        "run": Path("r"),
        "seeds": None,
        "init": None,
        "kimg": None,
        "epochs": None,
        "minutes": None,
        "private": False,
        "if_exists": "refuse",
        "track": None,
        "autopilot": False,
        "dry_run": True,
        "json": True,
        "allow_code": False,
    }


@pytest.mark.parametrize(("unit", "text"), [("kimg", "2.5"), ("epochs", "3"), ("minutes", "0.5")])
def test_a_budget_is_the_length(unit: str, text: str) -> None:
    assert given_to("dcgan", f"--{unit}", text) == overridden(
        completed(recipe("dcgan")), {"train.length": f"{text} {unit}"}
    )


@pytest.mark.parametrize("value", [1234.567, 1234567.0, 0.0123456789])
def test_a_budget_keeps_its_digits(value: float) -> None:
    number = budget({"kimg": value})["train.length"].split()[0]
    assert float(number) == value


def test_two_budgets_are_refused() -> None:
    with pytest.raises(UserError, match="kimg and epochs are both given: name one budget"):
        given_to("dcgan", "--kimg", "3", "--epochs", "2")


def test_a_budget_of_nothing_is_refused() -> None:
    with pytest.raises(UserError, match="is not a number above 0"):
        given_to("dcgan", "--kimg", "0")


@pytest.mark.parametrize(
    ("flag", "meant"),
    [
        ("--data.resoluton", "--data.resolution"),
        ("--train.bacth", "--train.batch"),
        ("--optim.G.rl", "--optim.G.lr"),
        ("--D.dropuot", "--D.dropout"),
        ("--epoch", "--epochs"),
        ("--optim.d.lr", "--optim.D.lr"),
        ("--EMA.half_life_kimg", "--ema.half-life-kimg"),
        ("--objective.reel-label", "--objective.real-label"),
    ],
)
def test_a_mistyped_option_gets_the_nearest(flag: str, meant: str) -> None:
    with pytest.raises(UserError) as caught:
        given_to("dcgan", flag, "3")
    assert f"there is no option {flag}; did you mean '{meant}'?" in line_of(caught)


@pytest.mark.parametrize("short", ["resolutoin", "bacth", "devise"])
def test_a_mistyped_short_name_gets_a_near_one(short: str) -> None:
    with pytest.raises(UserError, match=f"there is no option --{short}; did you mean '--"):
        given_to("dcgan", f"--{short}", "3")


@pytest.mark.parametrize(
    ("argv", "names"),
    [
        (["--train.batch", "many"], "train.batch"),
        (["--batch", "many"], "train.batch"),
        (["--data.fit", "crup"], "data.fit"),
        (["--data.channels", "2"], "data.channels"),
        (["--optim.D.lr", "fast"], "optim.D.lr"),
        (["--D.norm", "layer"], "D.norm"),
        (["--train.batch", "0"], "train.batch"),
        (["--data.range", "9", "1"], "data.range"),
        (["--data.range", "9"], "data.range"),
        (["--G.name", "dcgna"], "dcgan"),
        (["a", "b", "c"], "c"),
        (["--train.batch"], "train.batch"),
        (["--seed", "-3"], "seed"),
        (["--data.source", "faces"], "gannet train faces"),
    ],
)
def test_a_bad_value_is_one_line_that_names_its_option(argv: list[str], names: str) -> None:
    with pytest.raises(UserError) as caught:
        given_to("dcgan", *argv)
    assert names in line_of(caught)


ROUND = """\
╭─ Unrecognized options ──────────╮
│ Unrecognized options: --jsn     │
│ ─────────────────────────────── │
│ Perhaps you meant:              │
│     --json, --no-json           │
│         (default: False)        │
│ ─────────────────────────────── │
│ For full helptext, run - --help │
╰─────────────────────────────────╯
"""


@pytest.mark.parametrize("drawn", [True, False])
def test_a_complaint_is_one_line_whatever_the_terminal_can_draw(drawn: bool) -> None:
    """Where the encoding has no box characters, tyro draws with spaces and dashes."""
    plain = "".join(line.strip("╭╮╰╯│") + "\n" for line in ROUND.splitlines()[1:-1]).replace("─", "-")
    box = ROUND if drawn else f" Unrecognized options \n {'-' * 33} \n{plain}\n"
    assert one_line(box) == "Unrecognized options: --jsn"


def test_another_part_starts_from_its_own_defaults() -> None:
    whole = completed(recipe("dcgan"))
    made = given_to("dcgan", "--D.name", "mlp", "--D.hidden", "16", "8")
    defaults = {"residual": False, "minibatch": "none", "label": "channel", "init": "pytorch"}
    assert made == dataclasses.replace(whole, D=Part("mlp", {"hidden": (16, 8), **defaults}))
    assert given_to("dcgan-shapes", "--game.name", "gan").game == completed(recipe("dcgan-shapes")).game


CODE = """
from gannet.losses.adversarial import NonSaturating


class Mine(NonSaturating):
    def __init__(self, *, strength: float = 2.0):
        super().__init__()
        self.strength = strength
"""


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    (tmp_path / "my_objective.py").write_text(CODE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "my_objective", raising=False)
    return "my_objective:Mine"


def test_code_of_ones_own_needs_leave(module: str) -> None:
    with pytest.raises(UserError, match="allow it with --allow-code"):
        given_to("dcgan", "--objective.name", module)
    assert "my_objective" not in sys.modules


def test_code_of_ones_own_has_options_like_any_part(module: str) -> None:
    made = given_to("dcgan", "--allow-code", "--objective.name", module, "--objective.strength", "3")
    assert made.objective == Part(module, {"strength": 3.0})
    assert completed(made, allow_code=True) == made
    with pytest.raises(UserError, match="--allow-code"):
        completed(made)


def test_code_of_ones_own_is_found_in_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where `gannet` runs as a command, no path leads there."""
    (tmp_path / "lying_here.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    made = given_to("dcgan", "--allow-code", "--objective.name", "lying_here:Mine")
    assert made.objective.name == "lying_here:Mine"


@pytest.mark.parametrize("name", ["my_objective:Yours", "nowhere_at_all:Mine"])
def test_code_that_is_not_there_is_one_line(module: str, name: str) -> None:
    with pytest.raises(UserError, match="cannot be imported") as caught:
        given_to("dcgan", "--allow-code", "--objective.name", name)
    assert name in line_of(caught)
