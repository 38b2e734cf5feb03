import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from PIL import Image
from runs import NOISY, TINY, contents, files, stopped, train

import gannet.api as api
from gannet.config import read_recipe
from gannet.errors import UserError

Pictures = Callable[..., Path]


@pytest.mark.parametrize(("kind", "killed"), [("gan", False), ("gan-halves", True), ("gan-simultaneous", True)])
def test_interrupted_and_resumed_equals_uninterrupted(
    pictures: Pictures, tmp_path: Path, kind: str, killed: bool
) -> None:
    """Killed after 7 of 11 iterations, a run goes back to the checkpoint of the sixth; stopped, it saves at 7."""
    data, settings = pictures(classes=("a", "b")), {**NOISY, "game": {"name": kind}, "data.labels": True}
    whole = train(data, tmp_path / "whole", settings).path
    parts = tmp_path / "parts"
    with stopped(7, killed):
        if killed:
            with pytest.raises(RuntimeError, match="killed"):
                train(data, parts, settings)
        else:
            assert not train(data, parts, settings).finished
    torch.manual_seed(99)
    with stopped(2):
        assert not api.resume(parts).finished
    assert api.resume(parts).finished
    expected, found = contents(whole), contents(parts)
    assert len(expected["lines"]) == 6 and len(expected["state"]) > 80
    for what in ("state", "lines", "files"):
        assert found[what] == expected[what], what
    assert found["grids"].items() >= expected["grids"].items()


def test_a_long_budget_keeps_its_digits_on_resume(pictures: Pictures, tmp_path: Path) -> None:
    with stopped(1):
        made = train(pictures(), tmp_path / "long", {**TINY, "train.batch": 2, "train.length": "1.2346 kimg"})
        assert read_recipe(made.path / "recipe.toml")[0].train.length == "1.234 kimg"
        more = train(pictures(), tmp_path / "more", {**TINY, "train.batch": 2, "train.length": "1234567 iterations"})
    assert float(read_recipe(more.path / "recipe.toml")[0].train.length.split()[0]) == 2469.134


def test_a_finished_run_is_left_alone(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = {name: (run / name).read_bytes() for name in files(run)}
    assert api.resume(run).finished
    assert "is finished" in capsys.readouterr().out
    assert {name: (run / name).read_bytes() for name in files(run)} == before


def test_a_moved_run_finds_moved_data(pictures: Pictures, tmp_path: Path) -> None:
    data = pictures()
    with stopped(2):
        train(data, tmp_path / "run")
    shutil.move(tmp_path / "run", tmp_path / "far" / "away")
    shutil.move(data, tmp_path / "elsewhere")
    with pytest.raises(UserError, match="pictures"):
        api.resume(tmp_path / "far" / "away")
    assert api.resume(tmp_path / "far" / "away", data=str(tmp_path / "elsewhere")).finished


def test_other_images_are_refused_on_resume(pictures: Pictures, tmp_path: Path) -> None:
    with stopped(2):
        train(pictures(), tmp_path / "run")
    Image.new("RGB", (16, 16), "red").save(tmp_path / "pictures" / "003.png")
    with pytest.raises(UserError, match=r"are not those that .* was trained on"):
        api.resume(tmp_path / "run")


def damage(file: Path, kind: str) -> None:
    if kind == "short":
        file.write_bytes(file.read_bytes()[:-99])
    elif kind == "empty":
        file.write_bytes(b"")
    else:
        torch.save({"networks": Path("x")}, file)


@pytest.mark.parametrize("kind", ["short", "empty", "pickle"])
def test_a_damaged_checkpoint_is_left_out_for_the_one_before(
    run: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before, newest = sorted((run / "checkpoints").iterdir())
    whole = contents(run)
    damage(newest, kind)
    assert api.resume(run).finished
    said = capsys.readouterr().out
    assert f"{newest} cannot be used and is left out" in said and "weights_only" not in said
    assert contents(run)["state"] == whole["state"] and contents(run)["lines"] == whole["lines"]
    for file in (before, newest):
        damage(file, kind)
    with pytest.raises(UserError, match=r"no checkpoint in .* can be used"):
        api.resume(run)


def test_a_run_without_a_checkpoint_starts_anew_and_ends_the_same(run: Path) -> None:
    whole = contents(run)
    shutil.rmtree(run / "checkpoints")
    assert api.resume(run).finished
    assert contents(run)["state"] == whole["state"] and contents(run)["lines"] == whole["lines"]


def test_what_is_no_run_cannot_be_resumed(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="there is no run at"):
        api.resume(tmp_path / "nothing")


def test_a_recipe_that_no_run_wrote_cannot_be_resumed(run: Path) -> None:
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text[: text.index("[run]")])
    with pytest.raises(UserError):
        api.resume(run)
