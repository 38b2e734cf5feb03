import pytest
import torch
from torch import Tensor

from gannet.augment import AUGMENTATIONS
from gannet.augment.base import cut_out
from gannet.augment.diffaugment import DiffAugment, recolour_by, translate
from gannet.errors import UserError


def image(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def value(number: float) -> Tensor:
    return torch.tensor([number], dtype=torch.float64)


def test_colour_by_hand() -> None:
    x = torch.tensor([[1.0, 0.0], [0.5, 0.0], [0.0, 0.0]], dtype=torch.float64).view(1, 3, 1, 2)
    bright = recolour_by(x, value(0.25), value(1), value(1))
    torch.testing.assert_close(bright, x + 0.25)
    grey = recolour_by(x, value(0), value(0), value(1))
    torch.testing.assert_close(grey, torch.tensor([0.5, 0.0]).double().expand(3, 2).view(1, 3, 1, 2))
    strong = recolour_by(x, value(0), value(2), value(1))
    torch.testing.assert_close(strong[0, :, 0, 0], torch.tensor([1.5, 0.5, -0.5]).double())
    flat = recolour_by(x, value(0), value(1), value(0.5))
    torch.testing.assert_close(flat, 0.25 + (x - 0.25) / 2)  # the mean of all is 1/4


def test_translation_moves_and_leaves_nothing_behind() -> None:
    x = image(2, 3, 8, 8)
    moved = translate(x, torch.tensor([2, 0]), torch.tensor([-1, 0]))
    assert torch.equal(moved[0, :, :-1, 2:], x[0, :, 1:, :-2])
    assert (moved[0, :, -1] == 0).all()
    assert (moved[0, :, :, :2] == 0).all()
    assert torch.equal(moved[1], x[1])
    with_alpha = translate(image(1, 4, 8, 8), torch.tensor([2]), torch.tensor([0]))
    assert (with_alpha[..., :2] == -1).all()  # transparent


def test_cutout_takes_a_square_of_half_the_size_round_its_centre() -> None:
    x = torch.ones(4, 3, 8, 8)
    centre = torch.tensor([0.5, 0.0, 0.25, 0.5])
    left = cut_out(x, centre, torch.full((4,), 0.5), torch.tensor([True, True, True, False])) == 1
    assert (~left).sum((1, 2, 3)).tolist() == [48, 24, 48, 0]  # a quarter, or half of it over the edge
    assert not left[0, :, 2:6, 2:6].any()
    assert not left[1, :, 2:6, :2].any()


@pytest.mark.parametrize("size", [32, 33])
def test_the_policy_draws_the_ranges_of_the_paper(size: int) -> None:
    torch.manual_seed(0)
    ramp = torch.arange(1.0, size + 1).expand(2000, 1, size, size)
    shifts = DiffAugment(policy="translation")(ramp)[:, 0, size // 2, size // 2] - (size // 2 + 1)
    assert (shifts.min(), shifts.max()) == (-4, 4)
    counts = torch.bincount((shifts + 4).long())
    assert counts.min() > 2000 / 9 * 0.7  # each of 9 as likely
    bright = DiffAugment(policy="color")(torch.zeros(2000, 3, 4, 4))[:, 0, 0, 0]
    assert -0.5 <= bright.min() < -0.49
    assert 0.49 < bright.max() <= 0.5
    holes = (DiffAugment(policy="cutout")(torch.ones(2000, 3, 32, 32)) == 0).flatten(1).double().mean(1)
    assert holes.max() == 0.25
    # Along a side a hole has half of the size, less what is over the edge: 3/8 on average in half of the cases.
    assert holes.mean().item() == pytest.approx((0.5 * 0.5 + 0.5 * 0.375) ** 2, rel=0.03)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_it_has_derivatives(channels: int) -> None:
    def augmented(x: Tensor) -> Tensor:
        torch.manual_seed(0)
        return DiffAugment()(x)

    x = image(2, channels, 4, 4).requires_grad_()
    assert torch.autograd.gradcheck(augmented, x)
    assert torch.autograd.gradgradcheck(augmented, x, fast_mode=True)


def test_alpha_and_what_is_transparent_stay() -> None:
    x = image(3, 4, 6, 6)
    x[0] = -1
    augmented = DiffAugment(policy="color")(x)
    assert torch.equal(augmented[:, 3], x[:, 3])
    assert torch.equal(augmented[0], x[0])
    x[:, 3] = 1  # opaque: as without alpha
    torch.manual_seed(1)
    with_alpha = DiffAugment()(x)
    torch.manual_seed(1)
    without = DiffAugment()(x[:, :3])
    kept = with_alpha[:, 3:] == 1
    torch.testing.assert_close(torch.where(kept, with_alpha[:, :3], 0.0), without)


def test_one_draw_for_pictures_side_by_side() -> None:
    x = image(4, 3, 16, 16)
    first, second = DiffAugment()(torch.cat([x, x], 1), parts=(3, 3)).split(3, 1)
    assert torch.equal(first, second)
    assert not torch.equal(first, x)
    assert not torch.equal(DiffAugment()(x), DiffAugment()(x))


def test_unknown_names_are_errors() -> None:
    with pytest.raises(UserError, match="did you mean 'cutout'"):
        DiffAugment(policy="color,cutuot")
    with pytest.raises(UserError, match="empty"):
        DiffAugment(policy="")


def test_none_shows_the_images_as_they_are() -> None:
    x = image(2, 3, 4, 4)
    assert torch.equal(AUGMENTATIONS.find("none")()(x), x)
