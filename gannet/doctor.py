"""What this machine is: torch's build, its devices, and the precision that pays on each."""

import platform
import sys
from importlib.metadata import version
from typing import Any

import torch

from gannet import __version__
from gannet.data.cache import cache_folder
from gannet.errors import one_line
from gannet.plan import device_name, random_dataset, unused_accelerator
from gannet.recipes.small import small
from gannet.training.build import completed
from gannet.training.engine import find_device
from gannet.training.measure import measure


def examine() -> dict[str, Any]:
    """Facts about Python, torch and the devices, with a short measurement on each device."""
    recipe = completed(small())
    devices = {}
    for name in ["cpu", *cuda_names(), *(["mps"] if torch.backends.mps.is_available() else [])]:
        device = torch.device(name)
        try:
            speed = measure(recipe, random_dataset(recipe, 3, ()), device)
        except RuntimeError as error:
            devices[device_name(device)] = {"precision": "none", "why": one_line(error), "images_per_second": 0}
            continue
        devices[device_name(device)] = {
            "precision": speed.precision,
            "why": speed.why,
            "images_per_second": round(speed.images_in(1)),
        }
    return {
        "gannet": __version__,
        "python": f"{platform.python_version()} ({sys.executable})",
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "cuda_build": torch.version.cuda or "none",
        "cpu_instructions": torch.backends.cpu.get_cpu_capability(),
        "cache": str(cache_folder()),
        "devices": devices,
        "chosen": device_name(find_device("auto")),
        "advice": advice(),
    }


def cuda_names() -> list[str]:
    return [f"cuda:{i}" for i in range(torch.cuda.device_count())] if torch.cuda.is_available() else []


def advice() -> list[str]:
    """What stands in the way of a faster run."""
    lines = []
    if unused := unused_accelerator(find_device("auto")):
        lines.append(unused)
    if torch.version.cuda and not torch.cuda.is_available() and platform.system() == "Linux":
        lines.append(
            "this torch has CUDA, and finds no GPU that it can use: on a machine that has one, update its driver"
        )
    return lines


def report(facts: dict[str, Any]) -> str:
    """The facts as lines."""
    lines = [f"{name:<17}{value}" for name, value in facts.items() if isinstance(value, str)]
    for name, device in facts["devices"].items():
        speed = f"{device['images_per_second']:,} images a second (small, 32x32)"
        lines.append(f"{name}: {device['precision']}, {device['why']}; {speed}")
    return "\n".join(lines + [f"- {line}" for line in facts["advice"]])
