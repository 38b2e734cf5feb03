"""Buffers that follow means over the batch: once an iteration, whatever it is cut into."""

from typing import Any

import pytest
import torch
from exact import exact, tiny
from families import FAMILIES
from torch import Tensor

from gannet.memory import Memory, memories
from gannet.training.loop import iterate


class Following(Memory):
    def __init__(self, start: float):
        super().__init__()
        self.mean: Tensor
        self.register_buffer("mean", torch.tensor(start))


def test_a_buffer_moves_by_the_mean_of_its_parts_by_hand() -> None:
    memory = Following(1.0)
    for part in (2.0, 4.0):
        memory.note("mean", torch.tensor(part, requires_grad=True), 0.75)
    assert memory.mean == 1
    (noted,) = memory.take()
    noted.move()
    assert memory.mean == 1.5 and not memory.mean.requires_grad and not memory.take()
    assert memories([torch.nn.Sequential(torch.nn.ReLU(), memory)]) == [memory]


QUIET: dict[str, Any] = {"G.style_mixing": 0.0, "augment": {"name": "none"}, "train.batch": 4}
LECAM: dict[str, Any] = {"G": {"name": "mlp", "hidden": [8], "first_norm": False}, "D": {"name": "mlp", "hidden": [8]}}
LECAM |= {"data.resolution": 8, "train.batch": 4, "penalties.lecam.weight": 0.3}
W = {name: value for name, value in FAMILIES["stylegan2"].items() if "path-length" not in name} | QUIET


@pytest.mark.parametrize(("settings", "iterations"), [(W, 1), (LECAM, 3)])  # StyleGAN2's D looks at its micro-batch
def test_two_micro_batches_move_it_as_one_does(settings: dict[str, Any], iterations: int) -> None:
    found = []
    for micro in (4, 2):
        t = exact(tiny({**settings, "train.micro_batch": micro}))
        for _ in range(iterations):
            iterate(t)
        remembering = [memory for memory in memories(list(t.networks.values())) if list(memory.buffers(recurse=False))]
        found.append(torch.cat([b.flatten() for memory in remembering for b in memory.buffers(recurse=False)]))
    assert len(found[0]) > 1 and found[0].abs().min() > 0
    torch.testing.assert_close(found[1], found[0], rtol=1e-9, atol=1e-12)
