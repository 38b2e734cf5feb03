import contextlib
import errno
import io
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from clips import PREDICTION
from families import FAMILIES
from PIL import Image
from runs import NOISY, TINY, contents, files, newest_checkpoint, stopped, train
from translation import GIVEN, SRGAN, told_apart

import gannet.api as api
import gannet.sessions as sessions
from gannet.cli import main
from gannet.config import read_recipe
from gannet.errors import UserError
from gannet.games import GAMES
from gannet.training.run import Run

Pictures = Callable[..., Path]


RUN = {name: value for name, value in NOISY.items() if name.split(".")[0] not in ("G", "D", "objective")}
PLAIN = [kind for kind in GAMES.rows if kind not in ("fastgan", "prediction", *GIVEN)]
KINDS = {
    **{kind: {**NOISY, "game": {"name": kind}, "data.labels": True} for kind in PLAIN},
    **{kind: {**RUN, **settings} for kind, settings in GIVEN.items()},
    "prediction": {**RUN, **PREDICTION},
    "srgan": {**RUN, **SRGAN, "game": {"name": "srgan", "start_kimg": 0.012}},
    **{family: {**RUN, **settings} for family, settings in FAMILIES.items()},
}


@pytest.mark.parametrize(("kind", "killed"), [(kind, number % 2 == 1) for number, kind in enumerate(KINDS)])
def test_interrupted_and_resumed_equals_uninterrupted(
    pictures: Pictures, tmp_path: Path, kind: str, killed: bool
) -> None:
    """Killed after 7 of 11 iterations, a run goes back to the checkpoint of the sixth; stopped, it saves at 7."""
    data, settings = told_apart(pictures(classes=("a", "b")), KINDS[kind])
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
    assert len(expected["lines"]) >= 6 and len(expected["state"]) > 40
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
    with pytest.raises(UserError, match="there is no run"):
        api.resume(tmp_path / "nothing")


def test_a_recipe_that_no_run_wrote_cannot_be_resumed(run: Path) -> None:
    text = (run / "recipe.toml").read_text()
    (run / "recipe.toml").write_text(text[: text.index("[run]")])
    with pytest.raises(UserError):
        api.resume(run)


def test_a_single_bit_that_turned_is_noticed(run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Torch writes checksums into its files, and does not look at them."""
    whole = contents(run)
    newest = sorted((run / "checkpoints").iterdir())[-1]
    weight = torch.load(newest, weights_only=True)["networks"]["G"]["blocks.1.running_mean"].numpy().tobytes()
    data = bytearray(newest.read_bytes())
    data[data.index(weight) + 7] ^= 1
    newest.write_bytes(data)
    torch.load(newest, weights_only=True)
    assert api.resume(run).finished
    assert "its checksum is wrong" in capsys.readouterr().out
    assert contents(run)["state"] == whole["state"]


class Crafted:
    def __init__(self, file: Path):
        self.file = file

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, (str(self.file), "w")


def test_a_crafted_checkpoint_runs_no_code(run: Path, tmp_path: Path) -> None:
    trap = tmp_path / "made by the checkpoint"
    for file in (run / "checkpoints").iterdir():
        torch.save({**torch.load(file, weights_only=True), "extra": Crafted(trap)}, file)
    with pytest.raises(UserError, match=r"no checkpoint in .* can be used"):
        api.resume(run)
    assert not trap.exists()
    torch.load(next((run / "checkpoints").iterdir()), weights_only=False)
    assert trap.exists()


def test_a_longer_run_goes_on_from_the_end(run: Path, tmp_path: Path) -> None:
    whole = train(tmp_path / "pictures", tmp_path / "whole", {**TINY, "train.length": "11 iterations"}).path
    look_at_the_end = contents(run)["lines"][-1]
    with stopped(2):
        assert not api.resume(run, kimg=0.044).finished
    assert api.resume(run).finished
    expected, found = contents(whole), contents(run)
    extended = {"type": "event", "kimg": 0.024, "event": "extended", "settings": {"train": {"length": "0.044 kimg"}}}
    assert found["lines"].count(extended) == 1
    for line in (look_at_the_end, extended):  # which it had before it was made longer, and which says that it was
        found["lines"].remove(line)
    assert found["state"] == expected["state"] and found["lines"] == expected["lines"]
    assert "sample mean" in look_at_the_end and look_at_the_end not in expected["lines"]
    assert api.resume(run, epochs=1).finished
    assert contents(run)["state"] == expected["state"]
    assert 'length = "0.024 kimg"' in (run / "recipe.toml").read_text()


def test_one_command_begins_and_goes_on(pictures: Pictures, tmp_path: Path) -> None:
    data, place = pictures(), tmp_path / "run"
    whole = train(data, tmp_path / "whole").path

    def once() -> bool:
        return api.train(data, recipe="dcgan-shapes", run=place, settings=TINY, if_exists="resume").finished

    with stopped(2):
        assert not once()
    assert once() and once()
    assert contents(place)["state"] == contents(whole)["state"]
    with pytest.raises(UserError, match=r"holds a run already.*--if-exists resume"):
        train(data, place)


def test_a_full_disk_leaves_the_last_good_checkpoint(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk is full from the third checkpoint on: those of 0 and 3 iterations were written."""
    sync, times = os.fsync, iter(range(1000))

    def full(file: int) -> None:
        if Path(f"/proc/self/fd/{file}").exists() and next(times) > 12:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        sync(file)

    data, settings = pictures(), {**TINY, "train.length": "12 iterations"}
    whole = train(data, tmp_path / "whole", settings).path
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device") as caught:
        train(data, tmp_path / "run", settings)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr(os, "fsync", sync)
    assert not list((tmp_path / "run").rglob("*.part"))
    assert api.resume(tmp_path / "run").finished
    assert contents(tmp_path / "run")["state"] == contents(whole)["state"]


def test_what_a_killed_process_was_writing_is_removed(run: Path) -> None:
    left = [run / "checkpoints" / ".kimg000000.012.pt.x1y2.part", run / "generator" / ".config.json.ab.part"]
    for file in left:
        file.write_text("half")
    assert api.resume(run, kimg=0.032).finished
    assert not any(file.exists() for file in left)


def test_a_private_run_tells_nothing_of_its_images(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = pictures(classes=("smith", "jones"))
    groups = tmp_path / "patients.csv"
    groups.write_text("file,group\n" + "".join(f"{p.relative_to(data)},{p.stem}\n" for p in data.rglob("*.png")))
    secret = {**TINY, "data.private": True, "data.labels": True, "data.held_out": 0.3, "data.group_by": str(groups)}
    with stopped(2):
        place = train(data, tmp_path / "run", secret).path
    said = capsys.readouterr().out
    assert "0 is jones, 1 is smith" in said and str(tmp_path / "cache") in said
    with pytest.raises(UserError, match="is private and does not say where its images are: name them with --data"):
        api.resume(place)
    assert api.resume(place, data=str(data), group_by=str(groups)).finished
    written = {name: (place / name).read_bytes() for name in files(place)}
    assert not {"samples/real.png", "samples/real_and_generated.png"} & written.keys()
    for name, content in written.items():
        for word in ("smith", "jones", "pictures", "patients", str(tmp_path), *(f"/{i:03}.png" for i in range(16))):
            assert word.encode() not in content and word not in f"/{name}", (name, word)
    G: Any = api.load(place)
    assert G.classes == ("0", "1")


def test_a_full_disk_that_the_statistics_meet_is_one_line(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        def fileno(self) -> int:
            return os.open(tmp_path, os.O_RDONLY)

    monkeypatch.setattr(Run, "stats_opened", lambda run: contextlib.nullcontext(Full()))
    with pytest.raises(UserError, match=r"cannot write .*stats.jsonl: No space left on device"):
        train(pictures(), tmp_path / "run")


def test_two_sessions_do_not_share_a_run(run: Path) -> None:
    with sessions.alone_in(run), pytest.raises(UserError, match=r"another process trains .* at this moment"):
        api.resume(run, kimg=0.04)
    assert api.resume(run, kimg=0.04).finished
    assert not (run / ".lock").exists()


def test_a_new_end_is_kept_even_if_the_session_is_killed_at_once(run: Path) -> None:
    with stopped(1, killed=True), pytest.raises(RuntimeError, match="killed"):
        api.resume(run, kimg=0.04)
    assert api.resume(run).finished
    assert newest_checkpoint(run)["counters"]["cur_nimg"] == 40


def test_the_command_of_a_private_run_goes_on_by_itself(pictures: Pictures, tmp_path: Path) -> None:
    data = pictures()
    groups = tmp_path / "patients.csv"
    groups.write_text("file,group\n" + "".join(f"{p.relative_to(data)},{p.stem}\n" for p in data.rglob("*.png")))
    words = [
        str(data),
        "--recipe",
        "dcgan-shapes",
        "--run",
        str(tmp_path / "run"),
        "--if-exists",
        "resume",
        "--private",
    ]
    words += ["--data.held-out", "0.3", "--data.group-by", str(groups), "--data.cache", str(tmp_path / "own")]
    for name, value in TINY.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    with stopped(2):
        assert main(["train", *words]) == 4
    shutil.rmtree(tmp_path / "own")
    assert main(["train", *words]) == 0
    assert (tmp_path / "own" / "images").is_dir() and not (tmp_path / "cache").exists()


@pytest.mark.parametrize("game", ["pix2pix", "cyclegan"])
def test_a_private_run_of_two_folders_goes_on_where_both_are_named(
    pictures: Pictures, tmp_path: Path, game: str
) -> None:
    one, other = pictures(), tmp_path / "other"
    shutil.copytree(one, other)
    settings = {**TINY, **GIVEN[game], "data.other": str(other), "data.private": True, "data.held_out": 0.3}
    with stopped(2):
        api.train(one, recipe="dcgan-shapes", run=tmp_path / "run", settings=settings)
    with pytest.raises(UserError):
        api.resume(tmp_path / "run", data=str(one))
    assert api.resume(tmp_path / "run", data=str(one), other=str(other)).finished


def test_going_on_needs_the_name_of_the_run(pictures: Pictures) -> None:
    with pytest.raises(UserError, match="name it with run="):
        api.train(pictures(), if_exists="resume")
