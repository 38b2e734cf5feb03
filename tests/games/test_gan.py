from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from gannet.data.batch import Batch, Noise
from gannet.errors import UserError
from gannet.games import GAMES
from gannet.games.gan import GAN, HalvesGAN, SimultaneousGAN
from gannet.games.turn import Fakes, Now, Pieces, Turn
from gannet.losses.adversarial import NonSaturating

LN2 = 0.6931471805599453


class G(nn.Module):
    """Adds its weight to z, and remembers each forward: its mode, whether it made a graph, its z."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.forwards: list[tuple[bool, bool, float]] = []

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        self.forwards.append((self.training, torch.is_grad_enabled(), float(z[0, 0])))
        return (z + self.weight)[:, :, None, None]


class D(nn.Module):
    """The mean of x and a bias; remembers what it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(1))
        self.seen: list[tuple[float, float]] = []

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        self.seen.append((float(x.detach().mean()), float(c.mean())))
        return x.mean((1, 2, 3)) + self.bias


@dataclass
class Draws:
    """Batch number i has x of 100 + i, noise number i has z and c of i."""

    calls: list[str] = field(default_factory=list)
    offset: int = 0

    def __call__(self) -> Batch:
        self.calls.append("batch")
        z = torch.full((2, 1), float(len(self.calls)))
        x = torch.full((2, 1, 1, 1), 99.0 + len(self.calls))
        return Batch(z=z, c=z.clone(), x=x, a=x[:, :0])

    def noise(self) -> Noise:
        self.calls.append("noise")
        z = torch.full((2, 1), float(len(self.calls)))
        return Noise(z=z, c=z.clone())


Played = tuple[list[tuple[str, str]], Draws, G, D]


def play(make: Callable[..., GAN], num_micro: int = 1, **settings: Any) -> Played:
    """Plays one iteration: names and learners of its turns, what was drawn, the networks."""
    networks = {"G": G(), "D": D()}
    game, draws = make(Pieces(networks, NonSaturating()), **settings), Draws()
    played = []
    for turn in flat(game.turns(draws, Now(0, num_micro))):
        turn.loss()
        played.append((turn.name, turn.learns))
    return played, draws, networks["G"], networks["D"]


def flat(turns: Iterator[Turn | tuple[Turn, ...]]) -> Iterator[Turn]:
    for turn in turns:
        yield from turn if isinstance(turn, tuple) else (turn,)


def letters(played: Sequence[tuple[str, str]]) -> str:
    assert all(name == learner for name, learner in played)
    return "".join(name for name, _ in played)


@pytest.mark.parametrize(("d_steps", "g_steps"), [(1, 1), (3, 1), (1, 2), (2, 3)])
@pytest.mark.parametrize("fresh", [False, True])
def test_d_learns_its_times_and_then_g_its(d_steps: int, g_steps: int, fresh: bool) -> None:
    played, draws, _, _ = play(GAN, d_steps=d_steps, g_steps=g_steps, fresh_noise=fresh)
    assert letters(played) == "D" * d_steps + "G" * g_steps
    assert draws.calls == ["batch"] * d_steps + ["noise"] * (g_steps - (not fresh))


def test_each_step_of_d_sees_fresh_reals_and_the_fakes_of_its_own_noise() -> None:
    _, _, _, seen_by = play(GAN, d_steps=2)
    assert seen_by.seen == [(100, 1), (1, 1), (101, 2), (2, 2), (2, 2)]


def test_g_plays_the_fakes_that_d_saw_last() -> None:
    _, _, g, d = play(GAN)
    assert g.forwards == [(True, True, 1)]
    assert d.seen == [(100, 1), (1, 1), (1, 1)]


def test_g_plays_fresh_fakes_where_asked() -> None:
    _, _, g, d = play(GAN, fresh_noise=True)
    assert g.forwards == [(True, False, 1), (True, True, 2)]
    assert d.seen == [(100, 1), (1, 1), (2, 2)]


def test_gs_further_steps_play_fresh_fakes() -> None:
    _, _, g, _ = play(GAN, g_steps=3)
    assert [z for _, _, z in g.forwards] == [1, 2, 3]


def test_with_micro_batches_d_gets_fakes_without_a_graph_and_g_makes_them_anew() -> None:
    _, _, g, d = play(GAN, num_micro=2)
    assert g.forwards == [(True, False, 1), (True, True, 1)]
    assert d.seen[-1] == (1, 1)


def test_fresh_fakes_are_made_once_even_with_micro_batches() -> None:
    """Nobody but G's own turn uses them."""
    _, _, g, _ = play(GAN, num_micro=2, fresh_noise=True)
    assert [z for _, _, z in g.forwards].count(2) == 1


def test_no_gradient_reaches_g_from_ds_turn() -> None:
    networks = {"G": G(), "D": D()}
    turn = next(flat(GAN(Pieces(networks, NonSaturating())).turns(Draws(), Now(0))))
    torch.stack([term.sum() for term in turn.loss().terms.values()]).sum().backward()
    assert networks["G"].weight.grad is None
    assert networks["D"].bias.grad is not None


def test_simultaneous_turns_come_together_and_share_their_fakes() -> None:
    networks = {"G": G(), "D": D()}
    draws = Draws()
    (turns,) = list(SimultaneousGAN(Pieces(networks, NonSaturating())).turns(draws, Now(0)))
    assert isinstance(turns, tuple)
    assert [turn.learns for turn in turns] == ["D", "G"]
    for turn in turns:
        turn.loss()
    assert len(networks["G"].forwards) == 1
    assert draws.calls == ["batch"]


@pytest.mark.parametrize("g_steps", [1, 2])
def test_halves_step_apart_and_g_plays_fresh_noise(g_steps: int) -> None:
    played, draws, g, d = play(HalvesGAN, g_steps=g_steps)
    assert letters(played) == "DD" + "G" * g_steps
    assert draws.calls == ["batch"] + ["noise"] * g_steps
    assert d.seen == [(100, 1), (1, 1), *[(2 + i, 2 + i) for i in range(g_steps)]]
    assert g.forwards == [(False, False, 1), *[(True, True, 2 + i) for i in range(g_steps)]]
    assert g.training


def test_values_of_a_turn_by_hand() -> None:
    networks = {"G": G(), "D": D()}
    with torch.no_grad():
        networks["D"].bias.fill_(-100)  # logits: 0 for the reals of 100, -99 for the fakes of 1
    d_turn, g_turn = flat(GAN(Pieces(networks, NonSaturating())).turns(Draws(), Now(0)))
    loss = d_turn.loss()
    assert loss.terms["real"].tolist() == pytest.approx([LN2, LN2])
    assert loss.terms["fake"].tolist() == pytest.approx([0, 0], abs=1e-9)
    stats = {name: value.tolist() for name, value in loss.stats.items()}
    assert stats["D(x)"] == [0.5, 0.5] and stats["D(G(z))"] == pytest.approx([0, 0], abs=1e-9)
    assert stats["accuracy real"] == [0, 0] and stats["accuracy fake"] == [1, 1]
    loss = g_turn.loss()
    assert loss.terms["adversarial"].tolist() == pytest.approx([99, 99])
    assert loss.stats["D(G(z)) after"].tolist() == pytest.approx([0, 0], abs=1e-9)


def test_statistics_carry_no_graph() -> None:
    for turn in flat(GAN(Pieces({"G": G(), "D": D()}, NonSaturating())).turns(Draws(), Now(0))):
        assert not any(value.requires_grad for value in turn.loss().stats.values())


def test_halves_name_their_terms_alike() -> None:
    game = HalvesGAN(Pieces({"G": G(), "D": D()}, NonSaturating()))
    losses = [turn.loss() for turn in flat(game.turns(Draws(), Now(0)))]
    assert [set(loss.terms) for loss in losses] == [{"half"}, {"half"}, {"adversarial"}]
    assert set(losses[0].stats) == {"D(x)", "accuracy real"}
    assert set(losses[1].stats) == {"D(G(z))", "accuracy fake"}


@pytest.mark.parametrize("settings", [{"d_steps": 0}, {"g_steps": 0}, {"d_steps": -1}])
def test_steps_below_one_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="must be at least 1"):
        GAN(Pieces({"G": G(), "D": D()}, NonSaturating()), **settings)


OF_TWO = ("gan", "gan-simultaneous", "gan-halves")


def test_every_game_has_tests() -> None:
    for name in set(GAMES.rows) - set(OF_TWO):
        assert (Path(__file__).parent / f"test_game_{name}.py").exists(), name


@pytest.mark.parametrize("name", OF_TWO)
def test_every_game_of_two_names_its_players_and_plays_both(name: str) -> None:
    make = GAMES.find(name)
    networks = {"G": G(), "D": D()}
    game = make(Pieces(networks, NonSaturating()))
    assert game.players == {"G": [networks["G"]], "D": [networks["D"]]}
    assert set(letters(play(make)[0])) == {"G", "D"}


def test_fakes_are_made_once_and_kept_with_their_graph() -> None:
    made: list[Tensor] = []
    weight = torch.ones(3, requires_grad=True)

    def make() -> Tensor:
        made.append(weight * 2)
        return made[-1]

    fakes = Fakes(make, keep_graph=True)
    assert not fakes.detached().requires_grad
    assert fakes.attached() is made[0]
    assert len(made) == 1
    fakes = Fakes(make, keep_graph=False)
    assert not fakes.detached().requires_grad
    assert fakes.attached().requires_grad
    assert len(made) == 3
