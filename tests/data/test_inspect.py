import json
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from gannet.data.inspect import contact_sheet, inspect
from gannet.data.sources import Folder, open_source
from gannet.errors import UserError

REAL = Path(__file__).parents[3] / "shared" / "data"


def noise(seed: int) -> Image.Image:
    small = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize((48, 48), Image.Resampling.BICUBIC)


def test_exact_copies_are_found_whatever_the_file(tmp_path: Path) -> None:
    for i in range(8):
        noise(i).save(tmp_path / f"{i}.png")
    noise(3).save(tmp_path / "copy.bmp")
    grey = noise(20).convert("L")
    grey.save(tmp_path / "grey.png")
    grey.convert("RGB").save(tmp_path / "grey as rgb.png")
    found = inspect(Folder(tmp_path))
    assert found.exact_duplicates == [["3.png", "copy.bmp"], ["grey as rgb.png", "grey.png"]]
    assert found.near_duplicates == []


def test_near_copies_are_found(tmp_path: Path) -> None:
    for i in range(8):
        noise(i).save(tmp_path / f"{i}.png")
    noise(2).save(tmp_path / "2 as jpeg.jpg", quality=80)
    noise(2).resize((36, 36), Image.Resampling.BICUBIC).save(tmp_path / "2 smaller.png")
    found = inspect(Folder(tmp_path))
    assert found.exact_duplicates == []
    assert [sorted(group) for group in found.near_duplicates] == [["2 as jpeg.jpg", "2 smaller.png", "2.png"]]


def test_flat_images_and_colour_variants_are_not_near(tmp_path: Path) -> None:
    for i in range(6):
        Image.new("L", (32, 32), 10 + i).save(tmp_path / f"flat {i}.png")
    red, green = Image.new("RGB", (32, 32)), Image.new("RGB", (32, 32))
    red.paste((150, 0, 0), (8, 8, 24, 24))
    green.paste((0, 150, 0), (8, 8, 24, 24))
    red.save(tmp_path / "red.png")
    green.save(tmp_path / "green.png")
    assert inspect(Folder(tmp_path)).near_duplicates == []


def test_transparent_and_wide_images_are_compared(tmp_path: Path) -> None:
    shape = np.zeros((16, 16, 4), np.uint8)
    shape[4:12, 4:12, 3] = 255
    Image.fromarray(shape).save(tmp_path / "a.png")
    shape[0, 0, :3] = 200  # invisible
    Image.fromarray(shape).save(tmp_path / "b.png")
    wide = np.arange(256, dtype=np.uint16).reshape(16, 16)
    Image.fromarray(wide * 200).save(tmp_path / "c.png")
    Image.fromarray(wide * 200).save(tmp_path / "d.tif")
    assert inspect(Folder(tmp_path)).exact_duplicates == [["a.png", "b.png"], ["c.png", "d.tif"]]


def test_what_is_wrong_is_told(tmp_path: Path) -> None:
    for i in range(9):
        path = tmp_path / ("many" if i < 8 else "few") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        noise(i).save(path)
    (tmp_path / "none").mkdir()
    (tmp_path / "few/bad.png").write_bytes(b"x")
    found = inspect(Folder(tmp_path))
    assert found.imbalance == 8
    assert found.scan.unreadable == [("few/bad.png", "not an image of a known kind")]
    text = "\n".join(found.notes)
    for part in ("1 files cannot be read, such as few/bad.png", "9 images are few", "Class many has 8.0 times",
                 "without a readable image: none", "Images are 48x48"):  # fmt: skip
        assert part in text
    assert json.loads(json.dumps(found.to_dict()))["scan"]["num"] == 10


def test_good_data_get_one_note_on_their_kind(tmp_path: Path) -> None:
    assert inspect(open_source("shapes-labelled", tmp_path)).notes == [
        "The images look like pixel art (few colours, hard edges): --data.filter nearest keeps them so."
    ]


def test_contact_sheet_shows_every_class(tmp_path: Path) -> None:
    for name, colour, num in (("a", "red", 30), ("b", "blue", 2)):
        (tmp_path / name).mkdir()
        for i in range(num):
            Image.new("RGB", (20, 20), colour).save(tmp_path / name / f"{i}.png")
    (tmp_path / "a/bad.png").write_bytes(b"")
    sheet = contact_sheet(Folder(tmp_path), 8)
    colours = {colour for _, colour in sheet.getcolors(10**6) or []}
    assert {(255, 0, 0), (0, 0, 255)} <= colours


def test_contact_sheet_of_wide_and_transparent_images(tmp_path: Path) -> None:
    Image.fromarray(np.arange(256, dtype=np.uint16).reshape(16, 16) * 100).save(tmp_path / "a.png")
    Image.new("RGBA", (16, 16), (255, 0, 0, 128)).save(tmp_path / "b.png")
    assert contact_sheet(Folder(tmp_path)).mode == "RGB"
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad/a.png").write_bytes(b"")
    with pytest.raises(UserError, match="can be read"):
        contact_sheet(Folder(tmp_path / "bad"))


def test_contact_sheet_looks_further_where_all_chosen_are_bad(tmp_path: Path) -> None:
    for i in range(5):
        noise(i).save(tmp_path / f"{i}.png")
    for i in (0, 2, 4):
        (tmp_path / f"{i}.png").write_bytes(b"")
    assert contact_sheet(Folder(tmp_path), 3).size  # of five, the first, third and last are chosen


def test_nothing_to_read_is_one_line_with_all_reasons(tmp_path: Path) -> None:
    for name, content in (("a\n.png", b"x"), ("b.png", b""), ("c.png", b"x")):
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UserError) as caught:
        inspect(Folder(tmp_path))
    assert str(caught.value) == (
        f"none of the 3 files in {tmp_path.name} can be read, such as a\\n.png: "
        "2 for 'not an image of a known kind'; 1 for 'the file is empty'"
    )


def test_digits_are_no_duplicates_and_it_is_quick() -> None:
    if not (REAL / "mnist5k.zip").exists():
        pytest.skip("shared/data is not on this machine")
    start = time.perf_counter()
    found = inspect(open_source(str(REAL / "mnist5k.zip"), Path()))
    assert time.perf_counter() - start < 20
    assert found.exact_duplicates == []
    assert sum(map(len, found.near_duplicates)) < 10
    assert found.imbalance == 1
