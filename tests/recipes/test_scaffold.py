import ast
import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from gannet.config import Data, Train, part
from gannet.data.dataset import Dataset
from gannet.errors import UserError
from gannet.networks.dcgan import Discriminator, Generator
from gannet.recipes import recipe
from gannet.recipes.scaffold import script
from gannet.training.build import build_training, completed
from gannet.training.engine import Engine
from gannet.training.loop import Training, iterate

BATCH = 4
SAME = {  # the scaffold's names to Gannet's
    "Loss_D": "loss D",
    "Loss_G": "loss G",
    "D(x)": "D(x)",
    "D(G(z)) before": "D(G(z))",
    "D(G(z)) after": "D(G(z)) after",
}


def load(path: Path, *sizes: int) -> Any:
    """The file for these sizes, imported."""
    path.write_text(script(*sizes), "utf-8")
    spec = importlib.util.spec_from_file_location("scaffolded", path)
    assert spec is not None and spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def tensors(network: nn.Module) -> list[torch.Tensor]:
    """Parameters, then buffers, in order."""
    return [*network.parameters(), *network.buffers()]


def copy(source: nn.Module, target: nn.Module) -> None:
    with torch.no_grad():
        for a, b in zip(tensors(source), tensors(target), strict=True):
            assert a.shape == b.shape
            b.copy_(a)


def training(size: int, channels: int, z_dim: int) -> Training:
    """Gannet's own loop on random images."""
    images = np.random.default_rng(0).integers(0, 256, (2 * BATCH, channels, size, size), np.uint8)
    dataset = Dataset(images, np.zeros(len(images), np.int64), (), [], images[:0], "", [], Path())
    wanted = replace(
        recipe("dcgan"),
        data=Data(resolution=size),
        G=part("dcgan", z_dim=z_dim),
        D=part("dcgan"),
        train=Train(batch=BATCH, device="cpu", precision="float32"),
    )
    return build_training(completed(wanted), dataset, Engine(torch.device("cpu")))


@pytest.mark.parametrize("size", [16, 32, 64, 128, 256])
@pytest.mark.parametrize("channels", [1, 3])
def test_short_plain_pytorch(size: int, channels: int) -> None:
    text = script(size, channels, 100)
    nodes = list(ast.walk(ast.parse(text)))
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
    assert {name.partition(".")[0] for name in imported} == {"argparse", "pathlib", "torch", "torchvision", "PIL"}
    assert text.count("\n") < 200
    assert "$" not in text
    assert text.count(", lr=2e-4, betas=(0.5, 0.999))") == 2  # as the steps below are compared with


@pytest.mark.parametrize("sizes", [(16, 1, 1), (256, 3, 1000)])
def test_clean(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    (tmp_path / "train.py").write_text(script(*sizes), "utf-8")
    config = Path(__file__).parents[2] / "pyproject.toml"
    for command in (["check", "--no-cache"], ["format", "--check", "--no-cache"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--config", str(config), "train.py"]
        done = subprocess.run(ruff, cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("sizes", [(16, 1, 100), (64, 3, 100), (256, 3, 7)])
def test_networks_equal_gannets(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    size, channels, z_dim = sizes
    module = load(tmp_path / "train.py", *sizes)
    G, D = Generator(size, channels, 0, z_dim=z_dim), Discriminator(size, channels, 0)
    own_G, own_D = module.Generator(), module.Discriminator()
    copy(G, own_G)
    copy(D, own_D)
    z, c = torch.randn(2, z_dim), torch.zeros(2, 0)
    with torch.no_grad():
        x = G(z, c)
        torch.testing.assert_close(own_G(z), x)
        torch.testing.assert_close(own_D(x), D(x, c))


def test_weights_start_as_gannets_do(tmp_path: Path) -> None:
    module = load(tmp_path / "train.py", 32, 3, 100)
    for own, network in ((module.Generator(), Generator(32, 3, 0)), (module.Discriminator(), Discriminator(32, 3, 0))):
        for a, b in zip(tensors(own), tensors(network), strict=True):
            if a.numel() >= 1000:
                assert a.std().item() == pytest.approx(b.std().item(), rel=0.1)
                assert a.mean().item() == pytest.approx(b.mean().item(), abs=0.003)


def first_steps(module: Any, t: Training, dtype: torch.dtype) -> Iterator[tuple[dict[str, float], dict[str, float]]]:
    """What the scaffold and Gannet's loop say of the same steps: same weights at first, same reals and z."""
    reals, noise = t.loader.reals, t.loader.noise
    loader: Any = t.loader
    loader.reals = lambda *numbers: tuple(tensor.to(dtype) for tensor in reals(*numbers))
    loader.noise = lambda *numbers: noise(*numbers).to(dtype)
    for network in t.networks.values():
        network.to(dtype)
    G, D = module.Generator().to(dtype), module.Discriminator().to(dtype)
    copy(t.networks["G"], G)
    copy(t.networks["D"], D)
    opt_G, opt_D = (torch.optim.Adam(network.parameters(), lr=2e-4, betas=(0.5, 0.999)) for network in (G, D))
    for _ in range(3):
        x, _labels = loader.reals(t.cur_nimg, BATCH)
        seen = module.train_step(G, D, opt_G, opt_D, x, loader.noise(t.num_z, BATCH))
        iterate(t)
        means = t.means.flush()
        yield {name: value.item() for name, value in seen.items()}, {name: means[own] for name, own in SAME.items()}
    assert all(p.requires_grad for p in D.parameters())


@pytest.mark.parametrize("sizes", [(16, 1, 100), (32, 3, 20)])
def test_first_steps_equal_gannets_loop(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    steps = first_steps(load(tmp_path / "train.py", *sizes), training(*sizes), torch.float64)
    for seen, means in steps:
        assert seen == pytest.approx(means, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("sizes", [(16, 1, 100), (32, 3, 20)])
def test_first_steps_in_float32(tmp_path: Path, sizes: tuple[int, int, int]) -> None:
    """Gannet's channels-last convolutions round differently, and Adam's first steps, which are as
    large for a tiny gradient as for a big one, enlarge that: to 6e-4 in three steps.
    """
    steps = first_steps(load(tmp_path / "train.py", *sizes), training(*sizes), torch.float32)
    before_any_step = ("Loss_D", "D(x)", "D(G(z)) before")
    for number, (seen, means) in enumerate(steps):
        assert seen == pytest.approx(means, rel=5e-3, abs=5e-3)
        if number == 0:
            assert [seen[n] for n in before_any_step] == pytest.approx([means[n] for n in before_any_step], rel=1e-5)


def test_script_trains_on_a_folder(tmp_path: Path) -> None:
    (tmp_path / "data/inner").mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(8):
        pixels = random.integers(0, 256, (20 + i, 30, 4 if i % 2 else 3), np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"data/inner/{i}.png")
    module = load(tmp_path / "train.py", 16, 3, 10)
    options = ["--epochs=1", "--batch=8", "--device=cpu", "--workers=0", "--out=made/here"]
    done = subprocess.run([sys.executable, "train.py", "data", *options], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for name in SAME:
        assert name in done.stdout
    with Image.open(tmp_path / "made/here/epoch-001.png") as grid:
        assert grid.size == (8 * (16 + 2) + 2, 8 * (16 + 2) + 2)
    G = module.Generator()
    G.load_state_dict(torch.load(tmp_path / "made/here/G.pt", weights_only=True))
    images = module.sample(G, torch.randn(5, 10))
    assert images.shape == (5, 3, 16, 16)
    assert 0 <= images.min() < images.max() <= 1


def pictures() -> dict[str, tuple[Image.Image, int]]:
    """Pictures of every kind with the grey value that a pixel in the middle has to get."""
    deep = Image.fromarray(np.full((20, 20), 51 * 256, np.uint16))
    clear = Image.new("RGBA", (20, 20), (255, 0, 0, 0))
    wide = Image.new("L", (60, 20), 255)
    wide.paste(102, (20, 0, 40, 20))
    palette = Image.new("P", (20, 20), 0)
    palette.putpalette([102, 102, 102])
    return {"deep": (deep, 51), "clear": (clear, 255), "wide": (wide, 102), "palette": (palette, 102)}


@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_every_kind_are_read(tmp_path: Path, channels: int) -> None:
    (tmp_path / "data").mkdir()
    wanted = pictures()
    for name, (picture, _) in wanted.items():
        picture.save(tmp_path / f"data/{name}.png")
    (tmp_path / "data/notes.txt").write_text("no image")
    folder = load(tmp_path / "train.py", 16, channels, 10).Folder(tmp_path / "data")
    assert len(folder) == len(wanted)
    for path, x in zip(folder.paths, folder, strict=False):
        assert x.shape == (channels, 16, 16)
        assert x.dtype == torch.float32
        assert ((x[:, 8, 8] + 1) * 127.5).tolist() == pytest.approx([wanted[path.stem][1]] * channels, abs=1e-3)


def test_folder_without_images(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="no images"):
        load(tmp_path / "train.py", 16, 3, 10).Folder(tmp_path / "empty")


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ((48, 3, 100), "image size is 48"),
        ((8, 3, 100), "image size is 8"),
        ((512, 3, 100), "image size is 512"),
        ((64, 4, 100), "channels is 4"),
        ((64, 3, 0), "length of z is 0"),
    ],
)
def test_sizes_that_cannot_be(sizes: tuple[int, int, int], line: str) -> None:
    with pytest.raises(UserError, match=line) as error:
        script(*sizes)
    assert "\n" not in str(error.value)
