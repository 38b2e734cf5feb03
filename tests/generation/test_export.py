"""Generators as files: every network of the tables, what the files say of themselves, and what is refused."""

import errno
import json
import os
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx.reference import ReferenceEvaluator
from onnxruntime import InferenceSession
from runs import of_g, untrained
from safetensors.torch import load_file
from torch import Tensor, nn

import gannet
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation import export as module
from gannet.generation.export import export, to_onnx
from gannet.generation.load import Generator, load
from gannet.networks import GENERATORS, TRANSLATORS
from gannet.networks.folder import save_network
from gannet.parts import facts_for

CLASSES = ("ant", "bee", "cat")
FRAMES = 3
MORE: dict[str, dict[str, Any]] = {
    "mlp": {"hidden": (8, 6)},
    "dcgan": {"attention": (8,), "label": "batch-norm", "extra_convs": 1, "residual": True, "init": "pytorch"},
    "resnet": {"attention": (8,), "spectral": True},
    "biggan": {"attention": (16,)},
}
"""What a shrunken network has more of, so that every kind of layer is exported."""
both_opsets = pytest.mark.parametrize("opset", [18, 15])


def saved(folder: Path, name: str, classes: tuple[str, ...] = (), **more: Any) -> Path:
    """A run folder with a shrunken G whose batch norm has seen z."""
    torch.manual_seed(3)
    build = GENERATORS.find(name)
    frames = FRAMES if name == "dvdgan" else 1
    size = 32 if name in ("biggan", "biggan-deep", "fastgan") else 16
    settings = {**of_g(name), **MORE.get(name, {}), **more}
    G = build(size, 3 * frames, len(classes), **facts_for(build, frames=frames), **settings).train()
    c = torch.eye(max(len(classes), 1))[torch.arange(8) % max(len(classes), 1)][:, : len(classes)]
    given = (torch.rand(8, 3 * more["given"], size, size),) if "given" in more else ()
    for _ in range(5):
        G(torch.randn(8, G.z_dim), c, *given)
    if name in ("dcgan", "fastgan"):  # whose weights are so small at the start that all images are grey
        last = G.blocks[-2] if name == "dcgan" else G.to_colours
        last.weight.data.div_(G.eval()(torch.randn(8, G.z_dim), c).std().detach())
    config = {"name": name, "resolution": size, "channels": 3 * frames, "frames": frames, "classes": list(classes)}
    save_network(folder / "generator", G, {**config, "settings": settings})
    return folder


def ran(file: Path, **inputs: Tensor) -> np.ndarray:
    """What onnxruntime makes of the file."""
    session = InferenceSession(file, providers=["CPUExecutionProvider"])
    assert [each.name for each in session.get_inputs()] == list(inputs)
    made: Any = session.run(None, {name: x.numpy() for name, x in inputs.items()})[0]
    return made


@both_opsets
@pytest.mark.parametrize("classes", [(), CLASSES])
@pytest.mark.parametrize("name", GENERATORS.rows)
def test_every_generator_is_the_same_as_onnx(name: str, classes: tuple[str, ...], opset: Any, tmp_path: Path) -> None:
    run = saved(tmp_path / "run", name, classes)
    made = export(run, to="onnx", out=tmp_path / "G.onnx", opset=opset)
    assert made.difference is not None and made.difference < 1e-4
    assert onnx.load(made.file).opset_import[0].version == opset
    onnx.checker.check_model(str(made.file), full_check=True)
    G = load(run)
    z, c = G.z(5, 0, 3), G.one_hot(np.array([2, 0, 1]) if classes else np.zeros(3))
    expected = G.images(z, c).clamp(-1, 1).numpy()
    found = ran(made.file, z=z, **({"c": c} if classes else {}))
    assert found.shape == ((3, FRAMES, 3, 16, 16) if name == "dvdgan" else expected.shape)
    assert np.ptp(expected) > 0.1, np.ptp(expected)
    assert np.abs(found.reshape(expected.shape) - expected).max() < 1e-4


@both_opsets
@pytest.mark.parametrize("name", TRANSLATORS.rows)
def test_every_translator_is_the_same_as_onnx_at_any_size(name: str, opset: Any, tmp_path: Path) -> None:
    made = export(untrained(tmp_path / "run", name), to="onnx", out=tmp_path / "G.onnx", opset=opset)
    G: Any = gannet.load(tmp_path / "run")
    a = torch.rand(2, 3, 32, 48) * 2 - 1
    expected = G.network(a).clamp(-1, 1).numpy()
    found = ran(made.file, a=a)
    assert found.shape == (2, 3, 32 * G.scale, 48 * G.scale)
    assert np.abs(found - expected).max() < 1e-4


def test_a_g_that_goes_on_from_frames_takes_them(tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "dvdgan", CLASSES, given=2)
    made = export(run, to="onnx", out=tmp_path / "G.onnx")
    G: Any = load(run)
    z, c, a = G.z(5, 0, 3), G.one_hot(np.array([2, 0, 1])), torch.rand(3, 6, 16, 16)
    found = ran(made.file, z=z, c=c, given=a)
    assert np.abs(found.reshape(3, 9, 16, 16) - G.network(z, c, a).numpy()).max() < 1e-4
    assert np.array_equal(found[:, :2].reshape(a.shape), a.numpy())


def test_another_evaluator_makes_the_same_images(tmp_path: Path) -> None:
    """ONNX's own, in NumPy: the file does not lean on what onnxruntime makes of it."""
    run = saved(tmp_path / "run", "dcgan", CLASSES)
    file = export(run, to="onnx", out=tmp_path / "G.onnx").file
    G = load(run)
    z, c = G.z(1, 0, 2), G.one_hot(np.array([1, 2]))
    (found,) = ReferenceEvaluator(str(file)).run(None, {"z": z.numpy(), "c": c.numpy()})
    assert np.abs(found - G.images(z, c).numpy()).max() < 1e-4


def test_spectral_norm_is_folded_in(tmp_path: Path) -> None:
    """The file's weights are those of the spectrally normalised layers; its vectors are not there."""
    file = export(saved(tmp_path / "run", "biggan"), to="onnx", out=tmp_path / "G.onnx").file
    weights = {each.name: onnx.numpy_helper.to_array(each) for each in onnx.load(file).graph.initializer}
    assert not any("parametrizations" in name or name.endswith(("_u", "_v")) for name in weights)
    expected = load(tmp_path / "run").network.get_submodule("to_image").weight
    assert isinstance(expected, Tensor)
    assert any(w.shape == expected.shape and np.allclose(w, expected, atol=1e-6) for w in weights.values())


def test_the_file_says_what_it_is(tmp_path: Path) -> None:
    run = saved(tmp_path / "run", "dcgan", CLASSES)
    config = json.loads((run / "generator" / "config.json").read_text())
    (run / "generator" / "config.json").write_text(json.dumps({**config, "class_shares": [0.5, 0.3, 0.2]}))
    model = onnx.load(export(run, to="onnx", out=tmp_path / "G.onnx").file)
    facts = json.loads({each.key: each.value for each in model.metadata_props}["gannet"])
    assert facts == {
        "format": 1,
        "kind": "generator",
        "gannet": gannet.__version__,
        "network": "dcgan",
        "classes": list(CLASSES),
        "class_shares": [0.5, 0.3, 0.2],
        "resolution": 16,
        "channels": 3,
        "z_dim": 6,
        "frames": 1,
        "has_w": False,
        "range": [-1, 1],
        "colour": "RGB",
        "pixels": "round(127.5 * x + 127.5), cut off at 0 and 255",
        "sha256": sha256(model.graph.SerializeToString()).hexdigest(),
    }
    sizes = {
        value.name: [each.dim_param or each.dim_value for each in value.type.tensor_type.shape.dim]
        for value in [*model.graph.input, *model.graph.output]
    }
    assert sizes == {"z": ["N", 6], "c": ["N", 3], "images": ["N", 3, 16, 16]}


def test_values_beyond_the_range_are_cut_off(tmp_path: Path) -> None:
    """R3GAN's last layer has no bounds."""
    run = saved(tmp_path / "run", "r3gan")
    G = load(run)
    colours: Any = G.network.get_submodule("to_colours")
    with torch.no_grad():
        colours.weight.mul_(50)
    save_network(run / "generator", G.network, json.loads((run / "generator" / "config.json").read_text()))
    found = ran(export(run, to="onnx", out=tmp_path / "G.onnx").file, z=G.z(0, 0, 4))
    assert (found.min(), found.max()) == (-1, 1) and G.sample(4).abs().max() > 2


@pytest.mark.parametrize("name", ["dcgan", "biggan", "unet"])
def test_one_file_of_safetensors_is_loaded_as_the_folder_is(name: str, tmp_path: Path) -> None:
    run = untrained(tmp_path / "run", name) if name == "unet" else saved(tmp_path / "run", name, CLASSES)
    made = export(run, to="safetensors", out=tmp_path / "alone" / "G.safetensors")
    assert [path.name for path in made.file.parent.iterdir()] == ["G.safetensors"]
    one, other = gannet.load(made.file), gannet.load(run)
    if isinstance(one, Generator) and isinstance(other, Generator):
        assert torch.equal(one.sample(3, seed=2), other.sample(3, seed=2)) and one.classes == CLASSES
    weights, folder = load_file(made.file), load_file(run / "generator" / "model.safetensors")
    assert weights.keys() == folder.keys()
    assert all(torch.equal(weights[key], folder[key]) for key in weights)


class Odd(nn.Module):
    """A G that does what no file can say."""

    z_dim = 4

    def __init__(self, make: Callable[[Tensor], Tensor]):
        super().__init__()
        self.make = make

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.make(z).reshape(-1, 1, 2, 2).tanh()


ODD: dict[str, Any] = {"name": "odd", "resolution": 2, "channels": 1, "classes": []}


def test_a_g_that_counts_its_batch_is_not_written() -> None:
    """Traced for two images, it would be wrong for one."""
    with pytest.raises(UserError, match="'odd' as ONNX makes values that differ by"):
        to_onnx(Odd(lambda z: z * len(z)), ODD, 18)
    _, difference = to_onnx(Odd(lambda z: z * 2), ODD, 18)
    assert difference < 1e-6


def test_what_cannot_be_expressed_is_one_line() -> None:
    with pytest.raises(UserError, match="'odd' cannot be written as ONNX of opset 18: ") as caught:
        to_onnx(Odd(lambda z: torch.linalg.svd(z.reshape(-1, 2, 2))[0]), ODD, 18)
    assert "\n" not in str(caught.value)


def test_values_that_are_no_numbers_are_not_written() -> None:
    with pytest.raises(UserError, match="'odd' as ONNX makes values that differ by nan"):
        to_onnx(Odd(lambda z: (z - 100).log()), ODD, 18)


def test_a_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved(tmp_path / "run", "dcgan")

    def wrong(G: nn.Module) -> None:
        for parameter in G.parameters():
            parameter.data.mul_(1.05)

    monkeypatch.setattr(module, "fold", wrong)
    with pytest.raises(UserError, match=r"'dcgan' as ONNX makes values that differ by 0.\d+ from torch's"):
        export(run, to="onnx", out=tmp_path / "out" / "G.onnx")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("to", ["onnx", "safetensors"])
def test_a_full_disk_leaves_nothing_half_written(to: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = saved(tmp_path / "run", "dcgan")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    (tmp_path / f"G.{to}").write_bytes(b"before")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(UserError, match=r"cannot write .*: No space left on device"):
        export(run, to=to, out=tmp_path / f"G.{to}")
    assert (tmp_path / f"G.{to}").read_bytes() == b"before"
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"G.{to}", "run"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["nothing", "--to", "onnx"], "there is no run and no generator at nothing"),
        (["run", "--to", "onnx", "--out", "G.bin"], "--out is G.bin, and must name a file that ends in .onnx"),
        (["run", "--to", "safetensors", "--out", "G.onnx"], "must name a file that ends in .safetensors"),
        (["run", "--to", "tensorflow"], "tensorflow"),
        (["run", "--to", "onnx", "--opset", "11"], "11"),
        (["run"], "--to"),
        (["run/generator/config.json", "--to", "onnx"], "is a file, where the folder of a run or of a generator is"),
    ],
)
def test_what_cannot_be_exported_is_one_line(
    words: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "run", "mlp")
    monkeypatch.chdir(tmp_path)
    assert main(["export", *words]) == 2
    said = capsys.readouterr().err
    assert said.startswith("gannet: ") and said.count("\n") == 1 and says in said
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_the_command_tells_what_it_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    saved(tmp_path / "run", "mlp")
    monkeypatch.chdir(tmp_path)
    assert main(["export", "run", "--to", "onnx", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["file"] == "model.onnx" and told["bytes"] == Path("model.onnx").stat().st_size
    assert 0 <= told["difference"] < 1e-4
    assert main(["export", "run", "--to", "safetensors"]) == 0
    assert capsys.readouterr().out.startswith("model.safetensors: ")


def test_a_missing_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(UserError, match=r"--to onnx needs the package onnx: pip install 'gannet-gan\[onnx\]'"):
        export(saved(tmp_path / "run", "mlp"), to="onnx", out=tmp_path / "G.onnx")
