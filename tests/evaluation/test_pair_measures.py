"""L1, PSNR and SSIM against values by hand."""

import math

import numpy as np
import pytest

from gannet.errors import UserError
from gannet.evaluation.pairs import l1, psnr, ssim


def flat(*values: int, side: int = 2) -> np.ndarray:
    """One grey image for each value."""
    return np.broadcast_to(np.array(values, np.uint8)[:, None, None, None], (len(values), 1, side, side)).copy()


def noise(num: int, channels: int, side: int, seed: int = 1) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, (num, channels, side, side), np.uint8)


def by_hand(x: np.ndarray, y: np.ndarray) -> float:
    """SSIM of two images of 11x11: the window lies in one place only."""
    bell = np.exp(-((np.arange(11) - 5) ** 2) / (2 * 1.5**2))
    w = np.outer(bell, bell) / bell.sum() ** 2
    x, y = x.astype(float), y.astype(float)
    mx, my = (w * x).sum(), (w * y).sum()
    vx, vy, cov = (w * (x - mx) ** 2).sum(), (w * (y - my) ** 2).sum(), (w * (x - mx) * (y - my)).sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return (2 * mx * my + c1) * (2 * cov + c2) / ((mx**2 + my**2 + c1) * (vx + vy + c2))


def test_l1_is_1_from_black_to_white() -> None:
    assert l1(flat(0, 10, 7), flat(255, 61, 7)).tolist() == pytest.approx([1, 0.2, 0])


def test_psnr_is_that_of_each_images_mean_squared_error() -> None:
    """Off by 255: 0 dB; by 25.5, here 26 and 25 half each: 10 log10(255^2 / 650.5)."""
    made = flat(0, 100)
    made[1, :, 0] += 26
    made[1, :, 1] += 25
    assert psnr(made, flat(255, 100)).tolist() == pytest.approx([0, 10 * math.log10(255**2 / 650.5)])


def test_psnr_of_equal_images_is_that_of_rounding() -> None:
    assert psnr(flat(3), flat(3)).item() == pytest.approx(10 * math.log10(255**2 * 12))


def test_ssim_of_one_window_by_hand() -> None:
    x, y = noise(1, 1, 11), noise(1, 1, 11, seed=2)
    y = ((x.astype(int) + y) // 2).astype(np.uint8)
    assert ssim(x, y).item() == pytest.approx(by_hand(x[0, 0], y[0, 0]), abs=1e-9)


def test_ssim_is_the_mean_over_places_inside_the_image_and_channels() -> None:
    x, y = noise(2, 3, 13), noise(2, 3, 13, seed=2)
    for made, target, found in zip(x, y, ssim(x, y).tolist(), strict=True):
        windows = [
            by_hand(one[top : top + 11, left : left + 11], other[top : top + 11, left : left + 11])
            for one, other in zip(made, target, strict=True)
            for top in range(3)
            for left in range(3)
        ]
        assert found == pytest.approx(np.mean(windows), abs=1e-9)


def test_ssim_is_1_for_equal_and_falls_with_noise() -> None:
    x = noise(1, 1, 16) // 2 + 64
    little, much = (np.clip(x + np.array(noise(1, 1, 16, seed=3), int) // by - 128 // by, 0, 255) for by in (16, 2))
    values = [ssim(made.astype(np.uint8), x).item() for made in (x, little, much)]
    assert values[0] == pytest.approx(1) and values[0] > values[1] > values[2]


def test_images_smaller_than_the_window_are_refused() -> None:
    with pytest.raises(UserError, match="SSIM looks at 11x11 pixels at once, and the images have 8x8"):
        ssim(noise(1, 1, 8), noise(1, 1, 8))


@pytest.mark.parametrize("measure", [l1, psnr, ssim])
def test_what_is_no_pair_is_refused(measure: object) -> None:
    assert callable(measure)
    with pytest.raises(ValueError, match="no pairs"):
        measure(noise(2, 3, 16), noise(2, 1, 16))
