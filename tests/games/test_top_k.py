"""G learns from the fakes that D finds most real."""

from typing import Any

import pytest
import torch
from exact import BATCH, DENSE, exact, learn, tiny
from torch.nn.functional import softplus

from gannet.data.batch import Batch
from gannet.errors import UserError
from gannet.training.loop import iterate


def test_top_k_equals_a_plain_loop() -> None:
    """Half of a batch of four: the two highest logits (Sinha et al. 2020, algorithm 1)."""
    settings = {**DENSE, "game.top_k": 0.5, "optim.G.lr": 1e-3}
    ours, plain = exact(tiny(settings)), exact(tiny(settings))
    G, D, none = plain.networks["G"], plain.networks["D"], torch.empty(BATCH, 0)
    for i in range(5):
        x, _ = plain.loader.reals(i * BATCH, BATCH)
        fake = G(plain.loader.noise(i * BATCH, BATCH), none)
        learn(plain, "D", (softplus(-D(x, none)) + softplus(D(fake.detach(), none))).mean())
        learn(plain, "G", softplus(-D(fake, none).sort(descending=True).values[:2]).mean())
        iterate(ours)
    for key, value in G.state_dict().items():
        torch.testing.assert_close(ours.networks["G"].state_dict()[key], value, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("top_k", "num"), [(1.0, 4), (0.75, 3), (0.5, 2), (0.01, 1)])
def test_the_fraction_is_of_each_share_and_at_least_one(top_k: float, num: int) -> None:
    t = tiny({**DENSE, "game.top_k": top_k})
    game: Any = t.game
    batch = Batch(x=torch.rand(4, 3, 8, 8), z=torch.zeros(4, 5), c=torch.zeros(4, 0), a=torch.zeros(4, 0, 8, 8))
    assert game.g_loss(torch.rand(4, 3, 8, 8), batch, batch).terms["adversarial"].shape == (num,)


@pytest.mark.parametrize("name", ["gan", "gan-halves", "gan-simultaneous", "acgan", "infogan"])
def test_every_game_of_two_takes_it(name: str) -> None:
    t = tiny({**DENSE, "game": {"name": name, "top_k": 0.5}, "data.labels": True}, ("a", "b"))
    iterate(t)
    assert t.means.flush()["loss G"] > 0
    with pytest.raises(UserError, match=r"game\.top_k is 1\.5"):
        tiny({**DENSE, "game": {"name": name, "top_k": 1.5}, "data.labels": True}, ("a", "b"))
