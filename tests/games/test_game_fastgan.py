"""D's reconstruction in the game of FastGAN."""

import copy
from typing import Any

import pytest
import torch
from exact import same, tiny, weights
from torch.nn.functional import avg_pool2d, softplus

from gannet.data.batch import Batch
from gannet.errors import UserError
from gannet.games.fastgan import FastGAN, same_quarter
from gannet.games.turn import Pieces
from gannet.losses.adversarial import NonSaturating
from gannet.training.checkpoint import restore, state_of
from gannet.training.engine import reseed
from gannet.training.loop import iterate

SETTINGS: dict[str, Any] = {
    "data.resolution": 32,
    "train.batch": 4,
    "G": {"name": "fastgan", "z_dim": 6, "width": 2},
    "D": {"name": "fastgan", "width": 2},
    "game": {"name": "fastgan", "weight": 0.5},
}


def test_the_quarter_of_the_map_and_of_the_image_is_the_same() -> None:
    """Each pixel of the map is the mean of the 4x4 pixels of the image that it stands for."""
    x = torch.rand(2, 3, 64, 64, dtype=torch.float64)
    places = set()
    for seed in range(200):
        reseed(seed)
        part_of_map, part = same_quarter(avg_pool2d(x, 4), x)
        assert part_of_map.shape == (2, 3, 8, 8) and part.shape == (2, 3, 32, 32)
        assert torch.allclose(avg_pool2d(part, 4), part_of_map)
        places.add(part[0, 0, 0, 0].item())
    assert len(places) > 60  # of 9 x 9


def test_ds_loss_by_hand() -> None:
    """The pixels that D saw, 32x32 as they are decoded; the part doubled by the mean of its neighbours."""
    t = tiny(SETTINGS)
    game: Any = t.game
    batch = Batch(x=torch.rand(4, 3, 32, 32), z=torch.zeros(4, 6), c=torch.zeros(4, 0), a=torch.zeros(4, 0, 32, 32))
    D: Any = t.networks["D"].eval()
    fake = torch.rand(4, 3, 32, 32)
    reseed(3)
    loss = game.d_loss(batch, fake)
    logits, (at_16, at_8) = D.logits_and_maps(batch.x, batch.c)
    assert torch.allclose(loss.terms["real"], softplus(-logits))
    assert torch.allclose(loss.terms["whole"], 0.5 * (D.decode(at_8) - batch.x).abs().mean((1, 2, 3)), atol=1e-6)
    reseed(3)
    part_of_map, part = same_quarter(at_16, batch.x)
    target = torch.nn.Upsample(scale_factor=2, mode="bilinear")(part)
    assert torch.allclose(loss.terms["part"], 0.5 * (D.decode_part(part_of_map) - target).abs().mean((1, 2, 3)))
    loss.terms["whole"].mean().backward()
    gradients = [parameter.grad.abs().max() for parameter in D.to_16.parameters() if parameter.grad is not None]
    assert min(gradients) > 0


def test_it_learns_to_make_the_reals_again() -> None:
    t = tiny({**SETTINGS, "objective": {"name": "hinge"}, "optim.D.lr": 5e-3})
    t.loader.dataset.images[:] = 200
    lines = []
    for _ in range(30):
        iterate(t)
        lines.append(t.means.flush())
    assert lines[-1]["D whole"] < 0.5 * lines[0]["D whole"] and lines[-1]["D part"] < 0.5 * lines[0]["D part"]
    assert {"D real", "D fake", "D whole", "D part"} <= lines[0].keys() and "G whole" not in lines[0]


def test_a_d_that_cannot_decode_is_one_line() -> None:
    t = tiny(SETTINGS)
    with pytest.raises(UserError, match=r"set --D\.name fastgan"):
        FastGAN(Pieces({"G": t.networks["G"], "D": torch.nn.Identity()}, NonSaturating()))
    with pytest.raises(UserError, match=r"game\.weight is -1"):
        tiny({**SETTINGS, "game": {"name": "fastgan", "weight": -1.0}})


def test_it_goes_on_exactly_from_a_checkpoint() -> None:
    settings = {**SETTINGS, "augment": {"name": "diffaugment"}, "ema.half_life_kimg": 0.02}
    whole, stopped, again = (tiny(settings) for _ in range(3))
    for t, num in ((whole, 4), (stopped, 2)):
        for _ in range(num):
            iterate(t)
    restore(again, copy.deepcopy(state_of(stopped)))
    for _ in range(2):
        iterate(again)
    for name, network in whole.networks.items():
        assert same(weights(network), weights(again.networks[name])), name
