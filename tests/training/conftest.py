import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from runs import train

import gannet.training.measure as measure


@pytest.fixture(scope="module", autouse=True)
def quick() -> Iterator[None]:
    """The speed of this machine is not measured: what it would cost is known to be little."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(measure, "time_iterations", lambda training: 0.01)
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, quick: None) -> Path:
    """A finished run of 6 iterations, and the pictures that it learned from."""
    root = tmp_path_factory.mktemp("finished")
    random = np.random.Generator(np.random.Philox(5))
    (root / "pictures").mkdir()
    for i in range(16):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(root / "pictures" / f"{i:03}.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANNET_CACHE", str(root / "cache"))
        train(root / "pictures", root / "runs" / "one")
    shutil.rmtree(root / "cache")
    return root


@pytest.fixture
def run(finished: Path, tmp_path: Path, cache: Path) -> Path:
    """The finished run and its pictures in a place of this test's own."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)
    return tmp_path / "runs" / "one"
