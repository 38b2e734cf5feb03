"""What the settings of dcgan and mlp mean: labels, minibatch layers, attention, deeper variants, stem, scales."""

from itertools import product
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, leaky_relu, relu

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.attention import SelfAttention
from gannet.networks.layers import ClassBatchNorm, Residual
from gannet.networks.minibatch import MinibatchDiscrimination
from gannet.training.freeze import freeze_first

families = pytest.mark.parametrize("family", ["dcgan", "mlp"])


def discriminator(family: str, classes: int = 0, **settings: Any) -> Any:
    torch.manual_seed(1)
    small: dict[str, Any] = {"width": 4} if family == "dcgan" else {"hidden": (8, 6)}
    return DISCRIMINATORS.find(family)(16, 3, classes, **{**small, **settings})


def generator(classes: int = 0, **settings: Any) -> Any:
    torch.manual_seed(1)
    return GENERATORS.find("dcgan")(16, 3, classes, z_dim=6, width=4, **settings)


def images(num: int = 4, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.randn(num, 3, 16, 16, dtype=dtype)


def labels(num: int, classes: int) -> Tensor:
    return torch.eye(classes)[torch.arange(num) % classes] if classes else torch.zeros(num, 0)


# ---- labels


def test_concatenated_labels_are_constant_channels_of_the_image() -> None:
    D = discriminator("dcgan", 3, label="concatenation")
    seen: list[Tensor] = []
    D.blocks[0].register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x, c = images(), labels(4, 3)
    D(x, c)
    assert torch.equal(seen[0][:, :3], x)
    assert torch.equal(seen[0][:, 3:], c[:, :, None, None].expand(4, 3, 16, 16))


def test_concatenated_labels_stand_beside_the_flattened_image() -> None:
    D = discriminator("mlp", 3, label="concatenation")
    x, c = images(), labels(4, 3)
    first = D.layers[1]
    assert first.in_features == 3 * 16 * 16 + 3
    hidden = leaky_relu(torch.cat([x.flatten(1), c], 1) @ first.weight.T + first.bias, 0.2)
    assert torch.allclose(D(x, c), D.to_logit(D.layers[3:](hidden)).squeeze(1), atol=1e-6)
    assert not torch.allclose(D(x, c), D(x, c.roll(1, 1)))


@families
def test_a_d_without_labels_ignores_them(family: str) -> None:
    D, x = discriminator(family, 3, label="none").eval(), images()
    assert torch.equal(D(x, labels(4, 3)), D(x, labels(4, 3).roll(1, 1)))
    assert D.state_dict().keys() == discriminator(family, 0).state_dict().keys()


def test_class_conditional_batch_norms_bring_the_label_into_every_block() -> None:
    G = generator(3, label="batch-norm")
    norms = [m for m in G.modules() if isinstance(m, ClassBatchNorm)]
    assert len(norms) == 2
    assert not any(isinstance(m, nn.BatchNorm2d) and m.affine for m in G.modules())
    assert G.blocks[0].in_channels == 6
    z, c = torch.randn(4, 6), labels(4, 3)
    assert torch.equal(G.eval()(z, c), G(z, c.roll(1, 1))), "at first all classes are alike"
    for norm in norms:
        nn.init.normal_(norm.get_parameter("to_scale.weight"))
        assert not torch.allclose(G(z, c), G(z, c.roll(1, 1)), atol=1e-6)
        nn.init.zeros_(norm.get_parameter("to_scale.weight"))


def test_without_classes_the_label_settings_are_all_the_same() -> None:
    z, none, x = torch.randn(4, 6), torch.zeros(4, 0), images()
    one, other = generator(label="batch-norm"), generator()
    assert torch.equal(one(z, none), other(z, none))
    for family in ("dcgan", "mlp"):
        logits = [discriminator(family, label=label)(x, none) for label in ("channel", "concatenation", "none")]
        assert torch.equal(logits[0], logits[1])
        assert torch.equal(logits[0], logits[2])


# ---- minibatch


@families
def test_minibatch_discrimination_adds_how_close_the_features_are(family: str) -> None:
    """The logit by hand: what the last layer makes of the features and, at every pixel, of the closeness."""
    D = discriminator(family, minibatch="discrimination").double().eval()
    x, c = images(5, torch.float64), torch.zeros(5, 0, dtype=torch.float64)
    logits, features = D.logits_and_features(x, c)
    M = (features @ D.minibatch.weight).reshape(5, 50, 5)
    close = torch.stack([(-(M[i] - M).abs().sum(2)).exp().sum(0) for i in range(5)])
    weight = D.to_logit.weight.reshape(1, -1, 16 if family == "dcgan" else 1)
    num = weight.shape[1] - 50
    expected = features @ weight[0, :num].flatten() + close @ weight[0, num:].sum(1)
    bias = 0 if D.to_logit.bias is None else D.to_logit.bias
    assert torch.allclose(logits, expected + bias)
    assert torch.allclose(D.logits_and_features(x[:1], c[:1])[1], features[:1]), "features tell of their sample alone"


@families
def test_minibatch_discrimination_of_equal_samples_is_their_number(family: str) -> None:
    D = discriminator(family, minibatch="discrimination").eval()
    seen: list[Tensor] = []
    D.minibatch.register_forward_hook(lambda _, __, out: seen.append(out))
    D(images(1).expand(7, -1, -1, -1), torch.zeros(7, 0))
    assert torch.allclose(seen[0][:, -50:], torch.tensor(7.0))


@families
def test_the_minibatch_deviation_is_one_more_channel_of_the_last_layer(family: str) -> None:
    D, plain = (discriminator(family, minibatch=m).eval() for m in ("deviation", "none"))
    seen: list[Tensor] = []
    D.to_logit.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    x = images()
    _, features = D.logits_and_features(x, torch.zeros(4, 0))
    deviation = (features.var(0, correction=0) + 1e-8).sqrt().mean()
    assert torch.allclose(seen[0][:, -1], deviation)
    assert D.to_logit.weight.shape[1] == plain.to_logit.weight.shape[1] + 1
    assert D.num_features == plain.num_features == features.shape[1]


def test_minibatch_layers_go_with_spectral_norm() -> None:
    D = discriminator("dcgan", minibatch="discrimination", norm="spectral")
    assert isinstance(D.minibatch, MinibatchDiscrimination)
    D(images(), torch.zeros(4, 0)).sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in D.parameters())


# ---- attention


def test_attention_follows_the_maps_of_its_sizes() -> None:
    torch.manual_seed(0)
    for table, start in ((GENERATORS, torch.zeros(2, 100)), (DISCRIMINATORS, torch.zeros(2, 3, 32, 32))):
        network = table.find("dcgan")(32, 3, 0, width=4, attention=(16, 4))
        sides: list[int] = []
        for module in network.modules():
            if isinstance(module, SelfAttention):
                module.register_forward_pre_hook(lambda _, args, sides=sides: sides.append(args[0].shape[2]))
        network(start, torch.zeros(2, 0))
        assert sorted(sides) == [4, 16]


@pytest.mark.parametrize(("player", "table"), [("G", GENERATORS), ("D", DISCRIMINATORS)])
@pytest.mark.parametrize("size", [32, 12, 2])
def test_attention_at_sizes_that_do_not_occur_is_one_line(player: str, table: Any, size: int) -> None:
    with pytest.raises(UserError, match=f"^{player}.attention has {size}, and must be of the maps' sizes: 4, 8, 16$"):
        table.find("dcgan")(32, 3, 0, attention=(8, size))


# ---- deeper and residual


def test_extra_convolutions_deepen_d_as_they_do_g() -> None:
    def count(network: nn.Module) -> int:
        return sum(p.numel() for p in network.parameters())

    plain, deep = (discriminator("dcgan", extra_convs=n) for n in (0, 2))
    assert count(deep) - count(plain) == 2 * (9 * 4 * 4 + 2 * 4) + 2 * (9 * 8 * 8 + 2 * 8)
    biased = discriminator("dcgan", extra_convs=1, norm="none", bias=True)
    assert all(m.bias is not None for m in biased.modules() if isinstance(m, nn.Conv2d))


def test_a_residual_convolution_adds_to_what_it_is_given_before_the_relu() -> None:
    G = generator(extra_convs=1, residual=True).eval()
    (i,) = [i for i, layer in enumerate(G.blocks) if isinstance(layer, Residual)]
    conv, norm = G.blocks[i].layers
    seen: list[Tensor] = []
    G.blocks[i].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    G.blocks[i + 2].register_forward_pre_hook(lambda _, args: seen.append(args[0].clone()))
    G(torch.randn(2, 6), torch.zeros(2, 0))
    assert torch.allclose(seen[1], relu(seen[0] + norm(conv(seen[0]))), atol=1e-6)


@pytest.mark.parametrize("training", [True, False])
def test_residual_branches_of_zero_leave_the_plain_network(training: bool) -> None:
    """Where a branch adds nothing, its ReLU sees what is not negative already; in D LeakyReLU runs twice."""
    G, plain = generator(extra_convs=2, residual=True), generator()
    branches = [m for m in G.modules() if isinstance(m, Residual)]
    assert len(branches) == 2
    for branch in branches:
        nn.init.zeros_(branch.get_parameter("layers.1.weight"))
    kept = [p for name, p in G.named_parameters() if ".layers." not in name]
    for p, other in zip(kept, plain.parameters(), strict=True):
        p.data = other.data
    z = torch.randn(4, 6)
    assert torch.allclose(G.train(training)(z, torch.zeros(4, 0)), plain.train(training)(z, torch.zeros(4, 0)))


def test_conditional_branches_see_the_label() -> None:
    G = generator(3, extra_convs=1, residual=True, label="batch-norm").eval()
    (branch,) = [m for m in G.modules() if isinstance(m, Residual)]
    nn.init.normal_(branch.get_parameter("layers.1.to_shift.weight"))
    z, c = torch.randn(4, 6), labels(4, 3)
    assert not torch.allclose(G(z, c), G(z, c.roll(1, 1)), atol=1e-6)


def test_hidden_layers_of_equal_width_are_joined() -> None:
    D = discriminator("mlp", hidden=(8, 8, 6, 6), residual=True)
    x, none = images(), torch.zeros(4, 0)
    _, a, _, b, _, e, _, f, _ = D.layers
    assert [isinstance(m, Residual) for m in (a, b, e, f)] == [False, True, False, True]
    h = leaky_relu(a(x.flatten(1)), 0.2)
    h = leaky_relu(h + b.layers[0](h), 0.2)
    h = leaky_relu(e(h), 0.2)
    h = leaky_relu(h + f.layers[0](h), 0.2)
    assert torch.allclose(D.logits_and_features(x, none)[1], h)


@pytest.mark.parametrize("norm_first", [True, False])
def test_residual_dense_generators_keep_the_place_of_batch_norm(norm_first: bool) -> None:
    torch.manual_seed(1)
    G = GENERATORS.find("mlp")(8, 3, 0, z_dim=8, hidden=(8, 8), residual=True, norm_first=norm_first).eval()
    branches = [[type(m).__name__ for m in b.layers] for b in G.layers if isinstance(b, Residual)]
    assert branches == [["Linear", "BatchNorm1d"] if norm_first else ["Linear"]]  # z is no hidden layer
    assert G(torch.randn(3, 8), torch.zeros(3, 0)).shape == (3, 3, 8, 8)


@pytest.mark.parametrize(
    ("table", "row", "settings", "says"),
    [
        (GENERATORS, "dcgan", {"residual": True}, "G.residual is for the extra convolutions: set --G.extra_convs"),
        (DISCRIMINATORS, "dcgan", {"residual": True}, "D.residual is for the extra convolutions"),
        (DISCRIMINATORS, "dcgan", {"extra_convs": -1}, "D.extra_convs is -1"),
        (DISCRIMINATORS, "dcgan", {"stem": -1}, "D.stem is -1"),
        (DISCRIMINATORS, "dcgan", {"scales": 0}, "D.scales is 0"),
        (DISCRIMINATORS, "dcgan", {"scales": 3}, "D.scales is 3, and at 16 pixels at most 2"),
        (GENERATORS, "mlp", {"residual": True}, "G.hidden has none: 256, 512, 1024"),
        (DISCRIMINATORS, "mlp", {"residual": True, "hidden": (8, 6, 8)}, "D.hidden has none: 8, 6, 8"),
    ],
)
def test_what_cannot_be_joined_is_one_line(table: Any, row: str, settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError) as caught:
        table.find(row)(16, 3, 0, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)


# ---- what D sees: single pixels, and more than one size


def test_a_stem_sees_every_pixel_before_the_first_halving() -> None:
    D, x, c = discriminator("dcgan", stem=5), images(), labels(4, 0)
    before = leaky_relu(conv2d(x, D.stem[0].weight, padding=1), 0.2)
    assert before.shape == (4, 5, 16, 16)
    assert torch.allclose(D(x, c), D.to_logit(D.blocks(before)).flatten(), atol=1e-6)
    assert D.blocks[0].in_channels == 5


@pytest.mark.parametrize("norm", ["batch", "spectral", "none"])
def test_a_smaller_d_rates_the_image_at_half_its_size(norm: str) -> None:
    D, x, c = discriminator("dcgan", 3, label="projection", scales=2, norm=norm).eval(), images(), labels(4, 3)
    logits, features = D.logits_and_features(x, c)
    assert logits.shape == (4, 2)
    halved = x.unflatten(2, (8, 2)).unflatten(4, (8, 2)).mean((3, 5))
    assert torch.allclose(logits[:, 1], D.smaller(halved, c), atol=1e-6)
    alone = discriminator("dcgan", 3, label="projection", norm=norm).eval()
    alone.load_state_dict({name: v for name, v in D.state_dict().items() if not name.startswith("smaller.")})
    assert torch.allclose(logits[:, 0], alone(x, c), atol=1e-6)
    assert torch.equal(features, D.logits_and_features(x, c)[1])
    assert features.shape == (4, D.num_features)


def test_freezing_takes_the_first_layers_of_each_d() -> None:
    D = discriminator("dcgan", stem=4, scales=2)
    freeze_first(D, 1, images(), labels(4, 0))
    held = ["stem.0.weight", "smaller.blocks.0.weight"]
    assert [name for name, p in D.named_parameters() if not p.requires_grad] == held
    with pytest.raises(UserError, match=r"must be below 2, the number of layers of D\.smaller"):
        freeze_first(D, 2, images(), labels(4, 0))


def test_scales_go_on_halving_to_eight_pixels() -> None:
    D = DISCRIMINATORS.find("dcgan")(32, 3, 0, width=4, scales=3, label="channel")
    assert D(torch.randn(4, 3, 32, 32), labels(4, 0)).shape == (4, 3)
    assert D.smaller.smaller.smaller is None


# ---- all together

G_LABELS = ("one-hot", "embedding", "batch-norm")
D_LABELS = ("channel", "concatenation", "projection", "none")


@pytest.mark.parametrize(("g_label", "d_label"), list(product(G_LABELS, D_LABELS)))
def test_every_setting_at_once_has_finite_gradients(g_label: str, d_label: str) -> None:
    more = {"extra_convs": 1, "residual": True, "attention": (8,)}
    G = generator(3, label=g_label, **more)
    two = {"stem": 4, "scales": 2}
    D = discriminator("dcgan", 3, label=d_label, minibatch="discrimination", dropout=0.3, **two, **more)
    x = G(torch.randn(4, 6), labels(4, 3))
    D(x, labels(4, 3)).sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
