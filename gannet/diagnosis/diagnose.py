"""All detectors over a log, and what they say together."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from gannet.diagnosis.detectors import DETECTORS
from gannet.diagnosis.detectors.past_best import contradicts, did_no_harm, has_stopped, metric
from gannet.diagnosis.finding import Finding, Sign
from gannet.diagnosis.remedies import remedy
from gannet.diagnosis.series import Log

Verdict = Literal["healthy", "failing", "failed", "finished"]
CERTAIN = ("data", "diverging", "not-learning", "copying")  # whatever a metric says
OF_LOSSES = ("d-wins", "g-wins", "d-asleep", "oscillation", "mode-collapse")  # what looks at samples may contradict
LASTED = 0.1  # of the run: what has hurt for so long has left it worse


@dataclass(frozen=True)
class Diagnosis:
    """A verdict, and the findings behind it, the leading one first."""

    verdict: Verdict
    findings: list[Finding]

    def to_dict(self) -> dict[str, Any]:
        """As `gannet diagnose --json` prints it."""
        return {"verdict": self.verdict, "findings": [finding.to_dict() for finding in self.findings]}


def diagnose(log: Log) -> Diagnosis:
    """What is wrong, since when, and what to change.

    What holds to the end of the log comes before what has passed, and then causes before their consequences,
    as they stand in the table. What a metric contradicts is left out.
    """
    signs: dict[str, Sign] = {}
    for name in DETECTORS.rows:
        sign = DETECTORS.find(name)(log)
        if sign is not None:
            signs[name] = replace(sign, since=log.next_line(sign.since))
    measured = metric(log)
    if measured is not None and "past-best" not in signs:
        signs = {name: sign for name, sign in signs.items() if name in CERTAIN or not contradicts(measured[1], sign)}
    elif measured is None:
        signs = {name: sign for name, sign in signs.items() if name not in OF_LOSSES or not did_no_harm(log, sign)}
    order = sorted((name for name in DETECTORS.rows if name in signs), key=lambda name: signs[name].until is not None)
    findings = [Finding(name, signs[name], remedy(name, log.settings, signs[name], log.unit)) for name in order]
    return Diagnosis(verdict(log, signs), findings)


def verdict(log: Log, signs: Mapping[str, Sign]) -> Verdict:
    """`failed` where the run left worse than its best: measured, or foretold by what has lasted."""
    measured = metric(log)
    active = {name: sign for name, sign in signs.items() if sign.until is None}
    harmful = {name: sign for name, sign in active.items() if sign.hurts}
    sure = {"past-best", "diverging"} & set(harmful)
    lasted = measured is None and any(log.end - sign.since >= LASTED * log.whole for sign in harmful.values())
    if sure or lasted:
        return "failed"
    if active:
        return "failing"
    return "finished" if measured is not None and has_stopped(measured[1]) else "healthy"
