"""A diagnosis in plain words."""

import textwrap
from collections.abc import Mapping

import numpy as np

from gannet.diagnosis.detectors.looked import FEWEST, known
from gannet.diagnosis.detectors.past_best import FAILED, metric
from gannet.diagnosis.diagnose import Diagnosis
from gannet.diagnosis.finding import Finding
from gannet.diagnosis.series import Log

WIDTH = 100
SLOW = -0.2  # exponent of time: twice the time takes less than an eighth off the distance
WORDS: Mapping[str, tuple[str, str]] = {
    "data": ("Something is wrong with the data", "it comes before all else."),
    "bad-start": ("A bad start", "the weights were so large that G could not move."),
    "not-learning": ("A player does not learn", "its weights stay where they are."),
    "settings": ("A setting is out of range", "with it, samples stay far from the data, or near it too slowly."),
    "d-memorises": ("D learns its images by heart", "it rates them above others of the same kind."),
    "diverging": ("Training diverges", "losses or gradients leave the range of numbers."),
    "d-wins": ("D wins", "it tells reals from fakes so well that G no longer learns from it."),
    "g-wins": ("G wins", "D takes its fakes for reals, and no longer shows it what is wrong."),
    "d-asleep": ("D is asleep", "it sees no difference between reals and fakes, and G learns nothing from it."),
    "labels-ignored": ("Labels are ignored", "what is drawn has little to do with the class that was asked for."),
    "oscillation": ("The losses swing", "each player undoes what the other has learnt."),
    "mode-collapse": ("Mode collapse", "G draws few things, or, where both losses jumped at once, likely noise."),
    "copying": ("Training images are copied", "G draws them again, and little else."),
    "past-best": ("Past its best", "the samples have become worse than they were."),
}
BOTH = ("loss D", "loss G")
LABELS = "whether labels are followed: no class accuracies"
UNKNOWN = {
    "how good the samples are: no fid, kid or distance is logged": ("fid", "kid", "distance"),
    "how D rates reals and fakes: no D(x), D(G(z)) or accuracies": (
        "D(x)", "logit real", "accuracy", "accuracy real",
    ),
    "whether gradients vanish or explode: no gradient norms": ("grad norm D", "grad norm G"),
    LABELS: ("class accuracy fake", "class agreement sample"),
    "whether samples are many or few, and near to the data: no looks at them": ("sample distance",),
    "whether D learns its images by heart: no images are held out (--data.held-out 0.1)": ("real above held-out",),
}  # fmt: skip


def text(diagnosis: Diagnosis, log: Log, name: str) -> str:
    """The report of a run or log called `name`."""
    lines = [f"{name}: {diagnosis.verdict}. {summary(diagnosis, log)}"]
    for finding in diagnosis.findings:
        lines += ["", *told(finding, log.unit)]
    asked = {what: names for what, names in UNKNOWN.items() if what != LABELS or log.settings.get("data.labels", True)}
    unknown = [what for what, names in asked.items() if not any(n in log.series for n in names)]
    missing = [name for name in BOTH if name not in log.series]
    if missing:
        unknown.insert(0, f"which player is ahead, and much else: no {' and no '.join(missing)}")
    if unknown:
        lines += ["", "What this log cannot say:", *(f"  - {what}" for what in unknown)]
    return "\n".join(textwrap.fill(line, WIDTH, subsequent_indent=" " * indent(line)) for line in lines)


def indent(line: str) -> int:
    return len(line) - len(line.lstrip()) + (10 if line.startswith("  ") and not line.startswith("  - ") else 4)


def summary(diagnosis: Diagnosis, log: Log) -> str:
    """One sentence on where the run stands, and what to expect."""
    measured = metric(log)
    leading = next((f for f in diagnosis.findings if f.active), None)
    if leading is not None:
        since = f"since {when(leading.sign.since, log.unit)}"
        kept = f" Weights from before {when(leading.sign.since, log.unit)} are probably better than the last."
        if measured is not None:
            kept = f" {best(log)}"
        kept += weights(log, leading.sign.since)
        return f"{WORDS[leading.finding][0]}, {since}.{kept if diagnosis.verdict == 'failed' else ''}"
    if diagnosis.verdict == "finished":
        return f"Nothing is wrong, and nothing more is gained. {best(log)}{weights(log, log.end)}"
    if measured is not None:
        return f"Nothing is wrong, and it still gains. {best(log)}"
    coming = expected(log) or unsure(log)
    return coming or "Nothing is wrong. Expect losses that go on as they are: they do not fall while samples improve."


def unsure(log: Log) -> str | None:
    """What the few looks say that there were."""
    series = known(log, "sample distance", 2)
    if series is None:
        return None
    far = f"samples are {series.values[-1]:.3g} times as far from the data as reals are from each other"
    return f"Nothing is seen to be wrong, but {len(series)} looks at samples are few: {far}."


def expected(log: Log) -> str | None:
    """What a healthy run does next, by its own numbers: its samples' distance goes on along its line of logarithms."""
    series = known(log, "sample distance", 2 * FEWEST)
    if series is None:
        return None
    at, values = series.at[series.at >= series.at[-1] / 2], series.values[series.at >= series.at[-1] / 2]
    if len(at) < FEWEST or not (values > 0).all():
        return None
    slope, start = np.polyfit(np.log(at), np.log(values), 1)
    now = (
        f"Nothing is wrong. Samples are {series.values[-1]:.3g} times as far from the data as reals are from each other"
    )
    if slope > SLOW:
        return f"{now}, and no longer come nearer: expect little more."
    end = log.length if log.length > 1.05 * log.end else 2 * log.end
    then = max(1.0, float(np.exp(start + slope * np.log(end))))
    return f"{now}. As it goes, expect about {then:.3g} at {when(end, log.unit)}."


def best(log: Log) -> str:
    """Where the best value was, and what came of it."""
    measured = metric(log)
    if measured is None:
        return ""
    name, series = measured
    place = int(series.values.argmin())
    lowest, last = float(series.values[place]), float(series.values[-1])
    return (
        f"The best {name} was {lowest:.4g} at {when(float(series.at[place]), log.unit)}, the last is {last:.4g}"
        f" (failed is from {FAILED * lowest:.4g} on)."
    )


def weights(log: Log, since: float) -> str:
    """Where the run keeps its best weights, or the newest ones from before a time."""
    if "best" in log.weights:
        return f" The best weights measured are in best/, of {when(log.weights['best'], log.unit)}."
    before = [name for name, kimg in log.weights.items() if kimg <= since]
    if before:
        newest = max(before, key=lambda name: log.weights[name])
        return f" The newest weights that are kept from then are {newest}."
    return " No weights from then are kept: --train.evaluate-every keeps the best." if log.weights else ""


def told(finding: Finding, unit: str) -> list[str]:
    """One finding in some lines."""
    title, meaning = WORDS[finding.finding]
    sign, remedy = finding.sign, finding.remedy
    until = "" if sign.until is None else f" until {when(sign.until, unit)}"
    lines = [f"{title}: {meaning}", f"  since     {when(sign.since, unit)}{until}, confidence {sign.confidence:.0%}"]
    for evidence in sign.evidence:
        side = (
            "above"
            if evidence.value > evidence.threshold
            else "at"
            if evidence.value == evidence.threshold
            else "below"
        )
        lines.append(f"  evidence  {evidence.meaning}: {evidence.value:.3g}, {side} {evidence.threshold:.3g}")
    return [*lines, f"  change    {remedy.change}", f"  why       {remedy.why} ({remedy.source})"]


def arises(finding: Finding, unit: str) -> str:
    """Two lines for somebody who watches the run."""
    title, meaning = WORDS[finding.finding]
    since = f"{title}, since {when(finding.sign.since, unit)}: {meaning}"
    return f"{since}\n  one change: {finding.remedy.change} ({finding.remedy.why})"


def clears(finding: str, moment: str) -> str:
    """One line, once it is over."""
    return f"No longer, at {moment}: {WORDS[finding][0]}."


def when(time: float, unit: str) -> str:
    """A time with its unit."""
    return (
        f"{time:g} kimg"
        if unit == "kimg"
        else f"{unit} {time:g}"
        if time >= 1e6 or time != round(time)
        else f"{unit} {time:,.0f}"
    )
