"""Runs that diverge or run out of memory go back to a checkpoint and go on."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from runs import TINY, newest_checkpoint, train

import gannet.api as api
import gannet.sessions as sessions
from gannet.config import read_recipe
from gannet.errors import UserError
from gannet.training import measure
from gannet.training.build import build_training
from gannet.training.engine import halved, out_of_memory
from gannet.training.loop import GIVE_UP_AFTER, Training
from gannet.training.pictures import read_stats

Pictures = Callable[..., Path]
FULL = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
ON_CPU = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 68719476736 bytes.")


@pytest.fixture
def spoil(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[[Training, Any], Any]], None]:
    """Puts what it is given in the place of G's loss from the logits, for the next run."""

    def how(loss: Callable[[Training, Any], Any]) -> None:
        def spoiled(*args: Any) -> Training:
            t = build_training(*args)
            objective: Any = t.game.objective
            good = objective.g
            objective.g = lambda logits: good(logits) + loss(t, logits)
            return t

        monkeypatch.setattr(sessions, "build_training", spoiled)

    return how


def rate(t: Training) -> float:
    return t.optimizers["G"].param_groups[0]["lr"]


def events(run: Path) -> list[dict[str, Any]]:
    return [line for line in read_stats(run / "stats.jsonl") if line["type"] == "event"]


def test_a_diverged_run_goes_back_with_half_the_rates_and_ends(pictures: Pictures, tmp_path: Path, spoil: Any) -> None:
    """From the fifth iteration on nothing is finite, until the rates are a quarter of what they were."""
    spoil(lambda t, logits: math.inf if t.iteration >= 4 and rate(t) > 0.6e-4 else 0.0)
    made = train(pictures(), tmp_path / "run", {**TINY, "train.length": "9 iterations"})
    assert made.finished
    first, second = events(made.path)
    assert (first["event"], first["kimg"], first["at_kimg"], first["returns"]) == ("diverged", 0.012, 0.028, 1)
    assert (first["learning_rates"], second["learning_rates"]) == ({"G": 1e-4, "D": 1e-4}, {"G": 5e-5, "D": 5e-5})
    state = newest_checkpoint(made.path)
    assert state["counters"]["num_returns"] == 2 and state["counters"]["num_skipped"] == 2 * GIVE_UP_AFTER
    assert state["optimizers"]["D"]["param_groups"][0]["lr"] == 5e-5
    assert all(value.isfinite().all() for value in state["networks"]["G"].values())
    kimgs = [line["kimg"] for line in made.stats if line["type"] == "stats"]
    assert kimgs[-1] == 0.036 and sorted(kimgs) != kimgs


def test_half_the_rate_is_half_of_its_schedule(pictures: Pictures, tmp_path: Path, spoil: Any) -> None:
    """The ninth iteration begins after 32 of the 72 images in which the rate falls to 0; D's stays half."""

    def never_at_the_first_rate(t: Training, logits: Any) -> float:
        return math.inf if t.iteration >= 4 and t.optimizers["G"].param_groups[0]["initial_lr"] > 1.1e-4 else 0.0

    spoil(never_at_the_first_rate)
    settings = {**TINY, "train.length": "9 iterations", "schedules.optim.G.lr": "linear to 0 over 0.072 kimg"}
    made = train(pictures(), tmp_path / "run", settings)
    assert made.finished
    (event,) = events(made.path)
    assert event["learning_rates"] == {"G": 1e-4, "D": 1e-4}
    rates = {name: state["param_groups"][0]["lr"] for name, state in newest_checkpoint(made.path)["optimizers"].items()}
    assert rates == pytest.approx({"G": 1e-4 * (1 - 32 / 72), "D": 1e-4})


def test_a_fourth_divergence_ends_the_run(pictures: Pictures, tmp_path: Path, spoil: Any) -> None:
    spoil(lambda t, logits: math.inf if t.iteration >= 4 else 0.0)
    with pytest.raises(UserError, match="training diverged") as caught:
        train(pictures(), tmp_path / "run", {**TINY, "train.length": "60 iterations"})
    assert caught.value.status == 3
    assert [event["returns"] for event in events(tmp_path / "run")] == [1, 2, 3]
    losses = [line["loss G"] for line in read_stats(tmp_path / "run" / "stats.jsonl") if "loss G" in line]
    assert losses.count(None) == 4 * (GIVE_UP_AFTER - 1)
    assert (tmp_path / "run" / "generator" / "model.safetensors").exists()


@pytest.mark.parametrize("error", [FULL, ON_CPU])
def test_out_of_memory_computes_fewer_images_at_once(
    pictures: Pictures, tmp_path: Path, spoil: Any, error: Exception
) -> None:
    def full(t: Training, logits: Any) -> float:
        if t.iteration == 4 and len(logits) > 2:
            raise error
        return 0.0

    spoil(full)
    made = train(pictures(), tmp_path / "run")
    assert made.finished
    (event,) = events(made.path)
    assert (event["event"], event["micro_batch"], event["kimg"], event["at_kimg"]) == ("out of memory", 2, 0.012, 0.016)
    state = newest_checkpoint(made.path)
    assert state["counters"]["fits"] == 2 and state["counters"]["cur_nimg"] == 24
    assert api.resume(made.path, kimg=0.032).finished
    assert newest_checkpoint(made.path)["counters"]["fits"] == 2


def test_where_no_share_fits_the_run_ends_in_one_line(pictures: Pictures, tmp_path: Path, spoil: Any) -> None:
    def full(t: Training, logits: Any) -> float:
        raise FULL

    spoil(full)
    with pytest.raises(UserError, match="does not suffice for 1 images"):
        train(pictures(), tmp_path / "run")


def test_the_measurement_finds_what_fits(
    pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried: list[int] = []

    def timed(t: Training) -> float:
        tried.append(t.micro)
        if t.micro > 2:
            raise FULL
        return 0.01

    monkeypatch.setattr(measure, "time_iterations", timed)
    made = train(pictures(), tmp_path / "run", {**TINY, "train.batch": 8})
    assert tried == [8, 4, 2] and made.finished
    assert "8 images at once do not fit into memory: a batch is computed 2 at a time" in capsys.readouterr().out
    assert read_recipe(made.path / "recipe.toml")[0].train.micro_batch == 2


def test_halves_are_equal_parts() -> None:
    assert [halved(n) for n in (128, 12, 9, 7, 2, 1)] == [64, 6, 3, 1, 1, 0]


def test_other_errors_are_not_taken_for_a_full_memory() -> None:
    assert out_of_memory(FULL) and out_of_memory(ON_CPU) and out_of_memory(MemoryError())
    assert not out_of_memory(RuntimeError("shapes do not match"))
