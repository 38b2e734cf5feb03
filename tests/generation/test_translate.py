"""G on images as arrays: whole, in tiles, and of every size."""

from dataclasses import replace
from itertools import cycle, pairwise
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from runs import of_g
from stand_ins import apart, blocks, doubled, image_to_image, noise, seen, smoothed

from gannet.config import Data
from gannet.data.decode import to_array
from gannet.errors import UserError
from gannet.generation import translate as translate_module
from gannet.generation.translate import Cuts, ImageToImage
from gannet.networks import TRANSLATORS


@pytest.mark.parametrize("multiple", [1, 4, 16])
@pytest.mark.parametrize("size", [(1, 1), (3, 50), (16, 16), (33, 70), (90, 31)])
def test_the_identity_gives_every_image_back(size: tuple[int, int], multiple: int) -> None:
    G = image_to_image(multiple=multiple)
    image = noise(*size)
    assert np.array_equal(G.translate(image), image)
    for a in seen(G):
        height, width = a.shape[2:]
        assert 16 <= height <= 32 and 16 <= width <= 32 and height % multiple == width % multiple == 0


def test_tiles_give_what_the_whole_gives_where_g_sees_no_further_than_their_margin(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    G, image = image_to_image(smoothed), noise(75, 50)
    whole = replace(G, tile=128).translate(image)
    assert len(seen(G)) == 1
    assert apart(G.translate(image), whole) <= 1
    assert len(seen(G)) == 1 + 3 * 2
    monkeypatch.setattr(translate_module, "MARGIN", 1000)
    assert apart(G.translate(image), whole) > 1  # without it edges show


def test_tiles_begin_where_g_treats_them_as_the_whole() -> None:
    G, image = image_to_image(blocks, multiple=4), noise(72, 44)
    assert apart(replace(G, tile=30).translate(image), replace(G, tile=128).translate(image)) <= 1
    assert replace(G, tile=30).cuts(72) == Cuts(72, 28, [0, 20, 40, 44])


def test_no_seam_shows_where_g_makes_each_tile_of_another_brightness() -> None:
    levels = cycle([-0.5, 0.5, 0.1])
    made = image_to_image(lambda a: torch.full_like(a, next(levels))).translate(noise(90, 70)).astype(int)
    ramp = 32 // 4 // 2  # pixels from one tile to the next
    assert np.ptp(made) > 100
    for axis in (0, 1):
        assert abs(np.diff(made, axis=axis)).max() <= 127.5 / ramp + 1


@pytest.mark.parametrize("scale", [1, 2])
@pytest.mark.parametrize(("size", "side", "starts"), [(16, 16, [0]), (33, 32, [0, 1]), (100, 32, [0, 24, 48, 68])])
def test_the_weights_of_tiles_make_up_one(size: int, side: int, starts: list[int], scale: int) -> None:
    total = np.zeros(scale * size)
    for start, weight in zip(starts, Cuts(size, side, starts).weights(scale), strict=True):
        assert weight.shape == (scale * side,) and weight.min() >= 0
        total[scale * start : scale * (start + side)] += weight
    assert np.allclose(total, 1, atol=1e-6)


def test_neighbours_share_a_quarter_at_least() -> None:
    for multiple, resolution in ((1, 16), (4, 16), (16, 16), (8, 64)):
        G = image_to_image(multiple=multiple, resolution=resolution)
        for num in (65, 100, 131):
            cuts = G.cuts(num)
            assert cuts.starts[0] == 0 and cuts.starts[-1] + cuts.side == cuts.size >= num
            assert all(after - before <= cuts.side * 3 / 4 for before, after in pairwise(cuts.starts))


def test_what_enlarges_does_so_in_tiles_too() -> None:
    G, image = image_to_image(doubled, scale=2), noise(70, 40)
    assert np.array_equal(G.translate(image), image.repeat(2, axis=0).repeat(2, axis=1))
    assert {a.shape[2:] for a in seen(G)} == {(32, 32)}
    assert replace(G, tile=512).cuts(1000).side == 256


def test_a_g_that_halves_down_to_one_pixel_sees_the_size_of_training_only() -> None:
    G = image_to_image(multiple=16)
    for size in ((5, 9), (16, 16), (17, 16), (100, 40)):
        G.translate(noise(*size))
    assert {a.shape[2:] for a in seen(G)} == {(16, 16)}


@pytest.mark.parametrize("name", TRANSLATORS.rows)
@pytest.mark.parametrize("size", [(1, 1), (7, 30), (40, 18)])
def test_networks_take_every_size(name: str, size: tuple[int, int]) -> None:
    network = TRANSLATORS.find(name)(16, 3, 0, **of_g(name)).eval()
    G = ImageToImage(network, Data(resolution=16), 3, torch.device("cpu"), tile=16)
    image = noise(*size)
    made = G.translate(image)
    assert made.shape == (size[0] * G.scale, size[1] * G.scale, 3) and made.dtype == np.uint8
    assert np.array_equal(G.translate(image), made)  # dropout is off


@pytest.mark.parametrize("fit", ["stretch", "pad"])
@pytest.mark.parametrize("size", [(70, 40), (20, 90), (32, 32), (9, 13)])
def test_whole_images_are_given_as_in_training_and_come_back_in_their_aspect(fit: Any, size: tuple[int, int]) -> None:
    ramp = np.linspace(0, 255, size[0] * size[1] * 3).reshape(*size, 3).astype(np.uint8)
    G = image_to_image(resolution=32, fit=fit)
    made = G.translate(ramp)
    assert apart(made, ramp) <= 40
    (a,) = seen(G)
    trained = to_array(Image.fromarray(ramp), Data(resolution=32, fit=fit), 3, None)
    assert np.abs((a[0].numpy() + 1) * 127.5 - trained).max() <= 2
    if max(size) <= 32 and fit == "pad":
        assert np.array_equal(made, ramp)


def test_pads_are_white_where_transparency_was_and_what_g_makes_of_them_is_cut_off() -> None:
    G = image_to_image(lambda a: -a, fit="pad", alpha="white")
    assert G.translate(np.zeros((8, 16, 3), np.uint8)).min() == 255
    assert seen(G)[0].mean() == 0
    assert image_to_image(lambda a: -a, fit="pad").translate(np.full((8, 16, 3), 255, np.uint8)).max() == 0


def test_what_enlarges_takes_every_image_at_its_own_size() -> None:
    G = image_to_image(doubled, scale=2, fit="stretch")
    assert np.array_equal(G.translate(noise(20, 11)), noise(20, 11).repeat(2, axis=0).repeat(2, axis=1))


def test_nearest_pixels_stay_so() -> None:
    image = noise(8, 8).repeat(3, axis=0).repeat(3, axis=1)
    assert np.array_equal(image_to_image(resolution=8, fit="stretch", filter="nearest").translate(image), image)


@pytest.mark.parametrize("image", [noise(4, 4, 4), noise(4, 4)[..., 0], noise(4, 4) / 255, noise(4, 4)[:0]])
def test_arrays_of_another_kind_are_told_in_one_line(image: np.ndarray) -> None:
    with pytest.raises(UserError, match=r"uint8 \[H, W, 3\], and this one is (uint8|float64) \["):
        image_to_image().translate(image)
