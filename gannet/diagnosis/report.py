"""A diagnosis in plain words."""

import textwrap
from collections.abc import Mapping

from gannet.diagnosis.detectors.past_best import FAILED, metric
from gannet.diagnosis.diagnose import Diagnosis
from gannet.diagnosis.finding import Finding
from gannet.diagnosis.series import Log

WIDTH = 100
WORDS: Mapping[str, tuple[str, str]] = {
    "diverging": ("Training diverges", "losses or gradients leave the range of numbers."),
    "d-wins": ("D wins", "it tells reals from fakes so well that G no longer learns from it."),
    "g-wins": ("G wins", "D takes its fakes for reals, and no longer shows it what is wrong."),
    "d-asleep": ("D is asleep", "it sees no difference between reals and fakes, and G learns nothing from it."),
    "labels-ignored": ("Labels are ignored", "what is drawn has little to do with the class that was asked for."),
    "oscillation": ("The losses swing", "each player undoes what the other has learnt."),
    "mode-collapse": ("A sudden collapse", "both losses jumped at once; G then mostly draws few things, or noise."),
    "past-best": ("Past its best", "the samples have become worse than they were."),
}
UNKNOWN = {
    "how good the samples are: no fid, kid or distance is logged": ("fid", "kid", "distance"),
    "how D rates reals and fakes: no D(x), D(G(z)) or accuracies": (
        "D(x)", "logit real", "accuracy", "accuracy real",
    ),
    "whether gradients vanish or explode: no gradient norms": ("grad norm D", "grad norm G"),
    "whether labels are followed: no class accuracies": ("class accuracy fake",),
}  # fmt: skip


def text(diagnosis: Diagnosis, log: Log, name: str) -> str:
    """The report of a run or log called `name`."""
    lines = [f"{name}: {diagnosis.verdict}. {summary(diagnosis, log)}"]
    for finding in diagnosis.findings:
        lines += ["", *told(finding, log.unit)]
    unknown = [what for what, names in UNKNOWN.items() if not any(n in log.series for n in names)]
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
        return f"{WORDS[leading.finding][0]}, {since}.{kept if diagnosis.verdict == 'failed' else ''}"
    if diagnosis.verdict == "finished":
        return f"Nothing is wrong, and nothing more is gained. {best(log)}"
    if measured is not None:
        return f"Nothing is wrong, and it still gains. {best(log)}"
    return "Nothing is wrong. Expect losses that go on as they are: they do not fall while samples improve."


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


def when(time: float, unit: str) -> str:
    """A time with its unit."""
    return (
        f"{time:g} kimg"
        if unit == "kimg"
        else f"{unit} {time:g}"
        if time >= 1e6 or time != round(time)
        else f"{unit} {time:,.0f}"
    )
