"""`gannet sweep` with ranges: Optuna chooses, prunes, and goes on after a stop."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import optuna
import pytest

from gannet.experiments.search import Search, is_behind
from gannet.experiments.sweep import Sweep
from gannet.experiments.vary import Listed, Ranged
from gannet.files import write_text
from gannet.training.pictures import read_stats

VARIED = ["--vary", "optim.D.lr=1e-5:1e-3:log", "--vary", "D.width=4:8", "--vary", "D.norm=batch,spectral"]


def value(run: Path, kimg: float) -> float:
    """The second trial is worse than the first, the third better."""
    return {"trial000": 2.0, "trial001": 3.0, "trial002": 1.0}[run.parent.name]


@pytest.fixture
def asked(sweep_by: Callable[..., Any]) -> Callable[..., int]:
    run = sweep_by(value)
    return lambda out="swept": run("--kimg", "0.04", *VARIED, "--trials", "3", out=out)


def results(out: str) -> dict[int, dict[str, Any]]:
    return {found["number"]: found for found in json.loads((Path(out) / "results.json").read_text("utf-8"))["results"]}


def test_a_search_prunes_and_goes_on_after_a_stop_with_the_same_trials(
    asked: Callable[..., int], stopped_in: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    assert asked("whole") == 0
    found = results("whole")
    assert list(found) == [2, 0, 1]
    assert {number: each["state"] for number, each in found.items()} == {0: "done", 1: "pruned", 2: "done"}
    measured = [
        [line["kimg"] for line in read_stats(Path(found[i]["runs"][0]) / "stats.jsonl") if line["type"] == "metric"]
        for i in range(3)
    ]
    assert [len(each) for each in measured] == [10, 3, 10]  # every tenth, and the second until it could be judged
    with stopped_in(2, after=2):
        assert asked() == 4
    assert set(results("swept")) == {0}
    assert asked() == 0
    again = results("swept")
    assert {n: each["settings"] for n, each in again.items()} == {n: each["settings"] for n, each in found.items()}
    assert {n: each["state"] for n, each in again.items()} == {n: each["state"] for n, each in found.items()}
    assert (Path("swept") / "journal.log").exists()


def test_the_values_are_in_their_ranges(tmp_path: Path) -> None:
    varied = [Ranged("optim.D.lr", 1e-5, 1e-3, log=True), Ranged("D.width", 4, 8, whole=True)]
    search = Search(tmp_path, [*varied, Listed("D.norm", ("batch", "spectral"))], 12, 1.0)
    trials = list(search)
    assert [trial.number for trial in trials] == list(range(12))
    assert all(1e-5 <= float(trial.settings["optim.D.lr"]) <= 1e-3 for trial in trials)
    assert {trial.settings["D.width"] for trial in trials} <= {"4", "5", "6", "7", "8"}
    assert {trial.settings["D.norm"] for trial in trials} == {"batch", "spectral"}


def test_each_metric_is_told_at_its_moment_such_that_lower_is_better(tmp_path: Path) -> None:
    """Batches of another size are measured a little later: that is the same moment."""
    search = Search(tmp_path, [Ranged("optim.D.lr", 1e-5, 1e-3)], 8, 1.0)
    for _, kimgs in zip(range(3), [(1.001, 2.02, 3.03, 4.0)] * 3, strict=True):
        trial = next(iter(search))
        pruner = search.watch(trial)
        for kimg in kimgs:
            pruner.on_stats({"type": "metric", "kimg": kimg, "value": 0.5 - trial.number, "better": "higher"})
            if pruner.stop:
                break
        search.told(trial, "pruned" if pruner.stop else "done", 0.0)
    told = [(each.intermediate_values, each.state.name) for each in search.study.get_trials()]
    assert told[0] == ({1: -0.5, 2: -0.5, 3: -0.5, 4: -0.5}, "COMPLETE")
    assert told[1] == ({1: 0.5, 2: 0.5, 3: 0.5, 4: 0.5}, "COMPLETE")
    assert told[2] == ({1: 1.5, 2: 1.5, 3: 1.5}, "PRUNED")


MEDIANS = {1: 9.0, 2: 6.0, 3: 4.0, 4: 3.0, 5: 2.0}


@pytest.mark.parametrize(
    ("values", "behind_at"),
    [
        ((1.0, 5.0, 6.0, 7.0, 8.0), 4),  # the best of all at first, and it gets worse
        ((20.0, 10.0, 5.0, 2.0, 1.0), 3),  # better late, but two moments behind by the third
        ((20.0, 5.0, 5.0, 2.0, 1.0), None),  # better late, and behind by chance once
        ((8.0, 5.0, 9.0, 2.0, 9.0), None),  # bad by chance now and then
        ((8.0, 5.0, 3.0, 2.0, 1.0), None),
        ((9.0, 6.0, 4.0, 3.0, 2.0), None),  # like the median
    ],
)
def test_a_run_is_stopped_where_it_is_behind_now_and_was_before(
    values: tuple[float, ...], behind_at: int | None
) -> None:
    others = [{step: value + shift for step, value in MEDIANS.items()} for shift in (-1.0, 0.0, 1.0)]
    own: dict[int, float] = {}
    for step, value in enumerate(values, 1):
        own[step] = value
        assert is_behind(own, others) == (step == behind_at), step
        if step == behind_at:
            break
    assert not is_behind({6: 99.0, 7: 99.0}, others) and not is_behind(own, [])


def test_a_trial_that_ended_when_a_kill_came_is_told_and_not_played_again(tmp_path: Path) -> None:
    search = Search(tmp_path, [Ranged("optim.D.lr", 1e-5, 1e-3)], 1, 1.0)
    trial = next(iter(search))
    note = {"number": 0, "settings": trial.settings, "state": "pruned", "reason": ""}
    write_text(tmp_path / "trial000" / "trial.json", json.dumps(note))
    nothing: Any = None
    assert Sweep(nothing, nothing, search.varied, tmp_path).through(search, {})
    assert [each.state for each in search.study.trials] == [optuna.trial.TrialState.PRUNED]


def test_a_trial_that_failed_is_not_asked_for_again(tmp_path: Path) -> None:
    search = Search(tmp_path, [Ranged("optim.D.lr", 1e-5, 1e-3)], 2, 1.0)
    trial = next(iter(search))
    search.told(trial, "refused", None)
    assert search.study.trials[0].state == optuna.trial.TrialState.FAIL
    assert [each.number for each in Search(tmp_path, [Ranged("optim.D.lr", 1e-5, 1e-3)], 2, 1.0)] == [1]
