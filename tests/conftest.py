from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

Pictures = Callable[..., Path]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Each xdist worker computes on one thread: more would only fight over the cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Decoded images go to a folder of the test's own."""
    monkeypatch.setenv("GANNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def pictures(tmp_path: Path, cache: Path) -> Pictures:
    """Makes a folder of small pictures of noise, in class folders where classes are named."""

    def make(num: int = 16, size: int = 16, mode: str = "RGB", classes: tuple[str, ...] = ()) -> Path:
        random = np.random.Generator(np.random.Philox(5))
        folder = tmp_path / "pictures"
        for i in range(num):
            path = folder / (classes[i % len(classes)] if classes else "") / f"{i:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = random.integers(0, 256, (size, size, len(mode)), np.uint8)
            Image.fromarray(pixels[..., 0] if mode == "L" else pixels).save(path)
        return folder

    return make
