"""The curves of a log, with what was found marked on them."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from gannet.diagnosis.columns import METRICS
from gannet.diagnosis.diagnose import Diagnosis
from gannet.diagnosis.report import WORDS
from gannet.diagnosis.series import Log, Series
from gannet.files import write_with

PANELS = (
    ("loss", ("loss D", "loss G")),
    ("D's rating", ("D(x)", "D(G(z))", "accuracy", "accuracy real", "accuracy fake")),
    ("gradient norm", ("grad norm D", "grad norm G")),
    ("distance", METRICS),
    ("samples beside reals", ("diversity", "duplicates", "copies", "real above sample", "real above held-out")),
    ("labels", ("class agreement real", "class agreement sample", "class accuracy real", "class accuracy fake")),
    ("distance of samples", ("sample distance",)),
)
POINTS = 1000  # of a curve
QUANTILES = (0.002, 0.998)  # what lies outside would press the rest flat


def save_curves(diagnosis: Diagnosis, log: Log, target: Path) -> None:
    """A PNG of the losses, and of what else there is, over time; findings are shaded. Raises `UserError`."""
    from matplotlib.figure import Figure

    known = [(title, [name for name in names if len(log.series.get(name, ()))]) for title, names in PANELS]
    panels = [(title, names) for title, names in known if names] or known[:1]
    figure = Figure(figsize=(9, 1 + 2.5 * len(panels)), layout="constrained")
    rows = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
    for axes, (title, names) in zip(rows, panels, strict=True):
        for name in names:
            curve(axes, log.series[name], name)
        mark(axes, diagnosis, log)
        axes.set(ylabel=title, xlim=(log.begin, log.end), ylim=limits([log.series[name].values for name in names]))
        axes.grid(alpha=0.3)
        if axes.get_legend_handles_labels()[1]:
            axes.legend(loc="upper right", fontsize="small")
    rows[-1].set_xlabel(log.unit)
    figure.suptitle(diagnosis.verdict)
    buffer = io.BytesIO()
    figure.savefig(buffer, dpi=110)
    write_with(target, lambda file: file.write(buffer.getbuffer()))


def limits(curves: Sequence[np.ndarray]) -> tuple[float, float]:
    """From where to where nearly all values lie."""
    low, high = np.quantile(np.concatenate(curves), QUANTILES) if curves else (0.0, 1.0)
    margin = 0.05 * (high - low) or 1.0
    return float(low - margin), float(high + margin)


def curve(axes: Any, series: Series, name: str) -> None:
    """The values, by their means where they are many."""
    parts = max(1, min(POINTS, len(series)))
    x, y = (np.array([part.mean() for part in np.array_split(v, parts)]) for v in (series.at, series.values))
    axes.plot(x, y, linewidth=0.9, label=name)


def mark(axes: Any, diagnosis: Diagnosis, log: Log) -> None:
    """Shades the time of each finding, the leading one darkest, and names it once."""
    for i, finding in enumerate(diagnosis.findings):
        end = log.end if finding.sign.until is None else finding.sign.until
        label = WORDS[finding.finding][0]
        axes.axvspan(
            finding.sign.since, end, color=f"C{3 + i}", alpha=0.15 if i == 0 else 0.08, label=label, linewidth=0
        )
