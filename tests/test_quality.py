"""What training must reach; slow, run by name: uv run pytest tests/test_quality.py -m slow -s -n 0"""

from pathlib import Path

import numpy as np
import pytest

import gannet
from gannet.config import Data
from gannet.data.dataset import prepare
from gannet.data.sources import open_source

SQUARE_FILLS = 0.89  # of its bounding box, halfway between a circle's pi / 4 and a square's 1


def fill(image: np.ndarray) -> float:
    """How much of its bounding box a bright shape on black fills; uint8 `[3, H, W]`."""
    bright = image.max(0) > 64
    rows, columns = np.flatnonzero(bright.sum(1) > 2), np.flatnonzero(bright.sum(0) > 2)
    if not len(rows) or not len(columns):
        return 0.0
    box = bright[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    return float(box.mean())


def share_of_squares(images: np.ndarray) -> float:
    return float(np.mean([fill(image) > SQUARE_FILLS for image in images]))


def test_the_measure_tells_real_circles_from_squares(tmp_path: Path) -> None:
    source = open_source("shapes-labelled", tmp_path)
    dataset = prepare(source, Data(resolution=32, labels=True, cache=str(tmp_path)), 3)
    assert dataset.classes == ("circle", "square")
    assert share_of_squares(dataset.images[dataset.labels == 0]) < 0.02
    assert share_of_squares(dataset.images[dataset.labels == 1]) > 0.98


@pytest.mark.slow
def test_a_label_gives_its_shape(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    run = gannet.train(recipe="cdcgan-shapes", run=tmp_path / "run")
    G = gannet.load(run)
    shares = {c: share_of_squares(G.to_uint8(G.sample(500, seed=1, labels=c))) for c in G.classes}
    print("share of samples that fill their box as a square does:", shares)
    assert shares["square"] - shares["circle"] > 0.4
