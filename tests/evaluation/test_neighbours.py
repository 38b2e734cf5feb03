"""Nearest neighbours and leaders against all the pairs at once, in float64."""

import numpy as np
import pytest
import torch
from torch import Tensor

from gannet.evaluation import neighbours
from gannet.evaluation.neighbours import distances_between, leaders, nearest, squared_distances


def drawn(num: int, dim: int, seed: int) -> Tensor:
    return torch.from_numpy(np.random.Generator(np.random.Philox(seed)).standard_normal((num, dim))).float()


@pytest.fixture(params=[2**24, 100], ids=["one block", "blocks"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(neighbours, "BLOCK", request.param)
    monkeypatch.setattr(neighbours, "DIRECT", request.param)


@pytest.mark.usefixtures("blocks")
def test_the_nearest_are_those_of_all_pairs() -> None:
    features, among = drawn(37, 5, 1), drawn(41, 5, 2)
    table = torch.cdist(features.double(), among.double())
    distances, indices = nearest(features, among, 3)
    expected = table.sort(1)
    assert torch.equal(indices, expected.indices[:, :3])
    torch.testing.assert_close(distances.double(), expected.values[:, :3], rtol=1e-6, atol=1e-6)


def test_no_more_neighbours_than_there_are() -> None:
    distances, indices = nearest(drawn(4, 2, 1), drawn(3, 2, 2), 50)
    assert distances.shape == indices.shape == (4, 3)


@pytest.mark.usefixtures("blocks")
def test_the_same_image_is_at_0_however_far_from_the_origin() -> None:
    among = drawn(30, 8, 1) + 1000
    distances, indices = nearest(among[[3, 17]].clone(), among, 2)
    assert indices[:, 0].tolist() == [3, 17] and distances[:, 0].tolist() == [0, 0]
    assert distances[:, 1].min() > 0.5


def test_squared_distances_keep_their_digits_far_from_the_origin() -> None:
    features, among = drawn(20, 8, 1), drawn(30, 8, 2)
    table = torch.cat(list(squared_distances(features + 100, among + 100)))
    torch.testing.assert_close(table.double(), torch.cdist(features.double(), among.double()) ** 2, rtol=0, atol=2e-3)


@pytest.mark.usefixtures("blocks")
def test_distances_between_those_that_are_numbered() -> None:
    points = torch.tensor([0.0, 1, 3, 10])[:, None]
    found = distances_between(points, torch.tensor([[0, 3], [2, 2]]), torch.tensor([1, 0]))
    assert found.tolist() == [[1, 9], [3, 3]]


@pytest.mark.usefixtures("blocks")
def test_who_follows_whom_by_hand() -> None:
    """On a line, within 1: 1.5 follows 0.7 only if that leads, which it does not, since it follows 0."""
    points = torch.tensor([0, 0.7, 1.5, 10, 9.5, 1.6, 0.2])[:, None]
    assert leaders(points, 1).tolist() == [0, 0, 2, 3, 3, 2, 0]


@pytest.mark.usefixtures("blocks")
def test_leaders_are_apart_and_their_followers_near() -> None:
    features = drawn(60, 2, 3)
    leader = leaders(features, 0.5)
    leads = np.flatnonzero(leader == np.arange(60))
    assert torch.pdist(features[leads]).min() > 0.5 and 1 < len(leads) < 60
    assert (features - features[leader]).norm(dim=1).max() <= 0.5
    assert (leader <= np.arange(60)).all()
