"""Generators of every network as version 0.1 wrote them: kept, and loaded for ever. They are never made anew.

Each folder has random weights of a tiny network, and in `expected.npy` every second row and column of what it made
then: image 0 of seed 3, or of a translator what it made of `given_to`.
"""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import gannet
from gannet.generation.onnx import OnnxGenerator
from gannet.networks import GENERATORS, TRANSLATORS
from gannet.noise import Stream, normal

KEPT = Path(__file__).parent / "fixtures" / "v0.1-networks"
CLOSE = 1e-4
ENLARGING = ("srresnet", "rrdb")


def given_to(name: str) -> torch.Tensor:
    side = 8 if name in ENLARGING else 16
    values = np.tanh(normal(3, Stream.SAMPLE, 0, 1, 3 * side * side))
    return torch.from_numpy(values).reshape(1, 3, side, side)


def difference(made: Any, name: str) -> float:
    expected = np.load(KEPT / name / "expected.npy")
    found = np.asarray(made)[..., ::2, ::2]
    assert found.shape == expected.shape and np.ptp(expected) > 0.1
    return float(np.abs(found - expected).max())


@pytest.mark.parametrize("name", GENERATORS.rows)
def test_a_generator_of_0_1_makes_the_same_image(name: str) -> None:
    G: Any = gannet.load(KEPT / name)
    assert G.classes == ("day", "night") and G.shares == (0.5, 0.5) and G.frames == (3 if name == "dvdgan" else 1)
    assert difference(G.sample(1, 3), name) < CLOSE


@pytest.mark.parametrize("name", TRANSLATORS.rows)
def test_a_translator_of_0_1_makes_the_same_image(name: str) -> None:
    G: Any = gannet.load(KEPT / name)
    with torch.inference_mode():
        assert difference(G.network(given_to(name)), name) < CLOSE


def test_an_onnx_file_of_0_1_makes_the_same_image() -> None:
    G = gannet.load(KEPT / "dcgan" / "model.onnx")
    assert isinstance(G, OnnxGenerator) and G.classes == ("day", "night")
    assert difference(G.sample(1, 3), "dcgan") < CLOSE
