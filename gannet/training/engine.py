"""The device: which one, in what precision, and how fast it is."""

import contextlib
import ctypes
import hashlib
import os
import platform
import struct
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import nn

from gannet.errors import UserError
from gannet.training.ranks import ALONE, Ranks

DEVICES = ("cpu", "cuda", "mps")
M_MMAP_MAX, M_TRIM_THRESHOLD = -4, -1  # glibc's mallopt


@dataclass(frozen=True)
class Engine:
    """Where a run computes, in what precision, and with which other ranks."""

    device: torch.device
    precision: str = "float32"
    ranks: Ranks = ALONE

    def autocast(self) -> AbstractContextManager[object]:
        """Convolutions and products in the run's precision."""
        return torch.autocast(self.device.type, torch.bfloat16, enabled=self.precision == "bfloat16")

    def place(self, network: nn.Module) -> nn.Module:
        """The network on the device, its images' channels last in memory."""
        return network.to(self.device).to(memory_format=torch.channels_last)

    def wait(self) -> None:
        """Returns when the device has done what it was told."""
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        elif self.device.type == "mps":
            torch.mps.synchronize()


def find_device(name: str, ranks: Ranks = ALONE) -> torch.device:
    """`auto`: CUDA, else MPS, else the CPU; each of several ranks gets a GPU of its own.

    Raises `UserError` for a device that is not here.
    """
    if name == "auto":
        has_mps = torch.backends.mps.is_available() and ranks.num == 1  # which cannot speak to another rank
        name = "cuda" if torch.cuda.is_available() else "mps" if has_mps else "cpu"
    if name == "cuda" and ranks.num > 1:
        name = f"cuda:{ranks.local}"
    if name.partition(":")[0] not in DEVICES:
        raise UserError(f"there is no device '{name}': choose from auto, {', '.join(DEVICES)}, cuda:1")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).strip().splitlines()[0]
        raise UserError(
            f"device '{name}' cannot be used here ({reason}); set --device cpu, or see gannet doctor"
        ) from error
    return device


def make_deterministic() -> None:
    """Asks for the same bits from the same numbers, on CUDA as well, where that costs speed."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when cuBLAS starts
    torch.use_deterministic_algorithms(True)


def out_of_memory(error: Exception) -> bool:
    """Whether that is what an allocation failed for; on the CPU torch has no error of its own for it."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def halved(num_images: int) -> int:
    """The largest equal part of so many images that is at most a half; 0 where there is none."""
    return next((part for part in range(num_images // 2, 0, -1) if num_images % part == 0), 0)


def reseed(seed: int, *numbers: int) -> None:
    """Sets torch's generators to a state that follows from the seed and the numbers alone."""
    digest = hashlib.blake2b(struct.pack(f"<{1 + len(numbers)}q", seed, *numbers), digest_size=8).digest()
    state = int.from_bytes(digest, "little") >> 1
    # torch.manual_seed keeps each call, with its stack, for every kind of device that has not been used yet
    torch.default_generator.manual_seed(state)
    if torch.cuda.is_initialized():
        torch.cuda.manual_seed_all(state)
    elif torch.backends.mps.is_available():
        torch.mps.manual_seed(state)


@contextlib.contextmanager
def only(learner: str, players: dict[str, list[nn.Parameter]]) -> Iterator[None]:
    """Freezes every player but one: no gradient is computed that would be thrown away."""
    frozen = [p for name, parameters in players.items() if name != learner for p in parameters]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def kept_memory(device: torch.device) -> Iterator[None]:
    """Lets glibc keep what is freed: a step's big buffers are else mapped and cleared at each use.

    It takes a tenth off a float32 step on the CPU. Elsewhere there is nothing to do.
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        yield
        return
    mallopt = ctypes.CDLL(None).mallopt
    mallopt(M_MMAP_MAX, 0)
    mallopt(M_TRIM_THRESHOLD, 2**31 - 1)
    try:
        yield
    finally:
        mallopt(M_MMAP_MAX, 2**16)
        mallopt(M_TRIM_THRESHOLD, 2**25)
