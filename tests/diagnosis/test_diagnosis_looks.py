"""Findings from the looks at a run's samples: each fault as its statistics show it, and silence where it is absent."""

from typing import Any

import numpy as np
import pytest
from played import path, played

from gannet.diagnosis import Diagnosis, Log, Series, diagnose
from gannet.diagnosis.report import expected, unsure

LOOKS = 20
END = 100.0
FALLING = 160.0 / np.arange(1, LOOKS + 1)  # what a run that works is like: ever nearer, and ever more different samples
GROWING = np.linspace(0.02, 0.6, LOOKS)
FAR = np.full(LOOKS, 150.0)
RECIPE = {"optim.G.lr": 2e-4, "optim.D.lr": 2e-4, "G.width": 32, "D.width": 32, "G.z_dim": 64, "train.batch": 64}


def looked(settings: dict[str, Any] | None = None, length: float = END, **values: Any) -> Log:
    """A run with even losses and a look at every 5 kimg; statistics by their names with `_` for a space."""
    at = np.linspace(END / LOOKS, END, LOOKS)
    found = {"sample distance": FALLING, "diversity": GROWING, "duplicates": np.zeros(LOOKS)}
    found |= {"real above sample": np.full(LOOKS, 0.85)}
    found |= {name.replace("_", " "): value for name, value in values.items()}
    series = {name: Series.of(at[: len(value)], np.asarray(value, float)) for name, value in found.items()}
    losses = played("non-saturating", path(0.3, 1), path(-0.3, -1))
    series |= {name: Series.of(np.linspace(0.1, END, len(v)), v) for name, v in losses.items()}
    return Log(series, "kimg", length, {**RECIPE, **(settings or {})})


def names(diagnosis: Diagnosis) -> list[str]:
    return [finding.finding for finding in diagnosis.findings]


def test_a_run_that_comes_nearer_is_healthy() -> None:
    diagnosis = diagnose(looked())
    assert (diagnosis.verdict, diagnosis.findings) == ("healthy", [])


@pytest.mark.parametrize(
    ("statistic", "value", "change"),
    [
        ("data_images", 10, "add images"),
        ("data_distinct", 0.002, "leave the copies out"),
        ("real_low", 0.0, "whole range"),
        ("data_smallest_class", 3, "--data.no-labels"),
        ("data_classes_told", 0.12, "--data.no-labels"),
    ],
)
def test_faults_of_the_data_are_known_at_once_and_lead(statistic: str, value: float, change: str) -> None:
    fine = {"data_images": 5000, "data_distinct": 1, "real_low": -1, "real_high": 1, "data_smallest_class": 400}
    fine |= {"data_largest_class": 600, "data_classes_told": 0.8, "data_classes_chance": 0.1}
    fine |= {"data_classes_noise": 0.013}
    healthy: dict[str, Any] = {name: [v] for name, v in fine.items()}
    assert diagnose(looked(**healthy)).findings == []
    (finding,) = diagnose(looked(**(healthy | {statistic: [value]}))).findings
    assert finding.finding == "data" and finding.sign.since == 0.1 and change in finding.remedy.change
    assert finding.sign.evidence[0].statistic == statistic.replace("_", " ")


def test_one_fault_of_the_data_is_enough_to_be_told() -> None:
    assert names(diagnose(looked(data_images=[8], sample_distance=FAR)))[0] == "data"


@pytest.mark.parametrize(
    ("setting", "value", "change"),
    [
        ("G.z_dim", 1, "--G.z-dim 64"),
        ("train.batch", 2, "--batch 32"),
        ("optim.D.lr", 1e-2, "--optim.D.lr 0.0002"),
        ("optim.G.betas", (0.99, 0.999), "--optim.G.betas 0.5 0.999"),
        ("D.width", 2, "--D.width 16"),
    ],
)
def test_a_setting_out_of_range_counts_where_samples_stay_far(setting: str, value: Any, change: str) -> None:
    found = diagnose(looked({setting: value}, sample_distance=FAR)).findings
    assert found[0].finding == "settings" and found[0].remedy.change == change
    assert found[0].sign.since == 25.0  # a quarter of the run: before, all samples are far
    assert diagnose(looked({setting: value}, sample_distance=FALLING / 8)).findings == []  # it is borne


def test_a_higher_rate_of_d_as_papers_have_it_is_none() -> None:
    assert "settings" not in names(diagnose(looked({"optim.D.lr": 8e-4}, sample_distance=FAR)))


def test_a_rate_below_the_advised_one_is_not_brought_up_to_it() -> None:
    rates = {"optim.G.lr": 1e-4, "optim.D.lr": 5e-6}
    assert "settings" not in names(diagnose(looked(rates, sample_distance=FAR)))


@pytest.mark.parametrize(
    ("of_d", "change", "why"),
    [
        (3e-6, "--optim.D.lr 0.0002", "D takes steps too small to follow G"),
        (5e-5, "--optim.G.lr 5e-05", "G takes steps that undo what it has learnt"),
    ],
)
def test_of_two_rates_far_apart_the_unusual_one_is_out_of_range(of_d: float, change: str, why: str) -> None:
    rates = {"optim.D.lr": of_d, "optim.G.lr": 1e-3}
    found = diagnose(looked(rates, sample_distance=FAR)).findings[0].remedy
    assert (found.change, found.why) == (change, why)


def test_a_setting_leads_what_it_makes_diverge() -> None:
    grown = np.concatenate([np.ones(LOOKS * 4), np.full(LOOKS, 1e4)])
    log = looked({"optim.D.lr": 1e-1}, sample_distance=FAR)
    exploding = Series.of(np.linspace(0.1, END, len(grown)), grown)
    both = Log({**log.series, "grad norm D": exploding}, log.unit, log.length, log.settings)
    assert names(diagnose(both))[:2] == ["settings", "diverging"]


def test_a_start_without_a_way_out() -> None:
    log = looked(sample_distance=FAR)
    at = np.linspace(0, END, LOOKS)
    log = Log({**log.series, "sample saturated": Series(at, np.ones(LOOKS))}, "kimg", END, log.settings)
    assert names(diagnose(log))[0] == "bad-start"
    fine = {**log.series, "sample distance": looked(sample_distance=FALLING / 4).series["sample distance"]}
    assert diagnose(Log(fine, "kimg", END, log.settings)).findings == []
    goes_on = {**log.settings, "run.init": "another run"}
    assert "bad-start" not in names(diagnose(Log(log.series, "kimg", END, goes_on)))


@pytest.mark.parametrize("player", ["G", "D"])
def test_a_player_whose_weights_stay(player: str) -> None:
    moving: Any = np.full(LOOKS, 3e-3)
    updates: dict[str, Any] = {"update_G": moving, "update_D": moving, f"update_{player}": np.zeros(LOOKS)}
    diagnosis = diagnose(looked(**updates, sample_distance=FAR))
    assert names(diagnosis)[0] == "not-learning"
    assert diagnosis.findings[0].sign.evidence[0].statistic == f"update {player}"
    tiny = {"update_G": 1e-4 * moving, "update_D": moving}
    assert diagnose(looked(**tiny)).findings == []


def test_a_d_that_knows_its_images() -> None:
    knows = np.r_[np.full(8, 0.5), np.linspace(0.6, 0.98, LOOKS - 8)]
    (finding,) = diagnose(looked(**{"real above held-out": knows})).findings
    assert finding.finding == "d-memorises" and finding.sign.since >= 60
    once = np.full(LOOKS, 0.55)
    once[[9, 14]] = 0.9
    assert diagnose(looked(**{"real above held-out": once})).findings == []


def test_a_g_that_draws_its_training_images() -> None:
    copied = np.r_[np.full(8, 0.1), np.linspace(0.2, 0.97, LOOKS - 8)]
    better: dict[str, Any] = {"fid": FALLING}  # as copies are near to the data, a metric cannot contradict it
    plain: dict[str, Any] = {}
    for more in (plain, better):
        (finding,) = diagnose(looked({"augment.name": "none"}, END, copies=copied, **more)).findings
        assert (finding.finding, finding.remedy.change) == ("copying", "--augment.name ada")
        assert finding.sign.since >= 60 and finding.sign.evidence[0].value == 0.97
    (finding,) = diagnose(looked({"augment.name": "ada"}, copies=copied)).findings
    assert finding.remedy.change == "--D.width 16"
    assert diagnose(looked(copies=np.full(LOOKS, 0.3))).findings == []


@pytest.mark.parametrize(("rated", "name"), [(0.99, "d-wins"), (0.5, "d-asleep"), (0.02, "g-wins")])
def test_who_is_ahead_while_samples_stay_far(rated: float, name: str) -> None:
    rates = {"real_above_sample": np.full(LOOKS, rated)}
    assert names(diagnose(looked(**rates, sample_distance=FAR)))[0] == name
    assert diagnose(looked(**rates)).findings == []  # the same D, and samples that come nearer


READABLE: dict[str, Any] = {"class_agreement_real": np.full(LOOKS, 0.8), "class_agreement_noise": np.full(LOOKS, 0.03)}


def test_samples_of_any_class_ignore_their_labels() -> None:
    none: Any = np.linspace(-0.03, 0.05, LOOKS)
    projects = {"game.name": "gan", "D.label": "projection", "data.labels": True, "G.name": "biggan"}
    diagnosis = diagnose(looked(projects, **READABLE, class_agreement_sample=none))
    assert names(diagnosis) == ["labels-ignored"]
    (finding,) = diagnosis.findings
    assert finding.sign.since == 70.0 and "projection" not in finding.remedy.change  # before, samples were far
    follows: Any = np.linspace(0.0, 0.6, LOOKS)
    assert names(diagnose(looked(projects, **READABLE, class_agreement_sample=follows))) == []


@pytest.mark.parametrize(
    "other",
    [
        {"class_agreement_real": np.full(LOOKS, 0.2)},  # classes that reals do not show,
        {"class_agreement_noise": np.full(LOOKS, 0.12)},  # two of them, by too few samples,
        {"sample_distance": FAR / 2},  # and samples of no class yet
    ],
)
def test_where_classes_cannot_be_seen_nothing_is_said_of_labels(other: dict[str, Any]) -> None:
    found: dict[str, Any] = {**READABLE, "class_agreement_sample": np.zeros(LOOKS), **other}
    assert "labels-ignored" not in names(diagnose(looked(**found)))


def test_one_pair_at_a_time_is_no_small_batch() -> None:
    one = {"train.batch": 1}
    assert "settings" in names(diagnose(looked(one, sample_distance=FAR)))
    assert "settings" not in names(diagnose(looked({**one, "data.kind": "pairs"}, sample_distance=FAR)))


def test_few_kinds_of_samples() -> None:
    few = {"diversity": np.full(LOOKS, 0.03), "duplicates": np.ones(LOOKS)}
    (finding,) = diagnose(looked(**few, sample_distance=np.full(LOOKS, 40.0) - np.arange(LOOKS))).findings
    assert (finding.finding, finding.sign.since) == ("mode-collapse", 25.0)
    grows = {"diversity": np.linspace(0.01, 0.09, LOOKS), "duplicates": np.ones(LOOKS)}
    assert diagnose(looked(**grows)).findings == []


def test_samples_that_become_fewer() -> None:
    fall = np.r_[np.linspace(0.02, 0.6, 12), np.full(8, 0.2)]
    diagnosis = diagnose(looked(diversity=fall, sample_distance=np.full(LOOKS, 20.0)))
    (finding,) = [f for f in diagnosis.findings if f.finding == "mode-collapse"]
    assert finding.sign.since == 65.0 and finding.sign.evidence[0].value == 0.2


def test_reals_that_samples_no_longer_reach() -> None:
    falls = np.r_[np.linspace(0.05, 0.6, 12), np.full(8, 0.1)]
    (finding,) = diagnose(looked(recall=falls)).findings
    assert (finding.finding, finding.sign.since) == ("mode-collapse", 65.0)
    assert names(diagnose(looked(recall=falls, sample_distance=FALLING / 4))) == ["mode-collapse"]  # and near the data
    once = np.r_[np.linspace(0.05, 0.6, 18), 0.1, 0.1]
    for fine in (once, np.linspace(0.0, 0.09, LOOKS)[::-1], np.linspace(0.6, 0.35, LOOKS)):
        assert diagnose(looked(recall=fine)).findings == []


def test_past_the_best_without_a_metric() -> None:
    distance = np.r_[np.linspace(200, 8, 10), np.linspace(10, 60, 10)]
    (finding,) = diagnose(looked(sample_distance=distance)).findings
    assert (finding.finding, finding.sign.since) == ("past-best", 55.0)
    assert finding.remedy.change == "--kimg 55"
    noisy = 8 + 3 * np.sin(np.arange(LOOKS))
    assert diagnose(looked(sample_distance=np.r_[np.linspace(200, 8, 10), noisy[:10]])).findings == []


def test_looks_say_that_a_lead_in_the_losses_did_no_harm() -> None:
    won = played("non-saturating", path(8, 9), path(-8, -9), swing=2)
    at = np.linspace(0.1, END, len(won["loss D"]))
    losses = {name: Series.of(at, loss) for name, loss in won.items()}
    good, bad = looked(sample_distance=np.linspace(100, 2, LOOKS)), looked(sample_distance=FAR)
    assert diagnose(Log({**good.series, **losses}, "kimg", END)).findings == []
    assert names(diagnose(Log({**bad.series, **losses}, "kimg", END))) == ["d-wins"]


def test_what_to_expect_follows_from_the_run() -> None:
    """The distance falls as one over the time: 8 at 100 kimg is 4 at 200."""
    assert expected(looked(length=200.0)) == (
        "Nothing is wrong. Samples are 8 times as far from the data as reals are from each other. As it goes, expect"
        " about 4 at 200 kimg."
    )
    assert "no longer come nearer" in (expected(looked(sample_distance=np.full(LOOKS, 5.0))) or "")
    assert expected(Log({})) is None


def test_a_few_looks_are_said_to_be_few() -> None:
    log = looked(sample_distance=np.full(LOOKS, 149.0))
    short = Log({name: series.until(series.at[2]) for name, series in log.series.items()}, log.unit, log.length)
    assert expected(short) is None
    assert (unsure(short) or "").startswith(
        "Nothing is seen to be wrong, but 3 looks at samples are few: samples are 149 times as far from the data"
    )


@pytest.mark.parametrize(("last", "found"), [(6.0, True), (2.0, True), (1.2, False)])
def test_a_setting_out_of_range_that_is_borne_slowly(last: float, found: bool) -> None:
    """Samples come nearer at each look, by half in a third of the time, and are far at the end or not."""
    values = last * np.linspace(1 / LOOKS, 1, LOOKS) ** -2
    assert ("settings" in names(diagnose(looked({"optim.D.lr": 1e-2}, sample_distance=values)))) == found
    assert names(diagnose(looked(sample_distance=values))) == []


@pytest.mark.parametrize(("distance", "found"), [(5.0, True), (2.0, True), (1.4, False)])
def test_beside_a_setting_out_of_range_a_smaller_distance_counts(distance: float, found: bool) -> None:
    """One look in four is far better than the others. As many reals drawn anew have come to 1.36 at most."""
    values = np.where(np.arange(LOOKS) % 4 == 3, 0.5 * distance, distance)
    assert ("settings" in names(diagnose(looked({"D.width": 2}, sample_distance=values)))) == found
    assert names(diagnose(looked(sample_distance=values))) == []
