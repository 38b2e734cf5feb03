"""Gannet trains generative adversarial networks on your own images."""

import importlib
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "train": "gannet.api",
    "resume": "gannet.api",
    "inspect": "gannet.api",
    "sample": "gannet.using.sampling",
    "interpolate": "gannet.using.walking",
    "mix": "gannet.using.walking",
    "evaluate": "gannet.evaluating",
    "diagnose": "gannet.api",
    "compare": "gannet.experiments.compare",
    "export": "gannet.generation.export",
    "publish": "gannet.publishing",
    "directions": "gannet.using.exploring",
    "project": "gannet.using.exploring",
    "translate": "gannet.api",
    "upscale": "gannet.api",
    "studio": "gannet.studio",
    "load": "gannet.using.sampling",
    "UserError": "gannet.errors",
}
__all__ = [*_HOMES, "__version__"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for when it is asked for: torch takes seconds."""
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'gannet' has no attribute '{name}'")
