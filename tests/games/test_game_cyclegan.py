"""CycleGAN against a plain loop, and its pools by hand."""

import copy
from collections.abc import Sequence
from typing import Any

import pytest
import torch
from exact import BATCH, exact, learn, same, tiny, weights
from torch import Tensor
from translation import CYCLEGAN

from gannet.data.batch import Batch
from gannet.games.cyclegan import Pool
from gannet.training.checkpoint import restore, state_of
from gannet.training.loop import Training, iterate

NONE = torch.empty(BATCH, 0)
EPS = {"optim.G.eps": 1e-6, "optim.D.eps": 1e-6}  # else the steps of biases before a norm are made of rounding
NO_POOL = {"name": "cyclegan", "cycle": 3.0, "pool": 0}


def alone(tensors: Sequence[Tensor]) -> None:
    """The mean over one rank."""


def numbered(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32).view(-1, 1, 1, 1)


def play_plainly(t: Training, num: int, cycle: float, identity: float) -> None:
    """Equation 3 with the losses of section 4 (halved), and the identity term of section 5.2."""
    G, F, D, D_X = (t.networks[name] for name in ("G", "F", "D", "D_X"))
    other = t.loader.other
    assert other is not None
    for i in range(num):
        b, a = (loader.reals(i * BATCH, BATCH)[0] for loader in (t.loader, other))
        fake_b, fake_a = G(a), F(b)
        adversarial = ((D(fake_b, NONE) - 1) ** 2).mean() / 2 + ((D_X(fake_a, NONE) - 1) ** 2).mean() / 2
        there_and_back = (F(fake_b) - a).abs().mean() + (G(fake_a) - b).abs().mean()
        alike = (G(b) - b).abs().mean() + (F(a) - a).abs().mean()
        learn(t, "G", adversarial + cycle * there_and_back + cycle * identity * alike)
        loss = torch.zeros(())
        for rate, real, fake in ((D, b, fake_b.detach()), (D_X, a, fake_a.detach())):
            loss = loss + ((rate(real, NONE) - 1) ** 2).mean() / 2 + (rate(fake, NONE) ** 2).mean() / 2
        learn(t, "D", loss)


@pytest.mark.parametrize("identity", [0.0, 0.25])
def test_four_iterations_equal_a_plain_loop(identity: float) -> None:
    settings = {**CYCLEGAN, "game": {**NO_POOL, "identity": identity}, **EPS}
    ours, plain = exact(tiny(settings)), exact(tiny(settings))
    before = {name: weights(plain.networks[name]) for name in ("G", "F", "D", "D_X")}
    for _ in range(4):
        iterate(ours)
    play_plainly(plain, 4, 3.0, identity)
    for name in before:
        assert not same(before[name], weights(plain.networks[name]))
        for key, value in plain.networks[name].state_dict().items():
            torch.testing.assert_close(ours.networks[name].state_dict()[key], value, rtol=1e-8, atol=1e-11)
    assert ("G identity" in ours.means.flush()) == bool(identity)


def test_the_two_sets_come_in_orders_of_their_own_and_the_four_networks_differ() -> None:
    t = tiny(CYCLEGAN)
    assert t.loader.other is not None
    assert not torch.equal(t.loader.reals(0, 8)[0], t.loader.other.reals(0, 8)[0])
    for one, other in (("G", "F"), ("D", "D_X")):
        assert not same(weights(t.networks[one]), weights(t.networks[other]))


@pytest.mark.parametrize("pool", [0, 50])
def test_micro_batches_equal_the_whole_batch(pool: int) -> None:
    """Until the pool is full: then each share draws places of its own."""
    settings = {**CYCLEGAN, "game": {"name": "cyclegan", "pool": pool}, **EPS}
    whole, cut = exact(tiny(settings)), exact(tiny({**settings, "train.micro_batch": 2}))
    lines = []
    for t in (whole, cut):
        for _ in range(3):
            iterate(t)
        lines.append(t.means.flush())
    for name, network in whole.networks.items():
        for key, value in network.state_dict().items():
            torch.testing.assert_close(cut.networks[name].state_dict()[key], value, rtol=1e-8, atol=1e-11)
    assert lines[0] == pytest.approx(lines[1], rel=1e-6)
    assert whole.networks["pool a"].get_buffer("num") == (3 * BATCH if pool else 0)


def test_a_pool_fills_with_what_comes_first() -> None:
    pool = Pool(3, (1, 1, 1))
    assert torch.equal(pool.seen(numbered(1, 2), 0), numbered(1, 2))
    pool.keep(alone, 2)
    assert (pool.images.flatten().tolist(), int(pool.num)) == ([1, 2, 0], 2)
    assert torch.equal(pool.seen(numbered(3, 4), 0), numbered(3, 4))
    pool.keep(alone, 2)
    assert (pool.images.flatten().tolist(), int(pool.num)) == ([1, 2, 3], 3)


def full(size: int) -> Pool:
    pool = Pool(size, (1, 1, 1))
    pool.seen(numbered(*range(1, size + 1)), 0)
    pool.keep(alone, size)
    return pool


def test_from_a_full_pool_d_sees_an_old_image_half_of_the_time_and_a_new_one_takes_its_place() -> None:
    torch.manual_seed(0)
    pool, num = full(4), 2000
    new = numbered(*range(100, 100 + num))
    seen = pool.seen(new, 0)
    old = seen != new
    assert abs(old.float().mean() - 0.5) < 4 * (0.25 / num) ** 0.5
    counts = torch.bincount(seen[old].long(), minlength=5)
    assert counts[0] == 0 and counts.sum() == old.sum()
    assert (counts[1:] - old.sum() / 4).abs().max() < 4 * (num / 2 / 4 * 3 / 4) ** 0.5
    pool.keep(alone, num)
    for place in range(4):
        taken = new[seen == place + 1]
        assert pool.images[place] == taken[-1], "of several that chose the place the last one stays"
    assert int(pool.num) == 4


def test_what_d_saw_comes_back_later() -> None:
    torch.manual_seed(0)
    pool, made, seen = full(5), [], []
    for i in range(100):
        made.append(100.0 + i)
        seen.append(pool.seen(numbered(made[-1]), 0).item())
        pool.keep(alone, 1)
    later = [value for i, value in enumerate(seen) if value != made[i] and value >= 100]
    assert len(later) > 30 and len(set(later)) == len(later), "each comes back once at most"
    assert all(value in made[:i] or value < 100 or value == made[i] for i, value in enumerate(seen))


def test_shares_of_a_batch_fill_a_pool_as_the_whole_does() -> None:
    whole, shares = Pool(6, (1, 1, 1)), Pool(6, (1, 1, 1))
    whole.seen(numbered(1, 2, 3, 4), 0)
    for start in (2, 0):
        shares.seen(numbered(start + 1, start + 2), start)
    for pool in (whole, shares):
        pool.keep(alone, 4)
    assert shares.images.flatten().tolist() == whole.images.flatten().tolist() == [1, 2, 3, 4, 0, 0]


def test_a_pool_of_none_shows_what_is_new() -> None:
    pool = Pool(0, (1, 1, 1))
    assert torch.equal(pool.seen(numbered(1, 2), 0), numbered(1, 2))
    pool.keep(alone, 2)
    assert pool.images.shape == (0, 1, 1, 1)


def test_the_pools_are_restored() -> None:
    whole, stopped, again = tiny(CYCLEGAN), tiny(CYCLEGAN), tiny(CYCLEGAN)
    for _ in range(5):
        iterate(whole)
    for _ in range(3):
        iterate(stopped)
    restore(again, copy.deepcopy(state_of(stopped)))
    for _ in range(2):
        iterate(again)
    assert int(again.networks["pool a"].get_buffer("num")) == 3
    for key, network in whole.networks.items():
        assert same(weights(network), weights(again.networks[key])), key


def test_the_averages_are_of_both_ways() -> None:
    t = tiny({**CYCLEGAN, "ema.half_life_kimg": 0.1})
    iterate(t)
    assert set(t.samplers) == {"G", "F"}
    for name in ("G", "F"):
        assert not same(weights(t.samplers[name]), weights(t.networks[name]))


def test_layers_of_both_discriminators_are_frozen() -> None:
    t = tiny({**CYCLEGAN, "train.freeze_d": 1})
    for name in ("D", "D_X"):
        first, *others = t.networks[name].parameters()
        assert first.dim() == 4 and not first.requires_grad
        assert any(p.requires_grad for p in others)


def test_a_grid_shows_there_and_back() -> None:
    t: Any = tiny(CYCLEGAN)
    networks = {name: t.networks[name].eval() for name in ("G", "F")}
    a, x = t.loader.fixed(2)
    shown = t.game.show(networks, Batch(z=a, c=a[:, :0, 0, 0], x=x, a=a))
    G, F = networks["G"], networks["F"]
    expected = [a, G(a), F(G(a)), x, F(x), G(F(x))]
    assert list(shown) == ["input", "output", "and back", "target", "output back", "and there"]
    for found, value in zip(shown.values(), expected, strict=True):
        assert torch.equal(found, value)
