import math

import pytest
import torch
from torch import Tensor

from gannet.augment.base import Draw
from gannet.augment.geometry import (
    BLIT,
    GENERAL,
    anisotropic_scaling,
    arbitrary_rotation,
    blit,
    chain,
    flip,
    fractional_translation,
    isotropic_scaling,
    quarter_turn,
    resample,
    rotation,
    scaling,
    transform,
    translation,
    whole_translation,
)

EYE = torch.eye(3, dtype=torch.float64)


def value(number: float) -> Tensor:
    return torch.tensor([number], dtype=torch.float64)


def noise(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def blob(x: float, y: float, size: int = 32, radius: float = 3.0) -> Tensor:
    """A bell of light, so many pixels to the right of the centre and below it."""
    line = torch.arange(size, dtype=torch.float64) - (size - 1) / 2
    return torch.exp(-((line[None, :] - x) ** 2 + (line[:, None] - y) ** 2) / (2 * radius**2))[None, None]


def assert_alike(found: Tensor, expected: Tensor) -> None:
    """In the middle, which no mirrored edge reaches."""
    torch.testing.assert_close(found[..., 4:-4, 4:-4], expected[..., 4:-4, 4:-4], rtol=0, atol=0.01)


def draw_of(num: int, p: float, size: int = 64) -> Draw:
    torch.manual_seed(0)
    return Draw(torch.zeros(num, 1, size, size, dtype=torch.float64), torch.tensor(p))


def test_a_translation_by_two_pixels_moves_the_image_by_two_pixels() -> None:
    x = noise(1, 3, 8, 8)
    moved = blit(x, translation(value(2), value(0)))
    assert torch.equal(moved[..., 2:], x[..., :-2])
    assert torch.equal(moved[..., :2], x[..., [2, 1]])  # the edge is mirrored at its pixel
    assert torch.equal(blit(x, translation(value(0), value(-3)))[..., :-3, :], x[..., 3:, :])


def test_flips_and_quarter_turns_are_those_of_torch() -> None:
    x = noise(1, 3, 7, 7)
    mirror = scaling(value(-1), value(1))
    assert torch.equal(blit(x, mirror), x.flip(3))
    assert torch.equal(blit(blit(x, mirror), mirror), x)
    for turns in range(4):
        assert torch.equal(blit(x, rotation(value(turns * math.pi / 2))), x.rot90(-turns, (2, 3)))


def test_an_image_that_is_not_square_keeps_its_size_when_it_is_turned() -> None:
    x = noise(2, 3, 16, 32)
    assert torch.equal(blit(x, scaling(value(-1.0), value(1.0)).expand(2, 3, 3)), x.flip(3))
    turned = blit(x, rotation(value(math.pi / 2)).expand(2, 3, 3))
    assert turned.shape == x.shape
    assert torch.equal(turned[..., 8:24], torch.rot90(x[..., 8:24], -1, (2, 3)))


def test_a_chain_acts_from_left_to_right() -> None:
    x = noise(1, 1, 8, 8)
    shift, turn = translation(value(1), value(0)), rotation(value(math.pi / 2))
    both, one_by_one = blit(x, shift @ turn), blit(blit(x, shift), turn)
    assert torch.equal(both[..., 1:, :], one_by_one[..., 1:, :])  # the first row came from outside
    assert not torch.equal(both, blit(x, turn @ shift))


@pytest.mark.parametrize("size", [(4, 4), (5, 9), (16, 12)])
def test_resampling_without_a_change_gives_the_image(size: tuple[int, int]) -> None:
    x = noise(2, 3, *size)
    torch.testing.assert_close(resample(x, EYE.expand(2, 3, 3)), x, rtol=0, atol=1e-11)


def test_resampling_moves_by_whole_pixels_as_copying_does() -> None:
    x = noise(1, 3, 16, 16)
    for across, down in ((3, 0), (0, -5), (-15, 13)):
        back = translation(value(across), value(down))
        torch.testing.assert_close(resample(x, back), blit(x, back), rtol=0, atol=1e-11)


@pytest.mark.parametrize("degrees", [17, 90, 200])
def test_a_rotation_turns_what_is_in_the_image(degrees: float) -> None:
    angle = math.radians(degrees)
    turned = resample(blob(6, 2), rotation(value(angle)))
    cos, sin = math.cos(angle), math.sin(angle)
    assert_alike(turned, blob(6 * cos - 2 * sin, 6 * sin + 2 * cos))


def test_scalings_and_translations_change_size_and_place() -> None:
    assert_alike(resample(blob(0, 0), translation(value(2.5), value(-1.25))), blob(2.5, -1.25))
    assert_alike(resample(blob(4, 0), scaling(value(1.5), value(1.5))), blob(6, 0, radius=4.5))
    wide = blob(0, 0, radius=4.5)[..., 15:17, :].mean(2, keepdim=True)
    low = blob(0, 0, radius=2.0)[..., :, 15:17].mean(3, keepdim=True)
    stretched = resample(blob(0, 0), scaling(value(1.5), value(1 / 1.5)))
    assert_alike(stretched, low * wide / (low.max() * wide.max()) * stretched.max())


def test_what_is_too_fine_for_a_smaller_image_is_filtered_out() -> None:
    stripes = torch.ones(1, 1, 32, 32, dtype=torch.float64)
    stripes[..., ::2] = -1
    assert resample(stripes, scaling(value(0.7), value(0.7))).square().mean() < 0.05


def test_images_that_need_no_resampling_are_copied() -> None:
    x = noise(3, 3, 8, 8)
    copied = scaling(torch.tensor([-1.0, 1.0, -1.0], dtype=torch.float64), torch.ones(3, dtype=torch.float64))
    turned = rotation(torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64))
    result = transform(x, copied, turned)
    assert torch.equal(result[:2], torch.stack([x[0].flip(2), x[1]]))
    torch.testing.assert_close(result[2:], resample(x[2:], (copied @ turned)[2:]))


CHANGES = {  # change: how often it leaves the image as it is although it happens
    flip: 1 / 2,
    quarter_turn: 1 / 4,
    whole_translation: (1 / 16) ** 2,  # both of U(-8, 8) are rounded to 0
    isotropic_scaling: 0.0,
    anisotropic_scaling: 0.0,
    fractional_translation: 0.0,
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_each_change_happens_with_probability_p(change, p: float) -> None:
    acts = ((change(draw_of(4000, p)) - EYE).abs() > 1e-9).flatten(1).any(1)
    assert acts.double().mean().item() == pytest.approx(p * (1 - CHANGES[change]), abs=0.03 if 0 < p < 1 else 0.03 * p)


def test_one_rotation_at_least_happens_with_probability_p() -> None:
    for p in (0.0, 0.3, 1.0):
        draw = draw_of(4000, p)
        first, second = ((arbitrary_rotation(draw) != EYE).flatten(1).any(1) for _ in range(2))
        assert (first | second).double().mean().item() == pytest.approx(p, abs=0.03 if 0 < p < 1 else 0)


def test_the_draws_have_the_spreads_of_the_paper() -> None:
    draw = draw_of(4000, 1.0)
    for change, entry in ((isotropic_scaling, (1, 1)), (anisotropic_scaling, (0, 0))):
        assert change(draw)[:, *entry].log2().std().item() == pytest.approx(0.2, rel=0.05)
    scales = anisotropic_scaling(draw)
    torch.testing.assert_close(scales[:, 0, 0] * scales[:, 1, 1], torch.ones(4000, dtype=torch.float64))
    assert fractional_translation(draw)[:, :2, 2].std().item() == pytest.approx(64 / 8, rel=0.05)
    whole = whole_translation(draw)[:, :2, 2]
    assert torch.equal(whole, whole.round())
    assert (whole.min(), whole.max()) == (-8, 8)
    angles = torch.atan2(arbitrary_rotation(draw)[:, 0, 1], arbitrary_rotation(draw)[:, 0, 0])
    assert angles.abs().max() > 3


def test_without_probability_nothing_changes_and_with_it_all_does() -> None:
    for changes in (BLIT, GENERAL):
        assert torch.equal(chain(changes, draw_of(50, 0.0)), EYE.expand(50, 3, 3))
    assert (chain(GENERAL, draw_of(50, 1.0)) != EYE).flatten(1).any(1).all()
