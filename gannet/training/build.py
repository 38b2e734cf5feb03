"""From a recipe to everything that trains: parts are looked up, checked and put together."""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gannet.augment import AUGMENTATIONS
from gannet.config import CONVERTER, Optim, Part, Recipe
from gannet.data.batch import Loader
from gannet.data.dataset import Dataset
from gannet.errors import UserError, nearest
from gannet.games import GAMES
from gannet.losses import OBJECTIVES, PENALTIES
from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.parts import Table, settings_of
from gannet.training.batch_norm import synchronise
from gannet.training.ema import EMA
from gannet.training.engine import Engine, reseed
from gannet.training.loop import Training

PARTS: Mapping[str, Table] = {
    "G": GENERATORS,
    "D": DISCRIMINATORS,
    "game": GAMES,
    "objective": OBJECTIVES,
    "augment": AUGMENTATIONS,
}


def completed(recipe: Recipe, allow_code: bool = False) -> Recipe:
    """The recipe with every setting of every part written out, checked against the part's own.

    Raises `UserError` for unknown parts and settings and for values of the wrong type.
    """
    parts: dict[str, Any] = {
        field: complete(getattr(recipe, field), field, table.find(getattr(recipe, field).name, allow_code))
        for field, table in PARTS.items()
    }
    parts["penalties"] = {
        name: complete(Part(name, settings), f"penalties.{name}", PENALTIES.find(name, allow_code)).settings
        for name, settings in recipe.penalties.items()
    }
    return replace(recipe, **parts)


def complete(part: Part, field: str, build: Callable[..., Any]) -> Part:
    known = settings_of(build)
    for name in part.settings:
        if name not in known:
            raise UserError(f"{field} '{part.name}' has no setting '{name}'{nearest(name, known)}")
    values = {}
    for name, parameter in known.items():
        value = part.settings.get(name, parameter.default)
        try:
            values[name] = CONVERTER.structure(value, parameter.annotation)
        except Exception as error:
            raise UserError(f"{field}.{name} is {value!r}, and must be {describe(parameter.annotation)}") from error
    return Part(part.name, values)


def describe(annotation: Any) -> str:
    """A type in words: `one of 'batch', 'none'`, `int`, `a list of int`."""
    if typing.get_origin(annotation) is typing.Literal:
        return "one of " + ", ".join(repr(value) for value in typing.get_args(annotation))
    if typing.get_origin(annotation) is tuple:
        return f"a list of {typing.get_args(annotation)[0].__name__}"
    return annotation.__name__ if isinstance(annotation, type | types.GenericAlias) else str(annotation)


def build_networks(recipe: Recipe, channels: int, num_classes: int, allow_code: bool = False) -> dict[str, nn.Module]:
    """G and D, initialised from the recipe's seed, on the CPU."""
    networks = {}
    for number, field in enumerate(("G", "D")):
        part = getattr(recipe, field)
        reseed(recipe.seed, -2, number)
        build = PARTS[field].find(part.name, allow_code)
        networks[field] = build(recipe.data.resolution, channels, num_classes, **part.settings)
    return networks


def check_batch_norm(recipe: Recipe, networks: Mapping[str, nn.Module]) -> None:
    """Raises `UserError` where batch norm would see single images."""
    size = recipe.train.micro_batch or recipe.train.batch
    normed = any(isinstance(m, nn.modules.batchnorm._BatchNorm) for net in networks.values() for m in net.modules())
    if size == 1 and normed:
        raise UserError(
            "batch norm needs more than one image at once: set --batch (or --train.micro-batch) to 2 or more"
        )


def check_shares(recipe: Recipe, num_ranks: int) -> None:
    """Raises `UserError` where the batch cannot be cut into equal shares for the ranks."""
    batch, micro = recipe.train.batch, recipe.train.micro_batch
    if batch % (num_ranks * (micro or 1)):
        pieces = f"{num_ranks} ranks" + (f" with {micro} images at once" if micro else "")
        raise UserError(f"a batch of {batch} cannot be shared equally by {pieces}: choose another --batch")


def build_training(recipe: Recipe, dataset: Dataset, engine: Engine, allow_code: bool = False) -> Training:
    """Everything that a run moves, at its start. `recipe` is `completed`.

    Raises `UserError` where data, networks and settings do not go together.
    """
    if len(dataset.images) == 0:
        raise UserError("there is no image to train on: all are held out or unreadable")
    check_shares(recipe, engine.ranks.num)
    networks = build_networks(recipe, dataset.images.shape[1], len(dataset.classes), allow_code)
    networks = {name: engine.place(network).train() for name, network in networks.items()}
    check_batch_norm(recipe, networks)
    objective = OBJECTIVES.find(recipe.objective.name, allow_code)(**recipe.objective.settings)
    penalties = {
        name: engine.place(PENALTIES.find(name, allow_code)(**settings)) for name, settings in recipe.penalties.items()
    }
    augment = engine.place(AUGMENTATIONS.find(recipe.augment.name, allow_code)(**recipe.augment.settings))
    game = GAMES.find(recipe.game.name, allow_code)(networks, objective, penalties, augment, **recipe.game.settings)
    if set(recipe.optim) != set(game.players):
        have, want = ", ".join(recipe.optim), ", ".join(game.players)
        raise UserError(f"optim has {have}, and the players of '{recipe.game.name}' are {want}")
    optimizers = {
        player: optimizer(settings, [p for network in game.players[player] for p in network.parameters()], engine)
        for player, settings in recipe.optim.items()
    }
    half_life = recipe.ema.half_life_kimg
    ema = EMA(networks["G"], half_life, recipe.ema.warm_up) if half_life else None
    for network in networks.values():
        synchronise(network, engine.ranks)
    loader = Loader(dataset, recipe.data, recipe.seed, typing.cast(int, networks["G"].z_dim), engine.device)
    remembering = {f"penalty {name}": penalty for name, penalty in penalties.items()} | {"augment": augment}
    return Training(recipe, engine, loader, networks | remembering, game, optimizers, ema)


def optimizer(settings: Optim, parameters: list[nn.Parameter], engine: Engine) -> torch.optim.Optimizer:
    """As the recipe has it; Adam in one fused kernel where that refuses a step on the device itself."""
    if settings.name == "rmsprop":
        made: torch.optim.Optimizer = torch.optim.RMSprop(parameters, settings.lr, settings.betas[1], settings.eps)
    else:
        fused = engine.device.type != "mps"  # there the fused kernel steps whatever found_inf says
        made = torch.optim.Adam(parameters, settings.lr, settings.betas, settings.eps, fused=fused)
    for group in made.param_groups:
        group["initial_lr"] = settings.lr  # what a decay starts from, and what a divergence halves
    return made
