"""DVD-GAN's networks against Clark, Donahue and Simonyan 2019; the GRU has tests of its own."""

from pathlib import Path
from typing import Any

import pytest
import torch
from exact import tiny
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv3d, relu

from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.dvdgan import ClipConv, ClipDownBlock, FrameNorm
from gannet.networks.folder import load_network, save_network
from gannet.networks.layers import ClassEmbedding
from gannet.networks.recurrent import ConvGRU
from gannet.networks.resnet import DownBlock, UpBlock
from gannet.training.engine import Engine, reseed
from gannet.training.loop import iterate

G_SMALL: dict[str, Any] = {"z_dim": 5, "width": 2, "embedding_dim": 3}
FRAMES = 4
SIDE = 16


def networks(classes: int = 3, frames: int = FRAMES, channels: int = 3, given: int = 0, **of_d: Any) -> tuple[Any, Any]:
    torch.manual_seed(1)
    facts = SIDE, frames * channels, classes, frames
    G = GENERATORS.find("dvdgan")(*facts, **G_SMALL, given=given)
    return G, DISCRIMINATORS.find("dvdgan")(*facts, **{"width": 2, "num_spatial": 2, **of_d})


def labels(num: int, classes: int = 3) -> Tensor:
    return torch.eye(max(classes, 1))[torch.arange(num) % max(classes, 1)][:, :classes]


def clips(num: int = 4, frames: int = FRAMES) -> Tensor:
    return torch.rand(num, frames * 3, SIDE, SIDE) * 2 - 1


@pytest.mark.parametrize("size", [32, 64, 128])
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("frames", [8, 16])
@pytest.mark.parametrize("classes", [0, 10])
def test_shapes(monkeypatch: pytest.MonkeyPatch, size: int, channels: int, frames: int, classes: int) -> None:
    """Without spectral norm, which changes no shape and is slow on the meta device."""
    monkeypatch.setattr("gannet.networks.biggan.spectrally_normalise", lambda network: None)
    with torch.device("meta"):
        facts = size, frames * channels, classes, frames
        G, D = (table.find("dvdgan")(*facts) for table in (GENERATORS, DISCRIMINATORS))
        c = torch.zeros(2, classes)
        x = G(torch.zeros(2, 120), c)
        assert x.shape == (2, frames * channels, size, size)
        assert G.dense.out_features == 512 * 4 * 4, "the paper's features at 4x4"
        logits, features = D.logits_and_features(x, c)
        assert logits.shape == (2, 2)
        assert features.shape == (2, D.num_features)


def seen_by(network: nn.Module, kinds: Any, *inputs: Tensor) -> list[tuple[str, int, int, int]]:
    """Kind, width before, width after and side after of each such layer, in the order of a forward pass."""
    seen: list[tuple[str, int, int, int]] = []

    def look(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        seen.append((type(module).__name__, args[0].shape[-3], out.shape[-3], out.shape[-1]))

    for module in network.modules():
        if type(module) in kinds:
            module.register_forward_hook(look)
    network(*inputs)
    return seen


def test_the_table_at_64_pixels() -> None:
    """A GRU at each size before two blocks, of which the second doubles; 3-D blocks first, at half the size."""
    w = 1
    G = GENERATORS.find("dvdgan")(64, 4, 0, 4, z_dim=5, width=w)
    rows = []
    for before, after, side in ((8, 8, 4), (8, 4, 8), (4, 2, 16), (2, 1, 32)):
        rows += [("ConvGRU", before, before, side), ("UpBlock", before, before, side)]
        rows += [("UpBlock", before, after, 2 * side)]
    none = torch.zeros(2, 0)
    assert seen_by(G, (ConvGRU, UpBlock), torch.randn(2, 5), none) == rows
    D = DISCRIMINATORS.find("dvdgan")(64, 4, 0, 4, width=w, num_spatial=2)
    of_frames = [("DownBlock", *row) for row in ((1, 1, 32), (1, 2, 16), (2, 4, 8), (4, 8, 4), (8, 8, 4))]
    of_clips = [("ClipDownBlock", *row) for row in ((1, 1, 16), (1, 2, 8))]
    of_clips += [("DownBlock", *row) for row in ((2, 4, 4), (4, 8, 4))]
    assert seen_by(D, (DownBlock, ClipDownBlock), torch.randn(2, 4, 64, 64), none) == of_frames + of_clips


def test_all_weights_are_orthogonal_and_normalised_but_the_shared_embedding() -> None:
    for network in networks(given=1):
        for name, module in network.named_modules():
            if isinstance(module, nn.Conv2d | nn.Linear | ClassEmbedding):
                weight = module.weight.flatten(1)
                gram = weight @ weight.T if len(weight) <= weight.shape[1] else weight.T @ weight
                assert torch.allclose(gram, torch.eye(len(gram)), atol=2e-2), name
                assert hasattr(module, "parametrizations") == (name != "embed"), name


@pytest.mark.parametrize("classes", [0, 1, 3])
@pytest.mark.parametrize("given", [0, 2])
def test_clips_are_in_range_and_gradients_finite(classes: int, given: int) -> None:
    G, D = networks(classes, given=given)
    c, a = labels(6, classes), clips(6)[:, : 3 * given]
    x = G(100 * torch.randn(6, 5), c, a)
    assert x.shape == (6, 12, SIDE, SIDE)
    assert -1 <= x.min() < 0 < x.max() <= 1
    logits = D(x, c)
    assert logits.shape == (6, 2)
    logits.sum().backward()
    for name, parameter in [*G.named_parameters(), *D.named_parameters()]:
        assert parameter.grad is not None, name
        assert torch.isfinite(parameter.grad).all(), name
    assert sum(float(p.grad.abs().sum()) for p in G.parameters()) > 0


# ---- G


def test_frames_stand_one_after_another_along_the_channels() -> None:
    G, _ = networks()
    seen: list[Tensor] = []
    G.to_image.register_forward_hook(lambda _, __, out: seen.append(out))
    x = G(torch.randn(3, 5), labels(3))
    frames = torch.tanh(seen[0]).reshape(3, FRAMES, 3, SIDE, SIDE)
    for t in range(FRAMES):
        assert torch.equal(x[:, 3 * t : 3 * t + 3], frames[:, t])


def test_labels_count_and_each_clip_stands_alone_in_eval_mode() -> None:
    G, D = (network.eval() for network in networks())
    before = [b.clone() for b in [*G.buffers(), *D.buffers()]]
    z, c, other = torch.randn(4, 5), labels(4), labels(4).roll(1, 1)
    x = G(z, c)
    assert not torch.allclose(x, G(z, other), atol=1e-6)
    assert torch.allclose(G(z[1:3], c[1:3]), x[1:3], atol=1e-6)
    assert torch.allclose(D(x[1:3], c[1:3]), D(x, c)[1:3], atol=1e-5)
    assert all(torch.equal(a, b) for a, b in zip(before, [*G.buffers(), *D.buffers()], strict=True))


def test_batch_norm_is_over_the_clips_of_one_time_step() -> None:
    torch.manual_seed(0)
    norm = FrameNorm(2, 3, 4).double()
    x, condition = torch.randn(5 * 3, 2, 4, 4, dtype=torch.float64), torch.randn(5, 4, dtype=torch.float64)
    y = norm(x, condition).reshape(5, 3, 2, 4, 4)
    scale, shift = condition @ norm.to_scale.weight.T, condition @ norm.to_shift.weight.T
    for t in range(3):
        frames = x.reshape(5, 3, 2, 4, 4)[:, t]
        mean, variance = frames.mean((0, 2, 3)), frames.var((0, 2, 3), correction=0)
        normal = (frames - mean[:, None, None]) / (variance + 1e-4).sqrt()[:, None, None]
        expected = normal * (1 + scale)[:, :, None, None] + shift[:, :, None, None]
        assert torch.allclose(y[:, t], expected, atol=1e-12), t


@pytest.mark.parametrize("training", [True, False])
def test_a_frame_hears_of_what_came_before_and_of_nothing_later(training: bool) -> None:
    """The gradient of frame t by the maps at time s that go into the second stage: none where s is above t."""
    G, _ = networks(0)
    G.double().train(training)
    maps: list[Tensor] = []

    def hold(_: nn.Module, __: Any, out: Tensor) -> Tensor:
        maps.append(out.detach().requires_grad_())
        return maps[0]

    G.stages[0].register_forward_hook(hold)
    x = G(torch.randn(3, 5).double(), torch.zeros(3, 0).double())
    for t in range(FRAMES):
        (by_maps,) = torch.autograd.grad(x[:, 3 * t : 3 * t + 3].square().sum(), maps[0], retain_graph=True)
        assert [bool(by_maps[:, s].any()) for s in range(FRAMES)] == [s <= t for s in range(FRAMES)], t


def test_the_frames_of_one_z_differ() -> None:
    G, _ = networks(0)
    frames = G.eval()(torch.randn(2, 5), torch.zeros(2, 0)).reshape(2, FRAMES, -1)
    assert all((frames[:, t] - frames[:, t + 1]).abs().max() > 1e-4 for t in range(FRAMES - 1))


# ---- first frames that are given


def test_given_frames_stand_first_and_the_others_follow_from_them() -> None:
    G, _ = networks(given=2)
    G.eval()
    z, c, a = torch.randn(4, 5), labels(4), clips()[:, :6].requires_grad_()
    x = G(z, c, a)
    assert torch.equal(x[:, :6], a)
    for i in range(2):
        (by_a,) = torch.autograd.grad(x[:, 6:].square().sum(), a, retain_graph=True)
        assert by_a[:, 3 * i : 3 * i + 3].any(), f"frame {i} is not looked at"
    assert not torch.allclose(x[:, 6:], G(torch.randn(4, 5), c, a)[:, 6:], atol=1e-4), "z counts as well"


def test_each_size_of_the_encoder_starts_the_gru_of_that_size() -> None:
    G, _ = networks(given=2)
    G.eval()
    states: list[Tensor] = []
    for stage in G.stages:
        stage.recurrent.register_forward_pre_hook(lambda _, args: states.append(args[2]))
    a = clips()[:, :6]
    G(torch.randn(4, 5), labels(4), a)
    x = a.reshape(8, 3, SIDE, SIDE)
    for i, side in ((1, 8), (0, 4)):
        x = G.encoder.blocks[1 - i](x)
        expected = relu(G.encoder.to_states[1 - i](x.reshape(4, -1, side, side)))
        assert torch.allclose(states[i], expected, atol=1e-6)
        assert states[i].shape[2] == side


def test_frames_that_are_missing_or_too_many_are_refused() -> None:
    z, c = torch.randn(4, 5), labels(4)
    with pytest.raises(ValueError, match="given 6 channels of first frames, not 0"):
        networks(given=2)[0](z, c)
    with pytest.raises(ValueError, match="given 0 channels of first frames, not 6"):
        networks()[0](z, c, clips()[:, :6])
    G = networks()[0].eval()
    assert torch.equal(G(z, c, clips()[:, :0]), G(z, c))


# ---- D


def test_a_3d_convolution_equals_torchs() -> None:
    torch.manual_seed(0)
    layer, x = ClipConv(2, 5, 4).double(), torch.randn(3 * 4, 2, 6, 5, dtype=torch.float64)
    kernel = layer.weight.reshape(5, 3, 2, 3, 3).transpose(1, 2)
    expected = conv3d(x.reshape(3, 4, 2, 6, 5).transpose(1, 2), kernel, layer.bias, padding=1)
    assert torch.allclose(layer(x), expected.transpose(1, 2).flatten(0, 1), atol=1e-12)


def test_the_label_reaches_both_logits_and_may_be_soft() -> None:
    _, D = networks()
    x, c, other = clips(), labels(4), labels(4).roll(1, 1)
    one, two = D.eval()(x, c), D(x, other)
    assert ((one - two).abs() > 1e-4).all()
    assert torch.allclose(D(x, (c + other) / 2), (one + two) / 2, atol=1e-5)


def test_frames_in_another_order_move_another_way_and_are_the_same_frames() -> None:
    _, D = networks(num_spatial=FRAMES)
    x, c = clips(), labels(4)
    shuffled = x.reshape(4, FRAMES, 3, SIDE, SIDE)[:, [2, 0, 3, 1]].flatten(1, 2)
    for training in (True, False):
        D.train(training)
        before = {name: value.clone() for name, value in D.state_dict().items()}
        one = D(x, c)
        D.load_state_dict(before)  # in training a forward moves spectral norm's vectors
        two = D(shuffled, c)
        assert torch.allclose(one[:, 0], two[:, 0], atol=1e-5)
        assert ((one[:, 1] - two[:, 1]).abs() > 1e-4).all()


def test_the_spatial_logit_is_the_sum_over_frames_by_hand() -> None:
    _, D = networks(num_spatial=FRAMES)
    D.eval()
    x, c, part = clips(), labels(4), D.spatial
    expected = torch.zeros(4)
    for t in range(FRAMES):
        phi = relu(part.blocks(x[:, 3 * t : 3 * t + 3])).sum((2, 3))
        expected += part.to_logit.linear(phi).squeeze(1) + (part.to_logit.projection(c) * phi).sum(1)
    assert torch.allclose(D(x, c)[:, 0], expected, atol=1e-4)


def test_the_temporal_logit_sees_the_clip_at_half_the_size() -> None:
    """Summed over time and pixels; what a mean of 2x2 hides does not reach it."""
    _, D = networks()
    D.eval()
    x, c, part = clips(), labels(4), D.temporal
    maps = part.blocks(avg_pool2d(x, 2).reshape(4 * FRAMES, 3, SIDE // 2, SIDE // 2))
    phi = relu(maps).reshape(4, FRAMES, *maps.shape[1:]).sum((1, 3, 4))
    expected = part.to_logit.linear(phi).squeeze(1) + (part.to_logit.projection(c) * phi).sum(1)
    assert torch.allclose(D(x, c)[:, 1], expected, atol=1e-4)
    checks = torch.tensor([[1.0, -1.0], [-1.0, 1.0]]).repeat(SIDE // 2, SIDE // 2)
    assert torch.allclose(D(x + 0.3 * checks, c)[:, 1], expected, atol=1e-4)
    assert not torch.allclose(D(x + 0.3 * checks, c)[:, 0], D(x, c)[:, 0], atol=1e-3)


def test_frames_are_drawn_for_each_clip_without_replacement() -> None:
    _, D = networks(frames=8, num_spatial=3)
    device = torch.device("cpu")
    reseed(0, 1)
    chosen = D.spatial.chosen(400, device)
    assert all(len(set(row.tolist())) == 3 for row in chosen)
    share = torch.bincount(chosen.flatten(), minlength=8) / 400
    assert share.sub(3 / 8).abs().max() < 0.1
    reseed(0, 1)
    assert torch.equal(D.spatial.chosen(400, device), chosen), "they follow from torch's seed"
    assert D.eval().spatial.chosen(2, device).tolist() == [[0, 4, 7]] * 2


def test_a_clip_with_fewer_frames_is_seen_whole() -> None:
    _, D = networks(frames=3, num_spatial=8)
    x = clips(frames=3).requires_grad_()
    (by_x,) = torch.autograd.grad(D(x, labels(4))[:, 0].sum(), x)
    assert by_x.reshape(4, 3, -1).any(2).all()


def test_an_image_is_a_clip_of_one_frame() -> None:
    with torch.device("meta"):
        G, D = (table.find("dvdgan")(SIDE, 3, 0, width=2) for table in (GENERATORS, DISCRIMINATORS))
    assert G(torch.zeros(2, 120, device="meta"), torch.zeros(2, 0, device="meta")).shape == (2, 3, SIDE, SIDE)
    assert D.spatial.num_spatial == D.temporal.frames == 1


def test_only_the_drawn_frames_reach_the_spatial_logit() -> None:
    _, D = networks(num_spatial=2)
    x = clips().requires_grad_()
    reseed(0, 1)
    chosen = D.spatial.chosen(4, x.device)
    reseed(0, 1)
    (by_x,) = torch.autograd.grad(D(x, labels(4))[:, 0].sum(), x)
    reached = by_x.reshape(4, FRAMES, -1).any(2)
    assert torch.equal(reached, torch.zeros(4, FRAMES, dtype=torch.bool).scatter(1, chosen, True))


def test_a_gradient_penalty_through_d_equals_finite_differences() -> None:
    _, D = networks()
    D.double().eval()
    x, c = clips(2).double().requires_grad_(), labels(2).double()

    def penalty() -> Tensor:
        (gradient,) = torch.autograd.grad(D(x, c).sum(), x, create_graph=True)
        return gradient.square().sum()

    for layer in ("spatial.blocks.1.conv1", "temporal.blocks.0.conv2"):
        weight = D.get_parameter(f"{layer}.parametrizations.weight.original")
        (exact,) = torch.autograd.grad(penalty(), weight)
        direction, step, values = torch.randn_like(weight), 1e-8, []
        for move in (step, -2 * step):
            with torch.no_grad():
                weight += move * direction
            values.append(penalty().item())
        numeric = (values[0] - values[1]) / (2 * step)
        assert (exact * direction).sum().item() == pytest.approx(numeric, rel=1e-3), layer


# ---- both


@pytest.mark.parametrize("given", [0, 2])
def test_bfloat16_and_channels_last_are_close_to_plain_float32(given: int) -> None:
    G, D = (network.eval() for network in networks(given=given))
    z, c, a = torch.randn(8, 5), labels(8), clips(8)[:, : 3 * given]
    x = G(z, c, a)
    logits = D(x, c)
    G, D = (network.to(memory_format=torch.channels_last) for network in (G, D))
    assert torch.allclose(G(z, c, a), x, atol=1e-5)
    assert torch.allclose(D(x.to(memory_format=torch.channels_last), c), logits, atol=1e-4)
    with torch.autocast("cpu", torch.bfloat16):
        assert (G(z, c, a) - x).abs().max() < 0.1 * x.abs().max()
        assert (D(x, c) - logits).abs().max() < 0.05 * logits.abs().max() + 0.05
        D.train()(G.train()(z, c, a), c).float().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in [*G.parameters(), *D.parameters()])


@pytest.mark.parametrize("given", [0, 2])
def test_saved_networks_come_back_the_same(given: int, tmp_path: Path) -> None:
    G, D = networks(given=given)
    z, c, a = torch.randn(4, 5), labels(4), clips()[:, : 3 * given]
    x = G(z, c, a).detach()  # moves the running statistics, and the singular vectors
    D(x, c)
    facts = {"resolution": SIDE, "channels": 3 * FRAMES, "frames": FRAMES, "classes": ["a", "b", "c"]}
    config = {"name": "dvdgan", **facts}
    save_network(tmp_path / "G", G, {**config, "settings": {**G_SMALL, "given": given}})
    save_network(tmp_path / "D", D, {**config, "settings": {"width": 2, "num_spatial": 2}})
    assert torch.equal(load_network(tmp_path / "G", GENERATORS)[0](z, c, a), G.eval()(z, c, a))
    assert torch.equal(load_network(tmp_path / "D", DISCRIMINATORS)[0](x, c), D.eval()(x, c))


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_stays_finite(precision: str) -> None:
    parts = {"G": {"name": "dvdgan", **G_SMALL}, "D": {"name": "dvdgan", "width": 2, "num_spatial": 2}}
    settings = {"data.resolution": SIDE, "train.batch": 4, "data.labels": True, "objective": {"name": "hinge"}}
    t = tiny({**settings, **parts, "data.kind": "clips", "data.frames": 3}, ("a", "b"))
    t.engine = Engine(torch.device("cpu"), precision)
    before = [p.clone() for p in t.networks["G"].parameters()]
    for _ in range(6):
        iterate(t)
    assert t.num_skipped == 0
    assert all(torch.isfinite(p).all() for network in t.networks.values() for p in network.parameters())
    assert any(not torch.equal(p, old) for p, old in zip(t.networks["G"].parameters(), before, strict=True))


@pytest.mark.parametrize(
    ("player", "facts", "settings", "says"),
    [
        ("G", (24, 48, 16), {}, "pixels, not 24: set --data.resolution"),
        ("D", (512, 48, 16), {}, "pixels, not 512: set --data.resolution"),
        ("G", (32, 47, 16), {}, "a clip of 47 channels is not 16 images of 1, 3 or 4 channels"),
        ("D", (32, 48, 8), {}, "a clip of 48 channels is not 8 images"),
        ("G", (32, 48, 0), {}, "frames is 0, and must be at least 1"),
        ("G", (32, 48, 16), {"given": 16}, "G.given is 16, and must be below data.frames, 16"),
        ("G", (32, 48, 16), {"given": -1}, "G.given is -1"),
        ("G", (32, 48, 16), {"width": 0}, "G.width is 0"),
        ("G", (32, 48, 16), {"z_dim": 0}, "G.z_dim is 0"),
        ("D", (32, 48, 16), {"num_spatial": 0}, "D.num_spatial is 0"),
    ],
)
def test_what_cannot_be_is_one_line(
    player: str, facts: tuple[int, int, int], settings: dict[str, Any], says: str
) -> None:
    table, (resolution, channels, frames) = GENERATORS if player == "G" else DISCRIMINATORS, facts
    with pytest.raises(UserError) as caught:
        table.find("dvdgan")(resolution, channels, 0, frames, **settings)
    assert says in str(caught.value)
    assert "\n" not in str(caught.value)
