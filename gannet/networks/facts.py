"""What config.json says of a network, checked when it is read: somebody else may have written it, or changed it."""

import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import cattrs
from cattrs.errors import CattrsError
from torch import nn
from torch.nn.modules.module import register_module_parameter_registration_hook

from gannet.config import CONVERTER
from gannet.errors import UserError
from gannet.parts import settings_of

FORMAT = 1  # of config.json; files that do not say are as old as version 0.1
LARGEST = 4096  # pixels of a side, as in recipes
MOST_CHANNELS = 2**16  # of all frames together
MOST_Z = 2**20
REGISTERED = 10  # times that a network registers a parameter at most while it is built, and some to spare
SHOWN = 40  # characters of what is wrong


def is_whole(value: Any, most: float, least: int = 1) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and least <= value <= most


def is_number(value: Any) -> bool:
    """Whether it is a finite number, and no whole one that is too large for a float."""
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= sys.float_info.max


def are(kind: Callable[[Any], bool], values: Any) -> bool:
    return isinstance(values, list) and all(map(kind, values))


def is_text(value: Any) -> bool:
    return isinstance(value, str)


def is_amount(value: Any) -> bool:
    return is_number(value) and value >= 0


NEEDED: dict[str, tuple[Callable[[Any], bool], str]] = {
    "name": (is_text, "the name of a network"),
    "resolution": (lambda value: is_whole(value, LARGEST), f"a whole number from 1 to {LARGEST}"),
    "channels": (lambda value: is_whole(value, MOST_CHANNELS), f"a whole number from 1 to {MOST_CHANNELS}"),
    "classes": (lambda value: are(is_text, value), "a list of names"),
    "settings": (lambda value: isinstance(value, dict), "a table"),
}
OTHERS: dict[str, tuple[Callable[[Any], bool], str]] = {
    "format": (lambda value: is_whole(value, FORMAT), f"a whole number, at most {FORMAT}"),
    "frames": (lambda value: is_whole(value, MOST_CHANNELS), f"a whole number from 1 to {MOST_CHANNELS}"),
    "class_shares": (lambda value: are(is_number, value), "a list of numbers"),
    "real_logits": (lambda value: are(is_number, value) and value == sorted(value), "a list of numbers that rise"),
    "logit_is_probability": (lambda value: isinstance(value, bool), "true or false"),
    "kimg": (is_amount, "a number, at least 0"),
    "ema_half_life_kimg": (is_amount, "a number, at least 0"),
    "gannet": (is_text, "a version"),
    "sha256": (is_text, "a checksum"),
    "given": (is_text, "a word"),
}


def check_facts(config: Mapping[str, Any], place: object) -> None:
    """Raises `UserError` for the first field that is missing, of another type, or out of range.

    What it does not know it leaves: later versions of one format may add fields.
    """
    if is_whole(config.get("format"), float("inf"), FORMAT + 1):
        raise UserError(
            f"{place} was made by a newer Gannet (format {shown(config['format'])}, and {FORMAT} is read here):"
            " update Gannet"
        )
    for name in NEEDED:
        if name not in config:
            raise unfit(place, f"'{name}' is missing")
    for name, (is_fit, words) in {**NEEDED, **OTHERS}.items():
        if name in config and not is_fit(config[name]):
            raise unfit(place, f"{name} is {shown(config[name])}, and must be {words}")
    if not is_whole(z_dim := config["settings"].get("z_dim", 1), MOST_Z):
        raise unfit(place, f"z_dim is {shown(z_dim)}, and must be a whole number from 1 to {MOST_Z}")
    if config["channels"] % config.get("frames", 1):
        raise unfit(place, f"{config['channels']} channels are not those of {config['frames']} frames")


def checked_settings(build: Callable[..., Any], settings: Mapping[str, Any], place: object) -> dict[str, Any]:
    """The settings with the types that the network's own have. Raises `UserError` for others, and unknown names."""
    known, found = settings_of(build), {}
    for name, value in settings.items():
        if name not in known:
            raise unfit(place, f"there is no setting '{shown(name)}'")
        try:
            found[name] = CONVERTER.structure(value, known[name].annotation)
        except (cattrs.BaseValidationError, CattrsError, ValueError, TypeError) as error:
            raise unfit(place, f"its setting {name} is {shown(value)}, which no network has") from error
    return found


@contextmanager
def no_larger_than(num: int) -> Iterator[None]:
    """Ends, with a `RuntimeError`, the building of a network that has many more parameters than the file has tensors.

    Their shapes cost nothing on the meta device; a number of layers without end does.
    """
    left, thread = REGISTERED * (num + REGISTERED), threading.get_ident()

    def count(module: nn.Module, name: str, value: nn.Parameter | None) -> None:
        nonlocal left
        left -= threading.get_ident() == thread
        if left < 0:
            raise RuntimeError(f"the settings ask for more parameters than the {num:,} tensors of the file")

    handle = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        handle.remove()


def shown(value: object) -> str:
    """A value in one line, cut short."""
    text = repr(value) if not isinstance(value, str) else value.encode("unicode_escape").decode()
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 3]}..."


def unfit(place: object, why: str) -> UserError:
    """The error for a config that is not that of the weights beside it."""
    return UserError(f"the weights and config.json in {place} do not fit: {why}")
