"""What the settings of the data open: alone and in a plan; two unpaired sets as one."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.config import Data, changed, overridden
from gannet.data.clips import Clips
from gannet.data.cut import Tiles
from gannet.data.dataset import how_opened, opened, prepare
from gannet.data.pairs import Halves, Matched
from gannet.data.scan import scan
from gannet.data.sources import Folder
from gannet.errors import UserError
from gannet.plan import moved, random_dataset, start
from gannet.recipes import recipe


@pytest.fixture
def two(tmp_path: Path) -> Data:
    """Ten images of 0 to 9, and seven of 100 to 106."""
    for name, num, first in (("a", 10, 0), ("b", 7, 100)):
        (tmp_path / name).mkdir()
        for i in range(num):
            Image.new("L", (4, 4), first + i).save(tmp_path / name / f"{i}.png")
    a, b, cache = (str(tmp_path / name) for name in ("a", "b", "cache"))
    return Data(source=a, other=b, kind="unpaired", resolution=4, cache=cache)


def test_the_settings_say_what_is_opened(two: Data, tmp_path: Path) -> None:
    alone = replace(two, other="")
    assert isinstance(opened(replace(alone, kind="images"), tmp_path), Folder)
    assert isinstance(opened(replace(alone, kind="images", fit="tiles"), tmp_path), Tiles)
    assert isinstance(opened(replace(alone, kind="pairs"), tmp_path), Halves)
    assert isinstance(opened(replace(two, kind="pairs"), tmp_path), Matched)
    clips = opened(replace(alone, kind="clips", frames=2), tmp_path)
    assert isinstance(clips, Clips) and (len(clips), clips.num_frames) == (5, 2)


@pytest.mark.parametrize("kind", ["images", "pairs", "unpaired", "clips"])
def test_an_item_has_as_many_images_as_the_settings_say(two: Data, tmp_path: Path, kind: str) -> None:
    other = two.other if kind == "unpaired" else ""
    plain = overridden(recipe("dcgan"), {"data.kind": kind, "data.other": other, "data.frames": 4})
    settings = replace(plain.data, source=two.source)
    assert opened(settings, tmp_path).num_frames == settings.num_frames
    stand_in = random_dataset(changed(plain, "data", resolution=4), 3, ())
    assert stand_in.images.shape[1] == 3 * settings.num_frames
    assert (stand_in.other is not None) == (kind == "unpaired")


def test_d_sees_the_second_set_and_g_is_given_the_first(two: Data, tmp_path: Path) -> None:
    dataset = prepare(opened(two, tmp_path), two, 1)
    assert dataset.other is not None
    assert dataset.images[:, 0, 0, 0].tolist() == list(range(100, 107))
    assert dataset.other.images[:, 0, 0, 0].tolist() == list(range(10))
    swap = replace(two, swap=True)
    swapped = prepare(opened(swap, tmp_path), swap, 1)
    assert swapped.other is not None
    assert np.array_equal(swapped.images, dataset.other.images)
    assert np.array_equal(swapped.other.images, dataset.images)
    assert swapped.fingerprint != dataset.fingerprint


def test_the_fingerprint_and_the_errors_are_of_both_sets(two: Data, tmp_path: Path) -> None:
    def fingerprint() -> str:
        return prepare(opened(two, tmp_path), replace(two, held_out=0.3), 1).fingerprint

    before = fingerprint()
    assert fingerprint() == before
    Image.new("L", (4, 4), 77).save(Path(two.source) / "3.png")
    between = fingerprint()
    Image.new("L", (4, 4), 77).save(Path(two.other) / "3.png")
    assert len({before, between, fingerprint()}) == 3
    (Path(two.source) / "4.png").write_text("no image")
    with pytest.raises(UserError, match=r"1 of 10 images cannot be read: 4\.png"):
        prepare(opened(two, tmp_path), two, 1)
    dataset = prepare(opened(two, tmp_path), replace(two, max_unreadable=0.2), 1)
    assert dataset.unreadable == [("4.png", "not an image of a known kind")]


def test_each_set_has_held_out_images_of_its_own(two: Data, tmp_path: Path) -> None:
    settings = replace(two, held_out=0.3)
    dataset = prepare(opened(settings, tmp_path), settings, 1)
    assert dataset.other is not None
    assert len(dataset.images) + len(dataset.held_out) == 7 and len(dataset.held_out)
    assert len(dataset.other.images) + len(dataset.other.held_out) == 10 and len(dataset.other.held_out)
    assert dataset.held_out.min() >= 100 > dataset.other.held_out.max()


def test_channels_are_those_that_either_set_has(two: Data, tmp_path: Path) -> None:
    assert scan(opened(two, tmp_path)).channels == 1
    Image.new("RGB", (4, 4), (200, 0, 0)).save(Path(two.source) / "red.png")
    assert scan(opened(two, tmp_path)).channels == scan(opened(replace(two, swap=True), tmp_path)).channels == 3


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda two: replace(two, other=""), "there is one folder, .*: name both, as in gannet train A B --recipe"),
        (lambda two: replace(two, kind="images"), "one folder: leave it out, or take --recipe pix2pix-small"),
        (lambda two: replace(two, kind="clips"), "clips are taken from one folder"),
        (lambda two: replace(two, other="nowhere/at/all"), "no folder, zip or data set 'nowhere/at/all'"),
    ],
)
def test_folders_that_do_not_go_with_the_kind_are_one_line(
    two: Data, tmp_path: Path, change: Callable[[Data], Data], says: str
) -> None:
    with pytest.raises(UserError, match=says) as caught:
        opened(change(two), tmp_path)
    assert "\n" not in str(caught.value)


def test_a_plan_opens_what_the_user_asks_for(two: Data, cache: Path) -> None:
    begin = start(two.source, "dcgan", asked=two)
    assert begin.scan.num == 7 and begin.source.other is not None and len(begin.source.other) == 10
    again = begin.again(replace(two, swap=True))
    assert again.scan.num == 10
    assert begin.again(replace(two, flip=True, resolution=8)) is begin
    assert start(two.source, "dcgan").scan.num == 10


def test_what_is_opened_depends_on_these_settings_alone(two: Data) -> None:
    others = [replace(two, swap=True), replace(two, frames=3), replace(two, stride=2), replace(two, kind="pairs")]
    others += [replace(two, other=""), replace(two, source="")]
    assert all(how_opened(other) != how_opened(two) for other in others)
    tiles = replace(two, fit="tiles")
    assert how_opened(tiles) != how_opened(two)
    assert how_opened(replace(tiles, resolution=8)) != how_opened(tiles)
    assert how_opened(replace(two, resolution=8, jitter=0.5)) == how_opened(two)


def test_the_second_folder_moves_with_the_run(two: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("runs/one").mkdir(parents=True)
    asked = changed(recipe("dcgan"), "data", source="a", other="b", kind="unpaired")
    kept = moved(asked, Path(), Path("runs/one"))
    assert (kept.data.source, kept.data.other) == ("../../a", "../../b")
    assert moved(kept, Path("runs/one"), Path()).data == asked.data
    drawn = changed(recipe("dcgan"), "data", source="circles", other="squares", kind="unpaired")
    assert moved(drawn, Path(), Path("runs/one")).data == drawn.data
