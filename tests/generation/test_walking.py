"""Walks and mixtures: by hand, against images that are named, as files, and what is refused."""

import errno
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import save_run
from PIL import Image
from runs import untrained

import gannet
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.export import export
from gannet.generation.interpolate import lerp, path, slerp, walk
from gannet.generation.latents import Named
from gannet.generation.load import load
from gannet.generation.mix import bands, mixed

CLASSES = ("ant", "bee", "cat")


def frames_of(file: Path) -> np.ndarray:
    """All frames of an animation, RGB `[T, H, W, 3]`."""
    with Image.open(file) as animation:
        found = []
        for number in range(getattr(animation, "n_frames", 1)):
            animation.seek(number)
            found.append(np.asarray(animation.convert("RGB")).astype(int))
    return np.stack(found)


def drawn(G: Any, x: torch.Tensor) -> np.ndarray:
    """Images as pixels `[N, H, W, C]`."""
    return G.to_uint8(x).transpose(0, 2, 3, 1).astype(int)


def test_points_on_an_arc_by_hand() -> None:
    a, b, t = np.array([1.0, 0.0]), np.array([0.0, 1.0]), np.array([0, 1 / 3, 0.5, 1])
    expected = [[1, 0], [3**0.5 / 2, 0.5], [0.5**0.5, 0.5**0.5], [0, 1]]
    assert np.allclose(slerp(a, b, t), expected, atol=1e-6)
    assert np.allclose(slerp(2 * a, 6 * b, np.array([0.5])), [[2 * 0.5**0.5, 6 * 0.5**0.5]], atol=1e-6)
    sixty = np.array([0.5, 3**0.5 / 2])
    assert np.allclose(slerp(a, sixty, np.array([0.5])), [[3**0.5 / 2, 0.5]], atol=1e-6)


@pytest.mark.parametrize("factor", [1.0, 2.0, -1.0])
def test_where_there_is_no_arc_it_is_the_line(factor: float) -> None:
    a, t = np.array([1.0, 2.0, -3.0]), np.array([0, 0.25, 1])
    assert np.allclose(slerp(a, factor * a, t), lerp(a, factor * a, t), atol=1e-5)


def test_an_arc_keeps_the_length_and_a_line_does_not() -> None:
    a, b = np.random.Generator(np.random.Philox(1)).standard_normal((2, 500))
    middle = np.array([0.5])
    assert np.linalg.norm(slerp(a, b, middle)) == pytest.approx(500**0.5, rel=0.05)
    assert np.linalg.norm(lerp(a, b, middle)) == pytest.approx(250**0.5, rel=0.08)


def test_a_path_goes_through_its_points() -> None:
    points = np.array([[0.0], [3.0], [9.0]])
    assert path(points, 3, lerp, loop=False).ravel().tolist() == [0, 1, 2, 3, 5, 7, 9]
    assert path(points, 3, lerp, loop=True).ravel().tolist() == [0, 1, 2, 3, 5, 7, 9, 6, 3]
    assert path(points, 1, lerp, loop=False).ravel().tolist() == [0, 3, 9]


@pytest.mark.parametrize("loop", [False, True])
@pytest.mark.parametrize("way", ["slerp", "lerp"])
def test_a_walk_goes_through_the_images_that_are_named(run: Any, tmp_path: Path, way: Any, loop: bool) -> None:
    folder = run(CLASSES)
    walked = gannet.interpolate(
        folder, seeds="3,5:1,4", steps=5, way=way, loop=loop, out=tmp_path / "walk.webp", scale=1
    )
    found = frames_of(tmp_path / "walk.webp")
    assert walked.num == len(found) == (15 if loop else 11)
    images = gannet.sample(folder, seeds="3,5:1,4", out=tmp_path / "x.npy").files
    assert abs(found[[0, 5, 10]] - np.load(images[0])).max() <= 1
    G = load(folder)
    between = {"slerp": slerp, "lerp": lerp}[way]
    z = between(G.noise(3, 0, 1)[0], G.noise(5, 1, 1)[0], np.array([0.4]))
    c = torch.tensor([[0.6, 0.4, 0.0]])  # number 0 is an ant, number 1 a bee
    assert abs(found[2] - drawn(G, G.images(torch.from_numpy(z), c))[0]).max() <= 1


@pytest.mark.parametrize("way", ["slerp", "lerp"])
def test_a_walk_of_truncated_images_leaves_the_bounds_nowhere(
    run: Any, monkeypatch: pytest.MonkeyPatch, way: Any
) -> None:
    G, seen = load(run()).truncated(0.3), []
    monkeypatch.setattr(type(G), "images", lambda G, z, c: seen.append(z) or torch.zeros(len(z), 3, 16, 16))
    list(walk(Named(G, [(seed, 0) for seed in range(20)]), 4, way, loop=False))
    z = torch.cat(seen)
    assert z.abs().max() <= 0.3
    assert torch.equal(z[::4], torch.cat([G.z(seed, 0, 1) for seed in range(20)]))


def test_the_class_of_one_image_changes_alone(run: Any, tmp_path: Path) -> None:
    folder = run(CLASSES)
    gannet.interpolate(folder, seeds=6, labels="cat, ant", steps=2, out=tmp_path / "walk.webp", scale=1)
    G = load(folder)
    c = torch.tensor([[0, 0, 1], [0.5, 0, 0.5], [1, 0, 0]])
    expected = drawn(G, G.images(G.z(6, 0, 1).expand(3, -1), c))
    assert abs(frames_of(tmp_path / "walk.webp") - expected).max() <= 1


def test_a_g_with_a_w_is_walked_through_straight(tmp_path: Path) -> None:
    styled = untrained(tmp_path / "run", "stylegan2")
    walked = gannet.interpolate(styled, seeds="1,2", steps=2, out=tmp_path / "w.webp", scale=1, truncation=0.7)
    assert walked.way == "straight through w"
    G = load(styled).truncated(0.7)
    w = torch.cat([G.w(G.z(seed, 0, 1), torch.zeros(1, 0)) for seed in (1, 2)])
    expected = drawn(G, G.images_of(torch.stack([w[0], w.mean(0), w[1]])))
    assert abs(frames_of(tmp_path / "w.webp") - expected).max() <= 1
    arcs = gannet.interpolate(styled, seeds="1,2", steps=2, way="slerp", out=tmp_path / "z.webp", scale=1)
    assert arcs.way == "in arcs through z"
    file = export(styled, to="onnx", out=tmp_path / "G.onnx").file
    assert gannet.interpolate(file, seeds="1,2", steps=2, out=tmp_path / "o.webp", scale=1).way == "in arcs through z"
    assert abs(frames_of(tmp_path / "o.webp") - frames_of(tmp_path / "z.webp")).max() <= 1


def test_frames_in_a_folder_and_a_strip_beside_it(run: Any, tmp_path: Path) -> None:
    walked = gannet.interpolate(run(), seeds="0,1", steps=20, out=tmp_path / "walk")
    *frames, strip = walked.files
    assert strip == tmp_path / "walk.png" and [path.name for path in frames[:2]] == ["000000.png", "000001.png"]
    assert len(frames) == len(list((tmp_path / "walk").iterdir())) == 21
    with Image.open(strip) as picture, Image.open(frames[-1]) as last:
        scale = picture.width // (9 * 18 + 2)
        small = np.asarray(picture)[::scale, ::scale]
        assert last.size == (16, 16) and np.array_equal(small[2:18, -18:-2], np.asarray(last))


@pytest.mark.parametrize(("name", "num"), [("walk.gif", 7), ("walk.webp", 7)])
def test_animations_are_enlarged_and_strips_stand_beside_them(run: Any, tmp_path: Path, name: str, num: int) -> None:
    walked = gannet.interpolate(run(), steps=3, out=tmp_path / name, fps=10)
    assert walked.files == [tmp_path / name, tmp_path / "walk.png"]
    assert frames_of(tmp_path / name).shape == (num, 256, 256, 3)
    with Image.open(tmp_path / name) as animation:
        animation.load()
        assert animation.info["duration"] == 100


def test_an_mp4_is_written_with_the_extra(run: Any, tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    gannet.interpolate(run(), seeds="0,1", steps=3, out=tmp_path / "walk.mp4", fps=10)
    with av.open(str(tmp_path / "walk.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    assert np.stack(frames).shape == (4, 256, 256, 3)


def test_a_walk_takes_the_place_of_a_longer_one(run: Any, tmp_path: Path) -> None:
    folder, out = run(), tmp_path / "walk"
    gannet.interpolate(folder, seeds="0,1", steps=20, out=out)
    for name in ("notes.png", "0000010.png", "000005.txt"):
        (out / name).write_text("mine")
    walked = gannet.interpolate(folder, seeds="0,1", steps=3, out=out)
    assert {path.name for path in out.iterdir()} == {
        *(f"00000{i}.png" for i in range(4)),
        *("notes.png", "0000010.png", "000005.txt"),
    }
    with Image.open(walked.files[-1]) as strip:
        assert strip.width // 18 // (strip.height // 20) == 4


def test_samples_stay_in_the_folder_of_a_walk(run: Any, tmp_path: Path) -> None:
    folder, out = run(), tmp_path / "frames"
    files = gannet.sample(folder, num=3, out=out, save_latents=True).files
    files += gannet.sample(folder, latents=out / "latents.npy", out=out).files
    before = [file.read_bytes() for file in files]
    for steps in (4, 1):
        walked = gannet.interpolate(folder, seeds="0,1", steps=steps, out=out)
        assert set(out.iterdir()) == {*files, *walked.files[:-1]}
    assert [file.read_bytes() for file in files] == before


def test_pictures_that_no_walk_has_made_are_left_alone(run: Any, tmp_path: Path) -> None:
    photo = tmp_path / "photos" / "000007.png"
    photo.parent.mkdir()
    photo.write_text("mine")
    gannet.interpolate(run(), seeds="0,1", steps=3, out=photo.parent)
    assert photo.read_text() == "mine" and len(list(photo.parent.iterdir())) == 5


def test_the_strip_of_a_walk_makes_way_for_that_of_another_format(run: Any, tmp_path: Path) -> None:
    folder = run()
    for name in ("walk.webp", "walk.gif", "walk"):
        gannet.interpolate(folder, steps=2, out=tmp_path / name)
    assert {path.name for path in tmp_path.iterdir()} >= {"walk.webp", "walk.gif", "walk", "walk.png"}


@pytest.mark.parametrize("out", ["walk", "walk.webp"])
def test_a_picture_in_the_place_of_the_strip_is_left_alone(run: Any, tmp_path: Path, out: str) -> None:
    folder, picture = run(), tmp_path / "walk.png"
    picture.write_text("mine")
    with pytest.raises(UserError, match=r"walk\.png is there, and is where the walk's strip belongs: name another"):
        gannet.interpolate(folder, steps=2, out=tmp_path / out)
    assert picture.read_text() == "mine" and not (tmp_path / out).exists()
    (tmp_path / "walk").mkdir()
    with pytest.raises(UserError, match=r"walk\.png is there"):  # an empty folder is no walk
        gannet.interpolate(folder, steps=2, out=tmp_path / out)
    picture.unlink()
    for _ in range(2):
        assert gannet.interpolate(folder, steps=2, out=tmp_path / out).files[-1] == picture


@pytest.mark.parametrize(
    ("num_layers", "expected"),
    [
        (6, [("coarse", 0, 4), ("middle", 4, 6)]),
        (8, [("coarse", 0, 4), ("middle", 4, 8)]),
        (14, [("coarse", 0, 4), ("middle", 4, 8), ("fine", 8, 14)]),
    ],
)
def test_bands_are_those_of_the_paper(num_layers: int, expected: list[tuple[str, int, int]]) -> None:
    assert [(band.name, band.first, band.end) for band in bands(num_layers, None)] == expected
    assert [(band.first, band.end) for band in bands(num_layers, 3)] == [(3, num_layers)]


def test_a_mixture_has_some_layers_of_the_column_and_the_others_of_the_row(tmp_path: Path) -> None:
    G = load(untrained(tmp_path / "run", "stylegan2"))
    found, pictures = mixed(Named(G, [(1, 0), (2, 0)]), Named(G, [(3, 0), (4, 0), (5, 0)]), None)
    c = torch.zeros(1, 0)
    w = {seed: G.w(G.z(seed, 0, 1), c)[0] for seed in range(1, 6)}
    assert len(found) == len(pictures) == 2
    for band, picture in zip(found, pictures, strict=True):
        assert picture.shape == (3, 4, 3, 16, 16)
        assert not picture[0, 0].any()
        for i, row in enumerate((1, 2)):
            assert abs(picture[i + 1, 0].astype(int) - G.to_uint8(G.sample(1, seed=row))[0]).max() <= 1
            for j, column in enumerate((3, 4, 5)):
                one = w[row].clone()
                one[band.first : band.end] = w[column][band.first : band.end]
                expected = G.to_uint8(G.images_of(one[None]))[0].astype(int)
                assert abs(picture[i + 1, j + 1] - expected).max() <= 1
    for j, column in enumerate((3, 4, 5)):
        assert abs(pictures[0][0, j + 1].astype(int) - G.to_uint8(G.sample(1, seed=column))[0]).max() <= 1


def test_the_picture_of_a_mixture(tmp_path: Path, capsys: Any) -> None:
    run = str(untrained(tmp_path / "run", "stylegan2"))
    assert main(["mix", run, "--rows", "1,2", "--columns", "3,4,5", "--out", str(tmp_path / "m.png")]) == 0
    assert "coarse (layers 0 to 3), middle (layers 4 to 5)" in capsys.readouterr().out
    with Image.open(tmp_path / "m.png") as picture:
        wide, high = picture.size
    scale = (wide - 48) // (4 * 18 + 2)
    assert high == scale * (3 * 18 + 2) + scale * (2 * 18 + 2) + 12
    argv = ["mix", run, "--from-layer", "2", "--truncation", "0.5", "--out", str(tmp_path / "one.png"), "--json"]
    assert main(argv) == 0
    assert json.loads(capsys.readouterr().out)["bands"] == [{"name": "chosen", "first": 2, "end": 6}]


REFUSED = [
    ("interpolate RUN --steps 0", "--steps is 0, and must be from 1 to 10000"),
    ("interpolate RUN --steps 1000000000", "--steps is 1000000000, and must be from 1 to 10000"),
    ("interpolate RUN --steps 9000", "that walk has 18,001 frames, and 10,000 are the most: lower --steps"),
    ("interpolate RUN --seeds 1", "a walk needs two images or more: name them with --seeds"),
    ("interpolate RUN --seeds 1,x", "--seeds names no image with 'x'"),
    ("interpolate RUN --labels bea", "there is no class 'bea'; did you mean 'bee'?"),
    ("interpolate RUN --labels ant,3,bee", "there is no class '3'; choose from: ant, bee, cat"),
    ("interpolate RUN --labels ant,bee", "--labels names 2 classes for 3 images: name one for all, or one for each"),
    ("interpolate RUN --scale 0", "--scale is 0, and must be from 1 to 64"),
    ("interpolate RUN --fps 0", "--fps is 0, and must be from 1 to 100"),
    ("interpolate RUN --truncation -1", "--truncation is -1, and must be above 0"),
    ("interpolate RUN --out OUT.avi", "OUT.avi: name a file that ends in .webp, .gif or .mp4, or a folder"),
    ("interpolate NOTHING", "there is no run and no generator at NOTHING"),
    ("interpolate EMPTY", "EMPTY holds no generator yet"),
    ("interpolate OTHER", "holds no model.safetensors: is it the folder of a trained network?"),
    ("interpolate TAMPERED", "their SHA-256 differs"),
    ("interpolate CLIPS", "CLIPS makes clips, which move by themselves: gannet sample writes them"),
    ("interpolate UNET", "UNET makes images of images, not of noise: gannet translate UNET FOLDER --out DIR"),
    ("mix RUN", "style mixing needs a w, and this generator shows none: only runs of stylegan2 do"),
    ("mix UNET", "UNET makes images of images, not of noise"),
    ("mix STYLED --from-layer 0", "--from-layer is 0, and must be from 1 to 5: this G has 6 layers"),
    ("mix STYLED --from-layer 6", "--from-layer is 6, and must be from 1 to 5"),
    ("mix STYLED --rows ,", "--rows names no image with ''"),
    ("mix STYLED --label ant", "this generator was trained without labels: leave --label out"),
    ("mix STYLED --truncation 3", "--truncation is 3, and must be from -1 to 2"),
    ("mix STYLED --out OUT.jpg", "--out is OUT.jpg, and must name a file that ends in .png"),
    ("mix ONNX", "style mixing needs a w, and this generator shows none"),
    ("mix TAMPERED", "their SHA-256 differs"),
    ("sample TAMPERED --sheet", "their SHA-256 differs"),
    ("sample OTHER --seeds 1", "holds no model.safetensors: is it the folder of a trained network?"),
    ("sample UNET --num 1", "UNET makes images of images, not of noise: gannet translate UNET FOLDER --out DIR"),
]


@pytest.mark.parametrize(("words", "says"), REFUSED)
def test_what_cannot_be_made_is_one_line(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, words: str, says: str
) -> None:
    monkeypatch.chdir(tmp_path)
    made = {
        "RUN": lambda place: run(CLASSES).rename(place),
        "EMPTY": lambda place: place.mkdir(),
        "CLIPS": save_run,
        "UNET": lambda place: untrained(place, "unet"),
        "STYLED": lambda place: untrained(place, "stylegan2"),
        "OTHER": other,
        "TAMPERED": lambda place: tampered(run().rename(place)),
        "ONNX": lambda place: export(untrained(tmp_path / "styled", "stylegan2"), to="onnx", out=place / "G.onnx"),
    }
    argv = words.split()
    if argv[1] in made:
        made[argv[1]](tmp_path / argv[1])
    argv[1] = "ONNX/G.onnx" if argv[1] == "ONNX" else argv[1]
    before = set(tmp_path.rglob("*"))
    assert main(argv) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert set(tmp_path.rglob("*")) == before


def other(place: Path) -> None:
    """The folder of another tool."""
    (place / "generator").mkdir(parents=True)
    (place / "generator" / "config.json").write_text('{"model_type": "unet"}')


def tampered(place: Path) -> None:
    file = place / "generator" / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-3] ^= 1
    file.write_bytes(data)


@pytest.mark.parametrize("words", ["interpolate --out OUT/w.webp", "interpolate --out OUT/w", "mix --out OUT/m.png"])
def test_a_full_disk_leaves_no_half_of_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, words: str
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    untrained(tmp_path / "run", "stylegan2")
    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.chdir(tmp_path)
    command, *rest = words.split()
    assert main([command, "run", *rest]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: cannot write OUT") and said.endswith(": No space left on device\n")
    assert not [path for path in (tmp_path / "OUT").rglob("*") if path.is_file()]


def test_too_little_room_is_told_before_anything_is_made(run: Any, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**6, 10**6 - 5000, 5000))
    with pytest.raises(UserError, match=r"49 frames need .* and .* has 5 kB left: lower --steps"):
        gannet.interpolate(run(), out=tmp_path / "out" / "walk.webp")
    assert not (tmp_path / "out").exists()


def test_what_translates_is_not_sampled_from(tmp_path: Path) -> None:
    G: Any = gannet.load(untrained(tmp_path / "run", "unet"))
    with pytest.raises(UserError, match=r"makes images of images, not of noise: use its translate\(image\)"):
        G.sample(4, seed=1)
