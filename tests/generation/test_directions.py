"""Directions of latents: against the singular vectors of weights, and components that were put in on purpose."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import of_g

import gannet
from gannet.cli import main
from gannet.errors import UserError
from gannet.generation.directions import Space, factor, features, find_directions, first_layers, regressed
from gannet.generation.load import Generator, generator_of, load
from gannet.networks import GENERATORS

Made = Callable[..., Path]
DIRECT = {  # the layers that take the latent as it is, and the first one after them
    "mlp": ({"layers.0"}, "layers.3"),
    "dcgan": ({"blocks.0"}, "blocks.3"),
    "r3gan": ({"from_noise"}, "stages.0.widen"),
    "fastgan": ({"start.0"}, "ups.8.1"),
    "resnet": ({"dense"}, "blocks.0.conv1"),
}


def built(name: str, classes: tuple[str, ...] = (), **settings: Any) -> Generator:
    torch.manual_seed(1)
    frames, side = 3 if name == "dvdgan" else 1, 16 if name == "r3gan" else 32
    facts = {"frames": frames} if frames > 1 else {}
    network = GENERATORS.find(name)(side, 3 * frames, len(classes), **facts, **{**of_g(name), **settings})
    config = {"classes": list(classes), "resolution": side, "channels": 3 * frames, "frames": frames}
    return generator_of(network.eval().requires_grad_(False), config, torch.device("cpu"), Path())


def singular(A: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """The squares of a matrix's singular values, and its right singular vectors as rows."""
    _, values, vectors = torch.linalg.svd(A.double(), full_matrices=False)
    return values.square(), vectors


def aligned(found: np.ndarray, vectors: torch.Tensor) -> np.ndarray:
    """Absolute cosines of the rows of both."""
    one, two = found / np.linalg.norm(found, axis=1, keepdims=True), vectors.numpy()[: len(found)]
    return abs((one * two).sum(1))


def test_they_are_the_singular_vectors_of_the_first_weights() -> None:
    G = built("mlp", ("a", "b"))
    network: Any = G.network
    values, vectors = singular(network.layers[0].weight[:, : G.z_dim])
    found = find_directions(G, 4)
    assert found.space == "z" and found.vectors.shape == (4, G.z_dim) and found.vectors.dtype == np.float32
    assert np.allclose(aligned(found.vectors, vectors), 1, atol=1e-5)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(found.shares, (values / values.sum())[:4], atol=1e-5)
    largest = np.take_along_axis(found.vectors, abs(found.vectors).argmax(1)[:, None], 1)
    assert (largest > 0).all()
    assert np.array_equal(G.directions(4), found.vectors)


@pytest.mark.parametrize("name", DIRECT)
@pytest.mark.parametrize("classes", [(), ("a", "b")])
def test_first_layers_are_found_in_any_network(name: str, classes: tuple[str, ...]) -> None:
    G = built(name, classes)
    names = {module: name for name, module in G.network.named_modules()}
    first, later = first_layers(Space(G, None))
    assert ({names[layer] for layer, *_ in first}, names.get(later)) == DIRECT[name]
    for _, _, numbers in first:
        assert numbers[numbers >= 0].tolist() == list(range(G.z_dim))


def test_a_cut_z_is_put_together_from_all_layers_that_take_a_piece() -> None:
    """BigGAN: pieces of z go to the dense layer and to the scales and shifts of each block."""
    G = built("biggan", ("a", "b"))
    network: Any = G.network
    whole = torch.zeros(G.z_dim, G.z_dim, dtype=torch.float64)
    starts = np.cumsum([0, *network.pieces])
    for i, block in enumerate([None, *network.blocks]):
        layers = (
            [network.dense]
            if block is None
            else [b for n in (block.norm1, block.norm2) for b in (n.to_scale, n.to_shift)]
        )
        for layer in layers:
            A = layer.weight[:, : network.pieces[i]].double()
            whole[starts[i] : starts[i + 1], starts[i] : starts[i + 1]] += A.T @ A
    assert torch.allclose(factor(Space(G, None)), whole, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["biggan-deep", "dvdgan"])
def test_layers_that_share_a_condition_are_found(name: str) -> None:
    G = built(name, ("a", "b"))
    first, later = first_layers(Space(G, None))
    assert len(first) > 10 and later is not None
    assert find_directions(G, 2, "components").vectors.shape == (2, G.z_dim)


def test_where_there_is_a_w_they_move_w_by_its_deviation() -> None:
    G = built("stylegan2")
    network: Any = G.network
    styles = [m for m in network.modules() if hasattr(m, "style")]
    _, vectors = singular(torch.cat([m.style.weight * m.style.scale for m in styles]))
    found = find_directions(G, 3)
    assert found.space == "w" and np.allclose(aligned(found.vectors, vectors), 1, atol=1e-4)
    w = G.w(G.z(0, 0, 2000), G.one_hot(np.zeros(2000, np.int64)))[:, 0]
    along = w.double().numpy() @ (found.vectors / np.linalg.norm(found.vectors, axis=1, keepdims=True)).T
    assert np.allclose(along.std(0, ddof=1), np.linalg.norm(found.vectors, axis=1), rtol=1e-3)


@pytest.mark.parametrize("label", [None, "b"])
def test_components_of_w_are_those_of_its_samples(label: str | None) -> None:
    G = built("stylegan2", ("a", "b"))
    numbers = G.label_numbers(2000, label)
    w = G.w(G.z(0, 0, 2000), G.one_hot(numbers))[:, 0].double()
    values, vectors = singular(w - w.mean(0))
    found = find_directions(G, 3, "components", label)
    assert np.allclose(aligned(found.vectors, vectors), 1, atol=1e-4)
    assert np.allclose(np.linalg.norm(found.vectors, axis=1), (values[:3] / 1999).sqrt(), rtol=1e-3)
    assert np.allclose(found.shares, (values / values.sum())[:3], rtol=1e-3)


def test_components_without_a_w_go_back_to_the_z_that_makes_them() -> None:
    """Two directions of z that the first layer stretches most, through its activation."""
    G = built("mlp", z_dim=10, first_norm=False, hidden=(64, 8))
    network: Any = G.network
    put_in = torch.linalg.qr(torch.randn(10, 10)).Q[:2]
    with torch.no_grad():
        layer = network.layers[0]
        layer.weight += (torch.randn(64, 2) * torch.tensor([3.0, 1.5])) @ put_in
    found = find_directions(G, 2, "components")
    assert (aligned(found.vectors, put_in.double()) > 0.97).all()
    assert found.shares[0] > 2 * found.shares[1] > 0.1
    assert features(Space(G, None)).shape == (2000, 64)


def test_regression_by_hand() -> None:
    """Features are z times 3 and 1: the components are z's axes, with variances 9 and 1."""
    z = torch.tensor([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]], dtype=torch.float64)
    values, vectors = regressed((z * torch.tensor([3.0, 1.0])).float(), z)
    assert torch.allclose(values[:2], torch.tensor([9.0, 1.0], dtype=torch.float64))
    assert torch.allclose(vectors.abs(), torch.eye(2, dtype=torch.float64), atol=1e-6)


def test_a_network_of_one_layer_has_the_components_of_its_images() -> None:
    G = built("mlp", hidden=())
    assert first_layers(Space(G, None))[1] is None
    assert features(Space(G, None)).shape == (2000, 3 * 32 * 32)


def test_the_first_direction_changes_images_more_than_the_last() -> None:
    G = built("r3gan")
    found = torch.from_numpy(G.directions(G.z_dim))
    z = G.z(0, 0, 32)
    c = G.one_hot(np.zeros(32, np.int64))
    first, last = ((G.images(z + 2 * d, c) - G.images(z, c)).square().mean() for d in (found[0], found[-1]))
    assert first > 2 * last


@pytest.mark.parametrize("classes", [(), ("ant", "bee")])
def test_the_command_writes_pictures_and_arrays(
    run: Made, tmp_path: Path, classes: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, out = run(classes), tmp_path / "out"
    label = ["--label", "bee"] if classes else []
    assert main(["directions", str(folder), "--num", "2", "--out", str(out), "--json", *label]) == 0
    said = json.loads(capsys.readouterr().out)
    assert {Path(name).name for name in said["files"]} == {path.name for path in out.iterdir()}
    with np.load(out / "directions.npz", allow_pickle=False) as arrays:
        assert np.array_equal(arrays["vectors"], load(folder).directions(2))
        assert (str(arrays["space"]), str(arrays["method"])) == ("z", "factorised")
    with Image.open(out / "direction_02.png") as strip, Image.open(out / "overview.png") as overview:
        assert strip.size == (2 * (7 * 18 + 2), 2 * (3 * 18 + 2))
        middle = np.asarray(strip)[4:36, 4 + 3 * 36 : 4 + 3 * 36 + 32][::2, ::2]
        assert overview.width == 3 * strip.width + 2 * 16 and overview.height == 2 * (2 * 18 + 2)
    itself = load(folder).sample(1, labels="bee" if classes else None)
    assert abs(middle.astype(int) - Generator.to_uint8(itself)[0].transpose(1, 2, 0)).max() <= 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--num", "0"], "--num is 0, and must be from 1 to 5, as z has so many numbers"),
        (["--num", "6"], "must be from 1 to 5"),
        (["--label", "ant"], "trained without labels: leave --label out"),
        (["--out", "a.txt"], "a.txt is a file: name a folder with --out"),
    ],
)
def test_bad_input_is_one_line(
    run: Made, tmp_path: Path, words: list[str], says: str, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    folder = run()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.txt").write_text("here", "utf-8")
    assert main(["directions", str(folder), *words]) == 2
    said = capsys.readouterr().err
    assert says in said and said.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.txt", "run"]


def test_clips_show_their_first_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from gannet.generation.directions import draw_directions

    G = built("dvdgan")
    files = draw_directions(G, find_directions(G, 1), tmp_path)
    with Image.open(files[0]) as strip:
        first = np.asarray(strip)[2:34, 2 + 3 * 34 : 2 + 3 * 34 + 32]
    assert abs(first.astype(int) - G.to_uint8(G.sample(1)[:, 0])[0].transpose(1, 2, 0)).max() <= 1
    given = built("dvdgan", given=1)
    with pytest.raises(UserError, match="goes on from first frames"):
        given.directions(1)


def test_it_is_a_function_too(run: Made, tmp_path: Path) -> None:
    found, files = gannet.directions(run(), num=1, out=tmp_path / "made")
    assert len(found.vectors) == 1 and all(file.exists() for file in files)
