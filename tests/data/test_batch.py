"""Batches: what D sees, what G is given, and what is done to both alike."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.config import Data
from gannet.data.batch import Draw, Loader, enlarged
from gannet.data.dataset import Dataset
from gannet.noise import Stream, uniform

SIZE = 8
CPU = torch.device("cpu")
ALL: dict[str, Any] = {"flip": True, "jitter": 0.4, "enlarge": 0.5}


def noise(num: int, channels: int, seed: int = 0) -> np.ndarray:
    return np.random.Generator(np.random.Philox(seed)).integers(0, 256, (num, channels, SIZE, SIZE), np.uint8)


def dataset(images: np.ndarray, other: Dataset | None = None) -> Dataset:
    labels = np.zeros(len(images), np.int64)
    return Dataset(images, labels, (), [], images[:0], "", [], Path(), other)


def loader(images: np.ndarray, other: np.ndarray | None = None, seed: int = 0, **settings: Any) -> Loader:
    given = None if other is None else dataset(other)
    return Loader(dataset(images, given), Data(resolution=SIZE, **settings), seed, 5, CPU)


def draw(of: Loader, cur_nimg: int = 0, batch: int = 8, share: int = 0, shares: int = 1) -> Draw:
    return Draw(of, lambda number: None, cur_nimg, cur_nimg, batch, share, batch // shares)


def numbered(num: int, first: int = 0) -> np.ndarray:
    """Flat images whose value is their number."""
    return np.broadcast_to(np.arange(first, first + num, dtype=np.uint8)[:, None, None, None], (num, 3, SIZE, SIZE))


def numbers(x: Tensor) -> list[int]:
    return ((x[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_images_and_clips_give_g_nothing() -> None:
    for channels, kind in ((3, "images"), (12, "clips")):
        batch = draw(loader(noise(20, channels), kind=kind, frames=4, **ALL))()
        assert batch.x.shape == (8, channels, SIZE, SIZE) and batch.a.shape == (8, 0, SIZE, SIZE)


def test_both_images_of_a_pair_are_flipped_and_cut_alike() -> None:
    a = noise(20, 3)
    of = loader(np.concatenate([a, 255 - a], axis=1), kind="pairs", flip=True, enlarge=0.5)
    batch = draw(of, batch=20)()
    assert batch.a.shape == batch.x.shape == (20, 3, SIZE, SIZE)
    assert batch.a.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(batch.a, -batch.x)
    as_they_are, _ = of.at(np.arange(20))
    assert (batch.a[:, None] - as_they_are[:, :3]).abs().amax((2, 3, 4)).min() > 0.1


def test_both_images_of_a_pair_are_jittered_alike() -> None:
    a = noise(20, 3)
    batch = draw(loader(np.concatenate([a, a], axis=1), kind="pairs", **ALL), batch=20)()
    assert torch.equal(batch.a, batch.x)
    dark, light = np.full((20, 3, SIZE, SIZE), 60, np.uint8), np.full((20, 3, SIZE, SIZE), 120, np.uint8)
    batch = draw(loader(np.concatenate([dark, light], axis=1), kind="pairs", jitter=0.4), batch=20)()
    torch.testing.assert_close((batch.x + 1) / (batch.a + 1), torch.full((20, 3, SIZE, SIZE), 2.0))
    assert (batch.a[:, 0, 0, 0].diff().abs() > 1e-3).all()


def test_all_frames_of_a_clip_are_changed_alike() -> None:
    frame = noise(20, 3)
    of = loader(np.concatenate([frame] * 4, axis=1), kind="clips", frames=4, **ALL)
    x = draw(of, batch=20)().x.unflatten(1, (4, 3))
    torch.testing.assert_close(x, x[:, :1].expand_as(x))
    as_image = draw(loader(frame, **ALL), batch=20)().x
    torch.testing.assert_close(x[:, 0], as_image)


def test_frames_are_jittered_one_by_one() -> None:
    """Contrast is that of each frame, about its own mean."""
    x = torch.linspace(-1, 1, 2 * 6 * SIZE * SIZE).reshape(2, 6, SIZE, SIZE)
    clips = loader(noise(1, 6), kind="clips", frames=2, jitter=0.3)
    images = loader(noise(1, 3), jitter=0.3)
    factors = [torch.full((2, 1, 1, 1), value) for value in (0.2, 0.9, 0.1)]
    expected = torch.cat([images.jittered(x[:, k : k + 3], factors) for k in (0, 3)], dim=1)
    torch.testing.assert_close(clips.jittered(x, factors), expected)


def test_unpaired_sets_go_through_orders_of_their_own() -> None:
    of = loader(numbered(10), numbered(7, first=100), kind="unpaired")
    batches = [draw(of, cur_nimg=start, batch=7)() for start in range(0, 70, 7)]
    given = [numbers(batch.a) for batch in batches]
    seen = [number for batch in batches for number in numbers(batch.x)]
    assert all(sorted(epoch) == list(range(100, 107)) for epoch in given)
    assert len({tuple(epoch) for epoch in given}) > 1
    assert all(sorted(seen[k : k + 10]) == list(range(10)) for k in range(0, 70, 10))
    alone = loader(numbered(10))
    assert seen[:7] == numbers(draw(alone, batch=7)().x)


def test_unpaired_images_are_flipped_and_cut_each_on_its_own() -> None:
    same = noise(1, 3)
    batch = draw(loader(same, same, kind="unpaired", flip=True), batch=32)()
    flipped = [[bool((image != batch.x[0]).any()) for image in side] for side in (batch.a, batch.x)]
    assert flipped[0] != flipped[1] and {len(set(side)) for side in flipped} == {2}
    batch = draw(loader(same, same, kind="unpaired", enlarge=1.0), batch=16)()
    assert sum(torch.equal(one, other) for one, other in zip(batch.a, batch.x, strict=True)) < 4


@pytest.mark.parametrize("kind", ["images", "pairs", "unpaired", "clips"])
def test_a_batch_does_not_depend_on_how_it_is_shared(kind: str) -> None:
    other = noise(5, 6, seed=1) if kind == "unpaired" else None
    of = loader(noise(11, 6), other, kind=kind, frames=2, **ALL)
    whole = draw(of, cur_nimg=16)()
    shares = [draw(of, 16, share=share, shares=4)() for share in range(4)]
    for name in ("x", "a", "z", "c"):
        torch.testing.assert_close(torch.cat([getattr(share, name) for share in shares]), getattr(whole, name))
    again = draw(loader(noise(11, 6), other, kind=kind, frames=2, **ALL), cur_nimg=16)()
    assert torch.equal(again.x, whole.x) and torch.equal(again.a, whole.a)


def test_flips_are_those_that_they_were_before_there_was_more() -> None:
    same = noise(1, 3)
    x, _ = loader(same, seed=3, flip=True).reals(40, 30)
    mirrored = uniform(3, Stream.REALS, 40, 30, 4)[:, 0] < 0.5
    as_it_is, _ = loader(same).reals(0, 1)
    assert [torch.equal(image, as_it_is[0].flip(2)) for image in x] == mirrored.tolist()


def test_enlarged_pixels_are_repeated_by_nearest() -> None:
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]]).expand(3, 1, 2, 2)
    places = np.array([[0.01, 0.5], [0.99, 0.01], [0.5, 0.99]])  # of the rows and columns 0, 1 and 2
    got = enlarged(x, 1.0, places, nearest=True)
    assert got[:, 0].tolist() == [[[1, 2], [1, 2]], [[3, 3], [3, 3]], [[2, 2], [4, 4]]]


def test_enlarged_images_are_cut_at_each_place() -> None:
    x = torch.from_numpy(noise(9, 3)).double()
    large = interpolate(x, size=(10, 10), mode="bilinear")
    cells = [(top, left) for top in range(3) for left in range(3)]
    got = enlarged(x, 0.25, np.array([((top + 0.5) / 3, (left + 0.5) / 3) for top, left in cells]), nearest=False)
    for image, cut, (top, left) in zip(large, got, cells, strict=True):
        assert torch.equal(cut, image[:, top : top + SIZE, left : left + SIZE])
    assert got.shape == x.shape and got.dtype == torch.float64
    assert torch.equal(enlarged(x, 0.0, np.full((9, 2), 0.7), nearest=False), x)


def test_every_place_is_as_likely() -> None:
    x = torch.arange(4.0).reshape(1, 1, 1, 4).expand(6000, 1, 4, 4)
    got = enlarged(x, 0.5, uniform(0, Stream.CROP, 0, 6000, 2), nearest=True)
    kinds, counts = np.unique(got[:, 0, 0].numpy(), axis=0, return_counts=True)
    assert len(kinds) == 3 and abs(counts - 2000).max() < 150
