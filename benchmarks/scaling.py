"""Two ranks of one thread against one rank of one thread: images a second of DCGAN-64, global batch 128.

Batch norm is synchronised, so both play the same game. The first process plays alone while the
second sleeps, then both play together; pairs alternate, and the median of their ratios counts.

    uv run python benchmarks/scaling.py [--pairs 5] [--iterations 2] [--precision float32]
"""

import argparse
import io
import os
import socket
import statistics
import time
from datetime import timedelta
from unittest.mock import patch

import torch
import torch.distributed as dist

from gannet.config import overridden
from gannet.plan import random_dataset
from gannet.recipes import recipe
from gannet.training.build import build_training, completed
from gannet.training.checkpoint import state_of
from gannet.training.engine import Engine, kept_memory
from gannet.training.loop import Training, iterate
from gannet.training.ranks import ALONE, Ranks, launched

DEVICE = torch.device("cpu")
BATCH = 128


def training(ranks: Ranks, precision: str) -> Training:
    """The paper's DCGAN at 64 pixels."""
    made = completed(overridden(recipe("dcgan"), {"data.resolution": 64, "train.batch": BATCH}))
    return build_training(made, random_dataset(made, 3, ()), Engine(DEVICE, precision, ranks))


def seconds(t: Training, iterations: int) -> float:
    """Of one iteration."""
    start = time.perf_counter()
    for _ in range(iterations):
        iterate(t)
    return (time.perf_counter() - start) / iterations


def reduced_bytes(t: Training) -> int:
    """Bytes that one iteration hands to the other ranks for summing."""
    counted: list[int] = []
    reduce = dist.all_reduce

    def counting(tensor: torch.Tensor) -> None:
        counted.append(tensor.numel() * tensor.element_size())
        reduce(tensor)

    with patch.object(dist, "all_reduce", counting):
        iterate(t)
    return sum(counted)


def play(rank: int, port: int, asked: argparse.Namespace) -> None:
    torch.set_num_threads(1)
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": "2"}
    os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    with launched() as ranks, kept_memory(DEVICE):
        alone = training(ALONE, asked.precision) if ranks.first else None
        both = training(ranks, asked.precision)
        ratios = []
        for pair in range(-1, asked.pairs):  # the first pair only warms up
            if alone:
                one = seconds(alone, asked.iterations)
                ranks.store.set(f"alone {pair}", "done")
            else:
                ranks.store.wait([f"alone {pair}"], timedelta(hours=1))
                one = 0.0
            ranks.any(False)
            two = seconds(both, asked.iterations)
            if ranks.first and pair >= 0:
                ratios.append(one / two)
                print(
                    f"1 rank {BATCH / one:6.1f} img/s   2 ranks {BATCH / two:6.1f} img/s   {ratios[-1]:.2f} times",
                    flush=True,
                )
        num_bytes = reduced_bytes(both)
        if ranks.first:
            buffer = io.BytesIO()
            torch.save(state_of(alone or both), buffer)
            print(f"{num_bytes / 1e6:.2f} MB reduced in an iteration, a checkpoint of {buffer.tell() / 1e6:.1f} MB")
            print(f"median {statistics.median(ratios):.2f} times, from {min(ratios):.2f} to {max(ratios):.2f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--iterations", type=int, default=2)
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    asked = parser.parse_args()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    torch.multiprocessing.spawn(play, (port, asked), nprocs=2)


if __name__ == "__main__":
    main()
