"""One run: the loop, and what it leaves in the run folder."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from gannet import __version__
from gannet.config import to_when
from gannet.errors import DivergedError
from gannet.files import write_with
from gannet.images import grid, png, side_by_side
from gannet.networks.folder import save_network
from gannet.noise import Stream
from gannet.training.checkpoint import save_checkpoint
from gannet.training.engine import kept_memory
from gannet.training.loop import Training, play
from gannet.training.pictures import generate, read_stats, save_curves, save_evolution, save_grid

SECONDS_BETWEEN_CURVES = 300.0
MAX_COLUMNS = 16  # of a grid with a column for each class


@dataclass(frozen=True)
class Snapshot:
    """What listeners get at each tick: counters, the newest grid, the generator that samples."""

    cur_nimg: int
    total_nimg: int
    grid: Path
    sampler: torch.nn.Module


class Listener(Protocol):
    """Who shows a run to somebody."""

    def on_stats(self, line: Mapping[str, Any]) -> None: ...

    def on_tick(self, snapshot: Snapshot) -> None: ...


@dataclass
class Run:
    """A run folder and what is being trained into it."""

    path: Path
    training: Training
    total_nimg: int
    listeners: list[Listener]
    seconds: float = 0.0
    """Seconds that earlier sessions of the run took."""
    curves_at: float = 0.0

    def __post_init__(self) -> None:
        recipe, dataset = self.training.recipe, self.training.loader.dataset
        self.images_per = {
            "iterations": float(self.training.game.num_batches * recipe.train.batch),
            "epochs": float(len(dataset.images)),
            "kimg": 1000.0,
        }
        self.samples_when = to_when(recipe.samples.when, self.images_per)
        self.checkpoints_when = to_when(recipe.checkpoints.when, self.images_per)
        self.num_classes = len(dataset.classes)
        self.columns = self.num_classes if 1 < self.num_classes <= MAX_COLUMNS else 0
        self.num_samples = -(-recipe.samples.num // max(self.columns, 1)) * max(self.columns, 1)

    def play(self, stop: Callable[[], bool]) -> bool:
        """Trains to the end, or until `stop()`; saves all either way. True when it came to the end."""
        t = self.training
        self.started = time.monotonic() - self.seconds
        with kept_memory(t.engine.device), (self.path / "stats.jsonl").open("a", encoding="utf-8") as self.stats_file:
            try:
                self.play_on(stop)
            except DivergedError:
                self.save()
                raise
            finished = t.cur_nimg >= self.total_nimg
            if finished and t.means.sums:
                self.write_stats()
            self.save()
            self.last_pictures()
        return finished

    def play_on(self, stop: Callable[[], bool]) -> None:
        """The iterations, and what is due between them."""
        t = self.training
        if t.cur_nimg == 0:
            self.first_pictures()
        sample_at = self.samples_when.next(t.cur_nimg)
        save_at = self.checkpoints_when.next(t.cur_nimg)
        for cur_nimg in play(t, self.total_nimg):
            if t.iteration % t.recipe.stats.every == 0:
                self.write_stats()
            if cur_nimg >= sample_at and cur_nimg < self.total_nimg:
                self.tick()
                sample_at = self.samples_when.next(cur_nimg)
            if cur_nimg >= save_at and cur_nimg < self.total_nimg:
                self.save()
                save_at = self.checkpoints_when.next(cur_nimg)
            if stop():
                return

    def write_stats(self) -> None:
        t = self.training
        seconds = time.monotonic() - self.started
        means = {name: value if math.isfinite(value) else None for name, value in t.means.flush().items()}
        counters = {"kimg": t.cur_nimg / 1000, "iteration": t.iteration, "seconds": round(seconds, 3)}
        if t.num_skipped:
            counters["skipped"] = t.num_skipped
        line = {"type": "stats", **counters, **means}
        self.stats_file.write(json.dumps(line) + "\n")
        self.stats_file.flush()
        for listener in self.listeners:
            with contextlib.suppress(OSError):  # a closed terminal or pipe is no reason to stop
                listener.on_stats(line)

    def event(self, what: str, **details: Any) -> None:
        """One line in stats.jsonl about what happened to the run, rather than in it."""
        with (self.path / "stats.jsonl").open("a", encoding="utf-8") as file:
            line = {"type": "event", "kimg": self.training.cur_nimg / 1000, "event": what, **details}
            file.write(json.dumps(line) + "\n")

    def save(self) -> None:
        """A checkpoint, the generator and discriminator as folders, and now and then the curves so far."""
        os.fsync(self.stats_file.fileno())
        length = (self.path / "stats.jsonl").stat().st_size
        seconds = time.monotonic() - self.started
        save_checkpoint(self.path / "checkpoints", self.training, stats_bytes=length, seconds=seconds)
        for name, network, folder in [
            ("G", self.training.sampler, "generator"),
            ("D", self.training.networks["D"], "discriminator"),
        ]:
            save_network(self.path / folder, network, self.describe(name))
        if time.monotonic() >= self.curves_at:
            self.draw_curves()

    def draw_curves(self) -> None:
        save_curves(read_stats(self.path / "stats.jsonl"), self.path / "curves.png")
        self.curves_at = time.monotonic() + SECONDS_BETWEEN_CURVES

    def describe(self, name: str) -> dict[str, Any]:
        """config.json of a network's folder: all that is needed to build and use it."""
        t = self.training
        part = getattr(t.recipe, name)
        config = {
            "name": part.name,
            "resolution": t.recipe.data.resolution,
            "channels": int(t.loader.dataset.images.shape[1]),
            "classes": list(t.loader.dataset.classes),
            "settings": dict(part.settings),
            "kimg": t.cur_nimg / 1000,
            "gannet": __version__,
        }
        if name == "G":
            return config | {"ema_half_life_kimg": t.recipe.ema.half_life_kimg}
        return config | {"logit_is_probability": t.game.objective.classifier}

    def first_pictures(self) -> None:
        reals = self.real_images()
        save_grid(self.path / "samples" / "real.png", reals, self.columns)
        z = self.training.loader.noise(0, self.num_samples, Stream.GRID).cpu().numpy()
        write_with(self.path / "samples" / "z.npy", lambda file: np.save(file, z))
        self.tick()

    def last_pictures(self) -> None:
        generated = self.tick()
        picture = side_by_side(grid(self.real_images(), self.columns), grid(generated, self.columns))
        write_with(self.path / "samples" / "real_and_generated.png", lambda file: file.write(png(picture)))
        save_evolution(self.path / "samples", self.path / "samples" / "evolution.webp")
        self.draw_curves()

    def real_images(self) -> np.ndarray:
        """As many reals as a grid has images, one class a column where it has."""
        dataset = self.training.loader.dataset
        if self.columns:
            rows = self.num_samples // self.columns
            by_class = np.argsort(dataset.labels, kind="stable")
            starts = np.searchsorted(dataset.labels[by_class], np.arange(self.columns + 1))
            sizes = np.maximum(np.diff(starts), 1)
            chosen = by_class[(starts[:-1] + np.arange(rows)[:, None] % sizes).ravel() % len(by_class)]
        else:
            chosen = np.unique(np.linspace(0, len(dataset.images) - 1, self.num_samples).round().astype(int))
        return dataset.images[chosen]

    def tick(self) -> np.ndarray:
        """Writes the grid of the moment and tells the listeners."""
        t = self.training
        z, c = self.grid_noise()
        with t.engine.autocast():
            images = generate(t.sampler, z, c, t.recipe.samples.mode)
        path = self.path / "samples" / f"kimg{t.cur_nimg / 1000:010.3f}.png"
        save_grid(path, images, self.columns)
        for listener in self.listeners:
            with contextlib.suppress(OSError):
                listener.on_tick(Snapshot(t.cur_nimg, self.total_nimg, path, t.sampler))
        return images

    def grid_noise(self) -> tuple[Tensor, Tensor]:
        """The noise of the grid, and labels that go through the classes in turn."""
        loader, fresh = self.training.loader, self.training.recipe.samples.noise == "fresh"
        number = self.training.iteration * self.num_samples if fresh else 0
        z = loader.noise(number, self.num_samples, Stream.GRID)
        c = loader.one_hot(np.arange(self.num_samples) % max(self.num_classes, 1))
        return z, c
