"""Changes that autopilot made to a run while it went on: events of stats.jsonl, in force from there on.

recipe.toml stays as it was when the run began.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from gannet.config import Recipe, with_changes
from gannet.training.checkpoint import newest_state
from gannet.training.initial import fitting
from gannet.training.loop import Training
from gannet.training.pictures import read_stats

AUTOPILOT = "autopilot"


def kept_lines(run: Path, state: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The lines of stats.jsonl that belong to the state of a checkpoint; none where there is no state."""
    return read_stats(run / "stats.jsonl", state["extra"]["stats_bytes"]) if state else []


def changes(lines: Iterable[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Those of the lines that say what autopilot did."""
    return [line for line in lines if line["type"] == "event" and line["event"] == AUTOPILOT]


def as_changed(recipe: Recipe, run: Path) -> Recipe:
    """The recipe of a run with the changes that belong to its newest checkpoint."""
    if not recipe.train.autopilot:
        return recipe
    for line in changes(kept_lines(run, newest_state(run / "checkpoints"))):
        recipe = with_changes(recipe, line["settings"])
    return recipe


def carry_over(t: Training, state: Mapping[str, Any], before: Recipe) -> dict[str, list[str]]:
    """Puts what fits of a checkpoint's state into a training at its start that was built from a changed recipe.

    Tensors are taken by name and shape, the optimizer of a player where all of its tensors fit, the counters, and
    what divergence has left of the rates; the settings are those of the changed recipe. `before` is the recipe of
    the state. Returns the names of the tensors that stay fresh, by network.
    """
    fresh: dict[str, list[str]] = {}
    for name, network in t.networks.items():
        copied = fitting(name, network, state["networks"].get(name, {}), "checkpoint")
        network.load_state_dict(copied.tensors, strict=False)
        fresh[name] = list(copied.fresh)
    for name, average in t.ema.networks.items() if t.ema else ():
        own = (state["ema"] or state["networks"])[name]
        average.load_state_dict(fitting(name, average, own, "checkpoint").tensors, strict=False)
    for player, optimizer in t.optimizers.items():
        old, group = state["optimizers"][player], optimizer.param_groups[0]
        for key in ("lr", "initial_lr"):
            group[key] *= old["param_groups"][0]["initial_lr"] / before.optim[player].lr
        learnt = [name for name, network in t.networks.items() if any(network is one for one in t.game.players[player])]
        if not any(fresh[name] for name in learnt) and before.optim[player].name == t.recipe.optim[player].name:
            optimizer.load_state_dict({"state": old["state"], "param_groups": optimizer.state_dict()["param_groups"]})
    for name in ("iteration", "cur_nimg", "num_z", "num_skipped", "fits"):
        setattr(t, name, state["counters"][name])
    return {name: names for name, names in fresh.items() if names}
