"""Small runs: to train, to stop, and to compare."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from golden import SHRUNK

import gannet.api as api
import gannet.sessions as sessions
from gannet.networks import GENERATORS, TRANSLATORS
from gannet.networks.folder import save_network
from gannet.training.pictures import read_stats
from gannet.training.ranks import Ranks

BATCH = 4
TINY: dict[str, Any] = {
    "data.resolution": 16,
    "train.batch": BATCH,
    "train.length": "6 iterations",
    "train.precision": "float32",
    "train.device": "cpu",
    "G.width": 4,
    "G.z_dim": 5,
    "D.width": 4,
    "samples.num": 4,
    "samples.when": "every 2 iterations",
    "checkpoints.when": "every 3 iterations",
}
WORDS = [word for name, value in TINY.items() for word in (f"--{name.replace('_', '-')}", str(value))]
OPTIONS = ["--recipe", "dcgan-shapes", *WORDS]
NOISY: dict[str, Any] = {
    **TINY,
    "train.length": "11 iterations",
    "D.dropout": 0.3,
    "data.flip": True,
    "data.jitter": 0.2,
    "objective.label_noise": 0.2,
    "ema.half_life_kimg": 0.02,
    "stats.every": 2,
}


class Stop:
    """An event that is set after some iterations; the process may also be killed there."""

    def __init__(self, after: int, killed: bool = False):
        self.after, self.killed = after, killed

    def agreed(self) -> None: ...

    def is_set(self) -> bool:
        self.after -= 1
        if self.after == 0 and self.killed:
            raise RuntimeError("killed")
        return self.after <= 0


@contextmanager
def stopped(after: int, killed: bool = False) -> Iterator[None]:
    @contextmanager
    def signals(ranks: Ranks) -> Iterator[Stop]:
        yield Stop(after, killed)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sessions, "stop_signals", signals)
        yield


def train(data: Path, run: Path, settings: dict[str, Any] = TINY, name: str = "dcgan-shapes") -> api.Trained:
    return api.train(data, recipe=name, run=run, settings=settings)


def files(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def newest_checkpoint(run: Path) -> dict[str, Any]:
    return torch.load(sorted((run / "checkpoints").glob("*.pt"))[-1], weights_only=True)


def contents(run: Path) -> dict[str, Any]:
    """Everything that a run ends with, apart from the seconds that it took."""
    state = newest_checkpoint(run)
    lines = [{k: v for k, v in line.items() if "seconds" not in k} for line in read_stats(run / "stats.jsonl")]
    kept = [name for name in files(run) if name.startswith(("generator", "discriminator", "samples/real"))]
    grids = [name for name in files(run) if name.startswith("samples/kimg")]
    return {
        "state": flat({k: v for k, v in state.items() if k != "extra"}),
        "lines": lines,
        "files": {name: (run / name).read_bytes() for name in kept},
        "grids": {name: (run / name).read_bytes() for name in grids},
    }


def flat(value: Any, place: str = "") -> dict[str, Any]:
    if isinstance(value, dict):
        return {k: v for name, inner in value.items() for k, v in flat(inner, f"{place}/{name}").items()}
    return {place: value.tolist() if isinstance(value, torch.Tensor) else value}


def untrained(run: Path, name: str, back: bool = False, **data: Any) -> Path:
    """A run folder with a shrunken G at its start, for RGB images of 16 pixels; `back` adds CycleGAN's other one."""
    torch.manual_seed(1)
    settings = of_g(name)
    config = {"name": name, "resolution": 16, "channels": 3, "classes": [], "settings": settings, "data": data}
    for folder in ("generator", "generator_F")[: 1 + back]:
        save_network(run / folder, (GENERATORS | TRANSLATORS).find(name)(16, 3, 0, **settings), config)
    return run


def of_g(name: str) -> dict[str, Any]:
    """The settings of a shrunken G."""
    return {key.removeprefix("G."): value for key, value in SHRUNK[name][0].items() if key.startswith("G.")}
