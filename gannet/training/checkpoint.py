"""Checkpoints: all that an exact resume needs, written whole, read without running code."""

import contextlib
import io
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.files import write_with
from gannet.training.loop import Training

KEEP = 2
STEPS, STEP = 24, 2**0.5  # how often the age of a run is divided, and by what, for those that it may return to


def state_of(t: Training) -> dict[str, Any]:
    """Networks, optimizers, average, statistics under way (of every rank) and counters.

    With several ranks all of them must call it.
    """
    sums = t.engine.ranks.gather(torch.stack(list(t.means.sums.values()))) if t.means.sums else None
    return {
        "networks": {name: network.state_dict() for name, network in t.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in t.optimizers.items()},
        "ema": {name: network.state_dict() for name, network in t.ema.networks.items()} if t.ema else None,
        "means": {"sums": sums, "counts": t.means.counts},
        "counters": {name: getattr(t, name) for name in t.COUNTERS},
    }


def restore(t: Training, state: dict[str, Any]) -> None:
    """Puts a state back into a training that was built from the same recipe."""
    for name, network in t.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in t.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    for name, network in t.ema.networks.items() if t.ema else ():
        network.load_state_dict(state["ema"][name])
    restore_means(t, state["means"]["sums"], state["means"]["counts"])
    for name in t.COUNTERS:
        setattr(t, name, state["counters"][name])


def restore_means(t: Training, sums: Tensor | None, counts: dict[str, float]) -> None:
    """Each rank goes on with its own sums, or, where there are now more or fewer, with their mean."""
    ranks, t.means.counts = t.engine.ranks, dict(counts)
    if sums is None:
        t.means.sums = {}
        return
    own = sums[ranks.rank] if len(sums) == ranks.num else sums.mean(0)
    t.means.sums = dict(zip(counts, own.to(t.engine.device).unbind(), strict=True))


def save_checkpoint(folder: Path, t: Training, spared: Callable[[Path], bool] | None = None, **extra: Any) -> None:
    """Writes `kimg*.pt` to the folder and removes all but the newest; the first rank alone does.

    Of those for which `spared` holds the first stays, and the newest that are older by steps of a constant factor.
    """
    state = state_of(t)
    if not t.engine.ranks.first:
        return
    buffer = io.BytesIO()
    torch.save({**state, "extra": extra}, buffer)
    write_with(checkpoint_file(folder, t), lambda file: file.write(buffer.getbuffer()))
    files = checkpoints(folder)
    candidates = [file for file in files if spared(file)] if spared else []
    ages = [t.cur_nimg / STEP**k for k in range(1, STEPS)]
    spread = [next((file for file in candidates if nimg_of(file) <= age), None) for age in ages]
    for old in set(files[KEEP:]) - {*spread, *candidates[-1:]}:
        old.unlink()


def checkpoint_file(folder: Path, t: Training) -> Path:
    """Where a checkpoint of this moment lies."""
    return folder / f"kimg{t.cur_nimg / 1000:010.3f}.pt"


def nimg_of(file: Path) -> int:
    """The images that D had seen at the moment of a checkpoint."""
    return round(1000 * float(file.stem.removeprefix("kimg")))


def checkpoints(folder: Path) -> list[Path]:
    """The checkpoints in the folder, newest first."""
    return sorted(folder.glob("kimg*.pt"), reverse=True)


def restore_newest(t: Training, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Puts the newest checkpoint that can be read back, and returns what else it holds.

    A damaged one is named and left out. Empty when there is none: the run starts at 0, where its
    recipe and seed alone say how it goes. The first rank reads, and the others get what it read.
    Raises `UserError` when all are damaged.
    """
    ranks = t.engine.ranks
    data = read_newest(t, folder, say) if ranks.first else b""
    data = ranks.broadcast(data)
    if not data:
        return {}
    state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    restore(t, state)
    return state["extra"]


def newest_state(folder: Path) -> dict[str, Any]:
    """The state in the newest checkpoint that is as it was written, on the CPU; empty where there is none."""
    for file in checkpoints(folder):
        with contextlib.suppress(Exception):  # whatever a damaged file leads to
            return state_in(file.read_bytes())
    return {}


def state_in(data: bytes) -> dict[str, Any]:
    """The state that a checkpoint's bytes hold, on the CPU. Raises an error of some kind where they are damaged."""
    verify(data)
    return torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)


def read_newest(t: Training, folder: Path, say: Callable[[str], None]) -> bytes:
    """The newest checkpoint whose bytes are as they were written and that fits the training."""
    files = checkpoints(folder)
    for file in files:
        try:
            data = file.read_bytes()
            restore(t, state_in(data))
            return data
        except Exception as error:  # whatever a damaged file leads to
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
            say(f"{file} cannot be used and is left out: {reason}")
    if files:
        raise UserError(
            f"no checkpoint in {folder} can be used: start again with gannet train --recipe {folder.parent}"
        )
    return b""


def verify(data: bytes) -> None:
    """Raises ValueError where a byte is not as it was written: torch writes checksums and does not read them."""
    try:
        damaged = zipfile.ZipFile(io.BytesIO(data)).testzip()
    except zipfile.BadZipFile as error:
        raise ValueError("it is cut short or no checkpoint") from error
    if damaged:
        raise ValueError(f"its checksum is wrong, at {damaged}")
