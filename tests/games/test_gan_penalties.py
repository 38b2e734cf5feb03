"""Penalties, other objectives and optimizers in the game of two, against loops as their papers write them."""

import copy
import math
from typing import Any

import pytest
import torch
from exact import BATCH, DENSE, SMALL, exact, same, tiny, weights
from torch import Tensor, nn
from torch.nn.functional import relu, softplus

from gannet.config import from_toml, overridden, to_toml
from gannet.data.batch import Batch, Noise
from gannet.errors import UserError
from gannet.losses import PENALTIES
from gannet.losses.regularisers import Judged
from gannet.options import train_options
from gannet.recipes import recipe
from gannet.training.build import completed
from gannet.training.checkpoint import restore, state_of
from gannet.training.engine import Engine
from gannet.training.loop import Training, iterate

PLAIN = {**DENSE, "optim.G.lr": 1e-3, "optim.D.lr": 1e-3}


def slope(D: nn.Module, x: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(D(x, x.new_empty(len(x), 0)).sum(), x, create_graph=True)
    return gradient.flatten(1)


def play_plainly(t: Training, num: int, d_loss: Any, g_loss: Any, d_steps: int = 1, lazy: Any = None) -> None:
    """Alternating steps by hand; `lazy` is D's loss of every second iteration's extra step."""
    G, D, loader = t.networks["G"], t.networks["D"], t.loader
    none = torch.empty(BATCH, 0)
    start = 0
    for i in range(num):
        for _ in range(d_steps):
            x, _ = loader.reals(start, BATCH)
            fake = G(loader.noise(start, BATCH), none)
            start += BATCH
            learn(t, "D", d_loss(D, x, fake.detach()))
        if lazy and i % 2 == 0:
            learn(t, "D", lazy(D, x, fake.detach()))
        learn(t, "G", g_loss(D, x, fake))


def learn(t: Training, player: str, loss: Tensor) -> None:
    optimizer, clip = t.optimizers[player], t.recipe.optim[player].clip
    for parameter in t.parameters[player]:
        parameter.grad = torch.zeros_like(parameter)
    loss.backward()
    optimizer.step()
    for parameter in t.parameters[player] if clip else []:
        parameter.data.clamp_(-clip, clip)


def logits(D: nn.Module, x: Tensor) -> Tensor:
    return D(x, torch.empty(BATCH, 0))


def r3gan_d(D: nn.Module, x: Tensor, fake: Tensor) -> Tensor:
    penalties = (slope(D, x).square().sum(1) + slope(D, fake).square().sum(1)).mean() * 0.3 / 2
    return softplus(logits(D, fake) - logits(D, x)).mean() + penalties


def check(settings: dict[str, Any], **by_hand: Any) -> None:
    ours, plain = exact(tiny({**PLAIN, **settings})), exact(tiny({**PLAIN, **settings}))
    before = weights(plain.networks["D"])
    play_plainly(plain, 6, **by_hand)
    for _ in range(6):
        iterate(ours)
    assert not same(weights(plain.networks["D"]), before)
    for name in ("G", "D"):
        for key, value in plain.networks[name].state_dict().items():
            torch.testing.assert_close(ours.networks[name].state_dict()[key], value, rtol=1e-9, atol=1e-11)


def test_relativistic_with_r1_and_r2_equals_a_plain_loop() -> None:
    check(
        {"objective": {"name": "relativistic"}, "penalties.r1.gamma": 0.3, "penalties.r2.gamma": 0.3},
        d_loss=r3gan_d,
        g_loss=lambda D, x, fake: softplus(logits(D, x) - logits(D, fake)).mean(),
    )


def test_a_lazy_penalty_has_a_step_of_its_own_and_k_times_the_weight() -> None:
    check(
        {"penalties.r1.gamma": 2.0, "penalties.r1.every": 2},
        d_loss=lambda D, x, fake: (softplus(-logits(D, x)) + softplus(logits(D, fake))).mean(),
        g_loss=lambda D, x, fake: softplus(-logits(D, fake)).mean(),
        lazy=lambda D, x, fake: 2 * slope(D, x).square().sum(1).mean(),
    )


def test_wasserstein_with_clipping_and_rmsprop_equals_a_plain_loop() -> None:
    optim = {"optim.D.name": "rmsprop", "optim.G.name": "rmsprop", "optim.D.clip": 0.02}
    check(
        {"objective": {"name": "wasserstein"}, "game.d_steps": 3, **optim},
        d_loss=lambda D, x, fake: (logits(D, fake) - logits(D, x)).mean(),
        g_loss=lambda D, x, fake: -logits(D, fake).mean(),
        d_steps=3,
    )


def test_hinge_equals_a_plain_loop() -> None:
    check(
        {"objective": {"name": "hinge"}},
        d_loss=lambda D, x, fake: (relu(1 - logits(D, x)) + relu(1 + logits(D, fake))).mean(),
        g_loss=lambda D, x, fake: -logits(D, fake).mean(),
    )


def test_the_gradient_penalty_pulls_the_slope_to_one() -> None:
    settings = {"objective": {"name": "wasserstein"}, "game.d_steps": 5, "penalties.gradient-penalty.weight": 10.0}
    t = tiny({**PLAIN, **settings})
    lines = []
    for _ in range(60):
        iterate(t)
        lines.append(t.means.flush())
    assert lines[0]["D gradient-penalty"] > 5 * lines[-1]["D gradient-penalty"]
    assert {"logit real", "logit fake", "logit fake after"} <= lines[0].keys() and "D(x)" not in lines[0]
    assert "accuracy real" not in lines[0]


def test_feature_matching_by_hand() -> None:
    """Mean features of (1, 5) for reals and (4, 1) for fakes are 25 apart, squared."""

    class Features(nn.Module):
        def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
            return x[:, 0], 2 * x

    real = torch.tensor([[0.0, 2.0], [1.0, 3.0]])
    fake = torch.tensor([[1.0, 0.5], [3.0, 0.5]], requires_grad=True)
    none = torch.empty(2, 0)
    penalty = PENALTIES.find("feature-matching")(weight=0.5)
    term = penalty(Judged(Features(), nn.Identity(), real, none, fake, none, none, nn.Identity()))
    assert (penalty.player, term.item()) == ("G", 12.5)
    (gradient,) = torch.autograd.grad(term, fake)
    assert gradient.tolist() == [[3.0, -4.0]] * 2  # 0.5 * 2 * (3, -4) * 2 / 2


class Sum(nn.Module):
    """(1, 2) x for each sample of two values."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return x[:, 0] + 2 * x[:, 1]


def test_slopes_are_those_of_what_d_is_shown() -> None:
    """D(3 x) of slope (3, 6): |.|^2 / 2 is 22.5."""
    x, none = torch.tensor([[0.5, 1.0]]), torch.empty(1, 0)
    judged = Judged(Sum(), nn.Identity(), x, none, x, none, none, lambda x: 3 * x)
    for name in ("r1", "r2"):
        assert PENALTIES.find(name)(gamma=2.0)(judged).tolist() == [45.0]


def test_consistency_is_of_its_own_changes_alone() -> None:
    """A flip and a shift leave images of one colour as they are, whatever the augmentation does to them."""

    class Mean(nn.Module):
        def forward(self, x: Tensor, c: Tensor) -> Tensor:
            return x.mean((1, 2, 3))

    x, none = torch.rand(4, 1, 1, 1).expand(4, 1, 8, 8), torch.empty(4, 0)
    judged = Judged(Mean(), nn.Identity(), x, none, x, none, none, torch.rand_like)
    assert PENALTIES.find("consistency")()(judged).max() < 1e-9


def test_orthogonal_looks_at_the_weight_that_learns() -> None:
    """Spectral norm would make it shorter, and take a power iteration each time it is read."""
    torch.manual_seed(0)
    layer = nn.Linear(3, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[3.0, 0.0, 4.0], [0.0, 1.0, 1.0]]))
    none = torch.empty(1, 0)
    judged = Judged(Sum(), nn.utils.parametrizations.spectral_norm(layer), none, none, none, none, none, nn.Identity())
    assert PENALTIES.find("orthogonal")(weight=1.0)(judged).item() == pytest.approx(32.0)  # twice 4 squared


def test_feature_matching_tells_d_the_labels_of_reals_and_of_fakes() -> None:
    """In G's turn with fresh noise the fakes have other labels than the batch."""
    t = tiny(
        {**DENSE, "data.labels": True, "game.fresh_noise": True, "penalties.feature-matching.weight": 1.0},
        tuple("abcde"),
    )
    D: Any = t.networks["D"]
    rate, seen = D.logits_and_features, []

    def spied(x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        seen.append((x.detach(), c))
        return rate(x, c)

    D.logits_and_features = spied
    iterate(t)
    x, real_c = t.loader.reals(0, BATCH)
    fake_c = t.loader.labels(BATCH, BATCH)
    assert not torch.equal(real_c, fake_c)
    labels = [real_c, real_c, fake_c, real_c, fake_c]  # D's turn, then G's, with the two that the penalty compares
    for (_, c), expected in zip(seen, labels, strict=True):
        assert torch.equal(c, expected)
    assert torch.equal(seen[3][0], x)


def test_feature_matching_beside_the_objective_equals_a_plain_loop() -> None:
    def apart(D: Any, x: Tensor, fake: Tensor) -> Tensor:
        real, made = (D.logits_and_features(images, torch.empty(BATCH, 0))[1].mean(0) for images in (x, fake))
        return (real - made).square().sum()

    check(
        {"penalties.feature-matching.weight": 0.5},
        d_loss=lambda D, x, fake: (softplus(-logits(D, x)) + softplus(logits(D, fake))).mean(),
        g_loss=lambda D, x, fake: softplus(-logits(D, fake)).mean() + 0.5 * apart(D, x, fake),
    )


ALL: dict[str, dict[str, Any]] = {
    "lecam": {"penalties.lecam.weight": 0.3},
    "consistency": {"penalties.consistency.real_weight": 1.0},
    "dragan": {"penalties.dragan.weight": 1.0},
    "orthogonal": {"penalties.orthogonal.weight": 1e-3},
    "both every step and lazy": {"penalties.r1.gamma": 1.0, "penalties.r2.every": 3},
}


@pytest.mark.parametrize("name", ALL)
def test_what_a_penalty_remembers_is_restored(name: str) -> None:
    settings = {**SMALL, **ALL[name]}
    whole, stopped = tiny(settings), tiny(settings)
    for _ in range(4):
        iterate(whole)
    for _ in range(2):
        iterate(stopped)
    again = tiny(settings)
    restore(again, copy.deepcopy(state_of(stopped)))
    for _ in range(2):
        iterate(again)
    assert whole.networks.keys() == again.networks.keys()
    for key, network in whole.networks.items():
        assert same(weights(network), weights(again.networks[key])), key


@pytest.mark.parametrize(
    ("settings", "line"),
    [
        ({"game": {"name": "gan-halves"}, "objective": {"name": "relativistic"}}, "no relativistic objective"),
        ({"game": {"name": "gan-halves"}, "penalties.r1.gamma": 1.0}, "no penalty"),
        ({"game": {"name": "gan-simultaneous"}, "penalties.r1.every": 4}, "`every` of its penalties to 1"),
        ({"penalties.r3.gamma": 1.0}, "there is no penalty 'r3'; did you mean 'r"),
        ({"penalties.r1.gama": 1.0}, r"penalties.r1 'r1' has no setting 'gama'; did you mean 'gamma'"),
        ({"penalties.r1.every": 0}, "at least 1"),
        ({"penalties.r2.gamma": -1.0}, "gamma is -1.0, and must be at least 0"),
        ({"objective": {"name": "lsgan", "a": 1.0}}, "finite"),
        ({"optim.D.clip": -1.0}, "optim.D.clip is -1.0"),
        ({"penalties.lecam.decay": 5.0}, "decay is 5.0, and must be from 0 to below 1"),
        ({"augment": {"name": "ada"}, "objective": {"name": "relativistic"}}, "set --augment.target 0"),
        ({"augment": {"name": "ada"}, "objective": {"name": "wasserstein"}}, "set --augment.target 0"),
    ],
)
def test_what_does_not_go_together_is_one_line(settings: dict[str, Any], line: str) -> None:
    with pytest.raises(UserError, match=line):
        tiny({**SMALL, **settings})


def test_path_length_asks_for_a_generator_with_w() -> None:
    t = tiny({**SMALL, "penalties.path-length.weight": 2.0})
    with pytest.raises(UserError, match="for a G that has w"):
        iterate(t)


@pytest.mark.parametrize("name", sorted(set(PENALTIES.rows) - {"path-length", "content"}))
def test_penalties_work_beside_half_precision(name: str) -> None:
    """G's fakes come in bfloat16, and penalties compute in float32."""
    t = tiny({**SMALL, "D.norm": "none", f"penalties.{name}": {}})
    t.engine = Engine(torch.device("cpu"), "bfloat16")
    iterate(t)
    assert all(math.isfinite(value) for value in t.means.flush().values()) and not t.num_skipped


@pytest.mark.parametrize("game", ["gan", "gan-halves", "gan-simultaneous"])
def test_ada_follows_d_in_every_game(game: str) -> None:
    """D takes all reals for real, so p rises by the images seen in four iterations."""
    t = tiny({**SMALL, "game": {"name": game}, "augment": {"name": "ada", "kimg": 1.0}, "optim.D.lr": 1e-12})
    D: Any = t.networks["D"]
    D.to_logit.bias = nn.Parameter(torch.tensor([50.0]))
    for _ in range(4):
        iterate(t)
    assert t.networks["augment"].get_buffer("p").item() == pytest.approx(4 * BATCH / 1000)
    assert t.means.flush()["augment p"] == pytest.approx(0.0)


def test_a_g_without_layers_of_torchs_own_cannot_be_made_orthogonal() -> None:
    t = tiny({**SMALL, "penalties.orthogonal.weight": 1.0})
    game: Any = t.game
    game.G, one = nn.Module(), torch.zeros(1)
    judged = game.judged(Batch(x=one, z=one, c=one, a=one), one, Noise(z=one, c=one), None, None)
    with pytest.raises(UserError, match="leave it out"):
        game.penalties["orthogonal"](judged)


def test_penalties_are_options_and_toml() -> None:
    argv = [
        "shapes",
        "--penalties.r1.gamma",
        "0.5",
        "--penalties.gradient-penalty.every",
        "4",
        "--objective.name",
        "hinge",
    ]
    _, made = train_options(recipe("dcgan"), argv)
    assert made.penalties == {"r1": {"gamma": 0.5, "every": 1}, "gradient-penalty": {"weight": 10.0, "every": 4}}
    assert completed(from_toml(to_toml(made), "test")[0]) == completed(made)
    _, more = train_options(made, ["shapes", "--penalties.r1.every", "16"])
    assert more.penalties == {**made.penalties, "r1": {"gamma": 0.5, "every": 16}}
    assert overridden(recipe("dcgan"), {"penalties.r1.gamma": 2.0}).penalties == {"r1": {"gamma": 2.0}}
    with pytest.raises(UserError, match=r"no option --penalties\.r1\.gama"):
        train_options(recipe("dcgan"), ["shapes", "--penalties.r1.gama", "1"])
