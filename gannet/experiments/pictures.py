"""Pictures of several runs: curves in one panel for each quantity, and grids of the same noise."""

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gannet.errors import UserError
from gannet.experiments.records import Group
from gannet.files import write_with
from gannet.generation.load import Generator, load
from gannet.images import grid

CURVES = ("loss D", "loss G", "D(x)", "D(G(z))", "logit real", "logit fake")
BINS = 200
FEW_POINTS = 30
NUM_IMAGES = 10  # in a row of the grids
SEED = 0


def save_overlaid(groups: Sequence[Group], metrics: Sequence[str], target: Path) -> list[Path]:
    """Metrics, losses and ratings over kimg: for each group the mean over seeds, and a band of one deviation.

    Returns the picture, or nothing where there is nothing to show.
    """
    names = [name for name in CURVES if any(has(group, name) for group in groups)]
    num = len(names) + len(metrics)
    if not num:
        return []
    figure, panels = panels_for(num)
    for panel, name in zip(panels, [*metrics, *names], strict=False):
        for i, group in enumerate(groups):
            kimg, values = group.curve(name) if name in metrics else binned(group, name)
            mean, std = values.mean(0), values.std(0, ddof=1) if len(values) > 1 else np.zeros(len(kimg))
            colour, marker = f"C{i % 10}", "o" if len(kimg) < FEW_POINTS else ""
            panel.plot(kimg, mean, label=group.label, marker=marker, markersize=3, color=colour)
            panel.fill_between(kimg, mean - std, mean + std, color=colour, alpha=0.2, linewidth=0)
        panel.set(title=name, xlabel="kimg")
        panel.grid(alpha=0.3)
    panels[0].legend(fontsize="small")
    save(figure, target)
    return [target]


def panels_for(num: int) -> tuple[Any, list[Any]]:
    """A figure with so many panels, two in a row."""
    from matplotlib.figure import Figure

    rows = -(-num // 2)
    figure = Figure(figsize=(12 if num > 1 else 7, 3.2 * rows), layout="constrained")
    panels = list(np.ravel(figure.subplots(rows, 2 if num > 1 else 1, squeeze=False)))
    for panel in panels[num:]:
        panel.set_axis_off()
    return figure, panels[:num]


def save(figure: Any, target: Path) -> None:
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    write_with(target, lambda file: file.write(buffer.getbuffer()))


def has(group: Group, name: str) -> bool:
    return any(line.get(name) is not None for record in group.records for line in record.stats)


def binned(group: Group, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Means of a statistic over equal stretches of the run: their middles in kimg `[M]`, and values `[runs, M]`.

    Stretches that some run has no value in are left out, and runs without the statistic too.
    """
    found = [[(line["kimg"], line[name]) for line in r.stats if line.get(name) is not None] for r in group.records]
    points = [np.array(each, dtype=float) for each in found if each]
    if not points:
        return np.empty(0), np.empty((1, 0))
    num = min(BINS, *(len(each) for each in points))
    end = max(each[-1, 0] for each in points)
    values = np.array([means(each, end, num) for each in points])
    filled = np.isfinite(values).all(0)
    return ((np.arange(num) + 0.5) * end / num)[filled], values[:, filled]


def means(points: np.ndarray, end: float, num: int) -> np.ndarray:
    """The mean value of points `[N, 2]` (kimg, value) in each of `num` stretches up to `end`; NaN where none is."""
    which = np.minimum((points[:, 0] / end * num).astype(int), num - 1)
    count = np.bincount(which, minlength=num)
    return np.bincount(which, points[:, 1], minlength=num) / np.where(count, count, np.nan)


def save_grids(
    groups: Sequence[Group], target: Path, progress: Callable[[int, int], None]
) -> tuple[list[Path], list[str]]:
    """Images of the same noise, a row for each group, from the run of its first seed.

    Returns the picture, or nothing where no group has images, and sentences about those without.
    """
    from matplotlib.figure import Figure

    rows: list[tuple[str, np.ndarray]] = []
    notes: list[str] = []
    for i, group in enumerate(groups):
        try:
            rows.append((f"{group.label} (seed {group.seeds[0]})", row_of(load(group.records[0].path))))
        except UserError as error:
            notes.append(f"no images of {group.label}: {error}")
        progress(i + 1, len(groups))
    if rows:
        figure = Figure(figsize=(NUM_IMAGES, 1.35 * len(rows)), layout="constrained")
        for axes, (label, images) in zip(np.ravel(figure.subplots(len(rows), 1, squeeze=False)), rows, strict=True):
            picture = grid(images, NUM_IMAGES)
            axes.imshow(picture, cmap="gray", vmin=0, vmax=255, interpolation="nearest")
            axes.set_title(label, fontsize="small", loc="left")
            axes.set_axis_off()
        save(figure, target)
    return [target] * bool(rows), notes


def row_of(G: Generator) -> np.ndarray:
    """The first images of a seed, uint8 `[N, C, R, R]`; of clips their first frames."""
    x = G.sample(NUM_IMAGES, SEED)
    return G.to_uint8(x[:, 0] if G.frames > 1 else x)
