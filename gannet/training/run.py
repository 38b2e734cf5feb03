"""One run: the loop, and what it leaves in the run folder."""

import contextlib
import json
import math
import os
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Protocol

import numpy as np
import torch

from gannet import __version__
from gannet.config import When, to_when
from gannet.errors import DivergedError, UserError
from gannet.files import told, write_with
from gannet.images import grid, png, side_by_side
from gannet.networks.folder import save_network
from gannet.training.best import best_of, is_better, keep_best
from gannet.training.checkpoint import checkpoint_file, nimg_of, restore_newest, save_checkpoint
from gannet.training.engine import halved, kept_memory, out_of_memory
from gannet.training.gallery import Gallery
from gannet.training.initial import folder_of
from gannet.training.looks import Looks
from gannet.training.loop import Training, play
from gannet.training.pictures import read_stats, save_curves, save_evolution, save_grid
from gannet.training.rating import as_rater, real_logits

SECONDS_BETWEEN_CURVES = 300.0
MAX_RETURNS = 3  # to a checkpoint, because training diverged
BETWEEN_ITERATIONS, BETWEEN_IMAGES = 100, 3200  # from a look at samples to the next: more often they would cost over 3%
BETWEEN_SHARE = 1 / 40  # of the run so far, where that is more


@dataclass(frozen=True)
class Snapshot:
    """What listeners get at each tick: counters, the newest grid, the generator that samples, what is due."""

    cur_nimg: int
    total_nimg: int
    grid: Path
    samplers: Mapping[str, torch.nn.Module]
    evaluate: bool
    """Whether it is time to measure samples."""


class Listener(Protocol):
    """Who shows a run to somebody, or measures it."""

    def on_stats(self, line: Mapping[str, Any]) -> Sequence[Mapping[str, Any]] | None:
        """Each line of numbers that goes to stats.jsonl: statistics and metrics.

        May hand back lines that are to follow it: findings.
        """

    def on_tick(self, snapshot: Snapshot) -> Sequence[Mapping[str, Any]] | None:
        """May hand back lines for stats.jsonl, with their type and without kimg: metrics of samples, events."""

    def close(self) -> None:
        """The session ends."""


@dataclass
class Run:
    """A run folder and what is being trained into it."""

    path: Path
    training: Training
    total_nimg: int
    listeners: list[Listener]
    seconds: float = 0.0
    """Seconds that earlier sessions of the run took."""
    extended: bool = False
    """Whether the end is another than the newest checkpoint says."""
    evaluated: int = 0
    """Images after which samples were measured last; metrics of later moments are still to come."""
    evaluation_seconds: float = 0.0
    """Seconds that went into that, of all sessions; lines of stats.jsonl have them beside all seconds so far."""
    curves_at: float = 0.0

    def __post_init__(self) -> None:
        self.first = self.training.engine.ranks.first
        recipe, dataset = self.training.recipe, self.training.loader.dataset
        self.images_per = {
            "iterations": float(self.training.game.num_batches * recipe.train.batch),
            "epochs": float(len(dataset.images)),
            "kimg": 1000.0,
        }
        self.samples_when = to_when(recipe.samples.when, self.images_per)
        self.checkpoints_when = to_when(recipe.checkpoints.when, self.images_per)
        self.evaluations_when = When(every=1000 * recipe.train.evaluate_every)
        self.gallery, self.looks = Gallery(self.training), Looks(self.training)
        self.between_looks = max(BETWEEN_IMAGES, BETWEEN_ITERATIONS * self.images_per["iterations"])
        self.started = time.monotonic() - self.seconds

    def play(self, stop: Callable[[], bool], agreed: Callable[[], None] = lambda: None) -> bool:
        """Trains to the end, or until `stop()`; saves all either way. True when it came to the end.

        With several ranks each plays its own, and the first alone writes and speaks. `agreed()` is
        called when all of them have left the loop, and before anything is saved.
        """
        t = self.training
        with kept_memory(t.engine.device), self.stats_opened() as self.stats_file:
            if t.cur_nimg == 0:
                self.first_pictures()
            if t.cur_nimg == 0 or self.extended:
                self.save()
            if t.cur_nimg == 0:
                self.look()
            if self.evaluation_is_due:  # an earlier session was killed meanwhile
                self.tick()
            while (failure := self.play_on(stop)) is not None:
                self.recover(failure)
            agreed()
            finished = t.cur_nimg >= self.total_nimg
            if finished and t.means.sums:
                self.write_stats()
            # The last checkpoint says that nothing is left to do; a stop must save before it draws.
            at_the_end = (self.last_pictures, self.look, self.save)
            for last in at_the_end if finished else (self.save, self.last_pictures):
                last()
            if self.first:
                self.draw_curves()
            t.engine.ranks.any(False)  # none leaves while another saves
        return finished

    def stats_opened(self) -> IO[str]:
        path = self.path / "stats.jsonl" if self.first else Path(os.devnull)
        return path.open("a", encoding="utf-8")

    def play_on(self, stop: Callable[[], bool]) -> Exception | None:
        """The iterations, and what is due between them; returns what `recover` may mend."""
        t = self.training
        sample_at = self.samples_when.next(t.cur_nimg)
        save_at = self.checkpoints_when.next(t.cur_nimg)
        look_at = next_look(t.cur_nimg, self.between_looks)
        try:
            for cur_nimg in play(t, self.total_nimg):
                if t.iteration % t.recipe.stats.every == 0:
                    self.write_stats()
                if cur_nimg >= look_at and cur_nimg < self.total_nimg:
                    self.look()
                    look_at = next_look(cur_nimg, self.between_looks)
                if cur_nimg < self.total_nimg and (cur_nimg >= sample_at or self.evaluation_is_due):
                    self.tick()
                    sample_at = self.samples_when.next(cur_nimg)
                if cur_nimg >= save_at and cur_nimg < self.total_nimg and not t.skipped_in_a_row:
                    self.save()
                    save_at = self.checkpoints_when.next(cur_nimg)
                if t.engine.ranks.any(stop()):
                    return None
        except DivergedError as error:
            return error
        except Exception as error:
            if not out_of_memory(error):
                raise
            return error.with_traceback(None)  # it would hold the tensors that fill the memory
        return None

    def recover(self, failure: Exception) -> None:
        """Goes back to the newest checkpoint: diverged, at half the rates; out of memory, with fewer images at once.

        Raises the failure where that has been done `MAX_RETURNS` times, and `UserError` where
        there is no smaller share to compute.
        """
        t = self.training
        at, fits, num_returns, num_skipped = t.cur_nimg / 1000, t.fits, t.num_returns, t.num_skipped
        rates = {player: optimizer.param_groups[0]["initial_lr"] for player, optimizer in t.optimizers.items()}
        if isinstance(failure, DivergedError):
            num_returns, what = num_returns + 1, "diverged"
            rates = {player: rate / 2 for player, rate in rates.items()}
            if num_returns > MAX_RETURNS:
                self.save()
                t.engine.ranks.any(False)  # none leaves while another saves
                raise failure
        else:
            fits, what = halved(t.micro), "out of memory"
            if not fits or t.engine.ranks.num > 1:
                advice = "lower --data.resolution or the networks' width" if not fits else "set --train.micro-batch"
                raise UserError(f"the memory of {t.engine.device} does not suffice for {t.micro} images: {advice}")
        t.game.forget()
        restore_newest(t, self.path / "checkpoints", print)
        self.evaluated = t.cur_nimg
        t.num_returns, t.num_skipped, t.fits = num_returns, num_skipped, fits
        for player, rate in rates.items():
            t.optimizers[player].param_groups[0].update(lr=rate, initial_lr=rate)
        self.event(what, at_kimg=at, learning_rates=rates, micro_batch=t.micro, returns=num_returns)
        if self.first:
            rates_text = ", ".join(f"{player} {rate:g}" for player, rate in rates.items())
            back = f"back at {t.cur_nimg / 1000:.1f} kimg"
            print(f"{what} at {at:.1f} kimg: {back}, learning rates {rates_text}, {t.micro} images at once")
        self.save()

    def write_stats(self) -> None:
        t = self.training
        means = t.means.flush(t.engine.ranks)
        if not self.first:
            return
        counters = {"skipped": t.num_skipped} if t.num_skipped else {}
        self.tell({**self.moment(), **counters, **finite(means), **t.moved})

    def moment(self) -> dict[str, Any]:
        """What a line of statistics begins with."""
        t = self.training
        counters = {"kimg": t.cur_nimg / 1000, "iteration": t.iteration, "seconds": round(self.elapsed, 3)}
        measuring = {"evaluation seconds": round(self.evaluation_seconds, 3)} if self.evaluations_when.every else {}
        return {"type": "stats", **counters, **measuring}

    def look(self) -> None:
        """A line of what is seen of the samples now."""
        if not self.training.skipped_in_a_row:
            found = self.looks.take()
            if self.first:
                self.tell({**self.moment(), **finite(found)})

    def tell(self, line: Mapping[str, Any]) -> None:
        """One line of numbers, for stats.jsonl and the listeners, and the lines that these hand back."""
        self.write_line(self.stats_file, line)
        for listener in self.listeners:
            with contextlib.suppress(OSError):  # a closed terminal or pipe is no reason to stop
                for more in listener.on_stats(line) or ():
                    self.write_line(self.stats_file, {"type": more["type"], "kimg": line["kimg"], **more})

    def event(self, what: str, **details: Any) -> None:
        """One line in stats.jsonl about what happened to the run, rather than in it."""
        if not self.first:
            return
        line = {"type": "event", "kimg": self.training.cur_nimg / 1000, "event": what, **details}
        with (self.path / "stats.jsonl").open("a", encoding="utf-8") as file:
            self.write_line(file, line)

    def write_line(self, file: IO[str], line: Mapping[str, Any]) -> None:
        with told(self.path / "stats.jsonl"):
            file.write(json.dumps(line) + "\n")
            file.flush()

    def save(self) -> None:
        """A checkpoint, the generator and discriminator as folders, and now and then the curves so far."""
        length = 0
        if self.first:
            with told(self.path / "stats.jsonl"):
                os.fsync(self.stats_file.fileno())
            length = (self.path / "stats.jsonl").stat().st_size
        extra = {"stats_bytes": length, "seconds": self.elapsed, "total_nimg": self.total_nimg}
        extra |= {"evaluated_nimg": self.evaluated, "evaluation_seconds": self.evaluation_seconds}
        spared = self.is_regular if self.training.recipe.train.autopilot else None
        save_checkpoint(self.path / "checkpoints", self.training, spared, **extra)
        self.save_networks()
        if self.first and time.monotonic() >= self.curves_at:
            self.draw_curves()

    def is_regular(self, checkpoint: Path) -> bool:
        """Whether it is of a moment at which every such run saves, whoever stops it in between."""
        nimg = nimg_of(checkpoint)
        return nimg == 0 or self.checkpoints_when.next(nimg - int(self.images_per["iterations"])) <= nimg

    def draw_curves(self) -> None:
        save_curves(read_stats(self.path / "stats.jsonl"), self.path / "curves.png")
        self.curves_at = time.monotonic() + SECONDS_BETWEEN_CURVES

    def save_networks(self) -> None:
        """Those that were built for the game: `generator/` and `discriminator/`, others with their name behind."""
        t = self.training
        for name, field in t.game.built.items():
            of_a = t.loader.other if name != field and t.loader.other else t.loader
            saved = t.samplers[name] if field == "G" else as_rater(t.networks[name], of_a, t.micro)
            if self.first:
                config = self.describe(field)
                if t.loader.z_dim and not config.get("logit_is_probability", True):  # a G that is sampled from
                    config["real_logits"] = real_logits(saved, of_a, t.micro)
                save_network(self.path / folder_of(name, field), saved, config)

    def describe(self, name: str) -> dict[str, Any]:
        """config.json of a network's folder: all that is needed to build and use it."""
        t = self.training
        part = getattr(t.recipe, name)
        has_labels = name == "G" or t.game.labels_for_d
        frames = t.recipe.data.clip_length
        config = {
            "name": part.name,
            "resolution": t.recipe.data.resolution,
            "channels": self.gallery.channels * frames * (1 if name == "G" else t.game.pictures_for_d),
            "frames": frames,
            "classes": list(t.loader.dataset.classes) if has_labels else [],
            "settings": dict(part.settings),
            "kimg": t.cur_nimg / 1000,
            "gannet": __version__,
        }
        if name == "G":
            labels = t.loader.dataset.labels
            num_classes = self.gallery.num_classes
            shares = np.bincount(labels, minlength=num_classes) / len(labels) if num_classes else ()
            config |= {"class_shares": [float(share) for share in shares] if np.all(shares) else []}
            config["data"] = {
                name: getattr(t.recipe.data, name) for name in ("fit", "filter", "alpha", "range", "stride")
            }
            if t.recipe.data.kind == "pairs" and not t.recipe.data.other:
                config["given"] = "right half" if t.recipe.data.swap else "left half"
            return config | {"ema_half_life_kimg": t.ema.half_life_kimg if t.ema else 0.0}
        return config | {"logit_is_probability": t.game.objective.classifier}

    def first_pictures(self) -> None:
        if self.first:
            if self.gallery.shows_reals:
                save_grid(self.path / "samples" / "real.png", *self.gallery.reals())
            z = self.gallery.batch().z.cpu().numpy()
            write_with(self.path / "samples" / "z.npy", lambda file: np.save(file, z))
        self.tick()

    def last_pictures(self) -> None:
        generated = self.tick()
        if not self.first:
            return
        if self.gallery.shows_reals:
            picture = side_by_side(grid(*self.gallery.reals()), grid(*generated))
            write_with(self.path / "samples" / "real_and_generated.png", lambda file: file.write(png(picture)))
        save_evolution(self.path / "samples", self.path / "samples" / "evolution.webp")

    def tick(self) -> tuple[np.ndarray, int]:
        """Writes the grid of the moment, and what listeners hand back; the pictures, and in how many columns."""
        t = self.training
        generated, due, lines = self.gallery.generated(), self.evaluation_is_due, []
        began = time.monotonic()
        if due:
            self.save()  # a kill while samples are measured loses nothing else
        if self.first:
            path = self.path / "samples" / f"kimg{t.cur_nimg / 1000:010.3f}.png"
            save_grid(path, *generated)
            snapshot = Snapshot(t.cur_nimg, self.total_nimg, path, t.samplers, due)
            for listener in self.listeners:
                with contextlib.suppress(OSError):
                    lines += listener.on_tick(snapshot) or ()
        if due:
            t.engine.ranks.await_first(f"measured at {t.cur_nimg} after {t.num_returns} returns")
            self.evaluated = t.cur_nimg
            before, self.evaluation_seconds = (
                self.evaluation_seconds,
                self.evaluation_seconds + time.monotonic() - began,
            )
            self.note(lines)
            self.evaluation_seconds = before + time.monotonic() - began
        return generated

    @property
    def evaluation_is_due(self) -> bool:
        """Now and then, and at the end; never of weights that a step has just spoilt."""
        t, every = self.training, self.evaluations_when
        moment = min(every.next(self.evaluated), self.total_nimg)
        return bool(every.every) and self.evaluated < t.cur_nimg >= moment and not t.skipped_in_a_row

    def note(self, lines: Iterable[Mapping[str, Any]]) -> None:
        """Writes what was measured; where the first metric is the best so far, its weights are kept as `best/`."""
        metrics = []
        for line in lines:
            line = {"type": line["type"], "kimg": self.training.cur_nimg / 1000, **finite(line)}
            if line["type"] == "metric":
                line |= {"seconds": round(self.elapsed, 3), "evaluation seconds": round(self.evaluation_seconds, 3)}
                metrics.append(line)
                self.tell(line)
            else:
                self.write_line(self.stats_file, line)
        if metrics and is_better(metrics[0], best_of(self.path)):
            folders = [folder_of(name, field) for name, field in self.training.game.built.items()]
            keep_best(self.path, metrics[0], checkpoint_file(self.path / "checkpoints", self.training), folders)

    @property
    def is_finished(self) -> bool:
        """Whether nothing is left to train or to measure."""
        return self.training.cur_nimg >= self.total_nimg and not self.evaluation_is_due

    @property
    def elapsed(self) -> float:
        """Seconds that the run took so far, in all sessions."""
        return time.monotonic() - self.started


def finite(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values with None in the place of numbers that are NaN or infinite, which JSON does not have."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()}


def next_look(cur_nimg: int, between: float) -> float:
    """The images after which samples are looked at next; of no run's length, so that a run made longer has the same."""
    moment = between
    while moment <= cur_nimg:
        moment += max(between, BETWEEN_SHARE * moment)
    return moment
