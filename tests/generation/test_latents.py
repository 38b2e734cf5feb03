"""Which z and class an image has: by seed, by name, around one, and from files."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from runs import untrained

import gannet
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.export import export
from gannet.generation.latents import Around, names_of, read_latents
from gannet.generation.load import load
from gannet.noise import Stream, normal

CLASSES = ("ant", "bee", "cat")


def pixels(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def alike(ones: list[Path], others: list[Path]) -> bool:
    """Whether the pictures are the same, but for a rounding."""
    return all(abs(pixels(a) - pixels(b)).max() <= 1 for a, b in zip(ones, others, strict=True))


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("3,17", [(3, 0), (17, 0)]),
        ("3:17", [(3, 17)]),
        (" 3 , 0:5", [(3, 0), (0, 5)]),
        (4, [(4, 0)]),
        ([4, "4:1"], [(4, 0), (4, 1)]),
    ],
)
def test_images_have_names(asked: Any, found: list[tuple[int, int]]) -> None:
    assert names_of(asked, "--seeds") == found


@pytest.mark.parametrize("asked", ["", "3,", "-1", "1.5", "3:", ":3", "1:2:3", "0-3", ["a"], "3:" + "9" * 20, "9" * 20])
def test_what_names_no_image_is_one_line(asked: Any) -> None:
    with pytest.raises(UserError, match=r"--seeds names no image with '.*': give seeds, such as 3,17") as caught:
        names_of(asked, "--seeds")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("classes", [(), CLASSES])
def test_named_images_are_those_of_their_seeds(run: Any, tmp_path: Path, classes: tuple[str, ...]) -> None:
    folder = run(classes)
    named = gannet.sample(folder, seeds="3,7:5,3,7:1", out=tmp_path / "named").files
    one = gannet.sample(folder, seed=3, num=1, out=tmp_path / "3").files
    other = gannet.sample(folder, seed=7, num=6, out=tmp_path / "7").files
    assert [path.name for path in named] == [path.name for path in (one[0], other[5], other[1])]
    assert alike(named, [one[0], other[5], other[1]])


def test_variations_are_like_one_image_and_distributed_as_z(run: Any) -> None:
    G = load(run(CLASSES))
    around = Around(G, (3, 1), seed=9)
    z, e = normal(3, Stream.SAMPLE, 1, 1, 5)[0], normal(9, Stream.VARIATION, 0, 5000, 5)
    made = around.z(0, 5000)
    assert np.array_equal(made[0], z)
    assert np.allclose(made[1:], np.sqrt(0.75) * z + 0.5 * e[1:], atol=1e-6)
    assert np.array_equal(around.z(700, 3), made[700:703])
    assert set(around.labels(0, 7)) == {1}, "number 1 is a bee"
    assert set(Around(G, (3, 1), 9, label=2).labels(0, 3)) == {2}
    many = np.concatenate([Around(G, (seed, 0), seed).z(1, 1) for seed in range(2000)])
    assert many.mean() == pytest.approx(0, abs=0.05) and many.std() == pytest.approx(1, abs=0.03)


def test_the_first_variation_is_the_image_itself(run: Any, tmp_path: Path) -> None:
    folder = run()
    drawn = gannet.sample(folder, like="3:17", num=3, seed=4, out=tmp_path / "like")
    assert [path.name for path in drawn.files] == [f"like3_000017_seed4_00000{i}.png" for i in range(3)]
    one = gannet.sample(folder, seeds="3:17", out=tmp_path / "one").files
    assert alike(drawn.files[:1], one) and not alike(drawn.files[1:2], one)


@pytest.mark.parametrize("classes", [(), CLASSES])
@pytest.mark.parametrize("more", [{}, {"truncation": 0.4}])
def test_saved_latents_make_the_same_images(
    run: Any, tmp_path: Path, classes: tuple[str, ...], more: dict[str, Any]
) -> None:
    folder = run(classes)
    asked = {"num": 5, "seed": 6, "rejection": True, **more}
    drawn = gannet.sample(folder, save_latents=True, out=tmp_path / "first", **asked)
    *images, saved = drawn.files
    assert saved == tmp_path / "first" / "latents.npy"
    assert read_latents(saved).shape == (5, 5 + len(classes))
    again = gannet.sample(folder, latents=saved, out=tmp_path / "again", **more)
    assert alike(images, again.files)
    assert [path.stem.rpartition("_")[2] for path in again.files[:1]] == (
        [images[0].stem.rpartition("_")[2]] if classes else ["000000"]
    )


def test_beside_one_file_latents_have_its_name(run: Any, tmp_path: Path) -> None:
    drawn = gannet.sample(run(), num=4, grid=True, save_latents=True, out=tmp_path / "all")
    assert [path.name for path in drawn.files] == ["all.png", "all.latents.npy"]
    assert np.array_equal(np.load(drawn.files[1]), normal(0, Stream.SAMPLE, 0, 4, 5))


def test_rows_of_a_file_are_z_and_shares_of_classes(run: Any, tmp_path: Path) -> None:
    G, rows = load(run(CLASSES)), normal(1, Stream.SAMPLE, 0, 2, 8)
    rows[:, 5:] = [[0.25, 0.75, 0], [0, 0, 1]]
    np.save(tmp_path / "mine.npy", rows.astype(np.float64))
    files = gannet.sample(tmp_path / "run", latents=tmp_path / "mine.npy", out=tmp_path / "out").files
    assert [path.name for path in files] == ["mine_000000_bee.png", "mine_000001_cat.png"]
    expected = G.to_uint8(G.images(G.as_input(rows[:, :5].copy()), G.as_input(rows[:, 5:].copy())))
    assert all(abs(pixels(file) - x.transpose(1, 2, 0)).max() <= 1 for file, x in zip(files, expected, strict=True))
    np.save(tmp_path / "z.npy", rows[:, :5])
    files = gannet.sample(tmp_path / "run", latents=tmp_path / "z.npy", label="cat", out=tmp_path / "out").files
    assert [path.name for path in files] == ["z_000000_cat.png", "z_000001_cat.png"]


def test_w_of_a_file_is_drawn_by_a_g_that_has_a_w(run: Any, tmp_path: Path) -> None:
    styled = untrained(tmp_path / "styled", "stylegan2")
    G = load(styled)
    w = G.w(G.z(2, 0, 3), G.one_hot(np.zeros(3, np.int64))).numpy()
    file = tmp_path / "w.npy"
    np.save(file, w)
    made = gannet.sample(styled, latents=file, save_latents=True, out=tmp_path / "w").files
    assert alike(made[:3], gannet.sample(styled, num=3, seed=2, out=tmp_path / "z").files)
    assert np.array_equal(np.load(made[3]), w)
    onnx = export(styled, to="onnx", out=tmp_path / "G.onnx").file
    for place, more, says in [
        (run(), {}, "holds w, and this G takes z: name the run that the w are of"),
        (onnx, {}, "holds w, and this G takes z"),
        (styled, {"truncation": 0.5}, "holds w, which is drawn as it is: leave --truncation out"),
    ]:
        with pytest.raises(UserError, match=says):
            gannet.sample(place, latents=file, out=tmp_path / "out", **more)
    np.save(file, w[:, 1:])
    with pytest.raises(UserError, match=r"holds w of \[\d, \d+\], and this G takes \[\d, \d+\]"):
        gannet.sample(styled, latents=file, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


class Evil:
    def __reduce__(self) -> Any:
        return exec, ("raise SystemExit('run')",)


BAD: list[tuple[Any, str]] = [
    (None, "there is no file latents.npy: gannet sample --save-latents writes one"),
    (b"", "latents.npy is no NumPy file of numbers"),
    (b"mine", "latents.npy is no NumPy file of numbers"),
    (np.array([Evil()]), "latents.npy is no NumPy file of numbers"),
    (np.zeros((3, 6)), "has rows of 6 values, and this G takes z of 5, or 8 with the classes beside them"),
    (np.zeros((3, 5), int), "holds no latents"),
    (np.zeros((0, 5)), "holds no latents"),
    (np.zeros(5), "holds no latents"),
    (np.full((2, 5), np.nan), "holds numbers that are not finite"),
]


@pytest.mark.parametrize(("content", "says"), BAD)
def test_files_that_are_no_latents_are_one_line(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, content: Any, says: str
) -> None:
    folder = run(CLASSES)
    monkeypatch.chdir(tmp_path)
    if isinstance(content, bytes):
        Path("latents.npy").write_bytes(content)
    elif content is not None:
        np.save("latents.npy", content, allow_pickle=True)
    assert main(["sample", str(folder), "--latents", "latents.npy", "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--seeds 1 --num 3", "--seeds says which images to make, and --num how to choose some: leave one out"),
        ("--seeds 1 --rejection", "--seeds says which images to make, and --rejection how to choose some"),
        ("--seeds 1 --like 2", "--seeds and --like each say which images to make: leave one out"),
        ("--like 2 --per-class 2", "--like and --per-class each say which images to make: leave one out"),
        ("--num 3 --per-class 2", "--num and --per-class each say how many images to make: leave one out"),
        ("--like 2,3", "--like is 2,3, and names one image, such as 3 or 3:17"),
        ("--like a", "--like names no image with 'a'"),
        ("--min-realness 0.5 --rejection", "--min-realness and --rejection each say which images to make"),
        ("--min-realness nan", "--min-realness is nan, and must be from 0 to 1"),
        ("--scale 0", "--scale is 0, and must be from 1 to 64"),
        ("--scale 1000000000", "--scale is 1000000000, and must be from 1 to 64"),
        ("--num 1000000000", "--num is 1,000,000,000, and must be at most 1,000,000"),
        ("--grid --sheet", "--grid and --sheet are each one file of all images: leave one out"),
        ("--sheet --format npy", "--sheet and an array (.npy) are each one file of all images"),
    ],
)
def test_what_does_not_go_together_is_one_line(run: Any, tmp_path: Path, capsys: Any, words: str, says: str) -> None:
    assert main(["sample", str(run(CLASSES)), *words.split(), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert not list(tmp_path.glob("out*"))


def test_the_rate_of_acceptance_is_told(run: Any, tmp_path: Path, capsys: Any) -> None:
    folder, out = str(run()), str(tmp_path / "out")
    assert main(["sample", folder, "--rejection", "--num", "6", "--out", out]) == 0
    assert capsys.readouterr().out.startswith("6 images, ")
    assert main(["sample", folder, "--rejection", "--num", "6", "--out", out, "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["acceptance"] == pytest.approx(6 / facts["num_drawn"]) and facts["num_drawn"] > 6
    assert main(["sample", str(run(bias=1000.0)), "--min-realness", "0.5", "--num", "6", "--out", out]) == 0
    assert capsys.readouterr().out == f"6 images, 6 drawn (100% kept): {out}\n"
