"""What a person looks at: grids of samples, curves, the evolution of a grid."""

import contextlib
import io
import json
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from gannet.data.batch import Batch
from gannet.files import write_with
from gannet.images import grid, png, to_uint8

MAX_FRAMES = 100
MAX_POINTS = 1000
STRIP = 0.03  # of a panel's height: what a finding is marked with
PROBABILITIES = ("D(x)", "D(G(z))", "D(G(z)) after")
LOGITS = ("logit real", "logit fake", "logit fake after")


@torch.no_grad()
def generate(
    networks: Collection[nn.Module],
    show: Callable[[Batch], Mapping[str, Tensor]],
    batch: Batch,
    mode: str,
    most: int = 64,
) -> dict[str, np.ndarray]:
    """What a game shows of a batch, uint8 `[N, k * C, H, W]` by name.

    The networks are left in the mode and with the buffers that they had. In `train` mode the whole batch is
    shown at once, since batch norm then sees its companions; else `most` samples.
    """
    modes = [network.training for network in networks]
    buffers = [buffer for network in networks for buffer in network.buffers()]
    before = [buffer.clone() for buffer in buffers]
    for network in networks:
        network.train(mode == "train")
    size = len(batch.z) if mode == "train" else most
    parts = [each.split(size) for each in (batch.z, batch.c, batch.x, batch.a)]
    found = [show(Batch(*part)) for part in zip(*parts, strict=True)]
    images = {name: np.concatenate([to_uint8(part[name]) for part in found]) for name in found[0]}
    for buffer, value in zip(buffers, before, strict=True):
        buffer.copy_(value)
    for network, was_training in zip(networks, modes, strict=True):
        network.train(was_training)
    return images


def save_evolution(samples: Path, target: Path) -> None:
    """An animated WebP of the grids, oldest first, the last one held."""
    files = sorted(samples.glob("kimg*.png"))
    chosen = np.unique(np.linspace(0, len(files) - 1, MAX_FRAMES).round().astype(int)) if files else []
    frames: list[Image.Image] = []
    for i in chosen:
        with contextlib.suppress(OSError):  # a picture that a crash cut short
            frames.append(Image.open(files[i]).convert("RGB"))
    if not frames:
        return
    durations = [200] * (len(frames) - 1) + [2000]
    buffer = io.BytesIO()
    options = {"save_all": True, "append_images": frames[1:], "duration": durations, "loop": 0, "quality": 80}
    frames[0].save(buffer, "WEBP", **options)
    write_with(target, lambda file: file.write(buffer.getbuffer()))


def read_stats(path: Path, length: int | None = None) -> list[dict[str, Any]]:
    """The lines of a stats.jsonl, or of its first bytes; what is not a whole line of the run is left out."""
    lines = []
    if path.exists():
        for text in path.read_bytes()[:length].decode("utf-8", errors="replace").splitlines():
            with contextlib.suppress(json.JSONDecodeError):
                line = json.loads(text)
                if isinstance(line, dict) and "type" in line:
                    lines.append(line)
    return lines


def standing(lines: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Those that no return to an earlier moment has taken back."""
    kept: list[dict[str, Any]] = []
    for line in lines:
        while kept and kept[-1]["kimg"] > line["kimg"]:
            kept.pop()
        kept.append(line)
    return kept


def save_curves(lines: list[dict[str, Any]], target: Path) -> None:
    """Losses above, D's ratings below, over kimg; under them what was measured of samples, where anything was.

    Ratings are probabilities, or logits where the objective has none. Findings are marked from where they hold to
    where they clear.
    """
    from matplotlib.figure import Figure

    lines = standing(lines)
    stats, metrics = ([line for line in lines if line["type"] == kind] for kind in ("stats", "metric"))
    figure = Figure(figsize=(9, 10 if metrics else 7), layout="constrained")
    panels = figure.subplots(2 + bool(metrics), 1, sharex=True)
    losses, ratings = panels[:2]
    for name in ("loss D", "loss G"):
        curve(losses, stats, name)
    are_probable = not any(LOGITS[0] in line for line in stats)
    for name in PROBABILITIES if are_probable else LOGITS:
        curve(ratings, stats, name)
    for name in dict.fromkeys(line["metric"] for line in metrics):
        measured(panels[-1], [line for line in metrics if line["metric"] == name and line["value"] is not None], name)
    losses.set_ylabel("loss")
    if are_probable:
        ratings.set(ylabel="probability that D gives", ylim=(-0.02, 1.02))
    else:
        ratings.set_ylabel("logit that D gives")
    panels[-1].set_xlabel("kimg (thousands of real images seen by D)")
    mark(losses, lines)
    for axes in panels:
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    write_with(target, lambda file: file.write(buffer.getbuffer()))


def mark(axes: Any, lines: list[dict[str, Any]]) -> None:
    """A strip along the top over the time of each finding, in a colour of its own."""
    findings = [line for line in lines if line["type"] == "finding"]
    end = max((line["kimg"] for line in lines), default=0.0)
    for number, name in enumerate(dict.fromkeys(line["finding"] for line in findings)):
        since, label = None, name
        for line in [*(line for line in findings if line["finding"] == name), {"status": "clears", "kimg": end}]:
            if line["status"] == "arises":
                since = line["since"]
            elif since is not None:
                top = 1 - STRIP * number
                band = {"ymin": top - 0.8 * STRIP, "ymax": top, "color": f"C{3 + number}", "linewidth": 0}
                axes.axvspan(since, line["kimg"], **band, label=label)
                since, label = None, "_"


def measured(axes: Any, lines: list[dict[str, Any]], name: str) -> None:
    """Every value of a metric, with its interval."""
    kimg, value, low, high = (
        np.array([line[key] for line in lines], dtype=float) for key in ("kimg", "value", "low", "high")
    )
    (drawn,) = axes.plot(kimg, value, marker="o", markersize=3, label=name, linewidth=1.6)
    axes.fill_between(kimg, low, high, color=drawn.get_color(), alpha=0.2)


def curve(axes: Any, lines: list[dict[str, Any]], name: str) -> None:
    """Every value, faint, where there are few; and their mean over neighbours."""
    points = np.array([(line["kimg"], line[name]) for line in lines if line.get(name) is not None], dtype=float)
    if not len(points):
        return
    per_bin = -(-len(points) // MAX_POINTS)
    bins = [chunk.mean(0) for chunk in np.array_split(points, -(-len(points) // per_bin))]
    x, y = np.array(bins).T
    width = max(1, len(y) // 50)
    padded = np.pad(y, (width // 2, width - 1 - width // 2), mode="edge")
    smooth = np.convolve(padded, np.ones(width) / width, "valid")
    (line,) = axes.plot(x, smooth, label=name, linewidth=1.6)
    axes.plot(x, y, color=line.get_color(), alpha=0.25, linewidth=0.8)


def save_grid(path: Path, images: np.ndarray, columns: int) -> None:
    """The grid of uint8 images as a PNG."""
    picture = grid(images, columns)
    write_with(path, lambda file: file.write(png(picture)), sync=False)
