"""How unlike images are: values by hand, and what must come nearer."""

from typing import Any

import pytest
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.losses import likeness as module
from gannet.losses.likeness import DEPTHS, features, likeness, lite0, maps, pixels


def noise(num: int, channels: int, side: int) -> Tensor:
    return torch.rand(num, channels, side, side, generator=torch.Generator().manual_seed(3)) * 2 - 1


def test_pixels_by_hand() -> None:
    """8 pixels are not halved. A constant difference has no edges; one column has one to each side, of 7 places."""
    x = torch.zeros(2, 1, 8, 8)
    x[0] += 0.5
    x[1, :, :, 3] = 1.0
    assert pixels(x, torch.zeros(1, 1, 8, 8)).tolist() == pytest.approx([0.5, 1 / 8 + 2 / 7])


def test_halves_count_as_much_as_the_size_itself() -> None:
    """Of a checkerboard nothing is left at half the size: 1 for pixels, 2 for each edge, over two sizes."""
    board = ((torch.arange(16)[:, None] + torch.arange(16)) % 2 * 2.0 - 1)[None, None]
    assert float(pixels(board, torch.zeros_like(board))) == pytest.approx((1 + 2 + 2) / 2)


def test_features_are_compared_at_length_1() -> None:
    """Equal directions are at 0 whatever their lengths, opposite ones at 4, right angles at 2."""
    one = torch.tensor([[1.0, 0.0], [2.0, 0.0], [0.0, 3.0]])[:, :, None, None]
    other = torch.tensor([[5.0, 0.0], [-1.0, 0.0], [1.0, 0.0]])[:, :, None, None]
    assert features([one], [other]).tolist() == pytest.approx([0, 4, 2])
    assert features([one, one], [other, one]).tolist() == pytest.approx([0, 2, 1])


@pytest.mark.parametrize(("channels", "side"), [(1, 16), (3, 32), (4, 32), (3, 300)])
def test_maps_have_four_depths_at_any_size(channels: int, side: int) -> None:
    shown = min(max(side, 96), 256)
    sizes = [found.shape[2] for found in maps(noise(1, channels, side))]
    assert sizes == [shown // 2 ** (i + 1) for i in range(len(DEPTHS))]


@pytest.mark.parametrize("installed", [True, False])
def test_the_target_is_at_0_and_others_further_the_more_they_differ(
    installed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    def missing() -> Any:
        raise UserError("not installed")

    if not installed:
        monkeypatch.setattr(module, "lite0", missing)
    words, make = likeness()
    assert ("efficientnet-lite0" in words) == installed
    target, other = noise(2, 3, 32).split(1)
    distance = make(target)
    parts = torch.tensor([0.0, 0.05, 0.3, 1.0]).view(-1, 1, 1, 1)
    x = (target + parts * (other - target)).requires_grad_()
    found = distance(x)
    assert abs(found[0].item()) < 1e-6 and found.diff().gt(0).all()
    (gradient,) = torch.autograd.grad(found.sum(), x)
    nearer = distance((x - 0.02 * gradient / gradient.square().sum((1, 2, 3), keepdim=True).sqrt()).detach())
    assert (nearer[1:] < found[1:]).all()


def test_the_network_learns_nothing() -> None:
    assert not any(parameter.requires_grad for parameter in lite0().parameters())
