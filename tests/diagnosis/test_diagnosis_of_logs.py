"""How well failed runs are told from others, by the scoring of benchmarks/diagnosis_logs.py."""

from pathlib import Path

import numpy as np
import pytest
from diagnosis_logs import PERTURBATIONS, Outcome, Score, from_losses, judged, logs_in, with_fid
from played import LINES, jump, log_of, path, played

from gannet.diagnosis import Log, Series

PUBLIC = Path(__file__).parents[3] / "shared" / "data" / "training-logs"
EVALUATIONS = 40
FALLING = ["a class term that falls from 2.3 to 0.1", "a class term that falls from 10 to 0.5"]
BETTER, WORSE = path(100, 40, 25, 20, 18, lines=EVALUATIONS), path(100, 40, 45, 70, 90, lines=EVALUATIONS)


def test_public_logs_of_runs_that_failed() -> None:
    """From the losses alone far above what is asked, F1 of 0.85; with the FID each of them."""
    if not PUBLIC.is_dir():
        pytest.skip("shared/data/training-logs is not on this machine")
    logs = logs_in(PUBLIC)
    assert len(logs) == 25
    alone, (score, far) = from_losses(logs), with_fid(logs)
    assert alone.found + alone.missed == score.found + score.missed == 6
    assert alone.f1 >= 0.85 and score.f1 == 1 and far <= 1


def with_metric(losses: dict[str, np.ndarray], fid: np.ndarray) -> Log:
    log = log_of(losses)
    return Log({**log.series, "fid": Series.of(np.linspace(log.end / len(fid), log.end, len(fid)), fid)}, log.unit)


def logs_of_all_kinds() -> dict[str, Log]:
    """Sound games of five objectives, and those in which D runs away or G collapses a quarter through."""
    up, down = path(0.3, 1.5, 5, 9, 12), path(-0.3, -1.5, -5, -9, -12)
    sudden = {"real": jump(0.6, 3, 0.35), "fake": jump(-0.6, -5, 0.35)}
    fine = {
        "hinge": played("hinge", path(0.2, 0.8), path(-0.2, -0.8)),
        "non-saturating": played("non-saturating", path(0.3, 1), path(-0.3, -1)),
        "least squares": played("lsgan", path(0.6, 0.6), path(0.4, 0.4), spread=0.25, swing=0.05),
        "thousands": played("wasserstein", path(500, 200), path(0, 0), spread=100, swing=50, drift=path(0, 900)),
        "relativistic": played("relativistic", path(0.5, 0.8), path(0, 0)),
    }
    failed = {
        "hinge, D runs away": played("hinge", up, down),
        "non-saturating, D runs away": played("non-saturating", up, down),
        "relativistic, D runs away": played("relativistic", up, path(0, 0), swing=0.5),
        "hinge, a sudden collapse": played("hinge", sudden["real"], sudden["fake"]),
        "a critic's sudden collapse": played("wasserstein", jump(1, 60, 0.35), path(0, 0), drift=jump(0, -300, 0.35)),
    }
    logs = {name: with_metric(losses, BETTER) for name, losses in fine.items()}
    return logs | {name: with_metric(losses, WORSE) for name, losses in failed.items()}


def test_constructed_logs_of_runs_that_failed() -> None:
    logs = logs_of_all_kinds()
    alone, (score, far) = from_losses(logs), with_fid(logs)
    assert alone.found + alone.missed == 5
    assert alone.f1 >= 0.85 and score.f1 == 1 and far <= 1


@pytest.mark.parametrize("name", ["both losses times 1000", "5 added to both losses", "every tenth line", *FALLING])
def test_they_are_told_apart_however_they_are_written(name: str) -> None:
    assert from_losses(logs_of_all_kinds(), PERTURBATIONS[name]).f1 >= 0.75


def test_the_scoring_by_hand() -> None:
    fid = Series.of(np.arange(1.0, 9.0), np.array([90.0, 50, 40, 50, 59, 61, 80, 90]))
    outcome = Outcome.of(fid)
    assert (outcome.best, outcome.failed, outcome.counts, outcome.latest) == (3, True, True, 8)
    score = Score()
    said = [judged(score, outcome, raised) for raised in ((3.0, "d-wins"), (2.9, "d-wins"), None)]
    assert said == ["found in time", "NOT IN TIME", "MISSED"]
    assert judged(score, Outcome.of(Series.of(fid.at, 100 - fid.at)), (3.0, "d-wins")) == "FALSE ALARM"
    assert judged(score, Outcome.of(Series.of(fid.at, 300 + fid.at)), (3.0, "d-wins")) == "never worked"
    assert (score.found, score.missed, score.false) == (1, 2, 1) and score.f1 == 0.4
    assert LINES >= 10 * EVALUATIONS
