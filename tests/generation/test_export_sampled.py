"""Sampling from exported files, without torch; files of others and changed ones; and generators of older versions."""

import errno
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from PIL import Image
from runs import of_g, untrained
from safetensors.torch import load_file, save_file

import gannet
from gannet import api
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.export import export
from gannet.generation.load import Generator
from gannet.generation.onnx import OnnxGenerator, checksum
from gannet.images import to_uint8
from gannet.networks import GENERATORS
from gannet.networks import folder as folder_module
from gannet.networks.folder import save_network

V0_1 = Path(__file__).parent / "fixtures" / "v0.1"
CLASSES = ("day", "night")
BLOCK = """
import sys
class Block:
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Block)
"""
FORBIDDEN = ("torch", "torchvision", "safetensors", "matplotlib", "scipy", "cattrs", "onnx")


def saved(run: Path, name: str, frames: int = 1, **more: Any) -> Path:
    torch.manual_seed(1)
    settings = {**of_g(name), **more}
    facts = (16, 3 * frames, 0) + ((frames,) if name == "dvdgan" else ())
    G = GENERATORS.find(name)(*facts, **settings)
    config = {"name": name, "resolution": 16, "channels": 3 * frames, "frames": frames, "classes": []}
    save_network(run / "generator", G, {**config, "settings": settings})
    return run


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """The generator of the fixture as ONNX, exported anew."""
    return export(V0_1, to="onnx", out=tmp_path / "model.onnx").file


def both(file: Path) -> tuple[Generator, OnnxGenerator]:
    """The generator of the fixture by torch, and the file's by onnxruntime."""
    one, other = gannet.load(V0_1), gannet.load(file)
    assert isinstance(one, Generator) and isinstance(other, OnnxGenerator)
    return one, other


def changed(file: Path, **facts: Any) -> Path:
    """The file with other facts about itself."""
    model = onnx.load(file)
    (said,) = [each for each in model.metadata_props if each.key == "gannet"]
    said.value = json.dumps({**json.loads(said.value), **facts})
    onnx.save(model, file)
    return file


def pixels(folder: Path) -> dict[str, np.ndarray]:
    return {path.name: pixels_of(path) for path in sorted(folder.iterdir())}


def pixels_of(path: Path) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image).astype(int)


def without(packages: tuple[str, ...], code: str, place: Path) -> "subprocess.CompletedProcess[str]":
    """Runs code in another process, where these packages cannot be imported."""
    return subprocess.run(
        [sys.executable, "-c", BLOCK.format(packages) + code], cwd=place, text=True, capture_output=True
    )


@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"num": 5, "seed": 3},
        {"num": 70, "labels": "night"},
        {"num": 3, "labels": [1, "day", 0], "start": 4},
        {"num": 0},
    ],
)
def test_the_same_images_as_by_torch(model: Path, asked: dict[str, Any]) -> None:
    asked = {"num": 9, **asked}
    one, other = both(model)
    expected, found = one.sample(**asked).numpy(), other.sample(**asked)
    assert found.dtype == np.float32 and found.shape == expected.shape == (asked["num"], 3, 16, 16)
    assert np.abs(found - expected).max(initial=0) < 1e-4
    assert (other.classes, other.z_dim, other.resolution, other.channels) == (CLASSES, 4, 16, 3)
    assert np.array_equal(other.to_uint8(expected), one.to_uint8(torch.from_numpy(expected)))


def test_z_is_truncated_as_by_torch(model: Path) -> None:
    """Only batch norm's statistics differ: they are those of training here."""
    one, other = both(model)
    near, plain = other.truncated(0.5), one.truncated(0.5)
    assert np.array_equal(near.z(3, 2, 50), plain.z(3, 2, 50).numpy()) and np.abs(near.z(3, 2, 50)).max() <= 0.5
    expected = one.images(plain.z(7, 0, 4), one.one_hot(np.array([0, 1, 0, 1]))).numpy()
    assert np.abs(other.sample(4, seed=7, truncation=0.5) - expected).max() < 1e-4
    for bad in (0.0, -1.0):
        with pytest.raises(UserError, match=r"--truncation is .*, and must be above 0"):
            other.sample(1, truncation=bad)


def test_arrays_become_the_same_pixels_as_tensors() -> None:
    values = np.concatenate([np.linspace(-1.5, 1.5, 9001), (np.arange(255) + 0.5) / 127.5 - 1]).astype(np.float32)
    assert np.array_equal(to_uint8(values), to_uint8(torch.from_numpy(values)))


def test_shares_and_labels_are_kept(tmp_path: Path) -> None:
    folder = shutil.copytree(V0_1, tmp_path / "G")
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "class_shares": [0.8, 0.2]}))
    one, other = gannet.load(folder), gannet.load(export(folder, to="onnx", out=tmp_path / "G.onnx").file)
    assert isinstance(one, Generator) and isinstance(other, OnnxGenerator)
    assert one.label_numbers(30, None, 7).tolist() == other.label_numbers(30, None, 7).tolist()
    assert sum(other.label_numbers(100, None)) in range(18, 23)


SAMPLED = ["--num 5 --seed 3", "--per-class 2", "--label night --num 3", "--num 6 --grid"]


@pytest.mark.parametrize("words", SAMPLED)
def test_the_command_writes_the_same_files_without_torch(model: Path, tmp_path: Path, words: str) -> None:
    argv = ["sample", str(model), *words.split(), "--out", "out/"]
    code = f"from gannet.cli import main\nstatus = main({argv!r})\nassert not any(map(sys.modules.get, {FORBIDDEN!r}))"
    done = without(FORBIDDEN, f"{code}\nsys.exit(status)", tmp_path)
    assert done.returncode == 0, done.stderr
    assert main(["sample", str(V0_1), *words.split(), "--out", str(tmp_path / "torch" / "out")]) == 0
    written = tmp_path if "--grid" in words else tmp_path / "out"
    if "--grid" in words:
        (tmp_path / "model.onnx").unlink()
        shutil.move(tmp_path / "torch" / "out.png", tmp_path / "torch.png")
        (tmp_path / "torch").rmdir()
        made = pixels(written)
        found, expected = {"": made["out.png"]}, {"": made["torch.png"]}
    else:
        found, expected = pixels(written), pixels(tmp_path / "torch" / "out")
    assert found.keys() == expected.keys() and len(found) >= 1
    assert all(np.abs(found[name] - expected[name]).max() <= 1 for name in found)


def test_walks_need_no_torch_either(model: Path, tmp_path: Path) -> None:
    argv = ["interpolate", "model.onnx", "--labels", "day,night", "--seeds", "1", "--steps", "2", "--scale", "1"]
    code = f"from gannet.cli import main\nstatus = main({argv!r})\nassert not any(map(sys.modules.get, {FORBIDDEN!r}))"
    done = without(FORBIDDEN, f"{code}\nsys.exit(status)", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "3 frames, in arcs through z: walk.webp; strip: walk.png\n"
    assert main(["interpolate", str(V0_1), *argv[2:], "--out", str(tmp_path / "torch.webp")]) == 0
    found, expected = (pixels_of(tmp_path / name) for name in ("walk.png", "torch.png"))
    assert np.abs(found - expected).max() <= 1


def test_python_needs_onnxruntime_numpy_and_pillow_alone(model: Path, tmp_path: Path) -> None:
    code = """
import gannet
G = gannet.load("model.onnx")
print(G.to_uint8(G.sample(3, seed=5, labels="night", truncation=0.8)).shape, gannet.sample("model.onnx", num=2).num)
"""
    done = without((*FORBIDDEN, "tyro", "rich", "tomli_w", "filelock"), code, tmp_path)
    assert done.stdout == "(3, 3, 16, 16) 2\n", done.stderr


def test_what_the_docs_show_makes_images_without_gannet(model: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs" / "export.md").read_text("utf-8")
    (code,) = [block for block in re.findall(r"```python\n(.*?)```", page, re.DOTALL) if "onnxruntime" in block]
    done = without((*FORBIDDEN, "gannet"), f"{code}\nprint(pixels.shape, pixels.dtype)", tmp_path)
    assert done.stdout == "(4, 3, 16, 16) uint8\n", done.stderr


def test_without_onnxruntime_it_is_named(model: Path, tmp_path: Path) -> None:
    done = without(("onnxruntime",), "from gannet.cli import main\nsys.exit(main(['sample', 'model.onnx']))", tmp_path)
    assert done.returncode == 2
    assert done.stderr == "gannet: ONNX files need the package onnxruntime: pip install 'gannet-gan[onnx]'\n"


def test_clips_come_out_as_by_torch(tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "dvdgan", frames=3)
    file = export(run, to="onnx", out=tmp_path / "G.onnx").file
    one, other = gannet.load(run), gannet.load(file)
    assert isinstance(one, Generator) and isinstance(other, OnnxGenerator)
    assert other.sample(2).shape == (2, 3, 3, 16, 16)
    assert np.abs(other.sample(2) - one.sample(2).numpy()).max() < 1e-4
    assert [path.suffix for path in gannet.sample(file, num=1, out=tmp_path / "out").files] == [".webp", ".png"]


def other_model(path: Path) -> None:
    node = helper.make_node("Relu", ["z"], ["images"])
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 4]) for name in ("z", "images")]
    onnx.save(helper.make_model(helper.make_graph([node], "other", ends[:1], ends[1:])), path)


DAMAGE: list[tuple[Callable[[Path], object], str]] = [
    (lambda file: file.unlink(), "there is no file model.onnx: gannet export RUN --to onnx makes one"),
    (lambda file: file.write_bytes(b""), "model.onnx cannot be read as ONNX"),
    (lambda file: file.write_bytes(b"GIF89a" * 99), "model.onnx cannot be read as ONNX"),
    (lambda file: file.write_bytes(file.read_bytes()[:3000]), "model.onnx"),
    (other_model, "model.onnx was not made by Gannet: gannet export RUN --to onnx makes files"),
    (lambda file: changed(file, format=2), "model.onnx is of format 2, and 1 is read here: update Gannet"),
    (lambda file: changed(file, z_dim=5), "model.onnx is damaged or was changed (its inputs"),
    (lambda file: changed(file, classes=["day"]), "model.onnx"),
    (lambda file: changed(file, classes=[], class_shares=[]), "model.onnx is damaged or was changed (its inputs"),
    (lambda file: changed(file, classes=7), "model.onnx is damaged or was changed (its facts"),
    (lambda file: changed(file, frames=0), "model.onnx is damaged or was changed"),
    (lambda file: changed(file, frames=float("inf")), "model.onnx is damaged or was changed (its facts"),
    (lambda file: changed(file, class_shares=[10**400]), "model.onnx is damaged or was changed (its facts"),
    (
        lambda file: changed(file, resolution=32),
        "model.onnx is damaged or was changed (of 2 z it makes [2, 3, 16, 16])",
    ),
    (lambda file: changed(file, class_shares=[0.3, 0.3, 0.4]), "class_shares in model.onnx are not one number a class"),
]


@pytest.mark.parametrize(("damage", "says"), DAMAGE)
def test_a_file_that_does_not_fit_is_one_line(
    damage: Callable[[Path], object],
    says: str,
    model: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    damage(model)
    monkeypatch.chdir(tmp_path)
    assert main(["sample", "model.onnx", "--num", "2", "--out", "out"]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("part", ["weights", "operators"])
def test_an_onnx_file_with_other_weights_or_operators_is_refused(model: Path, part: str) -> None:
    read = onnx.load(model)
    if part == "weights":
        weights = read.graph.initializer[0]
        weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
    else:
        next(node for node in read.graph.node if node.op_type == "Relu").op_type = "Sigmoid"
    onnx.save(read, model)
    with pytest.raises(UserError, match=r"is damaged or was changed \(the SHA-256 of its weights differs\)") as caught:
        gannet.load(model)
    assert "\n" not in str(caught.value)


def test_the_checksum_is_that_of_the_graph_alone(model: Path) -> None:
    read = onnx.load(model)
    facts = json.loads({prop.key: prop.value for prop in read.metadata_props}["gannet"])
    assert facts["sha256"] == sha256(read.graph.SerializeToString()).hexdigest() == checksum(model.read_bytes())
    read.producer_name, read.model_version = "somebody else", 2**40
    assert checksum(read.SerializeToString()) == facts["sha256"]


def test_onnx_files_without_a_checksum_are_loaded(model: Path) -> None:
    read = onnx.load(model)
    facts = json.loads({prop.key: prop.value for prop in read.metadata_props}["gannet"])
    del facts["sha256"]
    onnx.helper.set_model_props(read, {"gannet": json.dumps(facts)})
    onnx.save(read, model)
    loaded: Any = gannet.load(model)
    assert loaded.sample(1).shape == (1, 3, 16, 16)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        ("--label 2", "there is no class '2'; choose from: day, night"),
        ("--label nigth", "there is no class 'nigth'; did you mean 'night'?"),
        ("--num 0", "--num is 0, and must be at least 1"),
        ("--num 1000000000", "1,000,000,000"),
        ("--per-class 900000", "--per-class times the classes is 1,800,000, and must be at most 1,000,000"),
        ("--seed -1", "--seed is -1, and must be at least 0"),
        ("--min-realness 0.5", "an ONNX file holds no D to rate images with: leave --min-realness"),
        ("--rejection", "an ONNX file holds no D to rate images with: leave --min-realness and --rejection out"),
        ("--device cuda", "an ONNX file is computed on the CPU here, not on 'cuda': leave --device out"),
        ("--given videos", "this generator is given no frames to go on from: leave --given out"),
        ("--format gif", "this generator makes images, not clips: --format is png, webp or npy"),
        ("--truncation 0", "--truncation is 0, and must be above 0"),
    ],
)
def test_what_cannot_be_sampled_from_a_file_is_one_line(
    words: str, says: str, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sample", str(model), *words.split(), "--out", str(tmp_path / "out")]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert not (tmp_path / "out").exists()


def test_psi_is_refused(tmp_path: Path) -> None:
    G = gannet.load(export(saved(tmp_path / "run", "stylegan2"), to="onnx", out=tmp_path / "G.onnx").file)
    assert isinstance(G, OnnxGenerator) and G.has_w and G.sample(2).shape == (2, 3, 16, 16)
    with pytest.raises(UserError, match="an ONNX file knows no psi, as its w is within: leave --truncation out"):
        G.sample(2, truncation=0.7)
    z, c = G.z(0, 0, 1), G.one_hot(np.zeros(1, np.int64))
    for ask in (lambda: G.w(z, c), lambda: G.images_of(z)):
        with pytest.raises(UserError, match="goes from z to images and shows no w: name a run of stylegan2 instead"):
            ask()


def test_files_that_make_no_images_of_noise_are_one_line(tmp_path: Path) -> None:
    file = export(untrained(tmp_path / "run", "unet"), to="onnx", out=tmp_path / "G.onnx").file
    with pytest.raises(UserError, match=r"makes images of images, not of noise; .* gannet translate RUN FOLDER"):
        gannet.load(file)
    with pytest.raises(UserError, match=r"is for other programs: gannet translate takes the run"):
        api.translate(file, "images", out=tmp_path / "out")
    file = export(saved(tmp_path / "fp", "dvdgan", frames=3, given=1), to="onnx", out=tmp_path / "G.onnx").file
    with pytest.raises(UserError, match="goes on from first frames, which only a run is given"):
        gannet.load(file)


@pytest.mark.parametrize("source", ["onnx", "folder"])
def test_too_many_for_the_disk_are_refused_at_once(
    source: str, model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda place: shutil._ntuple_diskusage(10**6, 10**6 - 5000, 5000))
    run = model if source == "onnx" else V0_1
    assert gannet.sample(run, num=6, out=tmp_path / "few").num == 6
    with pytest.raises(UserError, match=r"7 images need 5 kB and .* has 5 kB left: make fewer"):
        gannet.sample(run, num=7, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_disk_that_fills_up_leaves_no_half_of_a_file(
    model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []

    def full(descriptor: int) -> None:
        synced.append(descriptor)
        if len(synced) > 2:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*seed0_000002_day.png: No space left on device"):
        gannet.sample(model, num=5, out=tmp_path / "out")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["seed0_000000_day.png", "seed0_000001_night.png"]


@pytest.mark.parametrize("num", [-1, 10**6 + 1])
@pytest.mark.parametrize("source", ["onnx", "folder"])
def test_numbers_that_cannot_be_are_one_line_in_python_too(source: str, num: int, model: Path) -> None:
    G: Any = gannet.load(model if source == "onnx" else V0_1)
    with pytest.raises(UserError, match=rf"num is {num:,}, and must be at (least 0|most 1,000,000)"):
        G.sample(num)


def first() -> np.ndarray:
    with Image.open(V0_1 / "first.png") as image:
        return np.asarray(image).astype(int)


@pytest.mark.parametrize("place", ["", "model.onnx"])
def test_generators_of_version_0_1_make_the_same_images_for_ever(place: str) -> None:
    """What 0.1 wrote, and the first image that it drew of seed 0."""
    G: Any = gannet.load(V0_1 / place)
    assert (G.classes, G.z_dim, G.shares) == (CLASSES, 4, (0.5, 0.5))
    assert np.abs(G.to_uint8(G.sample(1))[0].transpose(1, 2, 0) - first()).max() <= 1
    assert np.ptp(first()) > 100


def test_folders_without_a_checksum_are_loaded(tmp_path: Path) -> None:
    """They are older than checksums."""
    folder = shutil.copytree(V0_1, tmp_path / "G")
    config = json.loads((folder / "config.json").read_text())
    assert len(config.pop("sha256")) == 64
    (folder / "config.json").write_text(json.dumps(config))
    G: Any = gannet.load(folder)
    assert np.abs(G.to_uint8(G.sample(1))[0].transpose(1, 2, 0) - first()).max() <= 1


@pytest.mark.parametrize("place", ["folder", "file"])
def test_weights_that_were_changed_are_refused(place: str, tmp_path: Path) -> None:
    folder = shutil.copytree(V0_1, tmp_path / "G")
    file = export(folder, to="safetensors", out=tmp_path / "G.safetensors").file
    changed = folder / "model.safetensors" if place == "folder" else file
    data = bytearray(changed.read_bytes())
    data[-3] ^= 1
    changed.write_bytes(data)
    with pytest.raises(UserError, match="their SHA-256 differs") as caught:
        gannet.load(folder if place == "folder" else file)
    assert "\n" not in str(caught.value)


def test_a_folder_that_a_run_is_writing_is_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One file was read before, the other after they were written."""
    old, new = saved(tmp_path / "old", "mlp") / "generator", shutil.copytree(V0_1, tmp_path / "new")
    shutil.copy(new / "config.json", old)
    monkeypatch.setattr(folder_module.time, "sleep", lambda _: shutil.copy(new / "model.safetensors", old))
    G: Any = gannet.load(old)
    assert np.abs(G.to_uint8(G.sample(1))[0].transpose(1, 2, 0) - first()).max() <= 1


def test_a_full_disk_changes_neither_file_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = saved(tmp_path / "run", "mlp") / "generator"
    before = {path.name: path.read_bytes() for path in folder.iterdir()}

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        saved(tmp_path / "run", "mlp", z_dim=3)
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_what_a_newer_version_wrote_says_so(tmp_path: Path) -> None:
    folder = shutil.copytree(V0_1, tmp_path / "G")
    config = json.loads((folder / "config.json").read_text())
    newer = {**config, "gannet": "7.0", "settings": {**config["settings"], "colour": "mauve"}}
    (folder / "config.json").write_text(json.dumps(newer))
    with pytest.raises(UserError, match=r"do not fit: .*'colour' \(Gannet 7.0 wrote them, and this is \d"):
        gannet.load(folder)


def test_safetensors_of_others_are_one_line(tmp_path: Path) -> None:
    save_file(load_file(V0_1 / "model.safetensors"), tmp_path / "other.safetensors")
    with pytest.raises(UserError, match="does not say what network it holds"):
        gannet.load(tmp_path / "other.safetensors")
    (tmp_path / "other.safetensors").write_bytes(b"PK\x03\x04" * 9)
    with pytest.raises(UserError, match="cannot be read"):
        gannet.load(tmp_path / "other.safetensors")
