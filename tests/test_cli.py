import json
import operator
import re
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from clips import save_videos

import gannet
from gannet import api, display, plan, sessions
from gannet.cli import COMMANDS, main
from gannet.config import from_toml
from gannet.errors import DivergedError, UserError
from gannet.experiments import autopilot
from gannet.losses import PENALTIES
from gannet.parts import settings_of
from gannet.recipes import RECIPES, recipe
from gannet.training import measure
from gannet.training.build import PARTS, completed

Pictures = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
SMALL = [
    *("--recipe", "dcgan-shapes", "--resolution", "16", "--batch", "4", "--train.precision", "float32"),
    *("--G.width", "4", "--D.width", "4", "--samples.num", "4", "--device", "cpu"),
]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Commands write to a folder of the test's own, and do not measure the machine."""
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    monkeypatch.chdir(tmp_path)


def status(*argv: str) -> int | str | None:
    """The exit status of `gannet ARGV`."""
    try:
        return main(argv)
    except SystemExit as end:
        return end.code or 0


def complaint(capsys: Capture) -> str:
    """What was said on stderr, which is one line and no traceback."""
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1
    assert "Traceback" not in said
    return said.removeprefix("gannet: ").strip()


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (["trian"], "there is no command 'trian'; did you mean 'train'?"),
        (["nonsense-of-mine"], "there is no command 'nonsense-of-mine'"),
        (["train", "shapes", "--recipe", "dcgan-shape"], "there is no recipe 'dcgan-shape'; did you mean"),
        (["train", "shapes", "--recipe", "none.toml"], "cannot read the recipe none.toml"),
        (["train", "no/such/folder"], "there is no folder, zip or data set 'no/such/folder'"),
        (["train", "shappes"], "did you mean 'shapes'?"),
        (["train", "--recipe", "dcgan"], "the recipe 'dcgan' has no data of its own: name yours"),
        (["train", "shapes", "--bacth", "3"], "there is no option --bacth"),
        (["train", "shapes", "--kimg", "3", "--minutes", "2"], "kimg and minutes are both given"),
        (["train", "shapes", "--minutes", "None"], "--minutes is 'None', and must be a number"),
        (["sample", "run", "--num", "3.5"], "--num is '3.5', and must be a whole number"),
        (["serve", "run", "--port", "x"], "--port is 'x', and must be a whole number"),
        (["train", "shapes", "--recipe", "dcgan-shapes", "--resolution", "24"], "not 24"),
        (
            ["train", "shapes", "--device", "nonsense", "--recipe", "dcgan-shapes"],
            "there is no device 'nonsense'",
        ),
        (["train", "shapes", "--recipe", "cdcgan-shapes"], "no class folders"),
        (["train", "shapes", "--recipe", "pix2pix", "--data.kind", "images"], "'pix2pix' plays with pairs"),
        (["train", "outlines", "--recipe", "dcgan", "--data.kind", "pairs"], "'gan' plays with images or clips"),
        (["train", "circles", "--recipe", "cyclegan"], "name both, as in gannet train A B"),
        (["train", "circles", "squares", "--recipe", "dcgan"], "leave it out, or take --recipe pix2pix-small (pairs)"),
        (["train", "outlines", "--recipe", "pix2pix", "--G.name", "dcgan"], "G makes images of images"),
        (["train", "shapes", "--recipe", "dcgan-shapes", "--G.name", "unet"], "G makes images of noise"),
        (["resume", "no/run"], "there is no run"),
        (["resume"], "gannet resume --help lists all"),
        (["sample", "no/run"], "there is no run"),
        (["sample", "no/run", "--num", "few"], "num"),
        (["evaluate", "no/run"], "there is no run at no/run: gannet train makes one"),
        (["evaluate", "no/run", "--num", "1"], "--num is 1, and must be at least 2"),
        (["sample", "no/run", "--num", "0"], "must be at least 1"),
        (["sample", "no/run", "--per-class", "0"], "must be at least 1"),
        (["translate", "no/run", "images", "--out", "made"], "there is no run"),
        (["upscale", "no/run", "images"], "gannet upscale --help lists all"),
        (["inspect", "no/such/folder"], "there is no folder, zip or data set"),
        (["recipes", "mlp-mnits"], "there is no recipe 'mlp-mnits'; did you mean 'mlp-mnist'?"),
        (["recipes", "--jsn"], "there is no option --jsn; did you mean '--json'?"),
        (["scaffold", "--image-size", "24"], "24"),
    ],
)
def test_the_users_errors_are_one_line_and_status_2(argv: list[str], says: str, capsys: Capture, cache: Path) -> None:
    dry = ["--dry-run"] if argv[0] == "train" else []  # where an error is not found, nothing is trained
    assert status(*argv, *dry) == 2
    assert says in complaint(capsys)


@pytest.mark.parametrize("argv", [[], ["--help"], ["-h"], ["help"]])
def test_help_names_every_command(argv: list[str], capsys: Capture) -> None:
    assert status(*argv) == 0
    said = capsys.readouterr().out
    assert all(re.search(rf"^  {name} +\w", said, re.MULTILINE) for name in COMMANDS)


def test_the_version(capsys: Capture) -> None:
    assert status("--version") == 0
    assert capsys.readouterr().out == f"gannet {gannet.__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(command: str, capsys: Capture) -> None:
    assert status(command, "--help") == 0
    out, err = capsys.readouterr()
    assert f"usage: gannet {command}" in out and "--help" in out
    assert err == ""


def alone(code: str) -> str:
    """What a fresh Python prints."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize("argv", [["--help"], ["--version"], ["trian"]])
def test_what_needs_no_torch_does_not_import_it(argv: list[str]) -> None:
    heavy = "print([m for m in ('torch', 'numpy', 'tyro') if m in sys.modules])"
    said = alone(f"import sys; from gannet.cli import main; main({argv!r}); {heavy}")
    assert said.splitlines()[-1] == "[]"


def test_import_gannet_is_light_and_offers_its_verbs() -> None:
    assert alone("import sys, gannet; print('torch' in sys.modules, gannet.UserError.status)") == "False 2\n"
    assert gannet.train is api.train and gannet.resume is api.resume and gannet.sample is api.sample
    with pytest.raises(AttributeError, match="has no attribute 'trian'"):
        operator.attrgetter("trian")(gannet)
    assert gannet.translate is api.translate and gannet.load is api.load
    assert set(gannet.__all__) >= {"train", "resume", "inspect", "sample", "translate", "upscale", "load", "UserError"}


def test_python_m_gannet_is_the_command() -> None:
    done = subprocess.run([sys.executable, "-m", "gannet", "trian"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "gannet: there is no command 'trian'; did you mean 'train'?\n"


def test_all_recipes_are_listed(capsys: Capture) -> None:
    assert status("recipes") == 0
    said = capsys.readouterr().out
    for name in RECIPES.rows:
        assert re.search(rf"^{name} +\S", said, re.MULTILINE)
        assert recipe(name).source in said
    assert status("recipes", "--json") == 0
    assert set(json.loads(capsys.readouterr().out)) == set(RECIPES.rows)


@pytest.mark.parametrize("name", RECIPES.rows)
def test_a_recipe_is_printed_as_one_that_loads(name: str, capsys: Capture) -> None:
    assert status("recipes", name) == 0
    said = capsys.readouterr().out
    assert said.startswith("# ")
    loaded, _ = from_toml(said, "it")
    assert completed(loaded) == completed(recipe(name))
    assert status("recipes", name, "--json") == 0
    assert json.loads(capsys.readouterr().out)["name"] == name


def test_train_resume_and_sample_by_command(pictures: Pictures, capsys: Capture, tmp_path: Path) -> None:
    data = str(pictures())
    assert status("train", data, *SMALL, "--train.length", "2 iterations", "--run", "out/one") == 0
    said = capsys.readouterr().out
    assert "gannet sample out/one --num 64" in said and "real_and_generated.png" in said
    assert Path("out/one/recipe.toml").exists()
    assert status("sample", "out/one", "--num", "3", "--seed", "5", "--out", "made", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert sorted(told["files"]) == sorted(str(p) for p in Path("made").iterdir())
    assert (told["num"], told["num_drawn"]) == (3, 3)
    assert status("resume", "out/one") == 0
    assert "is finished" in capsys.readouterr().out
    assert status("train", data, *SMALL, "--run", "out/one") == 2
    assert "holds a run already" in complaint(capsys)


@pytest.mark.parametrize("flags", [[], ["--json"]])
def test_a_dry_run_plans_and_leaves_nothing(
    flags: list[str], pictures: Pictures, capsys: Capture, tmp_path: Path
) -> None:
    data = str(pictures())
    assert status("train", data, *SMALL, "--epochs", "3", "--dry-run", *flags) == 0
    said = capsys.readouterr().out
    assert {p.name for p in tmp_path.iterdir()} <= {"pictures", "cache"}
    if flags:
        plan = json.loads(said)
        assert (plan["kimg"], plan["epochs"], plan["num_images"]) == (0.048, 3.0, 16)
        assert plan["recipe"]["train"]["batch"] == 4
    else:
        assert "3 epochs" in said and "dcgan-shapes at 16x16" in said


@pytest.mark.parametrize(("silence", "says"), [(0.01, "measuring how fast dcgan-shapes trains here\n"), (60.0, "")])
def test_it_says_that_it_measures_the_speed_where_that_is_long(
    silence: float, says: str, pictures: Pictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*args: Any) -> Any:
        time.sleep(0.5)
        raise UserError("stopped")

    monkeypatch.setattr(plan, "measure", slow)
    monkeypatch.setattr(display, "SECONDS_OF_SILENCE", silence)
    assert status("train", str(pictures()), *SMALL, "--dry-run") == 2
    assert capsys.readouterr() == ("", f"{says}gannet: stopped\n")


def test_epochs_count_what_is_trained_on(pictures: Pictures, capsys: Capture) -> None:
    data, asked = str(pictures()), ["--epochs", "3", "--data.held-out", "0.25"]
    assert status("train", data, *SMALL, *asked, "--dry-run", "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    assert (plan["kimg"], plan["epochs"], plan["num_images"]) == (0.036, 3.0, 16)
    assert status("train", data, *SMALL, *asked, "--run", "it") == 0
    trained, facts = from_toml(Path("it/recipe.toml").read_text(), "it")
    assert trained.train.length == f"{3 * facts['num_images'] / 1000:g} kimg" and facts["num_held_out"] > 0


def test_a_dry_run_says_what_cannot_be_measured(
    pictures: Pictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = [str(pictures()), *SMALL, "--train.evaluate-every", "0.01", "--dry-run"]
    assert status("train", *asked, "--train.extractor", "nobodys") == 2
    assert "there is no extractor 'nobodys'" in complaint(capsys)
    monkeypatch.setattr(sessions, "measuring", lambda recipe, engine, allow_code: None)
    assert status("train", *asked) == 0


@pytest.mark.parametrize(
    ("asked", "says"),
    [
        (["--G.label", "embedding"], "--G.label embedding changes nothing: the run has no labels"),
        (["--D.label", "projection"], "--D.label projection changes nothing: the run has no labels"),
        (["--data.labels", "--G.label", "embedding", "--D.label", "projection"], ""),
        (["--D.name", "mlp"], ""),
        (
            ["--data.labels", "--game.name", "acgan", "--D.label", "projection"],
            "--D.label projection changes nothing: the game 'acgan' tells D no label",
        ),
        (
            ["--schedules.optim.G.lr", "linear to 0 over 0.2 kimg", "--optim.G.lr", "1e-3", "--kimg", "0.1"],
            "optim.G.lr comes to 0.0005 alone: the run ends before its schedule does",
        ),
        (["--schedules.optim.G.lr", "linear to 0 over 0.1 kimg", "--kimg", "0.1"], ""),
    ],
)
def test_the_plan_says_what_has_no_effect(asked: list[str], says: str, pictures: Pictures, capsys: Capture) -> None:
    data = str(pictures(classes=("a", "b")))
    small = [*SMALL[:-8], "--G.width", "4", "--samples.num", "4", "--device", "cpu"]
    assert status("train", data, *small, "--data.no-labels", *asked, "--dry-run") == 0
    said = capsys.readouterr().out
    assert f"        {says}\n" in said if says else "changes nothing" not in said and "alone:" not in said


@pytest.mark.parametrize("swap", [False, True])
def test_of_two_folders_the_first_is_told_first(
    swap: bool, pictures: Pictures, capsys: Capture, tmp_path: Path
) -> None:
    pictures(num=5).rename(tmp_path / "a")
    pictures(num=7).rename(tmp_path / "b")
    network = ["--G.width", "4", "--G.blocks", "1", "--D.width", "4", "--D.patch", "16"]
    asked = ["--recipe", "cyclegan", "--resolution", "16", "--batch", "2", "--device", "cpu", *network]
    assert status("train", "a", "b", *asked, *["--data.swap"] * swap, "--dry-run") == 0
    said = capsys.readouterr().out
    assert said.startswith("data    a and b: 5 and 7 images, unpaired, ")
    assert f"G makes images of {'a from those of b' if swap else 'b from those of a'}, and F the other way" in said


def test_an_options_choices_are_those_that_can_be_typed(capsys: Capture) -> None:
    assert status("sample", "it", "--format", "jpg") == 2
    said = complaint(capsys)
    assert "Expected one of 'gif', 'mp4', 'npy', 'png', 'webp' (gannet sample --help" in said


def test_without_a_recipe_one_is_picked_and_said(pictures: Pictures, capsys: Capture) -> None:
    data = str(pictures(classes=("a", "b")))
    assert status("train", data, "--device", "cpu", "--kimg", "1", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "small at 16x16" in said and "2 class folders: trains by label" in said


@pytest.mark.parametrize(("size", "is_said"), [(16, True), (32, False)])
def test_why_a_resolution_was_picked_is_said_where_it_is_taken(
    size: int, is_said: bool, pictures: Pictures, capsys: Capture
) -> None:
    data = str(pictures(size=20))
    assert status("train", data, "--device", "cpu", "--kimg", "1", "--dry-run", "--resolution", str(size)) == 0
    said = capsys.readouterr().out
    assert f"small at {size}x{size}" in said and ("16 pixels: " in said) == is_said


@pytest.mark.parametrize(
    ("options", "is_said"), [([], True), (["--data.labels"], False), (["--game.name", "infogan"], False)]
)
def test_class_folders_that_could_be_used_are_said(
    options: list[str], is_said: bool, pictures: Pictures, capsys: Capture
) -> None:
    """A game that brings classes of its own has no use for them."""
    data = str(pictures(classes=("a", "b")))
    assert status("train", data, *SMALL, *options, "--kimg", "1", "--dry-run") == 0
    assert ("--data.labels trains by label" in capsys.readouterr().out) == is_said


def test_what_the_pick_says_about_labels_works(pictures: Pictures, capsys: Capture) -> None:
    """The switch that is named in the plan is one that the command takes."""
    data = str(pictures(classes=("a", "b")))
    assert status("train", data, "--device", "cpu", "--dry-run") == 0
    (switch,) = re.findall(r"\((--[\w.-]+labels) if not\)", capsys.readouterr().out)
    assert status("train", data, "--device", "cpu", "--dry-run", "--json", switch) == 0
    assert json.loads(capsys.readouterr().out)["recipe"]["data"]["labels"] is False


@pytest.mark.parametrize(
    ("error", "expected"),
    [(DivergedError("training diverged"), 3), (UserError("no"), 2), (KeyboardInterrupt(), 130), (BrokenPipeError(), 0)],
)
def test_exit_statuses(
    error: BaseException, expected: int, monkeypatch: pytest.MonkeyPatch, pictures: Pictures, tmp_path: Path
) -> None:
    def fail(*args: object, **more: object) -> None:
        raise error

    monkeypatch.setattr(autopilot, "resume", fail)
    monkeypatch.setattr(sys, "stderr", (tmp_path / "stderr").open("w"))
    assert status("resume", "run") == expected


def test_an_interrupted_run_ends_with_status_4(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(autopilot, "resume", lambda run, **options: api.Trained(run, finished=False))
    assert status("resume", "run") == 4


def options_of(command: str, capsys: Capture) -> set[str]:
    assert status(command, "--help") == 0
    return {name.rstrip(".") for name in re.findall(r"--[A-Za-z][\w.-]*", capsys.readouterr().out)}


def test_every_option_that_the_code_names_exists(capsys: Capture) -> None:
    """Messages tell people what to type."""
    known = {"--help", "--version", *(f"--{name}" for name in ("resolution", "batch", "lr", "device"))}
    for command in COMMANDS:
        known |= options_of(command, capsys)
    for field, table in {**PARTS, "penalties": PENALTIES}.items():
        for name in table.rows:
            section = f"{field}.{name}" if field == "penalties" else field
            known |= {f"--{section}.{setting}".replace("_", "-") for setting in settings_of(table.find(name))}
    package = Path(gannet.__file__).parent
    named: dict[str, str] = {}
    for path in sorted(package.rglob("*.py")):
        for option in re.findall(r"(?<![\w{-])--[A-Za-z][\w.-]*[A-Za-z0-9]", path.read_text("utf-8")):
            named.setdefault(option, path.relative_to(package).as_posix())
    unknown = {option: where for option, where in named.items() if option not in known}
    assert unknown == {}


def test_inspect_reports_and_draws_a_sheet(pictures: Pictures, capsys: Capture) -> None:
    data = str(pictures(classes=("a", "b")))
    assert status("inspect", data) == 0
    said = capsys.readouterr().out
    assert re.search(r"^images +16$", said, re.MULTILINE) and "a 8, b 8" in said
    assert Path("contact_sheet.png").exists()
    assert status("inspect", data, "--json", "--sheet", "other.png") == 0
    assert json.loads(capsys.readouterr().out)["recommended"]["resolution"] == 16
    assert Path("other.png").exists()


def test_doctor_names_the_device(capsys: Capture) -> None:
    assert status("doctor", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["gannet"] == gannet.__version__ and facts["devices"]
    assert status("doctor") == 0
    assert facts["torch"] in capsys.readouterr().out


def test_class_folders_that_cannot_be_used_are_not_offered(pictures: Pictures, capsys: Capture) -> None:
    data = str(pictures(classes=("a", "b"), size=64))
    words = ("--recipe", "srgan-small", "--penalties.content.weight", "0", "--kimg", "1", "--dry-run")
    assert status("train", data, *words) == 0
    said = capsys.readouterr().out
    assert "class folders are not used" in said and "--data.labels" not in said


def test_class_folders_are_offered_to_a_game_of_ones_own(
    pictures: Pictures, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = str(pictures(classes=("a", "b")))
    (tmp_path / "game_of_mine.py").write_text("from gannet.games.gan import GAN\n\n\nclass Mine(GAN): ...\n")
    monkeypatch.syspath_prepend(tmp_path)
    game = ["--game.name", "game_of_mine:Mine", "--allow-code", "--data.no-labels", "--dry-run"]
    assert status("train", data, *SMALL, *game) == 0
    assert "class folders are not used: --data.labels trains by label" in capsys.readouterr().out


def test_class_folders_are_not_offered_to_a_game_that_looks_at_none(tmp_path: Path, capsys: Capture) -> None:
    for kind in "ab":
        save_videos(tmp_path / "videos" / kind, frames=4)
    words = ["--recipe", "dvdgan-small", "--data.frames", "4", "--data.no-labels", "--kimg", "1", "--dry-run"]
    for game, offered in (([], True), (["--game.name", "prediction", "--G.given", "2"], False)):
        assert status("train", str(tmp_path / "videos"), *words, *game) == 0
        said = capsys.readouterr().out
        assert "class folders are not used" in said and ("--data.labels" in said) == offered


@pytest.mark.parametrize(
    ("game", "how"),
    [
        ([], "--num 8 --out clips"),
        (["--game.name", "prediction", "--G.given", "2"], "--given VIDEOS --num 4 --out next"),
    ],
)
def test_a_run_of_videos_says_how_to_sample_it(game: list[str], how: str, tmp_path: Path, capsys: Capture) -> None:
    save_videos(tmp_path / "videos", frames=4)
    words = ["--recipe", "dvdgan-small", *game, "--data.no-labels"]
    small = ["--resolution", "16", "--data.frames", "4", "--G.width", "1", "--D.width", "1", "--D.num-spatial", "2"]
    run = str(tmp_path / "run")
    small += ["--batch", "2", "--kimg", "0.004", "--run", run]
    assert status("train", str(tmp_path / "videos"), *words, *small) == 0
    assert f"try next  gannet sample {run} {how}\n" in capsys.readouterr().out


def test_a_run_that_enlarges_says_how_to_enlarge(pictures: Pictures, tmp_path: Path, capsys: Capture) -> None:
    words = ["--recipe", "srgan-small", "--penalties.content.weight", "0", "--G.width", "2", "--D.width", "2"]
    run = str(tmp_path / "run")
    words += ["--resolution", "16", "--batch", "2", "--kimg", "0.004", "--run", run, "--device", "cpu"]
    assert status("train", str(pictures(size=16)), *words) == 0
    assert f"try next  gannet upscale {run} FOLDER --out upscaled" in capsys.readouterr().out
