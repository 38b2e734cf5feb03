"""Two ranks play the game of one. Both are started once; each test looks at one of their jobs."""

import copy
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from exact import DENSE, SMALL, exact, tiny
from families import FAMILIES
from torch import Tensor, nn
from translation import CYCLEGAN, PIX2PIX, QUIET, SRGAN

from gannet.errors import UserError
from gannet.games.gan import GAN
from gannet.games.turn import Draw, Loss, Now, Pieces, Turn
from gannet.losses.adversarial import NonSaturating
from gannet.networks import GENERATORS, TRANSLATORS
from gannet.training.batch_norm import SyncBatchNorm, synchronise
from gannet.training.checkpoint import restore, state_of
from gannet.training.initial import Initial, fitting, start_from
from gannet.training.loop import Training, iterate
from gannet.training.ranks import ALONE, RankLostError, Ranks, launched

STEPS = 50
FEW = 8  # of the families, whose penalties and schedules all act by then
Both = tuple[dict[str, Any], dict[str, Any], str]


class Penalised(GAN):
    """With a slope of 1 asked of D between reals and fakes (Gulrajani et al. 2017, algorithm 1)."""

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        batch = draw()
        fake = self.G(batch.z, batch.c)

        def loss() -> Loss:
            between = batch.z[:, :1, None, None].sigmoid()
            slope = squared_slope(self.D, torch.lerp(batch.x, fake.detach(), between), batch.c).sqrt()
            found = self.d_loss(batch, fake.detach())
            return Loss({**found.terms, "penalty": 10 * (slope - 1).square()}, found.stats)

        yield Turn("D", learns="D", loss=loss)
        yield Turn("G", learns="G", loss=lambda: self.g_loss(fake, batch, batch))


def squared_slope(D: nn.Module, x: Tensor, c: Tensor) -> Tensor:
    x = x.detach().requires_grad_()
    (slope,) = torch.autograd.grad(D(x, c).sum(), x, create_graph=True)
    return slope.square().sum((1, 2, 3))


FREE = {**DENSE, "G": {"name": "mlp", "z_dim": 5, "hidden": [12], "first_norm": False}}
GAMES: dict[str, tuple[type[GAN] | None, dict[str, Any]]] = {
    "batch norm": (None, {**SMALL, "data.flip": True, "data.jitter": 0.1, "ema.half_life_kimg": 0.02}),
    "halves": (None, {**SMALL, "game": {"name": "gan-halves", "g_steps": 2}}),
    "lazy R1": (None, {**SMALL, "penalties.r1.gamma": 2.0, "penalties.r1.every": 4}),
    "frozen D": (None, {**SMALL, "train.freeze_d": 1}),
    "lecam": (None, {**SMALL, "D.norm": "none", "penalties.lecam.weight": 0.3}),
    "penalty": (Penalised, {**SMALL, "D.norm": "none"}),
    "acgan": (None, {**SMALL, "game": {"name": "acgan"}, "data.labels": True}),
    "infogan": (None, {**SMALL, "game": {"name": "infogan", "categories": 3}}),
    "top k": (None, {**DENSE, "game.top_k": 0.5, "train.micro_batch": 2}),
    "two shares": (None, {**DENSE, "train.micro_batch": 1}),
    **{family: (None, FAMILIES[family]) for family in ("resnet", "biggan", "fastgan")},
    # its biases before batch norm have no gradient: with Adam's usual eps their steps are made of rounding
    "biggan-deep": (None, {**FAMILIES["biggan-deep"], "optim.G.eps": 1e-6}),
    # all frames of a clip, since each rank draws some for its own clips
    "dvdgan": (None, {**FAMILIES["dvdgan"], "D.num_spatial": 3}),
    "pix2pix": (None, {**PIX2PIX, "G": {**PIX2PIX["G"], "dropout": 0.0}}),
    # the biases before instance norm have no gradient either
    "cyclegan": (
        None,
        {**CYCLEGAN, "game": {"name": "cyclegan", "pool": 50}, **{f"optim.{p}.eps": 1e-6 for p in "GD"}},
    ),
    "cyclegan with a full pool": (None, CYCLEGAN),
    "srgan": (None, {**SRGAN, "game": {"name": "srgan", "start_kimg": 0.012, "adversarial": 0.5}}),
    # they look at their own share of the batch, or draw torch's noise for it
    "pix2pix with dropout": (None, {**PIX2PIX, **QUIET, "G": {**QUIET["G"], "dropout": 0.5}, "train.micro_batch": 1}),
    **{family: (None, {**FAMILIES[family], "train.micro_batch": 2}) for family in ("mlp", "r3gan")},
    "stylegan2": (
        None,
        {**{k: v for k, v in FAMILIES["stylegan2"].items() if "path-length" not in k}, "train.micro_batch": 2},
    ),
}
# fastgan has batch norm over the ranks, and noise and augmentation of each one's own: no single rank can be as both;
# and each rank draws places of a full pool for its own images
EQUAL = [name for name in GAMES if name not in ("fastgan", "cyclegan with a full pool")]


def made(name: str, ranks: Ranks, **more: Any) -> Training:
    kind, settings = GAMES[name]
    classes = ("a", "b") if settings.get("data.labels") else ()
    t = exact(tiny({**settings, **more}, classes, ranks))
    if kind:
        t.game = cast(Any, kind(Pieces(t.networks, NonSaturating())))
    return t


def played(name: str, ranks: Ranks) -> dict[str, Any]:
    """The losses of every step, and the weights at the end."""
    t = made(name, ranks)
    lines = []
    for _ in range(FEW if name in FAMILIES or t.recipe.G.name in TRANSLATORS.rows else STEPS):
        iterate(t)
        lines.append(t.means.flush(ranks))
    networks = {**t.networks, **({"ema": t.ema.networks["G"]} if t.ema else {})}
    return {"lines": lines, "weights": {n: dict(net.state_dict()) for n, net in networks.items()}}


def moments(ranks: Ranks) -> list[Tensor]:
    """Output, first and second derivative of batch norm at a batch of 6, or at this rank's part of it."""
    torch.manual_seed(1)
    norm = nn.Sequential(nn.BatchNorm2d(3).double())
    whole, weight = torch.randn(6, 3, 2, 2, dtype=torch.float64), torch.randn(6, 3, 2, 2, dtype=torch.float64)
    synchronise(norm, ranks)
    own = slice(ranks.rank * 6 // ranks.num, (ranks.rank + 1) * 6 // ranks.num)
    x = whole[own].clone().requires_grad_()
    y = norm(x)
    (first,) = torch.autograd.grad((y * weight[own]).pow(3).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), x)
    return [y.detach(), first.detach(), second, *(b for b in norm.buffers() if b.is_floating_point())]


def in_float32(ranks: Ranks) -> list[dict[str, float]]:
    """Five lines of an ordinary training."""
    t = tiny({**SMALL, "G.width": 16, "D.width": 16, "train.batch": 16}, ranks=ranks)
    lines = []
    for _ in range(5):
        iterate(t)
        lines.append(t.means.flush(ranks))
    return lines


def started(ranks: Ranks) -> dict[str, Tensor]:
    """G after a start from weights that the first rank alone has."""
    t = made("batch norm", ranks)
    others = made("batch norm", ALONE, seed=9).networks
    copied = tuple(fitting(name, t.networks[name], others[name].state_dict(), "") for name in ("G", "D"))
    start_from(t, Initial("other", copied).to_bytes() if ranks.first else b"")
    return dict(t.networks["G"].state_dict())


def with_another_number(ranks: Ranks) -> list[int]:
    """How many images each of two ranks computes at once in a run that one rank began, alone or short of memory."""
    found = []
    for fits in (0, 3):
        began = tiny({**SMALL, "train.batch": 12})
        began.fits = fits
        goes_on = tiny({**SMALL, "train.batch": 12}, ranks=ranks)
        restore(goes_on, copy.deepcopy(state_of(began)))
        iterate(goes_on)
        found.append(goes_on.micro)
    return found


def restored(ranks: Ranks) -> list[dict[str, float]]:
    """Lines of a run that is stored between two lines of its statistics, and goes on from there in a new training."""
    t = made("batch norm", ranks)
    iterate(t)
    state = copy.deepcopy(state_of(t))
    other = made("batch norm", ranks)
    restore(other, state)
    for each in (t, other):
        iterate(each)
    return [t.means.flush(ranks), other.means.flush(ranks)]


def average_w(ranks: Ranks) -> Tensor:
    """StyleGAN2's running average of w after one iteration, which no noise has reached."""
    t = made("stylegan2", ranks, **{"G.style_mixing": 0.0, "train.micro_batch": 0})
    iterate(t)
    return t.networks["G"].get_buffer("w_avg")


def awaited(ranks: Ranks, made: Path) -> bool:
    """Whether what the first rank makes is there once it has come to the same place."""
    if ranks.first:
        time.sleep(0.3)
        made.touch()
    ranks.await_first("made")
    return made.exists()


def job(rank: int, port: int, folder: str) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    try:
        with launched() as ranks:
            found: dict[str, Any] = {name: played(name, ranks) for name in GAMES}
            found["moments"] = moments(ranks)
            found["restored"] = restored(ranks)
            found["float32"] = in_float32(ranks)
            found["micro"] = with_another_number(ranks)
            found["started"] = started(ranks)
            found["w"] = average_w(ranks)
            found["awaited"] = awaited(ranks, Path(folder, "measured"))
            found["any"] = [ranks.any(rank == 1), ranks.any(False)]
            found["bytes"] = [ranks.broadcast(b"abc" if rank == 0 else b""), ranks.broadcast(b"")]
            torch.save(found, f"{folder}/{rank}.pt")
            if rank == 1:
                os._exit(7)
            ranks.any(False)
    except RankLostError as error:
        Path(folder, "lost").write_text(str(error))


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Both:
    """What each of two ranks found, and what the first said when the second died."""
    folder = tmp_path_factory.mktemp("ranks")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=job, args=(rank, port, str(folder))) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(300)
    assert [process.exitcode for process in processes] == [0, 7]
    one, two = (torch.load(folder / f"{rank}.pt", weights_only=False) for rank in range(2))
    return one, two, (folder / "lost").read_text()


@pytest.mark.parametrize("name", EQUAL)
def test_two_ranks_give_the_losses_and_weights_of_one(both: Both, name: str) -> None:
    alone = played(name, ALONE)
    for found in both[:2]:
        for line, expected in zip(found[name]["lines"], alone["lines"], strict=True):
            assert line == pytest.approx(expected, rel=1e-9, abs=1e-12)
        for network, values in alone["weights"].items():
            for key, value in values.items():
                torch.testing.assert_close(found[name]["weights"][network][key], value, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", GAMES)
def test_both_ranks_hold_the_very_same_weights(both: Both, name: str) -> None:
    for network, values in both[0][name]["weights"].items():
        for key, value in values.items():
            assert torch.equal(value, both[1][name]["weights"][network][key]), (network, key)
            assert torch.isfinite(value).all(), (network, key)


def test_every_family_plays_with_two_ranks() -> None:
    assert {made(name, ALONE).recipe.G.name for name in GAMES} - set(TRANSLATORS.rows) == set(GENERATORS.rows)


def test_the_average_of_w_is_that_of_all_ranks(both: Both) -> None:
    """Each rank alone would move it by its own half of the batch."""
    whole = average_w(ALONE)
    assert whole.any()
    for found in both[:2]:
        torch.testing.assert_close(found["w"], whole, rtol=1e-9, atol=1e-15)


def test_batch_norm_over_ranks_is_that_of_the_whole_batch_to_the_second_derivative(both: Both) -> None:
    expected = moments(ALONE)
    parts = [torch.cat([one, two]) for one, two in zip(both[0]["moments"][:3], both[1]["moments"][:3], strict=True)]
    for found, value in zip([*parts, *both[0]["moments"][3:]], expected, strict=True):
        torch.testing.assert_close(found, value, rtol=1e-9, atol=1e-12)


def test_in_float32_the_first_losses_agree(both: Both) -> None:
    for line, expected in zip(both[0]["float32"], in_float32(ALONE), strict=True):
        for name in ("loss D", "loss G"):
            assert line[name] == pytest.approx(expected[name], abs=1e-5)


def test_statistics_of_every_rank_are_in_the_checkpoint(both: Both) -> None:
    went_on, came_back = both[0]["restored"]
    assert came_back == went_on


def test_a_run_goes_on_with_more_ranks_and_fewer(both: Both) -> None:
    assert both[0]["micro"] == both[1]["micro"] == [6, 3]
    assert with_another_number(ALONE) == [12, 3]


def test_every_rank_starts_from_the_weights_that_the_first_has(both: Both) -> None:
    expected = made("batch norm", ALONE, seed=9).networks["G"].state_dict()
    for found in (both[0]["started"], both[1]["started"], started(ALONE)):
        assert found.keys() == expected.keys()
        assert all(torch.equal(value, expected[name]) for name, value in found.items())


def test_ranks_agree(both: Both) -> None:
    assert both[0]["any"] == both[1]["any"] == [True, False]
    assert both[0]["bytes"] == both[1]["bytes"] == [b"abc", b""]


def test_the_others_wait_for_the_first(both: Both) -> None:
    assert both[0]["awaited"] and both[1]["awaited"]


def test_a_rank_that_died_is_told_in_one_line(both: Both) -> None:
    assert "another rank died" in both[2] and "gannet resume" in both[2] and "\n" not in both[2]


def test_a_state_of_two_ranks_goes_on_with_one(both: Both) -> None:
    t = made("batch norm", ALONE)
    iterate(t)
    state, expected = state_of(t), t.means.flush()
    state["means"]["sums"] = torch.stack([state["means"]["sums"][0] - 1, state["means"]["sums"][0] + 1])
    restore(t, state)
    assert t.means.flush().keys() == expected.keys()
    restore(t, state)
    assert t.means.flush() == pytest.approx(dict(zip(expected, state["means"]["sums"].mean(0).tolist(), strict=True)))


def test_a_batch_that_cannot_be_shared_is_one_line() -> None:
    with pytest.raises(UserError, match="a batch of 4 cannot be shared equally by 3 ranks"):
        tiny(SMALL, ranks=Ranks(0, 3))


def test_one_rank_keeps_its_batch_norm_as_it_is() -> None:
    network = nn.Sequential(nn.BatchNorm1d(2))
    synchronise(network, ALONE)
    assert not isinstance(network[0], SyncBatchNorm)
