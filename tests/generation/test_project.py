"""From images back to latents: those of G's own images are found again, and what is written draws them."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from clips import save_run
from PIL import Image
from runs import untrained

import gannet
from gannet import display
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.directions import Space
from gannet.generation.load import Generator, load
from gannet.generation.project import BATCH, STEPS, Projection, project, ramp
from gannet.images import png, to_pil
from gannet.losses.likeness import pixels
from gannet.using import exploring

Made = Callable[..., Path]
CLASSES = ("ant", "bee", "cat")


@pytest.fixture(autouse=True)
def only_pixels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Which takes a hundredth of the time, and needs no package."""
    monkeypatch.setattr(exploring, "likeness", lambda: ("pixels", lambda target: lambda x: pixels(x, target)))


def sought(G: Generator, target: torch.Tensor, **how: Any) -> Projection:
    return project(G, lambda x: pixels(x, target), **how)


def save_image(G: Generator, path: Path, number: int = 0, **how: Any) -> np.ndarray:
    """The file of an image of another seed; its pixels."""
    image = G.to_uint8(G.sample(1, seed=77, start=number, **how))[0]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(png(to_pil(image)))
    return image


@pytest.mark.parametrize("name", ["dcgan", "stylegan2", "r3gan"])
def test_an_image_of_g_is_found_again(name: str, tmp_path: Path) -> None:
    G = load(untrained(tmp_path, name))
    target = G.sample(1, seed=77)
    found = sought(G, target, steps=150)
    assert found.distance < 0.1 * found.of_samples and found.steps == 150 and found.finished
    assert abs(found.image.astype(int) - G.to_uint8(target)[0]).mean() < 0.1 * 127 * found.of_samples
    latent = torch.from_numpy(found.latent)
    drawn = G.images_of(latent) if G.has_w else G.images(latent, torch.zeros(1, 0))
    assert np.array_equal(G.to_uint8(drawn)[0], found.image)


def test_the_class_of_an_image_is_found_or_told(run: Made) -> None:
    G = load(run(CLASSES))
    target = G.sample(1, seed=77, labels="bee")
    found = sought(G, target, steps=100)
    assert found.latent.shape == (1, G.z_dim + 3) and found.latent[0, G.z_dim :].tolist() == [0, 1, 0]
    told = sought(G, target, steps=100, label=2)
    assert told.latent[0, G.z_dim :].tolist() == [0, 0, 1] and told.distance > found.distance


def test_more_steps_come_nearer_and_z_stays_short(run: Made) -> None:
    G = load(run())
    target = torch.ones(1, 3, 16, 16)
    target[:, :, ::2] = -1  # which it cannot make
    few, many = (sought(G, target, steps=steps) for steps in (3, 150))
    assert many.distance < few.distance < few.of_samples
    assert np.linalg.norm(many.latent) <= 5**0.5 + 2 + 1e-4
    assert np.array_equal(sought(G, target, steps=3).latent, few.latent)


def test_the_rate_rises_and_falls() -> None:
    rates = [ramp(i / 100) for i in range(100)]
    assert rates[0] == pytest.approx(0.2) and rates[4:76] == [1.0] * 72
    assert np.all(np.diff(rates[:5]) > 0) and np.all(np.diff(rates[75:]) < 0) and rates[99] < 0.005


def test_an_interrupted_search_keeps_the_best_so_far(run: Made, tmp_path: Path, capsys: Any) -> None:
    G = load(run())
    target = G.sample(1, seed=77)

    def stop(done: int, steps: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    found = sought(G, target, progress=stop)
    assert (found.steps, found.finished) == (20, False) and found.distance < found.of_samples / 2


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_ctrl_c_among_the_samples_keeps_the_nearest_of_them(
    batches: int, run: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out, drawn = run(), tmp_path / "out", Space.draw
    save_image(load(folder), tmp_path / "x.png")

    def interrupted(space: Space, start: int, num: int) -> tuple[torch.Tensor, torch.Tensor]:
        if start == batches * BATCH:
            raise KeyboardInterrupt
        return drawn(space, start, num)

    monkeypatch.setattr(Space, "draw", interrupted)
    status = main(["project", str(folder), str(tmp_path / "x.png"), "--out", str(out)])
    if not batches:
        assert status == 130 and capsys.readouterr().err == "gannet: interrupted\n" and not out.exists()
        return
    assert status == 4 and "interrupted after 0 steps" in capsys.readouterr().out
    facts = json.loads((out / "distance.json").read_text("utf-8"))
    assert facts["distance"] < facts["of_samples"] and not facts["finished"]
    assert np.load(out / "latent.npy").shape == (1, 5)


def test_files_of_one_image_draw_it_again(run: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, out = run(CLASSES), tmp_path / "out"
    image = save_image(load(folder), tmp_path / "in" / "x.png", labels="cat")
    assert main(["project", str(folder), str(tmp_path / "in" / "x.png"), "--out", str(out), "--steps", "60"]) == 0
    said = capsys.readouterr().out
    facts = json.loads((out / "distance.json").read_text("utf-8"))
    assert facts["class"] == "cat" and facts["made_of"] == "pixels" and f"distance {facts['distance']:.3f}" in said
    assert facts["distance"] < 0.5 * facts["of_samples"]
    assert {path.name for path in out.iterdir()} == {"distance.json", "latent.npy", "projected.png", "side-by-side.png"}
    with Image.open(out / "projected.png") as projected, Image.open(out / "side-by-side.png") as both:
        made, both_ = np.asarray(projected), np.asarray(both)
    scale = both_.shape[0] // 20
    assert np.array_equal(
        both_[2 * scale : 18 * scale : scale, 2 * scale : 18 * scale : scale].transpose(2, 0, 1), image
    )
    again = tmp_path / "again"
    assert main(["sample", str(folder), "--latents", str(out / "latent.npy"), "--out", str(again)]) == 0
    (drawn,) = again.glob("*.png")
    with Image.open(drawn) as picture:
        assert abs(np.asarray(picture).astype(int) - made).max() <= 1


def test_a_folder_has_a_folder_for_each_image(run: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, given = run(), tmp_path / "in"
    for i, name in enumerate(["a.png", "more/a.png"]):
        save_image(load(folder), given / name, i)
    (given / "broken.png").write_bytes(b"none")
    words = ["project", str(folder), str(given), "--out", str(tmp_path / "out"), "--steps", "3", "--json"]
    assert main(words) == 0
    said = json.loads(capsys.readouterr().out)
    assert [each["image"] for each in said["images"]] == ["a.png", "more/a.png"]
    assert [name for name, _ in said["unreadable"]] == ["broken.png"] and said["finished"]
    assert all((tmp_path / "out" / name / "latent.npy").exists() for name in ("a", "more/a"))


def test_a_pipe_is_told_of_the_steps_of_all_images(
    run: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = run()
    for i in range(2):
        save_image(load(folder), tmp_path / "in" / f"{i}.png", i)
    monkeypatch.setattr(display, "SECONDS_BETWEEN_LINES", 0.0)
    exploring.project(folder, tmp_path / "in", out=tmp_path / "out", steps=2)
    told = re.findall(r"^projecting, steps: (.) of (.)", capsys.readouterr().err, re.MULTILINE)
    assert told == [("1", "4"), ("2", "4"), ("3", "4"), ("4", "4")]


def test_ctrl_c_ends_with_status_4_and_files(run: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, given = run(), tmp_path / "in"
    for i in range(2):
        save_image(load(folder), given / f"{i}.png", i)

    def interrupted(*args: Any) -> Projection:
        return project(*args[:3], steps=2, progress=stop)

    def stop(done: int, steps: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(exploring, "find_latent", interrupted)
    assert main(["project", str(folder), str(given), "--out", str(tmp_path / "out")]) == 4
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["0"]
    assert not json.loads((tmp_path / "out" / "0" / "distance.json").read_text("utf-8"))["finished"]


@pytest.mark.parametrize(("channels", "mode"), [(1, "RGBA"), (3, "L"), (3, "RGBA"), (4, "RGBA"), (4, "RGB")])
def test_any_image_becomes_one_as_g_was_trained_on(run: Made, tmp_path: Path, channels: int, mode: str) -> None:
    folder = run(channels=channels)
    Image.new(mode, (50, 30), 90 if mode == "L" else (200, 100, 50, 128)[: len(mode)]).save(tmp_path / "x.png")
    made = gannet.project(folder, tmp_path / "x.png", out=tmp_path / "out", steps=2)
    assert made.finished and np.load(made.folders[0] / "latent.npy").shape == (1, 5)
    with Image.open(made.folders[0] / "projected.png") as picture:
        assert (picture.mode, picture.size) == ({1: "L", 3: "RGB", 4: "RGBA"}[channels], (16, 16))


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["x.png", "--steps", "0"], "--steps is 0, and must be at least 1"),
        (["none.png"], "none.png"),
        (["x.png", "--label", "ant"], "trained without labels: leave --label out"),
        (["x.png", "--out", "x.png"], "x.png is a file: name a folder with --out"),
        (["images", "--out", "images/made"], "where the images are that are read: name another folder"),
        (["broken.png"], "none of the 1 images can be read"),
    ],
)
def test_bad_input_is_one_line(
    run: Made, tmp_path: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = run()
    monkeypatch.chdir(tmp_path)
    for name in ("x.png", "images/x.png"):
        save_image(load(folder), Path(name))
    Path("broken.png").write_bytes(b"none")
    before = sorted(tmp_path.rglob("*"))
    assert main(["project", str(folder), *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == before


def test_clips_and_translators_are_refused(tmp_path: Path) -> None:
    Image.new("RGB", (16, 16)).save(tmp_path / "x.png")
    with pytest.raises(UserError, match="makes images of images"):
        gannet.project(untrained(tmp_path / "unet", "unet"), tmp_path / "x.png", out=tmp_path / "out")
    with pytest.raises(UserError, match="makes clips, and an image has no clip"):
        gannet.project(save_run(tmp_path / "clips"), tmp_path / "x.png", out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_default_of_the_command_is_that_of_the_function() -> None:
    from gannet.commands.exploring import Project

    assert Project.steps == STEPS
