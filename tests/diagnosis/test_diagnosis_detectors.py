"""Each detector on losses that have its fault, and none on those of even games."""

from dataclasses import replace

import numpy as np
import pytest
from played import LINES, jump, log_of, path, played, until

from gannet.diagnosis import Log, Series, diagnose
from gannet.diagnosis.detectors import DETECTORS
from gannet.diagnosis.detectors.lead import Signs
from gannet.diagnosis.detectors.oscillation import peak
from gannet.diagnosis.series import Look

RANDOM = np.random.Generator(np.random.Philox(1))
WALK = np.cumsum(RANDOM.normal(-0.3, 0.5, LINES))
TURN = np.arange(LINES) / 6
LOUD = np.r_[WALK[:400], WALK[399] + RANDOM.normal(size=600) * np.linspace(5, 100, 600)]

EVEN = {
    "hinge": played("hinge", path(0.2, 0.6, 0.8), path(-0.2, -0.6, -0.8)),
    "hinge, D ahead": played("hinge", path(0.3, 1.5), path(-0.3, -1.5), swing=0.3),
    "non-saturating": played("non-saturating", path(0.3, 1), path(-0.3, -1)),
    "non-saturating, at chance": played("non-saturating", path(0.5, 0.1), path(-0.5, -0.1)),
    "least squares": played("lsgan", path(0.6, 0.6), path(0.4, 0.4), spread=0.25, swing=0.05),
    "Wasserstein": played("wasserstein", path(2, 0.7), path(0, 0), drift=WALK),
    "Wasserstein in the thousands": played(
        "wasserstein", path(500, 200), path(0, 0), spread=100, swing=50, drift=20 * WALK
    ),
    "RpGAN": played("relativistic", path(0.5, 0.8), path(0, 0)),
    "hinge and a class term that falls": {
        name: loss + 4.6 * np.exp(-np.arange(LINES) / 400)
        for name, loss in played("hinge", path(0.2, 0.8), path(-0.2, -0.8)).items()
    },
}
WRONG = {
    "D wins from the start": ("d-wins", played("non-saturating", path(8, 9), path(-8, -9), swing=2)),
    "D learns its images by heart, hinge": ("d-wins", played("hinge", path(0.3, 1.5, 3, 4), path(-0.3, -1.5, -3, -4))),
    "the same, cross-entropy": ("d-wins", played("non-saturating", path(0.3, 3, 6, 8), path(-0.3, -3, -6, -8))),
    "the same, RpGAN": ("d-wins", played("relativistic", path(0.3, 3, 6, 12), path(0, 0), swing=0.5)),
    "D's loss is nothing": ("d-wins", played("hinge", path(9, 9), path(-9, -9), swing=0.5)),
    "G wins": ("g-wins", played("non-saturating", path(0.3, -6, -6, -6), path(-0.3, 6, 6, 6))),
    "G wins, hinge": ("g-wins", played("hinge", path(0.3, 0.3), path(-0.3, 6, 9, 12))),
    "a sudden collapse": ("mode-collapse", played("hinge", jump(0.6, 3, 0.6), jump(-0.6, -5, 0.6))),
    "of a critic": ("mode-collapse", played("wasserstein", jump(1, 60, 0.6), path(0, 0), drift=jump(0, -300, 0.6))),
    "round and round": ("oscillation", played("hinge", 0.6 + 0.8 * np.sin(TURN), -0.6 + 0.8 * np.cos(TURN))),
    "a critic thrown about": ("oscillation", played("wasserstein", path(2, 0.7), path(0, 0), drift=LOUD)),
}


@pytest.mark.parametrize("game", EVEN)
def test_an_even_game_is_healthy(game: str) -> None:
    diagnosis = diagnose(log_of(EVEN[game]))
    assert (diagnosis.verdict, diagnosis.findings) == ("healthy", [])


@pytest.mark.parametrize("fault", WRONG)
def test_a_fault_leads(fault: str) -> None:
    name, losses = WRONG[fault]
    diagnosis = diagnose(log_of(losses))
    assert diagnosis.verdict in ("failed", "failing")
    assert diagnosis.findings[0].finding == name and diagnosis.findings[0].active


@pytest.mark.parametrize(("factor", "every"), [(1e-3, 1.0), (1e3, 1e4)])
@pytest.mark.parametrize("fault", ["the same, RpGAN", "G wins, hinge", "a sudden collapse", "a critic thrown about"])
def test_neither_scale_nor_unit_matters(fault: str, factor: float, every: float) -> None:
    losses = WRONG[fault][1]
    scaled = diagnose(log_of({key: factor * loss for key, loss in losses.items()}, every)).findings
    plain = diagnose(log_of(losses)).findings
    assert [f.finding for f in scaled] == [f.finding for f in plain]
    assert [f.sign.since / every for f in scaled] == pytest.approx([f.sign.since / 100 for f in plain])


def test_a_steep_line_is_no_collapse() -> None:
    line = {"loss D": path(2, 1) + 0.001 * RANDOM.random(LINES), "loss G": path(1, 9) + 0.001 * RANDOM.random(LINES)}
    assert diagnose(log_of(line)).findings == []


def test_a_constant_in_both_losses_hides_no_lead() -> None:
    _, losses = WRONG["the same, cross-entropy"]
    found = diagnose(log_of({key: loss + 5 for key, loss in losses.items()})).findings
    assert [f.finding for f in found] == ["d-wins"]


@pytest.mark.parametrize("height", [2.3, 10])
def test_a_class_loss_that_falls_in_both_losses_hides_no_lead(height: float) -> None:
    _, losses = WRONG["D wins from the start"]
    learnt = height * np.exp(-np.arange(LINES) / 400)
    (found,) = diagnose(log_of({key: loss + learnt for key, loss in losses.items()})).findings
    assert found.finding == "d-wins" and found.active
    assert 20_000 <= found.sign.since <= 40_000  # 20,000 without it


@pytest.mark.parametrize("fault", ["a sudden collapse", "of a critic"])
def test_a_collapse_is_dated(fault: str) -> None:
    since = diagnose(log_of(WRONG[fault][1])).findings[0].sign.since
    assert 60_000 <= since <= 72_000  # it came at 60,000


def test_a_g_that_catches_up_is_no_collapse() -> None:
    assert diagnose(log_of(played("hinge", jump(2, 0.5, 0.3), jump(-2, -0.5, 0.3)))).findings == []


def test_what_is_seen_does_not_come_before_it_happens() -> None:
    for fault in ("a sudden collapse", "of a critic"):
        assert diagnose(until(log_of(WRONG[fault][1]), 59_000)).verdict == "healthy"


def test_a_lead_at_the_start_is_given_time() -> None:
    log = log_of(WRONG["D wins from the start"][1])
    assert diagnose(until(log, 0.15 * log.end)).findings == []
    assert [f.finding for f in diagnose(until(log, 0.4 * log.end)).findings] == ["d-wins"]


def test_a_lead_that_was_lost_again_has_an_end() -> None:
    real = np.r_[np.full(600, 8.0), np.full(400, 0.5)]
    (finding,) = [f for f in diagnose(log_of(played("hinge", real, -real))).findings if f.finding == "d-wins"]
    assert finding.sign.until is not None and 60_000 <= finding.sign.until <= 85_000


def test_ratings_overrule_the_losses() -> None:
    losses = WRONG["D wins from the start"][1]
    sure, unsure = np.full(LINES, 0.99), np.full(LINES, 0.8)
    found = diagnose(log_of({**losses, "accuracy real": sure, "accuracy fake": sure})).findings
    assert found[0].finding == "d-wins" and found[0].sign.confidence == 0.95
    assert diagnose(log_of({**losses, "accuracy real": sure, "accuracy fake": unsure})).findings == []


def test_signs_by_hand() -> None:
    even = Signs(Look(0.5, 1.0, 1.5), Look(0.0, 1.0, 2.0))
    assert even.strengths == pytest.approx((1.0, 0.0, 0.25)) and not even.enough
    d, g = Look(0.0, 0.1, 1.0), Look(0.0, 8.0, 16.0)
    lost = Signs(d, g)
    assert lost.strengths == pytest.approx((10.0, 0.8 / 0.3, 2.0)) and lost.enough
    falling = Signs(Look(0.2, 1.0, 1.8), Look(0.0, 8.0, 17.0), (d, g))  # the same, under a class loss that is learnt
    assert falling.strengths == pytest.approx((1.6, 0.8 / 0.3, 2.0))
    assert Signs(Look(-0.1, 0.1, 1.0), g).strengths == (0.0, 0.0, 0.0)


def test_d_at_chance_is_asleep() -> None:
    chance = {name: np.full(LINES, 0.5) for name in ("accuracy real", "accuracy fake")}
    assert [f.finding for f in diagnose(log_of({**EVEN["hinge"], **chance})).findings] == ["d-asleep"]
    apart = {"accuracy real": np.full(LINES, 0.6), "accuracy fake": np.full(LINES, 0.7)}
    assert diagnose(log_of({**EVEN["hinge"], **apart})).findings == []


def test_a_loss_that_stands_still_is_asleep() -> None:
    losses = EVEN["Wasserstein"]
    still = np.where(np.arange(LINES) < 60, losses["loss D"], 1e-6 * losses["loss D"])
    assert [f.finding for f in diagnose(log_of({**losses, "loss D": still})).findings] == ["d-asleep"]


def test_labels_that_are_not_followed() -> None:
    classes = {"class accuracy real": path(0.1, 0.9), "class accuracy fake": np.full(LINES, 0.1)}
    assert [f.finding for f in diagnose(log_of({**EVEN["hinge"], **classes})).findings] == ["labels-ignored"]
    classes["class accuracy fake"] = path(0.1, 0.95)
    assert diagnose(log_of({**EVEN["hinge"], **classes})).findings == []


def test_values_that_are_not_finite() -> None:
    losses = {name: loss.copy() for name, loss in EVEN["hinge"].items()}
    losses["loss G"][700:] = np.nan
    diagnosis = diagnose(log_of(losses))
    assert diagnosis.verdict == "failed"
    finding = diagnosis.findings[0]
    assert (finding.finding, finding.sign.since) == ("diverging", 70_100)
    assert finding.sign.evidence[0].value == 300
    losses["loss G"][703:] = EVEN["hinge"]["loss G"][703:]
    diagnosis = diagnose(log_of(losses))
    assert (diagnosis.verdict, diagnosis.findings[0].sign.until) == ("healthy", 70_300)


@pytest.mark.parametrize("place", [0, 50, 950, 998])
def test_a_step_that_was_skipped_is_no_fault(place: int) -> None:
    losses = {name: loss.copy() for name, loss in EVEN["hinge"].items()}
    losses["loss G"][place] = losses["loss D"][place] = np.nan
    diagnosis = diagnose(log_of(losses))
    assert (diagnosis.verdict, diagnosis.findings) == ("healthy", [])


def test_the_last_line_is_not_finite() -> None:
    losses = {name: loss.copy() for name, loss in EVEN["hinge"].items()}
    losses["loss D"][-1] = np.nan
    assert diagnose(log_of(losses)).findings[0].finding == "diverging"


def test_gradients_that_explode() -> None:
    norms = np.exp(path(0, 0, 0, 7, 7)) * (1 + 0.1 * RANDOM.random(LINES))
    found = diagnose(log_of({**EVEN["hinge"], "grad norm D": norms})).findings
    assert found[0].finding == "diverging" and found[0].active and 65_000 < found[0].sign.since < 80_000


def fid(*values: float) -> Series:
    return Series.of(np.linspace(5_000, 100_000, len(values)), np.array(values))


def with_fid(losses: dict[str, np.ndarray], *values: float) -> Log:
    return Log({**log_of(losses).series, "fid": fid(*values)})


def test_quality_past_its_best_since_the_best() -> None:
    diagnosis = diagnose(with_fid(EVEN["hinge"], 100, 60, 40, 30, 35, 50, 60, 61, 59, 60))
    assert diagnosis.verdict == "failed"
    assert [f.finding for f in diagnosis.findings] == ["past-best"]
    sign = diagnosis.findings[0].sign
    assert sign.since == pytest.approx(fid(*[0] * 10).at[3], abs=100)
    assert [(e.value, e.threshold) for e in sign.evidence] == [(60, 45), (30, 30)]


def test_the_cause_leads_its_consequence() -> None:
    diagnosis = diagnose(with_fid(WRONG["D wins from the start"][1], 100, 60, 40, 30, 35, 50, 60, 61, 59, 60))
    assert [f.finding for f in diagnosis.findings] == ["d-wins", "past-best"]


@pytest.mark.parametrize(
    ("values", "verdict"),
    [
        ((100, 80, 60, 50, 40, 35, 30, 25, 22), "healthy"),
        ((100, 40, 30, 30, 31, 29, 30, 30, 31), "finished"),
        ((100, 40, 30, 30, 31, 29, 30, 30, 42), "finished"),
        ((100, 40, 30, 30, 31, 29, 30, 30, 50), "failed"),  # as runs are judged: by the last FID
        ((100, 40, 30, 30, 31, 34, 35, 36, 36), "finished"),  # a little past its best: no alarm
        ((100, 40, 30, 30, 40, 46, 47, 47, 46), "failed"),
    ],
)
def test_verdicts_by_a_metric(values: tuple[float, ...], verdict: str) -> None:
    assert diagnose(with_fid(EVEN["hinge"], *values)).verdict == verdict


@pytest.mark.parametrize(("last", "verdict"), [(50, "finished"), (70, "failed")])
def test_one_bad_value_of_another_distance_is_none_unless_it_is_very_bad(last: float, verdict: str) -> None:
    values = fid(100, 40, 30, 30, 31, 29, 30, 30, last)
    assert diagnose(Log({**log_of(EVEN["hinge"]).series, "kid": values})).verdict == verdict


@pytest.mark.parametrize(("length", "verdict"), [(200_000, "finished"), (100_000, "failed"), (0, "failed")])
def test_one_bad_fid_is_no_failure_while_a_run_goes_on(length: float, verdict: str) -> None:
    log = with_fid(EVEN["hinge"], 100, 40, 30, 30, 31, 29, 30, 30, 50)
    assert diagnose(replace(log, length=length)).verdict == verdict
    assert diagnose(replace(with_fid(EVEN["hinge"], 100, 40, 30, 29, 30, 50, 50), length=length)).verdict == "failed"


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("names", [("loss D", "loss G"), ("loss G",)])
def test_what_is_no_number_from_the_first_line_on(value: float, names: tuple[str, ...]) -> None:
    diagnosis = diagnose(log_of({**EVEN["hinge"], **{name: np.full(LINES, value) for name in names}}))
    assert diagnosis.verdict == "failed"
    assert (diagnosis.findings[0].finding, diagnosis.findings[0].sign.since) == ("diverging", 100)


def test_a_metric_contradicts_the_losses() -> None:
    diagnosis = diagnose(with_fid(WRONG["D wins from the start"][1], 100, 80, 60, 50, 40, 30, 25, 20, 17))
    assert diagnosis.verdict == "healthy" and diagnosis.findings == []


def test_a_spectrum_of_noise_has_no_peak() -> None:
    times = np.arange(1.0, 1001.0)
    assert peak(Series(times, RANDOM.normal(size=1000)), 1000.0)[0] < 0.2
    share, place = peak(Series(times, np.sin(2 * np.pi * 20 * times / 500)), 1000.0)
    assert share > 0.95 and place == 20


def test_every_detector_is_silent_where_its_statistics_are_missing() -> None:
    empty = Log({"something": Series(np.arange(1.0, 100.0), np.zeros(99))})
    assert [DETECTORS.find(name)(empty) for name in DETECTORS.rows] == [None] * len(DETECTORS.rows)
