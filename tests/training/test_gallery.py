"""The grids of a run."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from gannet.config import Data, Samples
from gannet.images import to_float
from gannet.training.gallery import Gallery


def pairs(num: int) -> tuple[Gallery, np.ndarray]:
    """Of a run on pairs, of which as many are shown; and these, uint8 `[N, 2 * 3, 4, 4]`."""
    images = np.random.Generator(np.random.Philox(0)).integers(0, 256, (num, 6, 4, 4), np.uint8)
    a, x = to_float(torch.from_numpy(images)).chunk(2, dim=1)
    recipe = SimpleNamespace(data=Data(kind="pairs"), samples=Samples(num=num))
    loader = SimpleNamespace(dataset=SimpleNamespace(images=images, classes=()), fixed=lambda many: (a, x))
    training: Any = SimpleNamespace(recipe=recipe, loader=loader)
    return Gallery(training), images


@pytest.mark.parametrize("num", [1, 4, 6, 8, 12, 16, 64])
def test_pairs_stand_where_their_outputs_stand_beside_them(num: int) -> None:
    gallery, images = pairs(num)
    real, columns = gallery.reals()
    shown, columns_shown = gallery.in_rows(np.concatenate([images[:, :3], 0 * images[:, :3], images[:, 3:]], 1))
    assert np.array_equal(real, images.reshape(2 * num, 3, 4, 4)) and len(shown) == 3 * num
    assert (columns % 2, columns_shown % 3) == (0, 0) and columns // 2 == columns_shown // 3
