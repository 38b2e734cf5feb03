"""Two ranks measure what one does, each at its share of the images."""

import json
import os
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from pixels import Pixels
from runs import untrained
from torch import Tensor

from gannet import evaluating

NUM_FAKE, NUM_REAL = (
    131,
    71,
)  # what two ranks cannot share equally, the last batch of fakes being smaller than the first


class Noting(Pixels):
    """Notes how many images it looked at."""

    num = 0

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        self.num += len(x)
        return super().forward(x)


def measured(folder: Path, cache: str) -> dict[str, Any]:
    """What this rank found of a generator, and at how many images it looked."""
    extract = Noting()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GANNET_CACHE", str(folder / cache))
        patch.setattr(evaluating, "open_extractor", lambda *asked: extract)
        asked: dict[str, Any] = {"num": NUM_FAKE, "force": True, "device": "cpu", "out": folder / cache / "out"}
        found = evaluating.evaluate(folder / "run", folder / "real", **asked)
    return {"scores": found.to_dict()["scores"], "num": extract.num}


def job(rank: int, port: int, folder: Path) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    (folder / f"{rank}.json").write_text(json.dumps(measured(folder, "both")))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What each of two ranks found, in files."""
    folder, random = tmp_path_factory.mktemp("ranks"), np.random.Generator(np.random.Philox(1))
    (folder / "real").mkdir()
    for i in range(NUM_REAL):
        Image.fromarray(random.integers(0, 256, (16, 16, 3), np.uint8)).save(folder / "real" / f"{i:03}.png")
    untrained(folder / "run", "dcgan")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = torch.multiprocessing.get_context("spawn")
    processes = [context.Process(target=job, args=(rank, port, folder)) for rank in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)
    assert [process.exitcode for process in processes] == [0, 0]
    return folder


def test_two_ranks_have_the_numbers_of_one_and_the_first_tells_them(folder: Path) -> None:
    first, second = (json.loads((folder / f"{rank}.json").read_text()) for rank in range(2))
    alone = measured(folder, "alone")
    assert second["scores"] == []
    assert len(first["scores"]) == len(alone["scores"]) == 6
    for found, expected in zip(first["scores"], alone["scores"], strict=True):
        for number in ("value", "low", "high"):
            assert found.pop(number) == pytest.approx(expected.pop(number), rel=1e-4, abs=1e-4)
        assert found == expected
    assert (folder / "both" / "out" / "report.md").exists()


def test_each_rank_looks_at_its_share(folder: Path) -> None:
    nums = [json.loads((folder / f"{rank}.json").read_text())["num"] for rank in range(2)]
    assert nums == [50 + 16 + 36] * 2
