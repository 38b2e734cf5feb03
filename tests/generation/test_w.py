"""w between z and images: what it is, and that images follow from it alone."""

from pathlib import Path

import pytest
import torch
from runs import untrained

from gannet.errors import UserError
from gannet.generation.load import load


def test_images_follow_from_w(tmp_path: Path) -> None:
    G = load(untrained(tmp_path, "stylegan2"))
    z, c = G.z(3, 0, 4), torch.zeros(4, 0)
    w = G.w(z, c)
    assert w.shape == (4, 6, 6) and (w == w[:, :1]).all()
    assert torch.equal(G.images_of(w), G.images(z, c))
    near = G.truncated(0.5)
    network = G.styled()
    assert torch.allclose(near.w(z, c), (w + network.w_avg) / 2, atol=1e-6)
    assert torch.equal(near.images_of(near.w(z, c)), near.images(z, c))
    assert torch.equal(near.images_of(w), G.images(z, c))


def test_a_layer_may_have_the_w_of_another_image(tmp_path: Path) -> None:
    G = load(untrained(tmp_path, "stylegan2"))
    w = G.w(G.z(3, 0, 2), torch.zeros(2, 0))
    w[0, 3:] = w[1, 3:]
    mixed, other = G.images_of(w)
    assert not torch.allclose(mixed, other, atol=1e-3) and not torch.allclose(mixed, G.sample(1, 3)[0], atol=1e-3)


def test_others_have_none(tmp_path: Path) -> None:
    G = load(untrained(tmp_path, "dcgan"))
    for call in (lambda: G.w(G.z(0, 0, 1), torch.zeros(1, 0)), lambda: G.images_of(torch.zeros(1, 2, 3))):
        with pytest.raises(UserError, match="without a w between, as only stylegan2 has one"):
            call()
