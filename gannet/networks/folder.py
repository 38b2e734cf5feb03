"""A network that describes itself, without pickle: a folder of config.json and model.safetensors, or one file."""

import json
import os
import time
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from gannet import __version__
from gannet.errors import UserError
from gannet.files import atomic, write_with
from gannet.networks.facts import FORMAT, check_facts, checked_settings, no_larger_than, unfit
from gannet.parts import Table, facts_for

KEY = "gannet"  # of the config in the header of one file
PAUSE = 0.2  # seconds that a run needs at most from the one file of a folder to the other


def save_network(folder: Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Writes the weights and buffers of `network`, and what is needed to build it again.

    `config` holds `name` (its row in the table), `resolution`, `channels`, `classes`, `settings`, of clips `frames`
    (and the channels of all of them), and whatever else readers may want. The SHA-256 of the weights goes with it, and
    the format of all this.
    """
    data = save(state_of(network))
    text = json.dumps(described(config, data), indent=2) + "\n"
    with atomic(folder / "model.safetensors") as weights, atomic(folder / "config.json") as about:
        weights.write(data)
        weights.flush()
        os.fsync(weights.fileno())  # here, so that both get their names at nearly the same time
        about.write(text.encode())


def save_file(path: Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Writes what `save_network` does as one file, `config` in its header."""
    state = state_of(network)
    text = json.dumps(described(config, save(state)))
    write_with(path, lambda file: file.write(save(state, {KEY: text})))


def described(config: Mapping[str, Any], weights: bytes) -> dict[str, Any]:
    return {**config, "format": FORMAT, "sha256": sha256(weights).hexdigest()}


def state_of(network: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}


def generator_folder(path: Path) -> Path:
    """The folder of G's weights, in a run folder or as it is, or their file. Raises `UserError` where there is none."""
    if not path.exists():
        raise UserError(f"there is no run and no generator at {path}: gannet train makes one")
    if path.is_file() and path.suffix != ".safetensors":
        only = ": gannet sample and gannet.load take ONNX files" if path.suffix == ".onnx" else ""
        raise UserError(f"{path} is a file, where the folder of a run or of a generator is needed{only}")
    if path.is_file() or (path / "config.json").exists():
        return path
    if not (path / "generator").exists():
        if not (path / "recipe.toml").exists() and (other := next(iter(sorted(path.iterdir())), None)):
            if recipes := sorted(path.glob("*/recipe.toml")):
                raise UserError(f"{path} is a folder of runs: name one of them, such as {recipes[0].parent}")
            raise UserError(f"{path} was not written by Gannet: it holds {other.name}, and no run and no generator")
        raise UserError(f"{path} holds no generator yet: it is written at the run's first checkpoint and at its end")
    return path / "generator"


def read_network(place: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config of a network, and its weights and buffers by name, of a folder or of one file.

    The config has the SHA-256 of the weights, which older versions did not write, and its fields are checked. Raises
    `UserError` where files are missing, cannot be read, are another tool's, or the weights others than were written.
    """
    config, weights, checksum = read_parts(place)
    if config.get("sha256", checksum) != checksum:
        time.sleep(PAUSE)  # a run may be writing both
        config, weights, checksum = read_parts(place)
    if config.get("sha256", checksum) != checksum:
        raise UserError(
            f"the weights in {place} are damaged, or not those that config.json was written with (their SHA-256"
            " differs): copy both files again, or let gannet resume write them"
        )
    if not config.keys() & {"name", "settings"}:
        raise UserError(f"{place} was not written by Gannet: its config.json says of no network how to build it")
    check_facts(config, place)
    return {**config, "sha256": checksum}, weights


def read_parts(place: Path) -> tuple[dict[str, Any], dict[str, Tensor], str]:
    """The config, the weights by name, and their SHA-256. Raises `UserError` as `read_network`."""
    try:
        if place.is_file():
            data = place.read_bytes()
            weights = load(data)
            header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
            config = json.loads(header.get("__metadata__", {}).get(KEY, "null"))
            data = save(weights)
        else:
            config = json.loads((place / "config.json").read_text("utf-8"))
            data = (place / "model.safetensors").read_bytes()
            weights = load(data)
    except FileNotFoundError as error:
        raise UserError(
            f"{place} holds no {Path(error.filename).name}: is it the folder of a trained network?"
        ) from error
    except (OSError, ValueError, SafetensorError, RecursionError) as error:
        raise UserError(f"{place} cannot be read: {error}") from error
    if not isinstance(config, dict):
        if place.is_file():
            raise UserError(f"{place} does not say what network it holds, as gannet export --to safetensors does")
        raise unfit(place, "it is no table")
    return config, weights, sha256(data).hexdigest()


class WithoutValues(TorchFunctionMode):
    """On the meta device draws and scales no values: torch would import its compiler for that, which takes seconds.

    A test loads every network of the tables, and fails for one that needs more than these.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        named, name = kwargs or {}, getattr(func, "__name__", "")
        if name == "randn":
            return torch.empty(*args, **named)
        if name == "normal_":  # of a tensor, or of nn.init
            return args[0] if args else named["tensor"]
        if name in ("mul", "div"):
            return torch.broadcast_tensors(*(each for each in args if isinstance(each, Tensor)))[0]
        return func(*args, **named)


def load_network(folder: Path, table: Table) -> tuple[nn.Module, dict[str, Any]]:
    """The network in eval mode on the CPU, and its config. Runs no code from the folder.

    Raises `UserError` where files are missing or do not fit.
    """
    config, weights = read_network(folder)
    if ":" in str(config.get("name")):
        raise UserError(
            f"{folder} is a network of your own code ({config['name']}), which is never imported to load one"
        )
    version = config.get("gannet", __version__)
    other = "" if version == __version__ else f" (Gannet {version} wrote them, and this is {__version__})"
    try:
        build = table.find(config["name"])
        facts = config["resolution"], config["channels"], len(config["classes"])
        settings = checked_settings(build, config["settings"], folder)
        settings = {**facts_for(build, frames=config.get("frames", 1)), **settings}
        # what does not fit may be too large for any memory
        with torch.device("meta"), WithoutValues(), no_larger_than(len(weights)):
            build(*facts, **settings).load_state_dict(weights, assign=True)
        network = build(*facts, **settings)
        network.load_state_dict(weights)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
        lines = str(error).splitlines() or [type(error).__name__]
        raise unfit(folder, f"{lines[:2][-1].strip()}{other}") from error
    except UserError as error:
        raise UserError(f"{error}{other}") from error
    return network.eval().requires_grad_(False), config
