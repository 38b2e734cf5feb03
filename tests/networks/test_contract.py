import json
import math
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

import gannet.networks.layers as layers_module
from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.folder import load_network, save_network
from gannet.networks.layers import LeakyDropout, dropout_mask, initialise
from gannet.recipes import recipe
from gannet.training.build import build_networks, completed

CASES = [("dcgan", size) for size in (16, 32, 64, 128, 256)] + [("mlp", 28), ("mlp", 16)]
SMALL: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "dcgan": ({"z_dim": 6, "width": 4}, {"width": 4}),
    "mlp": ({"z_dim": 6, "hidden": (8, 12)}, {"hidden": (12, 8)}),
}
both_labels = pytest.mark.parametrize("modes", [("one-hot", "channel"), ("embedding", "projection")])
families = pytest.mark.parametrize("family", list(SMALL))


def networks(family: str, classes: int = 0, size: int = 16, channels: int = 3, **more: Any) -> tuple[Any, Any]:
    torch.manual_seed(1)
    g, d = SMALL[family]
    facts = size, channels, classes
    G = GENERATORS.find(family)(*facts, **g, **more.get("G", {}))
    return G, DISCRIMINATORS.find(family)(*facts, **d, **more.get("D", {}))


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % max(classes, 1)] if classes else torch.zeros(num, 0)


@pytest.mark.parametrize(("family", "size"), CASES)
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("classes", [0, 10])
@both_labels
def test_shapes(family: str, size: int, channels: int, classes: int, modes: tuple[str, str]) -> None:
    with torch.device("meta"):
        G = GENERATORS.find(family)(size, channels, classes, label=modes[0])
        D = DISCRIMINATORS.find(family)(size, channels, classes, label=modes[1])
        c = torch.zeros(5, classes)
        x = G(torch.zeros(5, G.z_dim), c)
        assert x.shape == (5, channels, size, size)
        assert D(x, c).shape == (5,)


@families
def test_every_table_is_covered_and_every_generator_knows_its_z(family: str) -> None:
    assert set(SMALL) < set(GENERATORS.rows) == set(DISCRIMINATORS.rows) - {"patchgan", "vgg"}
    for name in set(DISCRIMINATORS.rows) - set(SMALL):
        module = DISCRIMINATORS.find(name).__module__.rpartition(".")[2]
        assert (Path(__file__).parent / f"test_{module}.py").exists(), f"{name} has no tests"
    assert networks(family)[0].z_dim == 6


@pytest.mark.parametrize("size", [8, 24, 28, 512])
def test_sizes_that_dcgan_cannot_make_are_one_line(size: int) -> None:
    for table in (GENERATORS, DISCRIMINATORS) if size > 8 else (GENERATORS,):  # D is also the half of a larger one
        with pytest.raises(UserError, match=f"16, 32, 64, 128 or 256 pixels, not {size}"):
            table.find("dcgan")(size, 3, 0)


@families
@pytest.mark.parametrize("classes", [0, 3])
@both_labels
def test_images_are_in_range_and_gradients_finite(family: str, classes: int, modes: tuple[str, str]) -> None:
    G, D = networks(family, classes, G={"label": modes[0]}, D={"label": modes[1]})
    c = labels(6, classes)
    x = G(100 * torch.randn(6, 6), c)
    assert -1 <= x.min() < 0 < x.max() <= 1
    D(x, c).sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        if parameter.numel():
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
    assert sum(float(p.grad.abs().sum()) for p in G.parameters() if p.grad is not None) > 0


@families
@both_labels
def test_labels_change_what_comes_out(family: str, modes: tuple[str, str]) -> None:
    G, D = networks(family, 3, G={"label": modes[0]}, D={"label": modes[1]})
    G.eval(), D.eval()
    z, c, other = torch.randn(4, 6), labels(4, 3), labels(4, 3).roll(1, 1)
    x = G(z, c)
    assert not torch.allclose(x, G(z, other), atol=1e-6)
    assert not torch.allclose(D(x, c), D(x, other), atol=1e-6)
    assert torch.equal(D(x, c), D(x, c))


@families
def test_each_sample_is_rated_alone_in_eval_mode(family: str) -> None:
    G, D = networks(family, 3)
    G.eval(), D.eval()
    z, c = torch.randn(5, 6), labels(5, 3)
    assert torch.allclose(G(z, c)[1:3], G(z[1:3], c[1:3]), atol=1e-6)
    x = G(z, c)
    assert torch.allclose(D(x, c)[4:], D(x[4:], c[4:]), atol=1e-6)


def count(network: nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


def test_dcgan_at_64_pixels_has_the_papers_parameters() -> None:
    """Layer for layer: 4x4 kernels without biases, a scale and a shift for each feature of a batch norm."""
    with torch.device("meta"):
        G, D = (table.find("dcgan")(64, 3, 0) for table in (GENERATORS, DISCRIMINATORS))
    g_features, d_features = (100, 512, 256, 128, 64, 3), (3, 64, 128, 256, 512, 1)
    assert count(G) == sum(16 * a * b for a, b in pairwise(g_features)) + 2 * (512 + 256 + 128 + 64) == 3_576_704
    assert count(D) == sum(16 * a * b for a, b in pairwise(d_features)) + 2 * (128 + 256 + 512) == 2_765_568


def test_the_layers_of_the_glasses_networks() -> None:
    with torch.device("meta"):
        made = build_networks(completed(recipe("dcgan-glasses")), 3, 0)
    kinds = [type(m).__name__ for m in cast(Any, made["G"]).blocks]
    assert kinds == ["FirstConv", *("BatchNorm2d", "ReLU", "DoublingConv") * 4, "Tanh"]
    kinds = [type(m).__name__ for m in cast(Any, made["D"]).blocks]
    assert kinds == ["HalvingConv", "LeakyDropout"] + ["HalvingConv", "BatchNorm2d", "LeakyDropout"] * 3
    steps = [(m.kernel_size[0], m.stride[0], m.padding[0]) for m in made["D"].modules() if isinstance(m, nn.Conv2d)]
    assert steps == [(4, 2, 1)] * 4 + [(4, 1, 0)]
    steps = [
        (m.kernel_size[0], m.stride[0], m.padding[0]) for m in made["G"].modules() if isinstance(m, nn.ConvTranspose2d)
    ]
    assert steps == [(4, 1, 0)] + [(4, 2, 1)] * 4
    assert all(m.bias is None for net in made.values() for m in net.modules() if "Conv" in type(m).__name__)


# (name of the recipe, classes): parameters of G and D by the tutorials' layer lists
COUNTS = {
    ("dcgan-shapes", 0): (
        16 * (64 * 128 + 128 * 64 + 64 * 32 + 32 * 3) + 2 * (128 + 64 + 32),
        16 * (3 * 32 + 32 * 64 + 64 * 128 + 128) + 32 + 1 + 2 * (64 + 128),
    ),
    ("sngan-shapes", 0): (
        16 * (64 * 128 + 128 * 64 + 64 * 32 + 32 * 3) + 2 * (128 + 64 + 32),
        16 * (3 * 32 + 32 * 64 + 64 * 128 + 128) + 32 + 64 + 128 + 1,
    ),
    ("cdcgan-shapes", 2): (
        16 * (66 * 128 + 128 * 64 + 64 * 32 + 32 * 3) + 2 * (128 + 64 + 32),
        16 * (4 * 32 + 32 * 64 + 64 * 128 + 128) + 32 + 1 + 2 * (64 + 128) + 2 * 32 * 32,
    ),
    ("mlp-fashion-mnist", 0): (
        101 * 128 + 129 * 256 + 257 * 512 + 513 * 1024 + 1025 * 784 + 2 * (256 + 512 + 1024),
        785 * 512 + 513 * 256 + 257,
    ),
    ("mlp-mnist", 0): (
        101 * 256 + 257 * 512 + 513 * 1024 + 1025 * 784 + 2 * (256 + 512 + 1024),
        785 * 512 + 513 * 256 + 257,
    ),
}


@pytest.mark.parametrize(("name", "classes"), list(COUNTS))
def test_recipes_have_the_parameters_of_their_tutorials(name: str, classes: int) -> None:
    whole = completed(recipe(name))
    with torch.device("meta"):
        made = build_networks(whole, whole.data.channels, classes)
    assert (count(made["G"]), count(made["D"])) == COUNTS[name, classes]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("mlp-mnist", ["Linear", "LeakyReLU", "BatchNorm1d"] * 3 + ["Linear", "Tanh"]),
        (
            "mlp-fashion-mnist",
            ["Linear", "LeakyReLU"] + ["Linear", "BatchNorm1d", "LeakyReLU"] * 3 + ["Linear", "Tanh"],
        ),
    ],
)
def test_where_batch_norm_stands_in_the_dense_generators(name: str, order: list[str]) -> None:
    with torch.device("meta"):
        G = build_networks(completed(recipe(name)), 1, 0)["G"]
    assert [type(m).__name__ for m in cast(Any, G).layers] == order
    norms = {(m.momentum, m.eps) for m in G.modules() if isinstance(m, nn.BatchNorm1d)}
    assert norms == ({(0.3, 1e-3)} if name == "mlp-mnist" else {(0.9, 0.8)})


def test_extra_convolutions_deepen_g() -> None:
    plain, deep = (GENERATORS.find("dcgan")(16, 3, 0, width=8, extra_convs=n) for n in (0, 2))
    assert count(deep) - count(plain) == 2 * (9 * 8 * 8 + 2 * 8)
    assert deep(torch.zeros(2, 100), torch.zeros(2, 0)).shape == (2, 3, 16, 16)


def test_dcgans_initialisation_is_normal_with_002() -> None:
    torch.manual_seed(0)
    G, D = (table.find("dcgan")(32, 3, 0, width=32) for table in (GENERATORS, DISCRIMINATORS))
    for module in [*G.modules(), *D.modules()]:
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            n = module.weight.numel()
            assert abs(module.weight.mean()) < 5 * 0.02 / math.sqrt(n)
            assert abs(module.weight.std() / 0.02 - 1) < 5 / math.sqrt(2 * n)
        elif isinstance(module, nn.BatchNorm2d):
            n = module.num_features
            assert abs(module.weight.mean() - 1) < 5 * 0.02 / math.sqrt(n)
            assert abs(module.weight.std() / 0.02 - 1) < 5 / math.sqrt(2 * n)
            assert (module.bias == 0).all()


@pytest.mark.parametrize(("init", "fan"), [("he_uniform", 300), ("glorot_uniform", (300 + 200) / 2)])
def test_kerass_initialisations_are_uniform_within_their_bound(init: Any, fan: float) -> None:
    """He: sqrt(6 / fan in); Glorot: sqrt(6 / (fan in + fan out))."""
    torch.manual_seed(0)
    layer = nn.Linear(300, 200)
    initialise(nn.Sequential(layer), init)
    bound = math.sqrt(6 / (fan if init == "he_uniform" else 2 * fan))
    assert 0.999 * bound < layer.weight.abs().max() <= bound
    assert layer.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.02)
    assert (layer.bias == 0).all()


def test_pytorchs_initialisation_is_left_alone() -> None:
    torch.manual_seed(0)
    made = nn.Linear(4, 3)
    before = made.weight.clone()
    initialise(made, "pytorch")
    assert torch.equal(made.weight, before)


@pytest.mark.parametrize("init", ["dcgan", "pytorch"])
def test_spectral_norm_holds_every_layer_at_one(init: str) -> None:
    torch.manual_seed(0)
    D = DISCRIMINATORS.find("dcgan")(32, 3, 0, width=8, norm="spectral", bias=True, init=init)
    for _ in range(60):
        D(torch.randn(4, 3, 32, 32), torch.zeros(4, 0))
    convs = [m for m in D.modules() if isinstance(m, nn.Conv2d)]
    assert len(convs) == 4
    for conv in convs:
        assert torch.linalg.matrix_norm(conv.weight.flatten(1), 2).item() == pytest.approx(1, abs=0.02)
    assert not any(isinstance(m, nn.BatchNorm2d) for m in D.modules())


def test_without_spectral_norm_the_layers_are_not_at_one() -> None:
    D = DISCRIMINATORS.find("dcgan")(32, 3, 0, width=8, norm="none", init="dcgan")
    norms = [torch.linalg.matrix_norm(m.weight.flatten(1), 2).item() for m in D.modules() if isinstance(m, nn.Conv2d)]
    assert all(abs(norm - 1) > 0.1 for norm in norms)


@families
def test_projection_by_hand(family: str) -> None:
    """Miyato and Koyama 2018, equation 4: the logit is psi(phi) + <V y, phi>."""
    _, D = networks(family, 3, D={"label": "projection"})
    D.eval()
    x, c = torch.randn(4, 3, 16, 16), labels(4, 3)
    if family == "dcgan":
        phi = D.blocks(x)
        psi, phi = D.to_logit(phi)[:, 0, 0, 0], phi.sum((2, 3))
    else:
        phi = D.layers(x)
        psi = D.to_logit(phi)[:, 0]
    expected = [psi[i] + sum(D.projection.weight[i % 3] * phi[i]) for i in range(4)]
    assert torch.allclose(D(x, c), torch.stack(expected), atol=1e-5)


def test_the_channel_of_a_label_is_its_embedding_as_an_image() -> None:
    _, D = networks("dcgan", 3)
    x, c = torch.randn(4, 3, 16, 16), labels(4, 3)
    seen = D.label_channel(x, c)
    assert seen.shape == (4, 4, 16, 16)
    assert torch.equal(seen[:, :3], x)
    assert torch.allclose(seen[1, 3], D.label_channel.embed.weight[1].reshape(16, 16))


def test_one_hot_labels_stand_beside_z() -> None:
    G, _ = networks("dcgan", 3)
    z, c = torch.randn(2, 6), labels(2, 3)
    assert torch.equal(G.noise(z, c), torch.cat([z, c], 1))
    G, _ = networks("dcgan", 3, G={"label": "embedding", "embedding_dim": 5})
    assert torch.allclose(G.noise(z, c)[:, 6:], G.noise.embed.weight[:2])


def config_of(family: str, classes: tuple[str, ...] = ("a", "b", "c")) -> dict[str, Any]:
    g, _ = SMALL[family]
    return {"name": family, "resolution": 16, "channels": 3, "classes": list(classes), "settings": g, "more": 1}


@families
def test_a_saved_network_comes_back_the_same(family: str, tmp_path: Path) -> None:
    G, _ = networks(family, 3)
    z, c = torch.randn(8, 6), labels(8, 3)
    G(z, c)  # moves the running statistics
    save_network(tmp_path / "generator", G, config_of(family))
    loaded, config = load_network(tmp_path / "generator", GENERATORS)
    assert torch.equal(loaded(z, c), G.eval()(z, c))
    assert config["more"] == 1
    assert not loaded.training
    assert not any(p.requires_grad for p in loaded.parameters())
    assert {p.name for p in (tmp_path / "generator").iterdir()} == {"model.safetensors", "config.json"}


def test_spectral_norm_comes_back_the_same(tmp_path: Path) -> None:
    _, D = networks("dcgan", 0, D={"norm": "spectral"})
    x, c = torch.randn(3, 3, 16, 16), torch.zeros(3, 0)
    D(x, c)
    settings = {**SMALL["dcgan"][1], "norm": "spectral"}
    save_network(tmp_path, D, {**config_of("dcgan", ()), "settings": settings})
    assert torch.equal(load_network(tmp_path, DISCRIMINATORS)[0](x, c), D.eval()(x, c))


DAMAGE: list[tuple[dict[str, Any] | str, str]] = [
    ("{", "cannot be read"),
    ("[]", "do not fit"),
    ({"resolution": 32}, "do not fit"),
    ({"resolution": 24}, "not 24"),
    ({"resolution": "16"}, ""),
    ({"channels": 1}, "do not fit"),
    ({"classes": ["a"]}, "do not fit"),
    ({"classes": None}, "do not fit"),
    ({"settings": {"widht": 3}}, "do not fit"),
    ({"settings": {"z_dim": 7, "width": 4}}, "do not fit"),
    ({"settings": {"init": "odd"}}, "do not fit"),
    ({"settings": {"width": -1}}, ""),
    ({"settings": {"width": 2**20}}, "do not fit"),  # a pebibyte, were it made
    ({"settings": None}, "do not fit"),
    ({"name": "dcgna"}, "did you mean 'dcgan'?"),
    ({"name": "os:system"}, "os:system"),
    ({"name": None}, ""),
]


@pytest.mark.parametrize(("change", "says"), DAMAGE)
def test_a_config_that_does_not_fit_is_one_line(tmp_path: Path, change: dict[str, Any] | str, says: str) -> None:
    G, _ = networks("dcgan", 3)
    save_network(tmp_path, G, config_of("dcgan"))
    text = change if isinstance(change, str) else json.dumps({**config_of("dcgan"), **change})
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(UserError) as caught:
        load_network(tmp_path, GENERATORS)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["name", "resolution", "channels", "classes", "settings"])
def test_a_config_that_lacks_something_is_one_line(tmp_path: Path, missing: str) -> None:
    save_network(tmp_path, networks("dcgan", 3)[0], config_of("dcgan"))
    config = config_of("dcgan")
    del config[missing]
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=f"do not fit: '{missing}'"):
        load_network(tmp_path, GENERATORS)


@pytest.mark.parametrize("damage", ["short", "empty", "other"])
def test_damaged_weights_are_one_line(tmp_path: Path, damage: str) -> None:
    save_network(tmp_path, networks("dcgan", 3)[0], config_of("dcgan"))
    path = tmp_path / "model.safetensors"
    path.write_bytes({"short": path.read_bytes()[:-7], "empty": b"", "other": b"PK\x03\x04" * 99}[damage])
    with pytest.raises(UserError, match="cannot be read") as caught:
        load_network(tmp_path, GENERATORS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("missing", ["model.safetensors", "config.json"])
def test_a_missing_file_is_named(tmp_path: Path, missing: str) -> None:
    save_network(tmp_path, networks("dcgan", 3)[0], config_of("dcgan"))
    (tmp_path / missing).unlink()
    with pytest.raises(UserError, match=f"holds no {missing}"):
        load_network(tmp_path, GENERATORS)


@pytest.mark.parametrize("p", [0.1, 0.3, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float64])
def test_a_dropout_mask_has_its_fraction_and_scale(p: float, dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    mask = dropout_mask(torch.empty(7, 5, 61, 67, dtype=dtype), p)
    assert mask.dtype == dtype
    kept = mask != 0
    assert kept.double().mean().item() == pytest.approx(1 - p, abs=5 * math.sqrt(p * (1 - p) / mask.numel()))
    assert (mask[kept] == torch.tensor(1 / (1 - p), dtype=dtype)).all()


def test_a_dropout_mask_follows_the_seed_and_the_memory_format() -> None:
    x = torch.empty(3, 5, 7, 9).contiguous(memory_format=torch.channels_last)
    masks = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        masks.append(dropout_mask(x, 0.5))
    assert masks[0].stride() == x.stride()
    assert torch.equal(masks[0], masks[1])
    assert not torch.equal(masks[0], masks[2])


def test_a_dropout_mask_has_no_pattern() -> None:
    torch.manual_seed(0)
    mask = (dropout_mask(torch.empty(2**16), 0.5) != 0).double() * 2 - 1
    for lag in (1, 2, 3, 4, 8, 64):
        assert abs((mask[lag:] * mask[:-lag]).mean()) < 5 / 2**8


@pytest.mark.parametrize("p", [1e-6, 0.999999])
def test_extreme_dropout_still_has_a_mask(p: float) -> None:
    mask = dropout_mask(torch.empty(1000), p)
    assert ((mask != 0).float().mean() > 0.5) == (p < 0.5)


@pytest.mark.parametrize("dropout", [-0.1, 1.0, 1.5])
def test_dropout_that_cannot_be_is_one_line(dropout: float) -> None:
    with pytest.raises(UserError, match="dropout"):
        DISCRIMINATORS.find("dcgan")(16, 3, 0, width=4, dropout=dropout)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_leaky_dropout_is_leaky_relu_times_its_mask(dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch) -> None:
    masks: list[Tensor] = []
    draw = dropout_mask

    def drawn(x: Tensor, p: float) -> Tensor:
        masks.append(draw(x, p))
        return masks[-1]

    monkeypatch.setattr(layers_module, "dropout_mask", drawn)
    x = torch.randn(4, 3, 6, 6).to(dtype)
    before = x.clone()
    y = LeakyDropout(0.2, 0.3).train()(x)
    assert y.dtype == dtype
    assert torch.allclose(y.float(), (nn.functional.leaky_relu(before, 0.2) * masks[0]).float(), rtol=0.01, atol=1e-6)
    assert 0.1 < (masks[0] == 0).float().mean() < 0.5


def test_leaky_dropout_draws_nothing_in_eval_mode() -> None:
    x = torch.randn(4, 8)
    before = x.clone()
    assert torch.equal(LeakyDropout(0.2, 0.9).eval()(x), nn.functional.leaky_relu(x, 0.2))
    assert torch.equal(x, before)


@pytest.mark.parametrize("p", [0.0, 0.4])
def test_leaky_dropout_differentiates_twice(p: float) -> None:
    layer = LeakyDropout(0.2, p).train()
    x = torch.randn(3, 8, dtype=torch.float64)
    x = (x + x.sign() * 0.1).requires_grad_()  # away from the kink

    def cubed(x: Tensor) -> Tensor:
        torch.manual_seed(3)
        return layer(x * 1) ** 3

    assert torch.autograd.gradcheck(cubed, x)
    assert torch.autograd.gradgradcheck(cubed, x)


def test_a_gradient_penalty_through_d_equals_finite_differences() -> None:
    """Double backward through convolutions, batch norm and dropout, as R1 needs it."""
    _, D = networks("dcgan", 0, D={"dropout": 0.3})
    D.double()
    x = torch.randn(3, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    c = torch.zeros(3, 0, dtype=torch.float64)
    weight = D.blocks[0].weight

    def penalty() -> Tensor:
        torch.manual_seed(3)
        (gradient,) = torch.autograd.grad(D(x, c).sum(), x, create_graph=True)
        return gradient.square().sum()

    (exact,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn_like(weight)
    step = 1e-6
    with torch.no_grad():
        weight += step * direction
    above = penalty().item()
    with torch.no_grad():
        weight -= 2 * step * direction
    numeric = (above - penalty().item()) / (2 * step)
    assert (exact * direction).sum().item() == pytest.approx(numeric, rel=1e-5)
