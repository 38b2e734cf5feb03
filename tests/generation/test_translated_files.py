"""What `gannet translate` and `gannet upscale` read and write."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from golden import SHRUNK
from PIL import Image
from runs import untrained
from stand_ins import apart, doubled, identity, image_to_image, noise

import gannet
from gannet import api
from gannet.cli import main
from gannet.config import Data
from gannet.data.cache import cache_folder
from gannet.data.dataset import opened as open_items
from gannet.data.dataset import prepare
from gannet.data.sources import Source
from gannet.errors import UserError
from gannet.generation.load import load, load_translator
from gannet.generation.translate import Given, ImageToImage
from gannet.images import premultiply
from gannet.networks import TRANSLATORS
from gannet.sessions import recorded
from gannet.training import measure
from gannet.using.translation import open_inputs, translate_files, written_names

Pictures = Callable[..., Path]
Made = Callable[..., Path]
Capture = pytest.CaptureFixture[str]
PATCHES = {"D.width": 4, "D.patch": 16}


def written(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def saved(image: np.ndarray, path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(image).save(path)
    return path


def opened(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image)


def test_names_and_folders_are_kept(tmp_path: Path) -> None:
    for name in ("a.png", "b/c.bmp", "b/d/e.f.tif", "b/c.png"):
        saved(noise(5, 9), tmp_path / "in" / name)
    (tmp_path / "in" / "notes.txt").write_text("no image")
    (tmp_path / "in" / "b" / "bad.jpg").write_bytes(b"nothing")
    counts: list[tuple[int, int]] = []
    done = translate_files(
        image_to_image(),
        open_inputs(str(tmp_path / "in")),
        tmp_path / "out",
        lambda done, total: counts.append((done, total)),
    )
    assert written(tmp_path / "out") == ["a.png", "b/c.png", "b/c.png.png", "b/d/e.f.png"]
    assert sorted(done.files) == [tmp_path / "out" / name for name in written(tmp_path / "out")]
    assert (done.num, done.finished, done.unreadable) == (5, True, [("b/bad.jpg", "not an image of a known kind")])
    assert counts[-1] == (5, 5)
    for path in done.files:
        assert np.array_equal(opened(path), noise(5, 9))


def test_names_that_would_be_one_stay_apart() -> None:
    names = ["A.jpg", "a.gif", "a.gif.png", "a.jpg", "b/a.jpg"]
    found = written_names(names)
    assert found[0] == "A.png" and found[1] == "a.gif.png" and found[-1] == "b/a.png"
    assert len({path.casefold() for path in found}) == len(names)


def test_the_number_of_a_tile_stands_before_the_extension() -> None:
    assert written_names(["a.jpg#0", "a.jpg#1", "b/c.d.png#0"]) == ["a#0.png", "a#1.png", "b/c.d#0.png"]


@pytest.mark.parametrize("alpha", ["keep", "white", "black"])
def test_alpha_is_kept_and_colours_stand_as_they_stood(tmp_path: Path, alpha: Any) -> None:
    image = noise(12, 10, 4)
    path = saved(image, tmp_path / "in" / "a.png")
    done = translate_files(image_to_image(alpha=alpha), open_inputs(str(path)), tmp_path / "out")
    made = opened(done.files[0])
    assert np.array_equal(made[..., 3], image[..., 3])
    shown = image[..., 3] > 100
    assert apart(made[shown], image[shown]) <= 3


def test_alpha_is_enlarged_with_the_image(tmp_path: Path) -> None:
    image = np.full((16, 16, 4), 200, np.uint8)
    image[:, 8:, 3] = 0
    path = saved(image, tmp_path / "in" / "a.png")
    done = translate_files(image_to_image(doubled, scale=2), open_inputs(str(path)), tmp_path / "out")
    made = opened(done.files[0])
    assert made.shape == (32, 32, 4)
    assert apart(made[:, :12], np.full((32, 12, 4), 200, np.uint8)) <= 5
    assert made[:, 20:, 3].max() == 0


def test_a_g_with_alpha_makes_its_own(tmp_path: Path) -> None:
    image = noise(16, 16, 4)
    path = saved(image, tmp_path / "in" / "a.png")
    G = image_to_image(lambda a: a.flip(3), channels=4)
    done = translate_files(G, open_inputs(str(path)), tmp_path / "out")
    made = opened(done.files[0])
    assert apart(premultiply(made), premultiply(image)[:, ::-1]) <= 1
    saved(image[..., :3], path)
    assert (opened(translate_files(G, open_inputs(str(path)), tmp_path / "out").files[0])[..., 3] == 255).all()


def test_images_are_given_in_the_colours_of_training(tmp_path: Path) -> None:
    colour, grey = noise(9, 9), noise(9, 9)[..., 0]
    path, out = tmp_path / "in" / "a.png", tmp_path / "out"
    for image, channels, expected in (
        (colour, 1, np.asarray(Image.fromarray(colour).convert("L"))),
        (grey, 3, np.stack([grey] * 3, axis=2)),
        (np.dstack([colour, np.full((9, 9), 255, np.uint8)]), 1, np.asarray(Image.fromarray(colour).convert("L"))),
    ):
        saved(image, path)
        (made,) = translate_files(image_to_image(channels=channels), open_inputs(str(path)), out).files
        assert np.array_equal(opened(made).reshape(9, 9, -1)[..., : expected.size // 81], expected.reshape(9, 9, -1))


def test_greys_of_sixteen_bits_share_one_range(tmp_path: Path) -> None:
    for name, low, high in (("a", 1000, 2000), ("b", 2000, 3000)):
        saved(np.linspace(low, high, 256).reshape(16, 16).astype(np.uint16), tmp_path / "in" / f"{name}.png")
    done = translate_files(image_to_image(channels=1), open_inputs(str(tmp_path / "in")), tmp_path / "out")
    first, second = map(opened, done.files)
    assert (first.min(), second.max()) == (0, 255)
    assert abs(int(first.max()) - 127.5) <= 1 and abs(int(second.min()) - 127.5) <= 1


def test_images_are_turned_as_their_exif_says(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "in").mkdir()
    Image.fromarray(noise(20, 30)).save(tmp_path / "in" / "a.png", exif=exif)
    done = translate_files(image_to_image(), open_inputs(str(tmp_path / "in" / "a.png")), tmp_path / "out")
    assert np.array_equal(opened(done.files[0]), np.rot90(noise(20, 30), -1))


def test_where_none_can_be_read_it_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(UserError, match=r"none of the 1 images can be read; the first, a\.png: "):
        translate_files(image_to_image(), open_inputs(str(tmp_path / "a.png")), tmp_path / "out")


@pytest.fixture
def run(tmp_path: Path) -> Made:
    """Makes a run folder, as `untrained`."""
    return lambda name="resnet-blocks", **more: untrained(tmp_path / "run", name, **more)


def complaint(capsys: Capture) -> str:
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1
    return said


def test_translate_by_command(run: Made, pictures: Pictures, tmp_path: Path, capsys: Capture) -> None:
    data, folder = pictures(num=3, size=20), run(back=True)
    assert main(["translate", str(folder), str(data), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out == f"3 of 3 images: {tmp_path / 'out'}\n"
    assert written(tmp_path / "out") == ["000.png", "001.png", "002.png"]
    assert opened(tmp_path / "out" / "000.png").shape == (20, 20, 3)
    one = str(data / "001.png")
    assert main(["translate", str(folder), one, "--out", str(tmp_path / "one"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told.pop("files") == [str(tmp_path / "one" / "001.png")]
    assert told == {"num": 1, "unreadable": [], "finished": True, "pairs": 0, "in_parts": 0}
    assert np.array_equal(opened(tmp_path / "one" / "001.png"), opened(tmp_path / "out" / "001.png"))
    assert main(["translate", str(folder), one, "--out", str(tmp_path / "back"), "--to", "a"]) == 0
    assert apart(opened(tmp_path / "back" / "001.png"), opened(tmp_path / "one" / "001.png")) > 3
    (data / "bad.png").write_bytes(b"nothing")
    assert main(["translate", str(folder), str(data), "--out", str(tmp_path / "out")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "  bad.png: not an image of a known kind"


def test_upscale_by_command(run: Made, pictures: Pictures, tmp_path: Path, capsys: Capture) -> None:
    data, folder = pictures(num=2, size=6), run("srresnet")
    assert main(["upscale", str(folder), str(data), "--out", str(tmp_path / "out")]) == 0
    assert opened(tmp_path / "out" / "001.png").shape == (24, 24, 3)
    assert main(["translate", str(folder), str(data), "--out", str(tmp_path / "same")]) == 0
    assert np.array_equal(opened(tmp_path / "same" / "001.png"), opened(tmp_path / "out" / "001.png"))
    assert main(["upscale", str(run()), str(data), "--out", str(tmp_path / "out")]) == 2
    assert "makes images as large as those it is given: use gannet translate" in complaint(capsys)


def test_what_is_written_stays_when_it_is_interrupted(
    run: Made, pictures: Pictures, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls, in_tiles = iter(range(9)), ImageToImage.in_tiles

    def interrupted(G: ImageToImage, image: np.ndarray) -> np.ndarray:
        if next(calls) == 2:
            raise KeyboardInterrupt
        return in_tiles(G, image)

    monkeypatch.setattr(ImageToImage, "in_tiles", interrupted)
    out = tmp_path / "out"
    assert main(["translate", str(run()), str(pictures(num=5)), "--out", str(out)]) == 4
    assert capsys.readouterr().out == f"2 of 5 images: {out} (interrupted)\n"
    assert written(out) == ["000.png", "001.png"]


@pytest.mark.parametrize(
    ("name", "options", "says"),
    [
        ("dcgan", ["pictures", "--out", "out"], "makes images of noise, not of images: gannet sample"),
        ("unet", ["pictures", "--out", "out", "--to", "a"], "has no way back, as runs of cyclegan have"),
        ("unet", ["pictures", "--out", "out", "--to", "c"], "--to"),
        ("unet", ["pictures"], "--out"),
        ("unet", ["pictures", "--out", "pictures"], "where the images are that are read: name another folder"),
        ("unet", ["pictures", "--out", "pictures/out"], "where the images are that are read"),
        ("unet", ["pictures/000.png", "--out", "pictures"], "where the images are that are read"),
        ("unet", ["pictures", "--out", "pictures/000.png"], "is the name of one file: name a folder with --out"),
        ("unet", ["nothing/here.png", "--out", "out"], "there is no image at nothing/here.png"),
        ("unet", ["nothing/here.png", "--out", "out.png"], "there is no image at nothing/here.png"),
        ("unet", ["pictures", "--out", "out.png"], "out.png is the name of one file: name a folder with --out"),
        ("unet", ["pictures/000.png", "--out", "out.jpg"], "what is made is PNG, so name a file that ends in .png"),
        ("unet", ["pictures/000.png", "--out", "pictures/000.png"], "the image that is read: name another file"),
        ("unet", ["--out", "out"], "or take those that the run holds out with --held-out: not both"),
        ("unet", ["pictures", "--held-out", "--out", "out"], "with --held-out: not both"),
        ("unet", ["pictures", "--data", "there", "--out", "out"], "for --held-out: leave them out"),
    ],
)
def test_the_users_errors_are_one_line(
    name: str,
    options: list[str],
    says: str,
    run: Made,
    pictures: Pictures,
    tmp_path: Path,
    capsys: Capture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    before = opened(pictures(num=1) / "000.png")
    assert main(["translate", str(run(name)), *options]) == 2
    assert says in complaint(capsys)
    assert not (tmp_path / "out").exists() and written(tmp_path / "pictures") == ["000.png"]
    assert np.array_equal(opened(tmp_path / "pictures" / "000.png"), before)


def test_a_run_is_loaded_as_what_it_is(run: Made) -> None:
    folder = run(fit="pad", alpha="white", range=[1.0, 99.0])
    G = gannet.load(folder)
    assert isinstance(G, ImageToImage) and not G.network.training
    assert G.data == Data(resolution=16, fit="pad", alpha="white", range=(1.0, 99.0))
    assert gannet.load(folder / "generator").translate(noise(5, 7)).shape == (5, 7, 3)
    with pytest.raises(UserError, match="makes images of images, not of noise: gannet translate"):
        load(folder)
    with pytest.raises(UserError, match="gannet translate"):
        api.sample(folder, num=1)
    with pytest.raises(UserError, match="makes images of noise, not of images: gannet sample"):
        load_translator(run("dcgan"))
    assert gannet.load(run("dcgan")).sample(1).shape == (1, 3, 16, 16)


@pytest.mark.parametrize("data", [{"fit": "tight"}, {"pixels": 3}, 5])
def test_a_config_that_cannot_be_is_one_line(run: Made, data: Any) -> None:
    path = run() / "generator" / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "data": data}))
    with pytest.raises(UserError, match=r"the table data in .* is none that a run writes"):
        gannet.load(path.parent)


@pytest.mark.parametrize("name", ["pix2pix", "cyclegan"])
def test_what_was_trained_translates(
    name: str, pictures: Pictures, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    data = pictures(num=6, size=16)
    network = {"pix2pix": "unet", "cyclegan": "resnet-blocks"}[name]
    settings = {
        **SHRUNK[network][0],
        **PATCHES,
        "data.resolution": 16,
        "data.other": str(data) if name == "cyclegan" else "",
        "data.fit": "pad",
        "train.length": "2 iterations",
        "train.batch": 2,
        "train.precision": "float32",
        "train.device": "cpu",
        "samples.num": 2,
    }
    trained = api.train(data, recipe=name, run=tmp_path / "run", settings=settings)
    assert f"gannet translate {trained.path} FOLDER --out translated" in capsys.readouterr().out
    G = gannet.load(trained.path)
    assert isinstance(G, ImageToImage) and G.takes_whole and type(G.network) is TRANSLATORS.find(network)
    done = api.translate(trained.path, data, out=tmp_path / "out", to="b")
    assert len(done.files) == 6 and opened(done.files[0]).shape == (16, 16, 3)
    if name == "cyclegan":
        there, back = (api.translate(trained.path, data, out=tmp_path / to, to=to).files[0] for to in ("b", "a"))
        assert apart(opened(there), opened(back)) > 0


def made_of(run: Path) -> tuple[Source, Data, int]:
    """What a run was trained on."""
    data = recorded(run, {"source": None})[0].data
    return open_items(data, cache_folder()), data, 3


def sides(folder: Path, num: int, width: int = 32) -> Path:
    """Pairs side by side: noise, and its negative."""
    folder.mkdir()
    for i in range(num):
        left = np.random.Generator(np.random.Philox(i)).integers(0, 256, (16, width // 2, 3), np.uint8)
        Image.fromarray(np.concatenate([left, 255 - left], axis=1)).save(folder / f"{i}.png")
    return folder


def test_of_pairs_side_by_side_the_half_is_translated_that_g_was_given(tmp_path: Path) -> None:
    path = sides(tmp_path / "in", 2)
    whole = noise(16, 20)
    Image.fromarray(whole).save(path / "alone.png")
    halves: list[tuple[Given, str]] = [("left half", "left"), ("right half", "right"), ("", "both")]
    for given, name in halves:
        G = image_to_image()
        done = translate_files(G, open_inputs(str(path), given), tmp_path / name)
        assert done.num_pairs == (2 if given else 0)
        assert np.array_equal(opened(tmp_path / name / "alone.png"), whole)
    pair = opened(path / "1.png")
    for name, expected in (("left", pair[:, :16]), ("right", pair[:, 16:]), ("both", pair)):
        assert np.array_equal(opened(tmp_path / name / "1.png"), expected)


def test_images_larger_than_a_g_that_looks_at_all_are_counted(tmp_path: Path) -> None:
    for name, height, width in (("training", 16, 16), ("wide", 16, 17), ("high", 40, 16)):
        saved(noise(height, width), tmp_path / "in" / f"{name}.png")
    expected: list[tuple[dict[str, Any], int]] = [
        ({"multiple": 16}, 2),
        ({"multiple": 8}, 0),
        ({"multiple": 1, "resolution": 1}, 0),
        ({"multiple": 16, "fit": "stretch"}, 0),
        ({"multiple": 8, "scale": 2}, 3),
    ]
    for i, (facts, num) in enumerate(expected):
        G = image_to_image(doubled if "scale" in facts else identity, **facts)
        done = translate_files(G, open_inputs(str(tmp_path / "in")), tmp_path / f"out{i}")
        assert done.num_in_parts == num, facts


def test_what_the_command_says_of_images_in_parts(
    run: Made, pictures: Pictures, tmp_path: Path, capsys: Capture
) -> None:
    data = pictures(num=2, size=20)
    assert main(["translate", str(run("unet")), str(data), "--out", str(tmp_path / "out")]) == 0
    said = capsys.readouterr().out
    assert "2 of them are larger than images in training, and made in parts whose edges may show" in said


def test_one_image_becomes_the_file_that_is_named(run: Made, pictures: Pictures, tmp_path: Path) -> None:
    path = pictures(num=1) / "000.png"
    done = api.translate(run(), path, out=tmp_path / "made" / "it.PNG")
    assert done.files == [tmp_path / "made" / "it.PNG"] == list((tmp_path / "made").iterdir())
    assert opened(done.files[0]).shape == opened(path).shape


@pytest.mark.parametrize("kind", ["pairs", "unpaired"])
def test_what_a_run_has_held_out_is_translated(
    kind: str, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch, cache: Path
) -> None:
    name, network = {"pairs": ("pix2pix", "unet"), "unpaired": ("cyclegan", "resnet-blocks")}[kind]
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    settings = {**SHRUNK[network][0], **PATCHES, "data.resolution": 16, "data.held_out": 0.4, "samples.num": 2}
    settings |= {"train.length": "2 iterations", "train.batch": 2, "train.precision": "float32", "train.device": "cpu"}
    a, b = sides(tmp_path / "a", 10), sides(tmp_path / "b", 12)
    other = {"data.other": str(b)} if kind == "unpaired" else {}
    trained = api.train(a, recipe=name, run=tmp_path / "run", settings=settings | other)
    capsys.readouterr()
    data = prepare(*made_of(trained.path))
    assert main(["translate", str(trained.path), "--held-out", "--out", str(tmp_path / "out")]) == 0
    given = data.other or data
    assert len(given.held_out) > 0
    assert sorted(written(tmp_path / "out")) == sorted(given.held_out_names)
    G = gannet.load(trained.path)
    assert isinstance(G, ImageToImage)
    first = opened(tmp_path / "a" / given.held_out_names[0])
    expected = G.translate(first[:, :16] if kind == "pairs" else first)
    assert np.array_equal(opened(tmp_path / "out" / given.held_out_names[0]), expected)
    if kind == "pairs":
        assert G.given == "left half"
        assert main(["translate", str(trained.path), str(a), "--out", str(tmp_path / "all")]) == 0
        assert "10 of them are pairs side by side: the half that G was given" in capsys.readouterr().out
        assert np.array_equal(opened(tmp_path / "all" / given.held_out_names[0]), expected)
