"""`gannet train --seeds`: real tiny runs, one after another, stopped, gone on with, and diverging."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from runs import OPTIONS

from gannet import sessions
from gannet.cli import main
from gannet.config import changed, read_recipe
from gannet.errors import DivergedError, UserError
from gannet.experiments import seeds as module
from gannet.experiments.seeds import Series, parse_seeds
from gannet.options import Train
from gannet.plan import Plan, find_recipe
from gannet.training import measure
from gannet.training import run as training_run
from gannet.training.ranks import ALONE, Ranks
from gannet.watching import Watch

Pictures = Callable[..., Path]
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    monkeypatch.setattr(training_run, "save_curves", lambda lines, target: None)
    monkeypatch.chdir(tmp_path)


def weights(run: Path | str) -> bytes:
    return (Path(run) / "generator" / "model.safetensors").read_bytes()


@pytest.mark.parametrize(("text", "expected"), [("3", (0, 1, 2)), ("1", (0,)), ("0,5,7", (0, 5, 7)), ("7,", (7,))])
def test_how_many_or_which(text: str, expected: tuple[int, ...]) -> None:
    assert parse_seeds(text) == expected


@pytest.mark.parametrize("text", ["", "0", "some", "-1", "1,1", "1,,2", "2.5"])
def test_what_names_no_seeds_is_one_line(text: str) -> None:
    with pytest.raises(UserError, match=f"--seeds is '{text}', and must"):
        parse_seeds(text)


def test_each_seed_is_the_run_that_it_would_be_alone(pictures: Pictures, capsys: Capture) -> None:
    data = str(pictures())
    assert main(["train", data, *OPTIONS, "--seeds", "2", "--run", "both"]) == 0
    said = capsys.readouterr().out
    first, second = (line for line in said.splitlines() if re.match(r"seed \d \(\d of 2\): ", line))
    assert said.count("recipe  dcgan-shapes") == 1 and "kimg 0.0" not in said and "try next" not in said
    assert re.fullmatch(r"seed 0 \(1 of 2\): 0\.024 kimg in \d+ s; both/seed0; about \d+ s left", first)
    assert re.fullmatch(r"seed 1 \(2 of 2\): 0\.024 kimg in \d+ s; both/seed1", second)
    assert main(["train", data, *OPTIONS, "--seed", "1", "--run", "alone"]) == 0
    assert weights("both/seed1") == weights("alone") != weights("both/seed0")
    both, alone = (read_recipe(Path(run) / "recipe.toml")[0] for run in ("both/seed1", "alone"))
    assert changed(both, "data", source=alone.data.source) == alone


def test_minutes_become_kimg_once(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine is slower and slower."""
    times = iter([0.05, 0.5, 5.0, 50.0])
    monkeypatch.setattr(measure, "time_iterations", lambda training: next(times))
    assert main(["train", str(pictures()), *OPTIONS, "--minutes", "0.005", "--seeds", "2", "--run", "both"]) == 0
    lengths = [read_recipe(Path(f"both/seed{seed}/recipe.toml"))[0].train.length for seed in (0, 1)]
    assert lengths == ["0.024 kimg"] * 2
    assert next(times) == 0.5


def test_a_stop_says_how_to_go_on_and_that_does(pictures: Pictures, capsys: Capture, stopped_in: Any) -> None:
    command = ["train", str(pictures()), *OPTIONS, "--seeds", "0,3,4", "--run", "three"]
    with stopped_in(2, after=4):
        assert main(command) == 4
    said = capsys.readouterr().out
    assert "1 of 3 seeds are finished; the same command with --run three --if-exists resume goes on" in said
    assert "  stopped at 0.0 kimg, all saved" in said and "gannet resume" not in said
    assert not Path("three/seed4").exists()
    assert main(command) == 2
    assert "three/seed0 holds a run already" in capsys.readouterr().err
    assert main([*command, "--if-exists", "resume"]) == 0
    said = capsys.readouterr().out
    assert "three/seed0 is finished" in said and "three/seed3 goes on at 0.0" in said
    assert main([*command[:-1], "whole"]) == 0
    for seed in (0, 3, 4):
        assert weights(f"three/seed{seed}") == weights(f"whole/seed{seed}")


def test_ctrl_c_before_the_first_step_says_how_to_go_on(
    pictures: Pictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def played(plan: Any, path: Path, *more: Any) -> Any:
        if plan.recipe.seed == 1:
            raise KeyboardInterrupt
        return sessions.train_plan(plan, path, *more)

    monkeypatch.setattr(module, "train_plan", played)
    assert main(["train", str(pictures()), *OPTIONS, "--seeds", "3", "--run", "three"]) == 4
    assert "1 of 3 seeds are finished; the same command with --run three" in capsys.readouterr().out


def test_missing_seeds_are_as_long_as_those_that_are_there(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    """The machine has become ten times as slow since, and the seeds are to be comparable all the same."""
    command = ["train", str(pictures()), *OPTIONS, "--minutes", "0.001", "--run", "both"]
    assert main([*command, "--seeds", "1"]) == 0
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.1)
    assert main([*command, "--seeds", "2", "--if-exists", "resume"]) == 0
    before, after = (read_recipe(Path(f"both/seed{seed}/recipe.toml"))[0] for seed in (0, 1))
    assert before.train.length == after.train.length == "0.024 kimg"
    assert after.seed == 1


def test_without_a_name_they_are_called_as_one_run_would_be(pictures: Pictures, stopped_in: Any) -> None:
    command = ["train", str(pictures()), *OPTIONS, "--seeds", "2"]
    assert main(command) == 0
    with stopped_in(1, after=4):
        assert main(command) == 4
    assert {path.name for path in Path("runs").iterdir()} == {
        f"pictures-dcgan-shapes{again}" for again in ("-seed0", "-seed1", "-2-seed0")
    }
    assert main([*command, "--if-exists", "resume"]) == 0  # the newest
    assert weights("runs/pictures-dcgan-shapes-2-seed1") == weights("runs/pictures-dcgan-shapes-seed1")
    assert len(list(Path("runs").iterdir())) == 4


def test_a_seed_that_diverges_leaves_the_others_to_train(
    pictures: Pictures, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def diverging(plan: Any, path: Path, *more: Any) -> Any:
        if plan.recipe.seed == 0:
            raise DivergedError("training diverged")
        return sessions.train_plan(plan, path, *more)

    monkeypatch.setattr(module, "train_plan", diverging)
    assert main(["train", str(pictures()), *OPTIONS, "--seeds", "2", "--run", "both"]) == 3
    assert capsys.readouterr().err == "gannet: seed 0: training diverged\n"
    assert Path("both/seed1/generator").exists()


def test_json_names_every_run(pictures: Pictures, capsys: Capture) -> None:
    assert main(["train", str(pictures()), *OPTIONS, "--seeds", "5,", "--run", "one", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"runs": [{"run": str(Path("one/seed5")), "finished": True}], "seeds": [5], "finished": True}


def test_the_diagnosis_of_each_run_names_it(pictures: Pictures, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    class Named(Watch):
        def __init__(self, name: str = ""):
            names.append(name)
            super().__init__(name)

    monkeypatch.setattr(sessions, "Watch", Named)
    assert main(["train", str(pictures()), *OPTIONS, "--seeds", "0,4", "--run", "both"]) == 0
    assert names == ["seed 0 (1 of 2)", "seed 4 (2 of 2)"]


def test_a_file_that_cannot_be_read_is_no_name_of_the_run(pictures: Pictures, capsys: Capture) -> None:
    data = pictures()
    (data / "bad.png").write_bytes(b"x")
    assert main(["train", str(data), *OPTIONS, "--data.max-unreadable", "0.5", "--run", "alone"]) == 0
    said = capsys.readouterr().out
    assert "the first, bad.png: " in said and "try next" in said and "bad.png  " not in said


def test_a_dry_run_leaves_nothing(pictures: Pictures, capsys: Capture, tmp_path: Path) -> None:
    assert main(["train", str(pictures()), *OPTIONS, "--seeds", "3", "--run", "three", "--dry-run"]) == 0
    assert not Path("three").exists()
    assert re.search(r"^seeds   0, 1, 2: about \d+ s in all$", capsys.readouterr().out, re.MULTILINE)


def test_one_seed_and_several_are_refused(pictures: Pictures, capsys: Capture) -> None:
    for seeds in (["--seed", "1", "--seeds", "2"], ["--seed=1", "--seeds=2"]):
        assert main(["train", str(pictures()), *OPTIONS, *seeds]) == 2
        assert "--seed and --seeds are both given" in capsys.readouterr().err


def test_a_private_run_of_two_folders_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It does not say where either of them is: the command does."""
    told: list[Any] = []

    def never(ranks: Ranks) -> Plan:
        raise AssertionError("the run is there: it needs no plan")

    def gone_on(path: Path, length: Any, data: Any, *more: Any) -> sessions.Trained:
        told.append(dict(data))
        return sessions.Trained(path, finished=False)

    monkeypatch.setattr(module, "resume_first", gone_on)
    recipe = changed(find_recipe("cyclegan"), "data", other="b", private=True)
    (tmp_path / "seed0").mkdir()
    (tmp_path / "seed0" / "recipe.toml").touch()
    options = Train(source="a", run=tmp_path, seeds="1", if_exists="resume")
    series = Series.asked(options, recipe, None, never)
    series.folders[0] = tmp_path / "seed0"
    series.one(1, 0, ALONE)
    assert told == [{"source": "a", "other": "b", "group_by": None, "cache": None}]
