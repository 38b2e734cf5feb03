"""Clips in the game of two, and frame prediction."""

from typing import Any

import pytest
import torch
from clips import CLIPS, PREDICTION
from exact import exact, tiny
from torch import Tensor

from gannet.data.batch import Batch
from gannet.errors import UserError
from gannet.losses.penalties import best
from gannet.training.loop import iterate


def test_g_goes_on_from_the_frames_that_d_sees() -> None:
    t = exact(tiny(PREDICTION))
    game, seen = t.game, []
    D: Any = t.networks["D"]
    D.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()))
    for i in range(2):
        iterate(t)
        (real, fake, judged), x = seen[3 * i : 3 * i + 3], t.loader.reals(4 * i, 4)[0]
        assert torch.equal(real, x)
        assert torch.equal(fake, judged) and torch.equal(fake[:, :6], x[:, :6])
        assert not torch.allclose(fake[:, 6:], x[:, 6:], atol=0.1)
    assert t.num_skipped == 0
    assert all(torch.isfinite(p).all() for network in t.networks.values() for p in network.parameters())
    x = t.loader.fixed(3)[1].double()
    batch = Batch(z=t.loader.noise(0, 3), c=x[:, :0, 0, 0], x=x, a=x[:, :0])
    shown = game.show(t.networks, batch)
    assert [tuple(value.shape[:2]) for value in shown.values()] == [(3, 6)] * 3
    assert torch.equal(torch.cat([shown["input"], shown["target"]], 1), x)


def test_steps_of_d_have_first_frames_of_their_own() -> None:
    t = tiny({**PREDICTION, "game.d_steps": 2})
    seen: list[Tensor] = []
    t.networks["G"].register_forward_pre_hook(lambda _, args: seen.append(args[2]))
    iterate(t)
    assert len(seen) == 2 and not torch.equal(*seen)


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({**CLIPS, "G.given": 2}, "set --game.name prediction, or --G.given 0"),
        ({**CLIPS, "game": {"name": "prediction"}}, "set --G.name dvdgan --G.given 1"),
        ({**PREDICTION, "data.kind": "images"}, "the game 'prediction' plays with clips"),
        ({**PREDICTION, "G.given": 4}, "must be below data.frames, 4"),
    ],
)
def test_what_does_not_go_together_is_one_line(settings: dict[str, Any], says: str) -> None:
    with pytest.raises(UserError, match=says):
        tiny(settings)


def test_prediction_looks_at_no_label() -> None:
    with pytest.raises(UserError, match="looks at no label"):
        tiny({**PREDICTION, "data.labels": True}, ("a", "b"))


@pytest.mark.parametrize("augment", [{"name": "ada", "p": 1.0, "target": 0.0}, {"name": "diffaugment"}])
def test_the_frames_of_a_clip_are_augmented_alike(augment: dict[str, Any]) -> None:
    game: Any = tiny({**CLIPS, "augment": augment}).game
    still = torch.rand(6, 3, 16, 16).sub(0.5).repeat(1, 4, 1, 1)
    torch.manual_seed(0)
    seen = game.augmented(still)
    frames = seen.unflatten(1, (4, 3))
    assert torch.allclose(frames, frames[:, :1].expand_as(frames), atol=1e-5)
    assert not torch.allclose(seen, still, atol=0.1)


def test_the_logits_of_both_parts_count_alike() -> None:
    """The hinge of each, and their mean; the statistics are means of both as well."""
    t = tiny(CLIPS)
    game: Any = t.game
    real, fake = torch.tensor([[0.5, 3.0], [-1.0, 0.0]]), torch.tensor([[-0.5, 2.0], [-3.0, 1.0]])
    none = torch.zeros(2, 0)
    batch = Batch(x=none, z=none, c=none, a=none)
    loss = game.d_judged(batch, batch.x, real, fake)
    assert loss.terms["real"].mean() == pytest.approx((0.5 + 0 + 2 + 1) / 4)
    assert loss.terms["fake"].mean() == pytest.approx((0.5 + 3 + 0 + 2) / 4)
    assert loss.stats["logit real"].mean() == pytest.approx(2.5 / 4)
    assert loss.stats["accuracy real"].mean() == 0.5 and loss.stats["accuracy fake"].mean() == 0.5


def test_the_best_of_several_logits_have_the_highest_mean() -> None:
    logits = torch.tensor([[5.0, -9.0], [1.0, 1.0], [0.0, 0.0], [2.0, 1.0]])
    assert best(-logits, logits, 2).tolist() == [[-2.0, -1.0], [-1.0, -1.0]]


@pytest.mark.parametrize(
    "settings",
    [
        {"game.top_k": 0.5},
        {"penalties.r1.gamma": 1.0, "penalties.lecam.weight": 0.3, "penalties.consistency.real_weight": 1.0},
        {"objective": {"name": "relativistic"}},
        {"objective": {"name": "non-saturating"}, "augment": {"name": "ada"}, "train.micro_batch": 2},
    ],
)
def test_every_part_takes_two_logits(settings: dict[str, Any]) -> None:
    t = tiny({**CLIPS, **settings, "data.labels": True}, ("a", "b"))
    iterate(t)
    assert t.num_skipped == 0 and torch.isfinite(torch.tensor(t.means.flush()["loss G"]))
