"""Runs that are sent back and changed while they go on; what diagnoses them is mostly a stand-in."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import TINY, contents, newest_checkpoint, stopped

import gannet.api as api
import gannet.experiments.autopilot as autopilot
from gannet import watching
from gannet.config import changes_of, overridden, read_recipe, with_changes
from gannet.diagnosis import Diagnosis, Evidence, Finding, Log, Remedy, Sign
from gannet.diagnosis.logs import changed_settings
from gannet.errors import UserError
from gannet.recipes import recipe
from gannet.training import measure
from gannet.training import run as training_run
from gannet.training.build import completed

Pictures = Callable[..., Path]
Doctor = Callable[[Log], Diagnosis]
FAST = 5e-3
NOTHING = Diagnosis("healthy", [])
SETTINGS: dict[str, Any] = {
    **TINY,
    "train.length": "20 iterations",
    "optim.D.lr": FAST,
    "train.autopilot": True,
    "ema.half_life_kimg": 0.02,
}


def found(name: str, change: str, since: float) -> Diagnosis:
    sign = Sign(since, None, 0.95, [Evidence("loss D", 1.0, 0.5, "what is seen")], hurts=True)
    return Diagnosis("failing", [Finding(name, sign, Remedy(change, "because", "a paper"))])


def too_fast(log: Log) -> Diagnosis:
    """D wins from 13 images on, seen from 16 on, while its rate is high."""
    if log.settings["optim.D.lr"] < FAST or log.end < 0.016:
        return Diagnosis("healthy", [])
    return found("d-wins", "--optim.D.lr 1e-4", 0.013)


@pytest.fixture(autouse=True)
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """A look every second iteration; the machine is not measured, and no curves are drawn."""
    monkeypatch.setattr(training_run, "BETWEEN_ITERATIONS", 2)
    monkeypatch.setattr(training_run, "BETWEEN_IMAGES", 8)
    monkeypatch.setattr(measure, "time_iterations", lambda training: 0.01)
    monkeypatch.setattr(training_run, "save_curves", lambda lines, target: None)


@pytest.fixture
def diagnosed(monkeypatch: pytest.MonkeyPatch) -> Callable[[Doctor], None]:
    def by(doctor: Doctor) -> None:
        monkeypatch.setattr(watching, "diagnose", doctor)
        monkeypatch.setattr(autopilot, "diagnose", doctor)

    return by


def train(data: Path, run: Path, **settings: Any) -> api.Trained:
    return api.train(data, recipe="dcgan-shapes", run=run, settings={**SETTINGS, **settings})


def events(run: api.Trained) -> list[dict[str, Any]]:
    return [line for line in run.stats if line["type"] == "event" and line["event"] == "autopilot"]


def rates(run: Path) -> dict[str, float]:
    return {name: state["param_groups"][0]["lr"] for name, state in newest_checkpoint(run)["optimizers"].items()}


def test_a_lasting_finding_sends_the_run_back_with_the_one_change(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """Seen after 16 and 24 images, it goes back to the checkpoint of 12, from before 13."""
    diagnosed(too_fast)
    made = train(pictures(), tmp_path / "run")
    assert made.finished
    (event,) = events(made)
    assert (event["number"], event["finding"], event["kimg"], event["at_kimg"]) == (1, "d-wins", 0.012, 0.024)
    assert event["change"] == "--optim.D.lr 1e-4" and event["settings"]["optim"]["D"]["lr"] == 1e-4
    assert list(event["settings"]) == ["optim"] and event["fresh"] == {}
    assert rates(made.path) == {"G": 2e-4, "D": 1e-4}
    assert changed_settings((made.path / "stats.jsonl").read_bytes())["optim.D.lr"] == 1e-4
    assert read_recipe(made.path / "recipe.toml")[0].optim["D"].lr == FAST
    kimgs = [line["kimg"] for line in made.stats if line["type"] == "stats" and "loss D" in line]
    assert kimgs[:6] == [0.004, 0.008, 0.012, 0.016, 0.02, 0.024] and kimgs[6] == 0.016 and kimgs[-1] == 0.08
    out = capsys.readouterr().out
    said = [line for line in out.splitlines() if line.startswith("autopilot")]
    assert said == [
        "autopilot, change 1 of at most 5: D wins since 0.013 kimg: back to 0.012 kimg, --optim.D.lr 1e-4: because"
    ]
    assert "D wins, since" in out and "No longer" not in out  # a change takes back what was found after its moment


def test_weights_and_averages_go_on_from_the_checkpoint(pictures: Pictures, tmp_path: Path, diagnosed: Any) -> None:
    """With a rate of next to nothing from 12 images on, D's weights are still those of the checkpoint at the end."""
    data = pictures()
    diagnosed(lambda log: Diagnosis("healthy", []))
    with stopped(3):
        before = train(data, tmp_path / "before")

    def stopper(log: Log) -> Diagnosis:
        now = too_fast(log)
        return found("d-wins", "--optim.D.lr 1e-30", 0.013) if now.findings else now

    diagnosed(stopper)
    after = train(data, tmp_path / "after")
    expected, ended = newest_checkpoint(before.path), newest_checkpoint(after.path)
    assert expected["counters"]["cur_nimg"] == 12 and ended["counters"]["cur_nimg"] == 80
    for name, value in expected["networks"]["D"].items():
        if not name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert torch.equal(ended["networks"]["D"][name], value), name
    assert ended["optimizers"]["D"]["state"][0]["step"] == 20


def test_what_flickers_changes_nothing(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    """At every other look something is found."""
    diagnosed(lambda log: too_fast(log) if round(1000 * log.end) % 16 == 0 else Diagnosis("healthy", []))
    assert not events(train(pictures(), tmp_path / "run"))
    assert "autopilot: nothing is changed for d-wins: it must stand at two looks in a row" in capsys.readouterr().out


@pytest.mark.parametrize("change", ["add images", "--data.no-labels", "--data.flip", "--G.nothing 3", "--game.top-k 7"])
def test_what_no_setting_of_the_training_mends_is_left_alone(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, capsys: pytest.CaptureFixture[str], change: str
) -> None:
    """The last is an option, and a value that the game refuses when it is built."""
    diagnosed(lambda log: found("d-wins", change, 0.013) if log.end >= 0.016 else Diagnosis("healthy", []))
    made = train(pictures(), tmp_path / "run")
    assert made.finished and not events(made)
    assert "nothing is changed for d-wins: no setting that it may change mends that" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "setting", "wrong", "right"),
    [("settings", "optim.D.lr", FAST, 1e-4), ("bad-start", "G.init", "orthogonal", "dcgan")],
)
def test_what_was_wrong_from_the_start_begins_anew(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, name: str, setting: str, wrong: Any, right: Any
) -> None:
    """With the setting mended it then ends with the very weights of a run that had it right."""

    def out_of_range(log: Log) -> Diagnosis:
        is_seen = log.settings[setting] == wrong and log.end >= 0.016
        return found(name, f"--{setting} {right}", 0.016) if is_seen else Diagnosis("healthy", [])

    diagnosed(out_of_range)
    data = pictures()
    mended = train(data, tmp_path / "mended", **{setting: wrong})
    right = train(data, tmp_path / "right", **{setting: right})
    assert [event["kimg"] for event in events(mended)] == [0.0] and not events(right)
    assert contents(mended.path)["state"] == contents(right.path)["state"]


def test_a_second_return_goes_further_back(pictures: Pictures, tmp_path: Path, diagnosed: Any) -> None:
    """The checkpoint of 24 images, then that of 12, then the first."""

    def hopeless(log: Log) -> Diagnosis:
        change = f"--optim.D.lr {log.settings['optim.D.lr'] / 2}"
        return found("d-wins", change, 0.03) if log.end >= 0.032 else Diagnosis("healthy", [])

    diagnosed(hopeless)
    made = train(pictures(), tmp_path / "run")
    assert [event["kimg"] for event in events(made)] == [0.024, 0.012, 0.0, 0.0, 0.0]


def test_the_plan_counts_the_checkpoints_to_go_back_to(
    pictures: Pictures, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twelve rather than three, each twice as large as the weights: a hundredfold, with the generator's folder."""
    data, planned = pictures(), []
    for on in (False, True):
        train(data, tmp_path / str(on), **{"train.autopilot": on, "train.length": "2 iterations"})
        planned += re.findall(r"of memory, (.*) on disk for the run", capsys.readouterr().out)
    assert planned == ["62 kB", "222 kB"]


def test_what_is_found_at_the_very_end_is_left(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosed(lambda log: found("d-wins", "--optim.D.lr 1e-4", 0.013) if log.end > 0.07 else NOTHING)
    assert train(pictures(), tmp_path / "run").finished
    assert "is finished" not in capsys.readouterr().out


def test_who_stops_a_run_also_ends_the_autopilot(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The stop comes while the run is saved that is to be changed; the change waits for gannet resume."""
    diagnosed(too_fast)
    save = training_run.Run.save

    def interrupted(run: training_run.Run) -> None:
        if run.training.cur_nimg == 24:
            signal.raise_signal(signal.SIGINT)
        save(run)

    with monkeypatch.context() as patch:
        patch.setattr(training_run.Run, "save", interrupted)
        made = train(pictures(), tmp_path / "run")
    assert not made.finished and not events(made)
    assert api.resume(made.path).finished and len(events(made)) == 1


def test_a_run_that_began_from_another_has_no_bad_start(pictures: Pictures, tmp_path: Path, diagnosed: Any) -> None:
    data, seen = pictures(), set()
    diagnosed(lambda log: seen.add(log.settings.get("run.init")) or NOTHING)
    before = train(data, tmp_path / "before", **{"train.autopilot": False})
    seen.clear()
    api.train(data, recipe="dcgan-shapes", run=tmp_path / "run", settings=SETTINGS, init=str(before.path))
    assert seen == {"before"}


def test_five_changes_are_made_at_most(pictures: Pictures, tmp_path: Path, diagnosed: Any) -> None:
    def never_content(log: Log) -> Diagnosis:
        return found("d-wins", f"--optim.D.lr {log.settings['optim.D.lr'] / 2}", 0.013)

    diagnosed(never_content)
    made = train(pictures(), tmp_path / "run")
    assert made.finished and [event["number"] for event in events(made)] == [1, 2, 3, 4, 5]
    assert rates(made.path)["D"] == FAST / 32


def test_a_changed_network_keeps_what_fits(pictures: Pictures, tmp_path: Path, diagnosed: Any) -> None:
    """Spectral norm's weights have other names than those before, so D and its optimizer begin anew, and G does not."""

    def unnormalised(log: Log) -> Diagnosis:
        if log.settings["D.norm"] == "spectral" or log.end < 0.016:
            return Diagnosis("healthy", [])
        return found("mode-collapse", "--D.norm spectral --D.bias", 0.013)

    diagnosed(unnormalised)
    made = train(pictures(), tmp_path / "run")
    (event,) = events(made)
    assert list(event["fresh"]) == ["D"] and event["settings"]["D"]["norm"] == "spectral"
    state = newest_checkpoint(made.path)
    assert any("parametrizations" in name for name in state["networks"]["D"])
    steps = {player: optimizer["state"][0]["step"].item() for player, optimizer in state["optimizers"].items()}
    assert steps == {"G": 20, "D": 17}


def test_a_run_past_its_best_ends_there(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    diagnosed(lambda log: found("past-best", "--kimg 0.036", 0.036) if log.end > 0.04 else Diagnosis("healthy", []))
    made = train(pictures(), tmp_path / "run")
    assert made.finished and newest_checkpoint(made.path)["counters"]["cur_nimg"] == 36
    assert json.loads((made.path / "generator" / "config.json").read_text("utf-8"))["kimg"] == 0.036
    assert max(path.stem for path in (made.path / "samples").glob("kimg*.png")) == "kimg000000.036"
    assert "the run ends" in capsys.readouterr().out
    assert api.resume(made.path).finished and "is finished: 0.036 kimg" in capsys.readouterr().out


def test_killed_after_a_change_it_ends_as_it_would_have(pictures: Pictures, tmp_path: Path, diagnosed: Any) -> None:
    """Sessions are killed after 8 iterations; the first stops after 6 of them, to be changed."""
    diagnosed(too_fast)
    data = pictures()
    whole = train(data, tmp_path / "whole").path
    with stopped(8, killed=True), pytest.raises(RuntimeError, match="killed"):
        train(data, tmp_path / "parts")
    assert api.resume(tmp_path / "parts").finished
    same(tmp_path / "parts", whole)


def killed(*given: Any) -> None:
    raise RuntimeError("killed")


class Unsaved(training_run.Run):
    def save(self) -> None:
        killed()


@pytest.mark.parametrize(("name", "end"), [("same_data", killed), ("carry_over", killed), ("Run", Unsaved)])
def test_killed_while_it_is_changed_it_ends_as_it_would_have(
    pictures: Pictures, tmp_path: Path, diagnosed: Any, monkeypatch: pytest.MonkeyPatch, name: str, end: Any
) -> None:
    """Before anything is written; before later checkpoints are removed; and before the changed one is written."""
    diagnosed(too_fast)
    data = pictures()
    whole = train(data, tmp_path / "whole").path
    with monkeypatch.context() as patch:
        if name == "same_data":
            patch.setattr(autopilot.Autopilot, "built", killed)
        else:
            patch.setattr(autopilot, name, end)
        with pytest.raises(RuntimeError, match="killed"):
            train(data, tmp_path / "parts")
    assert api.resume(tmp_path / "parts").finished
    same(tmp_path / "parts", whole)


def same(run: Path, expected: Path) -> None:
    one, other = contents(run), contents(expected)
    for what in ("state", "lines", "files"):
        assert one[what] == other[what], what


def test_a_given_up_run_is_changed(pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is finite where the recipe has a rate of 0.1; the diagnosis is the real one."""
    from gannet import sessions

    build = sessions.build_training

    def spoiled(*given: Any) -> Any:
        t = build(*given)
        objective, good = t.game.objective, t.game.objective.g
        too_large = given[0].optim["D"].lr >= 0.1
        objective.g = lambda logits: good(logits) * (float("nan") if too_large and t.iteration > 4 else 1.0)
        return t

    monkeypatch.setattr(sessions, "build_training", spoiled)
    settings = {"optim.D.lr": 0.1, "optim.G.lr": 0.1, "train.length": "40 iterations"}
    made = train(pictures(), tmp_path / "run", **settings)
    assert made.finished
    assert [event["finding"] for event in events(made)][:1] == ["diverging"]


SCRIPT = """
import sys
import test_autopilot as here
from gannet import watching
from gannet.cli import entry
from gannet.training import run
run.BETWEEN_ITERATIONS, run.BETWEEN_IMAGES = 2, 8
watching.diagnose = here.autopilot.diagnose = here.too_fast
entry()
"""


def test_two_ranks_go_back_together(pictures: Pictures, tmp_path: Path) -> None:
    words = [word for name, value in SETTINGS.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    words = [word for word in words if word not in ("--train.autopilot", "True")]
    length = words.index("--train.length")
    words[length + 1] = "0.08 kimg"
    command = [sys.executable, "-c", SCRIPT, "train", str(pictures()), "--recipe", "dcgan-shapes", *words]
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    place = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "WORLD_SIZE": "2", "OMP_NUM_THREADS": "1"}
    here = Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent), os.environ.get("PYTHONPATH", "")])
    processes = [
        subprocess.Popen(
            [*command, "--autopilot", "--run", str(tmp_path / "run")],
            env={**os.environ, **place, "PYTHONPATH": paths, "RANK": str(rank), "LOCAL_RANK": str(rank)},
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for rank in range(2)
    ]
    said = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    (event,) = events(api.Trained(tmp_path / "run", True))
    assert event["kimg"] == 0.012 and said[0].count("autopilot, change") == 1 and "autopilot" not in said[1]
    state = newest_checkpoint(tmp_path / "run")
    assert state["counters"]["cur_nimg"] == 80 and rates(tmp_path / "run")["D"] == 1e-4


def test_a_schedule_keeps_its_proportion() -> None:
    rate = {"optim.D.lr": 1.5e-3, "schedules.optim.D.lr": "linear to 1.5e-4 over 10 kimg"}
    before = completed(overridden(recipe("small"), rate))
    after = autopilot.changed_by(before, "--optim.D.lr 3e-4")
    assert after is not None and after.schedules["optim.D.lr"] == "linear to 3e-05 over 10 kimg"
    assert after.schedules["optim.G.lr"] == before.schedules["optim.G.lr"]


def test_changes_of_a_recipe_are_its_sections() -> None:
    before = completed(recipe("dcgan"))
    after = autopilot.changed_by(before, "--objective.name hinge --batch 32 --penalties.r1.gamma 2")
    assert after is not None
    found_ = changes_of(before, after)
    assert found_["train"] == {"batch": 32} and found_["objective"] == {"name": "hinge"}
    assert with_changes(before, json.loads(json.dumps(found_))) == after


def test_seeds_and_autopilot_do_not_go_together(pictures: Pictures, tmp_path: Path) -> None:
    from gannet.cli import main

    words = ["train", str(pictures()), "--recipe", "dcgan-shapes", "--resolution", "16", "--batch", "4"]
    assert main([*words, "--seeds", "2", "--autopilot", "--run", str(tmp_path / "run")]) == UserError.status
    assert not (tmp_path / "run").exists()
