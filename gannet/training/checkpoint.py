"""Checkpoints: all that an exact resume needs, written whole, read without running code."""

import io
import pickle
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


def load_checkpoint(folder: Path, device: torch.device) -> dict[str, Any]:
    """The newest checkpoint of the folder. Raises `UserError` when there is none that can be read."""
    files = sorted(folder.glob("kimg*.pt"))
    if not files:
        raise UserError(f"{folder} holds no checkpoint: there is nothing to resume")
    try:
        return torch.load(files[-1], map_location=device, weights_only=True)
    except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
        raise UserError(f"the checkpoint {files[-1]} cannot be read: {str(error).splitlines()[0]}") from error
