"""Checkpoints: all that an exact resume needs, written whole, read without running code."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from gannet.errors import UserError
from gannet.files import write_with
from gannet.training.loop import Training

KEEP = 2


def state_of(t: Training) -> dict[str, Any]:
    """Networks, optimizers, average, statistics under way and counters."""
    return {
        "networks": {name: network.state_dict() for name, network in t.networks.items()},
        "optimizers": {name: optimizer.state_dict() for name, optimizer in t.optimizers.items()},
        "ema": t.ema.network.state_dict() if t.ema else None,
        "means": {"sums": t.means.sums, "counts": t.means.counts},
        "counters": {name: getattr(t, name) for name in t.COUNTERS},
    }


def restore(t: Training, state: dict[str, Any]) -> None:
    """Puts a state back into a training that was built from the same recipe."""
    for name, network in t.networks.items():
        network.load_state_dict(state["networks"][name])
    for name, optimizer in t.optimizers.items():
        optimizer.load_state_dict(state["optimizers"][name])
    if t.ema:
        t.ema.network.load_state_dict(state["ema"])
    t.means.sums = {name: value.to(t.engine.device) for name, value in state["means"]["sums"].items()}
    t.means.counts = dict(state["means"]["counts"])
    for name in t.COUNTERS:
        setattr(t, name, state["counters"][name])


def save_checkpoint(folder: Path, t: Training, **extra: Any) -> None:
    """Writes `kimg*.pt` to the folder and removes all but the newest."""
    buffer = io.BytesIO()
    torch.save({**state_of(t), **extra}, buffer)
    write_with(folder / f"kimg{t.cur_nimg / 1000:010.3f}.pt", lambda file: file.write(buffer.getbuffer()))
    for old in sorted(folder.glob("kimg*.pt"))[:-KEEP]:
        old.unlink()


def restore_newest(t: Training, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """Puts the newest checkpoint that can be read back, and returns what else it holds.

    A damaged one is named and left out. Empty when there is none: the run starts at 0, where its
    recipe and seed alone say how it goes. Raises `UserError` when all are damaged.
    """
    files = sorted(folder.glob("kimg*.pt"), reverse=True)
    for file in files:
        try:
            state = torch.load(file, map_location="cpu", weights_only=True)
            restore(t, state)
            return {name: state[name] for name in ("stats_bytes", "seconds")}
        except Exception as error:  # whatever a damaged file leads to
            reason = (str(error).strip() or type(error).__name__).splitlines()[0].split(". ")[0]
            say(f"{file} cannot be used and is left out: {reason}")
    if files:
        raise UserError(
            f"no checkpoint in {folder} can be used: start again with gannet train --recipe {folder.parent}"
        )
    return {}
