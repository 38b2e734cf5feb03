import math

import numpy as np
import pytest
import torch

from gannet.augment.ada import POWER, band_gains, filtered
from gannet.augment.base import Draw
from gannet.augment.wavelets import SYM2, SYM6, mirrored, octave_filters, octaves


@pytest.mark.parametrize(("taps", "moments"), [(SYM2, 2), (SYM6, 6)])
def test_the_filters_are_wavelets(taps: np.ndarray, moments: int) -> None:
    assert len(taps) == 2 * moments
    assert taps.sum() == pytest.approx(math.sqrt(2), abs=1e-12)
    for shift in range(moments):
        assert taps[2 * shift :] @ taps[: len(taps) - 2 * shift] == pytest.approx(float(shift == 0), abs=1e-11)
    place = np.arange(2 * moments) - moments + 1
    for power in range(moments):
        assert ((-1.0) ** place * place**power) @ taps == pytest.approx(0, abs=1e-9)


def test_mirrors_have_no_end() -> None:
    assert mirrored(np.arange(-4, 9), 4).tolist() == [2, 3, 2, 1, 0, 1, 2, 3, 2, 1, 0, 1, 2]


def test_the_bands_share_the_spectrum() -> None:
    """They add up to 1, and each is more than half in its own octave."""
    filters = octave_filters()
    delta = np.zeros(43)
    delta[21] = 1
    np.testing.assert_allclose(filters.sum(0), delta, atol=1e-15)
    np.testing.assert_allclose(filters, filters[:, ::-1], atol=1e-15)  # zero phase
    for band, frequency in enumerate((1 / 16, 3 / 16, 3 / 8, 3 / 4)):
        response = np.cos(np.pi * frequency * np.arange(-21, 22)) @ filters.T
        assert response.argmax() == band
        assert response[band] > 0.5
    np.testing.assert_allclose(filters.sum(1), [1, 0, 0, 0], atol=1e-14)  # a constant is all low


def test_filtering_is_a_convolution_of_the_mirrored_image() -> None:
    torch.manual_seed(0)
    x, gains = torch.randn(2, 3, 24, 32, dtype=torch.float64), torch.rand(2, 4, dtype=torch.float64) + 0.5
    result = filtered(x, gains)
    for image, gain, found in zip(x.numpy(), gains.numpy(), result.numpy(), strict=True):
        taps = gain @ octave_filters()
        for channel, seen in zip(image, found, strict=True):
            padded = np.pad(channel, 21, mode="reflect")
            along_x = np.stack([np.convolve(row, taps, "valid") for row in padded])
            np.testing.assert_allclose(
                seen, np.stack([np.convolve(c, taps, "valid") for c in along_x.T], 1), atol=1e-12
            )


def test_all_bands_together_are_the_image() -> None:
    bands = octaves(8, torch.device("cpu"), torch.float64)
    torch.testing.assert_close(bands.sum(0), torch.eye(8, dtype=torch.float64))


@pytest.mark.parametrize("p", [0.0, 0.3, 1.0])
def test_gains_keep_the_power_of_a_natural_image(p: float) -> None:
    torch.manual_seed(0)
    draw = Draw(torch.zeros(4000, 1, 1, 1, dtype=torch.float64), torch.tensor(p))
    gains, acts = band_gains(draw)
    assert acts.double().mean().item() == pytest.approx(1 - (1 - p) ** 4, abs=0.03 if 0 < p < 1 else 0)
    assert torch.equal((gains != 1).any(1), acts)


def test_the_gain_of_one_band_by_hand() -> None:
    """The top band is amplified by 2 alone: power 12/13 + 4/13 = 16/13, so all are divided by its root."""

    class OneBand(Draw):
        left = 3

        def normal(self, std: float) -> torch.Tensor:
            self.left -= 1
            return torch.full((1,), 1.0 if self.left == -1 else 0.0)

    gains, acts = band_gains(OneBand(torch.zeros(1, 1, 1, 1), torch.tensor(1.0)))
    root = math.sqrt(16 / 13)
    assert gains[0].tolist() == pytest.approx([1 / root, 1 / root, 1 / root, 2 / root])
    assert acts.tolist() == [True]
    assert sum(POWER) == pytest.approx(1)
