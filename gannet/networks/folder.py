"""A network as a folder that describes itself: config.json and model.safetensors, no pickle."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.files import write_text, write_with
from gannet.parts import Table, facts_for


def save_network(folder: Path, network: nn.Module, config: Mapping[str, Any]) -> None:
    """Writes the weights and buffers of `network`, and what is needed to build it again.

    `config` holds `name` (its row in the table), `resolution`, `channels`, `classes`, `settings`, of clips `frames`
    (and the channels of all of them), and whatever else readers may want.
    """
    state = {name: value.detach().cpu().contiguous() for name, value in network.state_dict().items()}
    write_with(folder / "model.safetensors", lambda file: file.write(save(state)))
    write_text(folder / "config.json", json.dumps(config, indent=2) + "\n")


def generator_folder(path: Path) -> Path:
    """The folder of G's weights, in a run folder or as it is. Raises `UserError` where there is none."""
    if not path.exists():
        raise UserError(f"there is no run and no generator at {path}: gannet train makes one")
    if (path / "config.json").exists():
        return path
    if not (path / "generator").exists():
        raise UserError(f"{path} holds no generator yet: it is written at the run's first checkpoint and at its end")
    return path / "generator"


def read_network(folder: Path) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The config of a network, and its weights and buffers by name. Raises `UserError` where files are missing."""
    try:
        config = json.loads((folder / "config.json").read_text("utf-8"))
        weights = load((folder / "model.safetensors").read_bytes())
    except FileNotFoundError as error:
        raise UserError(
            f"{folder} holds no {Path(error.filename).name}: is it the folder of a trained network?"
        ) from error
    except (OSError, ValueError, SafetensorError) as error:
        raise UserError(f"{folder} cannot be read: {error}") from error
    if not isinstance(config, dict):
        raise UserError(f"the weights and config.json in {folder} do not fit: it is no table")
    return config, weights


def load_network(folder: Path, table: Table) -> tuple[nn.Module, dict[str, Any]]:
    """The network in eval mode on the CPU, and its config. Runs no code from the folder.

    Raises `UserError` where files are missing or do not fit.
    """
    config, weights = read_network(folder)
    if ":" in str(config.get("name")):
        raise UserError(
            f"{folder} is a network of your own code ({config['name']}), which is never imported to load one"
        )
    try:
        build = table.find(config["name"])
        facts = config["resolution"], config["channels"], len(config["classes"])
        network = build(*facts, **facts_for(build, frames=config.get("frames", 1)), **config["settings"])
        network.load_state_dict(weights)
    except (KeyError, TypeError, RuntimeError) as error:
        raise UserError(f"the weights and config.json in {folder} do not fit: {str(error).splitlines()[0]}") from error
    return network.eval().requires_grad_(False), config
