"""Less variety for better images: z within bounds, w near its average, and the statistics that go with them."""

import math
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from gannet import api
from gannet.errors import UserError
from gannet.generation.load import load
from gannet.generation.truncation import standing_statistics
from gannet.networks import GENERATORS
from gannet.networks.folder import save_network
from gannet.noise import Stream, normal, truncated_normal

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"z_dim": 8, "hidden": (8, 6)},
    "r3gan": {"z_dim": 8, "widths": (16, 16, 16, 16)},
    "stylegan2": {"z_dim": 8, "w_dim": 8, "mapping_layers": 2, "channel_base": 128},
}


def saved(folder: Path, row: str, classes: tuple[str, ...] = ()) -> Path:
    """A run folder with a G whose batch norm has seen z from N(0, 1)."""
    torch.manual_seed(1)
    G: Any = GENERATORS.find(row)(32, 3, len(classes), **SMALL[row]).train()
    for _ in range(10):
        c = torch.eye(max(len(classes), 1))[torch.randint(max(len(classes), 1), (32,))][:, : len(classes)]
        G(torch.randn(32, 8), c)
    facts = {"resolution": 32, "channels": 3, "classes": list(classes), "settings": SMALL[row]}
    save_network(folder / "run" / "generator", G, {"name": row, **facts})
    return folder / "run"


def test_values_lie_within_the_bound_and_keep_sign_and_order() -> None:
    z = normal(0, Stream.SAMPLE, 0, 4000, 10)
    for bound in (0.1, 1.0, 2.5):
        mapped = truncated_normal(z, bound)
        assert mapped.dtype == np.float32 and 0.98 * bound < abs(mapped).max() <= np.float32(bound)
        assert (np.sign(mapped) == np.sign(z)).all()
        order = np.argsort(z, axis=None)
        assert (np.diff(mapped.ravel()[order]) >= 0).all()
    assert np.allclose(truncated_normal(z, 30.0), z, atol=1e-6)


def test_they_have_the_truncated_normal_distribution() -> None:
    """Its density is phi(x) / (2 Phi(T) - 1): the distribution function at some points, and the variance."""
    bound = 0.8
    mapped = truncated_normal(normal(3, Stream.SAMPLE, 0, 20000, 10), bound).ravel()

    def phi(x: float) -> float:
        return (1 + math.erf(x / math.sqrt(2))) / 2

    inside = 2 * phi(bound) - 1
    for x in (-0.6, -0.2, 0.3, 0.7):
        assert (mapped <= x).mean() == pytest.approx((phi(x) - phi(-bound)) / inside, abs=0.005)
    density = math.exp(-(bound**2) / 2) / math.sqrt(2 * math.pi)
    assert mapped.var() == pytest.approx(1 - 2 * bound * density / inside, rel=0.01)


def test_by_hand() -> None:
    """z at the quantile 3/4 goes to that of the distribution within the quartiles: Phi^-1(1/2 + 1/8)."""
    quartile = 0.6744897501960817
    (found,) = truncated_normal(np.array([[quartile]]), quartile)[0]
    assert found == pytest.approx(0.3186393639643752, abs=1e-7)
    extreme = truncated_normal(np.array([[9.0, -9.0, 0.0]]), 2.0)[0]
    assert extreme.tolist() == pytest.approx([2.0, -2.0, 0.0], abs=1e-6)


@pytest.mark.parametrize("row", SMALL)
@pytest.mark.parametrize("classes", [(), ("a", "b", "c")])
def test_image_i_is_the_same_in_every_batch(tmp_path: Path, row: str, classes: tuple[str, ...]) -> None:
    G = load(saved(tmp_path, row, classes))
    whole = G.sample(9, seed=2, truncation=0.7)
    assert torch.allclose(G.sample(9, seed=2, truncation=0.7, batch=4), whole, atol=1e-4)
    assert torch.equal(G.sample(9, 2, None, 0.7), whole)
    with pytest.raises(TypeError, match="positional"):
        cast(Any, G.sample)(9, 2, None, 0.7, 5)
    assert torch.allclose(G.truncated(0.7).sample(2, seed=2, start=5), whole[5:7], atol=1e-4)
    assert not torch.allclose(G.sample(9, seed=2), whole, atol=1e-2)


def test_z_is_bounded_and_g_itself_stays_as_it_was(tmp_path: Path) -> None:
    G = load(saved(tmp_path, "mlp"))
    before, plain = {k: v.clone() for k, v in G.network.state_dict().items()}, G.sample(4)
    near = G.truncated(0.5)
    assert near.z(0, 0, 50).abs().max() <= 0.5 < G.z(0, 0, 50).abs().max()
    assert all(torch.equal(before[k], v) for k, v in G.network.state_dict().items())
    assert torch.equal(G.sample(4), plain)
    changed = [k for k, v in near.network.state_dict().items() if not torch.equal(before[k], v)]
    assert changed and all("running" in name or "num_batches" in name for name in changed)


def test_batch_norm_has_the_statistics_of_truncated_z(tmp_path: Path) -> None:
    """The mean of the first norm's input over z so truncated, drawn here anew."""
    near = load(saved(tmp_path, "mlp")).truncated(0.4)
    network: Any = near.network
    norm = next(m for m in network.modules() if isinstance(m, nn.BatchNorm1d))
    seen: list[Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    near.images(near.z(77, 0, 4000), torch.zeros(4000, 0))
    hook.remove()
    assert norm.running_mean is not None and norm.running_var is not None
    assert torch.allclose(norm.running_var, seen[0].var(0), rtol=0.1)
    assert (norm.running_mean - seen[0].mean(0)).abs().max() < 0.05 * seen[0].std()


def test_psi_moves_w_to_its_average(tmp_path: Path) -> None:
    G = load(saved(tmp_path, "stylegan2"))
    network: Any = G.network
    average = network.synthesis(network.w_avg.expand(1, network.num_layers, -1)).clamp(-1, 1)
    assert torch.allclose(G.sample(3, truncation=0.0), average.expand(3, -1, -1, -1), atol=1e-5)
    assert torch.allclose(G.sample(3, truncation=1.0), G.sample(3), atol=1e-5)
    w = network.mapping(G.z(0, 0, 3), torch.zeros(3, 0))
    half = network.synthesis(0.5 * w + 0.5 * network.w_avg).clamp(-1, 1)
    assert torch.allclose(G.sample(3, truncation=0.5), half, atol=1e-5)


@pytest.mark.parametrize(
    ("row", "value", "says"),
    [
        ("mlp", 0.0, "--truncation is 0, and must be above 0"),
        ("mlp", -1.0, "--truncation is -1, and must be above 0"),
        ("mlp", math.nan, "--truncation is nan, and must be above 0"),
        ("stylegan2", 2.5, "--truncation is 2.5, and must be from -1 to 2, as this G has a w"),
        ("stylegan2", -1.5, "must be from -1 to 2"),
    ],
)
def test_what_no_truncation_can_be_is_one_line(tmp_path: Path, row: str, value: float, says: str) -> None:
    folder = saved(tmp_path, row)
    with pytest.raises(UserError, match=says) as caught:
        api.sample(folder, num=1, truncation=value, out=tmp_path / "out")
    assert "\n" not in str(caught.value) and not (tmp_path / "out").exists()


def test_files_are_those_of_the_truncated_generator(tmp_path: Path) -> None:
    folder = saved(tmp_path, "mlp")
    (path,) = api.sample(folder, num=1, seed=5, truncation=0.3, out=tmp_path / "out").files
    expected = load(folder).truncated(0.3)
    with Image.open(path) as image:
        written = np.asarray(image).astype(int)
    assert abs(written - expected.to_uint8(expected.sample(1, seed=5))[0].transpose(1, 2, 0)).max() <= 1


@pytest.mark.parametrize("row", ["biggan", "biggan-deep", "resnet", "dcgan"])
def test_standing_statistics_are_means_over_passes(row: str) -> None:
    torch.manual_seed(0)
    G: Any = GENERATORS.find(row)(32, 3, 2, z_dim=8, width=2)
    c = torch.eye(2).repeat(4, 1)
    batches = [(0.5 * torch.randn(8, 8), c) for _ in range(5)]
    for z, c in batches:
        G(3 * z, c)  # statistics of other z, as from training
    G.blocks[0].eval()
    modes = [m.training for m in G.modules()]
    others = {k: v.clone() for k, v in G.state_dict().items() if "running" not in k and "tracked" not in k}
    norm = next(m for m in G.modules() if isinstance(m, nn.BatchNorm2d))
    seen: list[Tensor] = []
    hook = norm.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    standing_statistics(G, iter(batches).__next__, passes=5)
    hook.remove()
    assert len(seen) == 5
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert torch.allclose(norm.running_mean, torch.stack([x.mean((0, 2, 3)) for x in seen]).mean(0), atol=1e-6)
    assert torch.allclose(norm.running_var, torch.stack([x.var((0, 2, 3)) for x in seen]).mean(0), atol=1e-6)
    assert norm.momentum == 0.1
    assert [m.training for m in G.modules()] == modes
    assert all(torch.equal(G.state_dict()[k], v) for k, v in others.items())


def test_standing_statistics_bring_truncated_samples_to_the_range_of_training() -> None:
    """What the last norm gives ReLU has unit variance for truncated z only after them."""
    torch.manual_seed(0)
    G: Any = GENERATORS.find("biggan")(32, 3, 0, z_dim=40, width=2)
    none = torch.zeros(64, 0)
    for _ in range(40):
        G(torch.randn(64, 40), none)

    def off() -> float:
        with torch.no_grad():
            values: list[Tensor] = []
            hook = G.norm.register_forward_hook(lambda *args: values.append(args[2]))
            G.eval()(0.05 * torch.randn(64, 40), none)
            hook.remove()
        return (values[0].var((0, 2, 3)).log().abs()).max().item()

    before = off()
    standing_statistics(G, lambda: (0.05 * torch.randn(64, 40), none), passes=20)
    assert before > 1 > 0.3 > off()
