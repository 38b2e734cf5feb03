"""Starting from another generator: weights of a run, a folder or the hub, copied by name and shape.

Both G and its average begin with what the other run samples from. No network is built from the folder
and no code runs from it: tensors are read, and those that have a place here are taken.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import load, save
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.hub import downloaded, is_address
from gannet.networks.folder import generator_folder, read_network
from gannet.training.loop import Training

FOLDERS = {"G": "generator", "D": "discriminator"}
MOST_NAMES = 4  # of fresh tensors that are said, of each network


@dataclass(frozen=True)
class Copied:
    """What of one network comes from elsewhere; `fresh` says of each other tensor why it does not."""

    network: str
    tensors: dict[str, Tensor]
    fresh: dict[str, str]
    num_parameters: int
    """Numbers that are copied and learn."""
    of_parameters: int

    def to_dict(self) -> dict[str, Any]:
        """The counts, and what is fresh, ready for JSON."""
        return {
            "copied": len(self.tensors),
            "parameters_copied": self.num_parameters,
            "parameters": self.of_parameters,
            "fresh": self.fresh,
        }

    def lines(self) -> Iterator[str]:
        """The same in one or two lines."""
        num, parameters = len(self.tensors) + len(self.fresh), f"{self.num_parameters:,} of {self.of_parameters:,}"
        yield f"{self.network}: {len(self.tensors)} of {num} tensors, {parameters} parameters"
        if self.fresh:
            named = [f"{name} ({why})" for name, why in list(self.fresh.items())[:MOST_NAMES]]
            more = f", and {len(self.fresh) - MOST_NAMES} more" if len(self.fresh) > MOST_NAMES else ""
            yield f"   fresh: {', '.join(named)}{more}"


@dataclass(frozen=True)
class Initial:
    """What a run starts from: where from, in a name without a path, and what of each network fits."""

    name: str
    copied: tuple[Copied, ...]

    def lines(self) -> list[str]:
        """What is copied and what is fresh."""
        said = [line for network in self.copied for line in network.lines()]
        return [f"init    {self.name}", *(f"        {line}" for line in said)]

    def to_bytes(self) -> bytes:
        """The tensors, for `start_from`."""
        return save({f"{c.network}/{name}": v.contiguous() for c in self.copied for name, v in c.tensors.items()})


def folder_of(name: str, field: str) -> str:
    """Where the network `name`, built from the part `field`, lies in a run: `generator`, `generator_F`."""
    folder = FOLDERS[field]
    return folder if name == field else f"{folder}_{name}"


def find_initial(address: str, networks: Mapping[str, nn.Module], built: Mapping[str, str], cache: Path) -> Initial:
    """What of `address` fits the networks of a game: a run, a generator's folder, or `hf://OWNER/NAME[@REVISION]`.

    `built` says from which part of the recipe, G or D, each was built. All but G are taken from the folders
    beside the generator, where they are. Raises `UserError` where nothing is found, or nothing fits.
    """
    on_hub = is_address(address)
    folder = generator_folder(downloaded(address, cache) if on_hub else Path(address)).resolve()
    name = address if on_hub else folder.parent.name if folder.name == FOLDERS["G"] else folder.name
    found = {network: folder_of(network, field) for network, field in built.items()}
    places = {network: folder if network == "G" else folder.parent / name for network, name in found.items()}
    read = {network: read_network(place) for network, place in places.items() if place.exists()}
    copied = tuple(
        fitting(network, networks[network], read.get(network, ({}, {}))[1], name) for network, name in found.items()
    )
    if not any(value.dim() > 1 for c in copied for value in c.tensors.values()):  # a stray bias is no start
        config = read["G"][0]
        raise UserError(
            f"nothing of {name} fits: its G is '{config.get('name')}' at {config.get('resolution')} pixels; choose a"
            " recipe with such networks (--recipe, --G.name and --D.name)"
        )
    return Initial(name, copied)


def fitting(network: str, own: nn.Module, other: Mapping[str, Tensor], folder: str) -> Copied:
    """The tensors of `other` that have the name and the shape of one of the network's; they are from `folder`.

    What belongs to one normalised weight (spectral norm's vectors) is taken with it or not at all:
    vectors of another weight would scale it wrongly.
    """
    wanted = own.state_dict()
    fresh: dict[str, str] = {}
    for name, value in wanted.items():
        if not other:
            fresh[name] = f"there is no {folder}"
        elif name not in other:
            fresh[name] = "absent"
        elif other[name].shape != value.shape:
            fresh[name] = f"{shape(value)}, there {shape(other[name])}"
    bound = {whole(name) for name in fresh}
    fresh |= {name: "its weight is fresh" for name in wanted if name not in fresh and whole(name) in bound}
    tensors = {name: other[name] for name in wanted if name not in fresh}
    sizes = {name: parameter.numel() for name, parameter in own.named_parameters()}
    num = sum(size for name, size in sizes.items() if name in tensors)
    return Copied(network, tensors, fresh, num, sum(sizes.values()))


def whole(name: str) -> str:
    """What the tensor is a part of, where one weight is made from several; else itself."""
    module, parted, rest = name.partition(".parametrizations.")
    return f"{module}.{rest.partition('.')[0]}" if parted else name


def shape(value: Tensor) -> str:
    return "x".join(map(str, value.shape)) or "one number"


def start_from(t: Training, tensors: bytes) -> None:
    """Puts tensors of the first rank into the networks and averages, on every rank; without bytes it does nothing.

    All ranks must call it.
    """
    data = t.engine.ranks.broadcast(tensors)
    every = load(data) if data else {}
    for network, field in t.game.built.items():
        own = {
            name.removeprefix(f"{network}/"): value for name, value in every.items() if name.startswith(f"{network}/")
        }
        t.networks[network].load_state_dict(own, strict=False)
        if t.ema and field == "G":
            t.ema.networks[network].load_state_dict(own, strict=False)
