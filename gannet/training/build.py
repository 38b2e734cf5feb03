"""From a recipe to everything that trains: parts are looked up, checked and put together."""

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

from gannet.augment import AUGMENTATIONS
from gannet.config import CONVERTER, Optim, Part, Recipe
from gannet.data.batch import Loader
from gannet.data.dataset import Dataset
from gannet.errors import UserError, nearest
from gannet.games import GAMES
from gannet.games.turn import Game, Pieces
from gannet.losses import OBJECTIVES, PENALTIES
from gannet.networks import DISCRIMINATORS, GENERATORS, TRANSLATORS
from gannet.parts import Table, facts_for, settings_of
from gannet.training.adam import Adam
from gannet.training.batch_norm import refuse_single_values, synchronise
from gannet.training.ema import EMA
from gannet.training.engine import Engine, reseed
from gannet.training.freeze import freeze_first, learning
from gannet.training.loop import Training
from gannet.training.schedule import at_the_end

PARTS: Mapping[str, Table] = {
    "G": GENERATORS | TRANSLATORS,
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


def classes_of(recipe: Recipe, found: tuple[str, ...], allow_code: bool = False) -> tuple[str, ...]:
    """The classes that G is asked for, where the data has `found`: a game may bring its own.

    Raises `UserError` where the game cannot be played with those. `recipe` is `completed`.
    """
    return game_of(recipe, allow_code).classes(found, recipe.game.settings)


def takes_classes(recipe: Recipe, found: tuple[str, ...], allow_code: bool) -> bool:
    """Whether the game can be played with the data's classes, and its G is one that is told them."""
    try:
        classes_of(recipe, found, allow_code)
    except UserError:
        return False
    return recipe.G.name not in TRANSLATORS.rows


def game_of(recipe: Recipe, allow_code: bool) -> type[Game]:
    return typing.cast(type[Game], GAMES.find(recipe.game.name, allow_code))


def build_networks(recipe: Recipe, channels: int, num_classes: int, allow_code: bool = False) -> dict[str, nn.Module]:
    """The networks of the game by name, initialised from the recipe's seed, on the CPU.

    `channels` are those of one image; clips have as many for each frame.
    """
    game = game_of(recipe, allow_code)
    frames = recipe.data.clip_length
    depth = channels * frames
    networks = {}
    for number, (name, field) in enumerate(game.built.items()):
        part = getattr(recipe, field)
        own = (depth, num_classes)
        if field == "D":
            own = depth * game.pictures_for_d, num_classes * game.labels_for_d
        reseed(recipe.seed, -2, number)
        build = PARTS[field].find(part.name, allow_code)
        networks[name] = build(recipe.data.resolution, *own, **facts_for(build, frames=frames), **part.settings)
    return networks


def check_kind(recipe: Recipe, allow_code: bool) -> None:
    """Raises `UserError` where the game is not for such data."""
    kinds = game_of(recipe, allow_code).kinds
    if recipe.data.kind not in kinds:
        raise UserError(
            f"the game '{recipe.game.name}' plays with {' or '.join(kinds)}, and data.kind is '{recipe.data.kind}': set"
            f" --data.kind {kinds[0]}"
        )


def check_shares(recipe: Recipe, num_ranks: int) -> None:
    """Raises `UserError` where the batch cannot be cut into equal shares for the ranks."""
    batch, micro = recipe.train.batch, recipe.train.micro_batch
    if batch % (num_ranks * (micro or 1)):
        pieces = f"{num_ranks} ranks" + (f" with {micro} images at once" if micro else "")
        raise UserError(f"a batch of {batch} cannot be shared equally by {pieces}: choose another --batch")


def build_parts(recipe: Recipe, engine: Engine, allow_code: bool) -> tuple[Any, dict[str, Any], Any]:
    """The objective, the penalties by name, and the augmentation."""
    objective = OBJECTIVES.find(recipe.objective.name, allow_code)(**recipe.objective.settings)
    penalties = {}
    for name, settings in recipe.penalties.items():
        try:
            penalties[name] = engine.place(PENALTIES.find(name, allow_code)(**settings))
        except UserError as error:
            raise UserError(f"penalties.{name}: {error}") from error
    augment = AUGMENTATIONS.find(recipe.augment.name, allow_code)(**recipe.augment.settings)
    return objective, penalties, engine.place(augment)


def build_training(recipe: Recipe, dataset: Dataset, engine: Engine, allow_code: bool = False) -> Training:
    """Everything that a run moves, at its start. `recipe` is `completed`.

    Raises `UserError` where data, networks and settings do not go together.
    """
    if len(dataset.images) == 0:
        raise UserError("there is no image to train on: all are held out or unreadable")
    check_shares(recipe, engine.ranks.num)
    check_kind(recipe, allow_code)
    dataset = with_classes(dataset, classes_of(recipe, dataset.classes, allow_code))
    num_classes, channels = len(dataset.classes), dataset.images.shape[1] // recipe.data.num_frames
    networks = build_networks(recipe, channels, num_classes, allow_code)
    networks = {name: engine.place(network).train() for name, network in networks.items()}
    objective, penalties, augment = build_parts(recipe, engine, allow_code)
    shape = channels, recipe.data.resolution, recipe.data.resolution
    pieces = Pieces(networks, objective, penalties, augment, num_classes, channels, shape)
    make_game, ended = GAMES.find(recipe.game.name, allow_code), at_the_end(recipe)
    reseed(recipe.seed, -2, len(networks))
    game: Game = make_game(pieces, **recipe.game.settings)
    try:  # a part refuses what a schedule would make of it
        build_parts(ended, engine, allow_code)
        make_game(pieces, **ended.game.settings)
    except UserError as error:
        raise UserError(f"where the schedules end, {error}") from error
    networks = networks | {name: engine.place(network).train() for name, network in game.networks.items()}
    if recipe.train.freeze_d:
        x = torch.zeros(2, *dataset.images.shape[1:], device=engine.device)  # also of pairs
        c = x.new_zeros(2, num_classes * game.labels_for_d)
        for name in (name for name, field in game.built.items() if field == "D"):
            freeze_first(networks[name], recipe.train.freeze_d, x, c)
    if set(recipe.optim) != set(game.players):
        have, want = ", ".join(recipe.optim), ", ".join(game.players)
        raise UserError(f"optim has {have}, and the players of '{recipe.game.name}' are {want}")
    optimizers = {
        player: optimizer(settings, learning(game.players[player]), engine) for player, settings in recipe.optim.items()
    }
    half_life, grows = recipe.ema.half_life_kimg, "ema.half_life_kimg" in recipe.schedules
    averaged = {name: networks[name] for name, field in game.built.items() if field == "G"}
    ema = EMA(averaged, half_life, recipe.ema.warm_up) if half_life or grows else None
    for network in networks.values():
        synchronise(network, engine.ranks)
        refuse_single_values(network)
    loader = Loader(dataset, recipe.data, recipe.seed, typing.cast(int, networks["G"].z_dim), engine.device)
    remembering = {f"penalty {name}": penalty for name, penalty in penalties.items()} | {"augment": augment}
    return Training(recipe, engine, loader, networks | remembering, game, optimizers, ema)


def with_classes(dataset: Dataset, classes: tuple[str, ...]) -> Dataset:
    """The data as it is, or, where the classes are others, with images that go through them in turn."""
    if classes == dataset.classes:
        return dataset
    return replace(dataset, classes=classes, labels=np.arange(len(dataset.images)) % len(classes))


def optimizer(settings: Optim, parameters: list[nn.Parameter], engine: Engine) -> torch.optim.Optimizer:
    """As the recipe has it; Adam in one fused kernel where that refuses a step on the device itself."""
    if settings.name == "rmsprop":
        made: torch.optim.Optimizer = torch.optim.RMSprop(parameters, settings.lr, settings.betas[1], settings.eps)
    else:
        fused = engine.device.type != "mps"  # there the fused kernel steps whatever found_inf says
        made = Adam(parameters, settings.lr, settings.betas, settings.eps, fused=fused)
    for group in made.param_groups:
        group["initial_lr"] = settings.lr  # what a divergence halves; a schedule moves `lr`
    return made
