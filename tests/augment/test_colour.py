import math

import pytest
import torch
from torch import Tensor

from gannet.augment.base import Draw
from gannet.augment.colour import apply_colour, basis, brightness, colour_matrix, contrast, hue, luma_flip, saturation

PARTS = basis(torch.device("cpu"), torch.float64)
RED, GREY = [1.0, 0.0, 0.0], [0.3, 0.3, 0.3]


def applied(matrix: Tensor, *colour: float) -> list[float]:
    """A pixel of a colour, through the matrix."""
    x = torch.tensor(colour, dtype=torch.float64).view(1, -1, 1, 1)
    return apply_colour(x, matrix).flatten().tolist()


def value(number: float) -> Tensor:
    return torch.full((1, 1, 1), number, dtype=torch.float64)


def test_each_change_by_hand() -> None:
    assert applied(brightness(PARTS, value(0.25)), 0.5, -1.0, 0.0) == [0.75, -0.75, 0.25]
    assert applied(brightness(PARTS, value(0.25)), 0.5) == [0.75]
    assert applied(contrast(PARTS, value(2.0)), 0.5, -1.0, 0.0) == [1.0, -2.0, 0.0]
    assert applied(contrast(PARTS, value(2.0)), 0.5) == [1.0]
    # Red is 1/3 grey and (2/3, -1/3, -1/3) colourful.
    assert applied(luma_flip(PARTS, value(1.0)), *RED) == pytest.approx([1 / 3, -2 / 3, -2 / 3])
    assert applied(luma_flip(PARTS, value(1.0)), *GREY) == pytest.approx([-0.3, -0.3, -0.3])
    assert applied(luma_flip(PARTS, value(0.0)), *RED) == RED
    assert applied(luma_flip(PARTS, value(1.0)), 0.3) == pytest.approx([-0.3])
    assert applied(saturation(PARTS, value(0.0)), *RED) == pytest.approx([1 / 3, 1 / 3, 1 / 3])
    assert applied(saturation(PARTS, value(2.0)), *RED) == pytest.approx([5 / 3, -1 / 3, -1 / 3])


def test_hue_turns_grey_to_grey_and_red_to_green() -> None:
    third = hue(PARTS, value(2 * math.pi / 3))
    assert applied(third, *GREY) == pytest.approx(GREY)
    assert applied(third, *RED) == pytest.approx([0, 1, 0], abs=1e-12)
    assert applied(third @ third, *RED) == pytest.approx([0, 0, 1], abs=1e-12)
    matrix = hue(PARTS, value(1.234))[0]
    torch.testing.assert_close(matrix @ matrix.T, torch.eye(4, dtype=torch.float64))


def test_alpha_stays_and_colours_change_as_if_straight() -> None:
    torch.manual_seed(0)
    straight, alpha = torch.rand(5, 3, 4, 4).double() * 2 - 1, torch.rand(5, 1, 4, 4).double()
    alpha[0] = 0

    def stored(colour: Tensor) -> Tensor:
        return torch.cat([alpha * (colour + 1) - 1, 2 * alpha - 1], 1)

    matrix = colour_matrix(Draw(straight, torch.tensor(1.0)))
    expected = stored(apply_colour(straight, matrix))
    torch.testing.assert_close(apply_colour(stored(straight), matrix), expected)
    assert (expected[0] == -1).all()


def test_one_channel_changes_as_three_that_are_equal() -> None:
    torch.manual_seed(0)
    grey = torch.rand(50, 1, 4, 4).double() * 2 - 1
    matrix = colour_matrix(Draw(grey, torch.tensor(1.0)))
    three = apply_colour(grey.expand(-1, 3, -1, -1), matrix)
    torch.testing.assert_close(apply_colour(grey, matrix).expand(-1, 3, -1, -1), three)


def factors(matrices: Tensor) -> dict[str, Tensor]:
    """What each change did, told from the matrices: 0 where nothing."""
    linear = matrices[:, :3, :3]
    of_greys, determinant = linear.sum(2).mean(1), torch.linalg.det(linear)
    scale = of_greys.abs()
    return {
        "brightness": matrices[:, :3, 3].mean(1) / of_greys,
        "contrast": scale.log2(),
        "luma flip": (determinant < 0).double(),
        "hue": (linear - linear.mT).abs().amax((1, 2)),
        "saturation": (determinant.abs() / scale**3).log2() / 2,
    }


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_change_happens_with_probability_p_and_the_spread_of_the_paper(p: float) -> None:
    torch.manual_seed(0)
    matrices = colour_matrix(Draw(torch.zeros(4000, 3, 1, 1, dtype=torch.float64), torch.tensor(p)))
    found = factors(matrices)
    for name, amount in found.items():
        often = p / 2 if name == "luma flip" else p
        assert (amount.abs() > 1e-6).double().mean().item() == pytest.approx(often, abs=0.03 * math.ceil(p)), name
    if p == 0:
        assert torch.equal(matrices, PARTS.identity.expand(4000, 4, 4))
    if p == 1:
        for name, std in (("brightness", 0.2), ("contrast", 0.5), ("saturation", 1.0)):
            assert found[name].std().item() == pytest.approx(std, rel=0.05), name
