"""The files that samples become: WebP, arrays, sprite sheets, enlarged pixels."""

import errno
import json
import os
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clips import FRAMES, SIZE, save_run
from PIL import Image

import gannet
from gannet.errors import UserError
from gannet.generation import sample


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_webp_holds_the_same_pixels(run: Any, tmp_path: Path, channels: int) -> None:
    folder = run(channels=channels)
    png = gannet.sample(folder, num=2, out=tmp_path / "png").files
    webp = gannet.sample(folder, num=2, out=tmp_path / "webp", format="webp").files
    assert [path.name for path in webp] == ["seed0_000000.webp", "seed0_000001.webp"]
    for one, other in zip(png, webp, strict=True):
        a, b = pixels(one), pixels(other)
        assert np.array_equal(a if channels > 1 else np.stack([a] * 3, 2), b)


@pytest.mark.parametrize(("out", "more"), [("all.webp", {}), ("all", {"format": "webp"})])
def test_a_grid_may_be_webp(run: Any, tmp_path: Path, out: str, more: dict[str, Any]) -> None:
    folder = run()
    (webp,) = gannet.sample(folder, num=4, grid=True, out=tmp_path / out, **more).files
    (png,) = gannet.sample(folder, num=4, grid=True, out=tmp_path / "all.png").files
    assert webp == tmp_path / "all.webp" and np.array_equal(pixels(webp), pixels(png))


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_an_array_holds_the_pixels_of_the_pictures(run: Any, tmp_path: Path, channels: int) -> None:
    folder = run(channels=channels)
    files = gannet.sample(folder, num=3, out=tmp_path / "out").files
    for out, more in [("x.npy", {}), ("y", {"format": "npy"})]:
        drawn = gannet.sample(folder, num=3, out=tmp_path / out, **more)
        assert drawn.files == [drawn.place] == [(tmp_path / out).with_suffix(".npy")]
        found = np.load(drawn.place)
        assert found.dtype == np.uint8 and found.shape == (3, 16, 16, channels)
        assert np.array_equal(found, np.stack([pixels(path).reshape(16, 16, channels) for path in files]))


def test_pictures_do_not_go_into_an_array(run: Any, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"x\.npy names one file: add --grid or --sheet, or name a folder"):
        gannet.sample(run(), num=2, format="png", out=tmp_path / "x.npy")
    assert not list(tmp_path.glob("x*"))


def test_an_array_of_clips_holds_their_frames(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    (file,) = gannet.sample(folder, num=2, out=tmp_path / "x.npy").files
    clips: Any = gannet.load(folder)
    expected = clips.to_uint8(clips.sample(2)).transpose(0, 1, 3, 4, 2)
    assert np.load(file).shape == (2, FRAMES, SIZE, SIZE, 3)
    assert abs(np.load(file).astype(int) - expected).max() <= 1


def test_each_pixel_becomes_a_square(run: Any, tmp_path: Path) -> None:
    folder = run(channels=4)
    (plain,) = gannet.sample(folder, num=1, out=tmp_path / "1").files
    (large,) = gannet.sample(folder, num=1, out=tmp_path / "4", scale=4).files
    assert np.array_equal(pixels(large), pixels(plain).repeat(4, 0).repeat(4, 1))
    (file,) = gannet.sample(folder, num=1, out=tmp_path / "x.npy", scale=2).files
    assert np.load(file).shape == (1, 32, 32, 4)
    webp, _ = gannet.sample(save_run(tmp_path / "clips"), num=1, out=tmp_path / "clip", scale=3).files
    with Image.open(webp) as clip:
        assert clip.size == (3 * SIZE, 3 * SIZE)


@pytest.mark.parametrize(("classes", "columns"), [((), 3), (("a", "b"), 3)])
def test_a_sheet_says_where_each_image_is(run: Any, tmp_path: Path, classes: tuple[str, ...], columns: int) -> None:
    folder = run(classes, channels=4)
    files = gannet.sample(folder, num=7, scale=2, out=tmp_path / "each").files
    sheet, about = gannet.sample(folder, num=7, scale=2, sheet=True, out=tmp_path / "all").files
    facts, whole = json.loads(about.read_text("utf-8")), pixels(sheet)
    assert (sheet.name, about.name, facts["meta"]["image"]) == ("all.png", "all.json", "all.png")
    assert whole.shape == (32 * facts["meta"]["rows"], 32 * facts["meta"]["columns"], 4)
    assert facts["meta"]["size"] == {"w": whole.shape[1], "h": whole.shape[0]}
    assert (facts["meta"]["cell"], facts["meta"]["columns"]) == ({"w": 32, "h": 32}, columns)
    assert list(facts["frames"]) == [file.stem for file in files]
    for file in files:
        place = facts["frames"][file.stem]["frame"]
        cell = whole[place["y"] : place["y"] + place["h"], place["x"] : place["x"] + place["w"]]
        assert np.array_equal(cell, pixels(file))
    assert not whole[-32:, 32:].any(), "two cells are empty, and transparent"


def test_a_sheet_takes_the_place_of_another_and_of_no_other_file(run: Any, tmp_path: Path) -> None:
    for _ in range(2):
        gannet.sample(run(), num=2, sheet=True, out=tmp_path / "all")
    (tmp_path / "all.json").write_text('{"mine": 1}', "utf-8")
    with pytest.raises(UserError, match=r"all\.json is there, and is where what the sheet holds is told"):
        gannet.sample(run(), num=2, sheet=True, out=tmp_path / "all")
    assert json.loads((tmp_path / "all.json").read_text("utf-8")) == {"mine": 1}


def test_the_frames_of_clips_are_animations_of_a_sheet(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    sheet, about = gannet.sample(folder, num=2, sheet=True, out=tmp_path / "all.png").files
    facts = json.loads(about.read_text("utf-8"))
    assert facts["animations"] == {f"seed0_00000{i}": [f"seed0_00000{i}_00{t}" for t in range(FRAMES)] for i in (0, 1)}
    array = np.load(gannet.sample(folder, num=2, out=tmp_path / "x.npy").files[0])
    place = facts["frames"]["seed0_000001_002"]["frame"]
    assert np.array_equal(pixels(sheet)[place["y"] :, place["x"] :][:SIZE, :SIZE], array[1, 2])


class Tally:
    """Counts how many of the samples that were made are still there, at each moment at which one more is."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self.alive, self.most = 0, 0
        made = sample.Sample.__init__

        def init(each: Any, *args: Any, **more: Any) -> None:
            made(each, *args, **more)
            self.alive += 1
            self.most = max(self.most, self.alive)
            weakref.finalize(each, self.gone)

        monkeypatch.setattr(sample.Sample, "__init__", init)

    def gone(self) -> None:
        self.alive -= 1


@pytest.mark.parametrize("asked", [{}, {"out": "x.npy"}, {"sheet": True}, {"out": "y.npy", "min_realness": 0.0}])
def test_what_is_written_is_not_kept(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    folder, tally = run(), Tally(monkeypatch)
    assert gannet.sample(folder, num=500, **{**asked, "out": tmp_path / asked.get("out", "out")}).num == 500
    assert 0 < tally.most <= 3 * sample.BATCH


def test_a_sheet_of_many_rows_is_the_samples_in_order(run: Any, tmp_path: Path) -> None:
    folder = run(channels=1)
    sheet, _ = gannet.sample(folder, num=150, sheet=True, out=tmp_path / "all").files
    cells = np.load(gannet.sample(folder, num=150, out=tmp_path / "x.npy").files[0])
    whole = pixels(sheet)
    assert whole.shape == (12 * 16, 13 * 16)
    found = whole.reshape(12, 16, 13, 16).transpose(0, 2, 1, 3).reshape(-1, 16, 16)
    assert np.array_equal(found[:150], cells[..., 0]) and not found[150:].any()


def full(descriptor: int) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("asked", [{"sheet": True}, {"format": "npy"}, {"grid": True}, {"save_latents": True}])
def test_a_full_disk_leaves_no_half_of_a_file(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, asked: dict[str, Any]
) -> None:
    folder = run()
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        gannet.sample(folder, num=2, out=tmp_path / "place" / "out", **asked)
    assert not [path for path in (tmp_path / "place").rglob("*") if path.is_file()]


def test_a_picture_too_wide_for_webp_is_one_line(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "WIDEST", 1000)
    with pytest.raises(UserError, match=r"the grid has 1,030 x 1,030 pixels, too many for WebP: take \.png"):
        gannet.sample(run(channels=1), num=4, scale=32, grid=True, out=tmp_path / "all.webp")


@pytest.mark.parametrize(
    ("out", "asked", "says"),
    [
        ("y.jpg", {"grid": True}, r"y\.jpg: name a file that ends in \.png or \.webp"),
        ("y.png", {"grid": True, "format": "webp"}, r"y\.png: name a file that ends in \.webp"),
        ("y.webp", {"sheet": True}, r"y\.webp: name a file that ends in \.png"),
        ("y.png", {"format": "npy"}, r"y\.png: name a file that ends in \.npy"),
    ],
)
def test_another_ending_is_refused_with_those_that_can_be_had(
    run: Any, tmp_path: Path, out: str, asked: dict[str, Any], says: str
) -> None:
    with pytest.raises(UserError, match=says):
        gannet.sample(run(), num=2, out=tmp_path / out, **asked)
    assert not list(tmp_path.glob("y*"))


def test_an_ending_of_a_grid_of_clips_is_one_of_moving_pictures_or_of_strips(tmp_path: Path) -> None:
    folder = save_run(tmp_path / "run")
    with pytest.raises(UserError, match=r"y\.jpg: name a file that ends in \.gif or \.mp4 or \.png or \.webp"):
        gannet.sample(folder, num=2, grid=True, out=tmp_path / "y.jpg")
    files = gannet.sample(folder, num=2, grid=True, format="gif", out=tmp_path / "y.png").files
    assert [file.name for file in files] == ["y.png", "y.gif"]


def test_a_number_after_a_point_is_no_ending(run: Any, tmp_path: Path) -> None:
    assert gannet.sample(run(), num=2, grid=True, out=tmp_path / "psi0.7").files == [tmp_path / "psi0.7.png"]


@pytest.mark.parametrize(
    ("num", "asked", "says"),
    [
        (100_000, {"scale": 4, "out": "all.png"}, r"the grid has 20,924 x 20,858 pixels, and programs open no picture"),
        (300, {"scale": 64, "out": "all.png"}, r"the grid has .* make fewer, lower --scale, or leave --grid out"),
        (300, {"scale": 64, "out": "all.webp"}, r"the grid has .* pixels, too many for WebP: take \.png"),
        (
            300,
            {"grid": False, "sheet": True, "scale": 64, "out": "all.png"},
            r"the sheet has 18,432 x 17,408 .*--sheet",
        ),
        (4, {"beside_real": True, "out": "all.png"}, r"real\.png is not there: leave --beside-real out"),
    ],
)
def test_a_picture_that_cannot_be_is_refused_before_it_is_drawn(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, num: int, asked: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr(sample, "samples", None)
    with pytest.raises(UserError, match=says):
        gannet.sample(run(channels=1), num=num, **{"grid": True, **asked, "out": tmp_path / asked["out"]})


def test_a_moving_grid_too_wide_for_webp_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sample, "WIDEST", 1000)
    with pytest.raises(UserError, match=r"the grid has 1,030 x 1,030 pixels, too many for WebP: take \.gif"):
        gannet.sample(save_run(tmp_path / "run"), num=4, scale=32, grid=True, out=tmp_path / "all.webp")


@pytest.mark.parametrize(("asked", "says"), [({"grid": True}, "name the file"), ({"sheet": True}, "name the file")])
def test_a_file_needs_a_name(run: Any, tmp_path: Path, monkeypatch: Any, asked: dict[str, Any], says: str) -> None:
    folder = run()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=says):
        gannet.sample(folder, num=1, out=".", **asked)
