"""The first losses of every recipe, shrunken, in float64, on one thread.

`python tests/golden.py` writes them anew, for a change that is meant to move them.
"""

import json
from pathlib import Path
from typing import Any

import torch
from exact import exact

from gannet.config import Recipe, overridden
from gannet.noise import Stream, normal
from gannet.plan import random_dataset
from gannet.recipes import RECIPES, recipe
from gannet.training.build import build_training, completed
from gannet.training.engine import Engine
from gannet.training.loop import Training, iterate
from gannet.training.schedule import in_kimg

# Without those whose noise comes from torch's normal numbers: they differ between kinds of CPU.
NAMES = [name for name in RECIPES.rows if recipe(name).G.name not in ("stylegan2", "fastgan")]
GOLDEN = Path(__file__).parent / "golden.json"
STEPS = 5
SHRUNK = {
    "dcgan": ({"G.width": 4, "G.z_dim": 6}, {"D.width": 4}),
    "mlp": ({"G.z_dim": 6}, {"D.hidden": [10, 6]}),
    "resnet": (
        {"G.width": 4, "G.max_width": 8, "G.z_dim": 6, "G.attention": []},
        {"D.width": 4, "D.max_width": 8, "D.attention": []},
    ),
    "biggan": ({"G.width": 2, "G.z_dim": 8, "data.resolution": 32}, {"D.width": 2}),
    "biggan-deep": ({"G.width": 4, "G.z_dim": 6, "data.resolution": 32}, {"D.width": 4}),
    "stylegan2": (
        {"G.z_dim": 6, "G.w_dim": 6, "G.mapping_layers": 2, "G.channel_base": 64, "G.channel_max": 8},
        {"D.mapping_layers": 2, "D.channel_base": 64, "D.channel_max": 8},
    ),
    "dvdgan": ({"G.z_dim": 6, "G.width": 2, "G.embedding_dim": 3}, {"D.width": 2}),
    "fastgan": ({"G.z_dim": 6, "G.width": 2, "G.embedding_dim": 2, "data.resolution": 32}, {"D.width": 2}),
    "r3gan": (
        {"G.widths": [8, 8, 6], "G.group_size": 4, "G.z_dim": 6, "G.embedding_dim": 2, "G.blocks": 1},
        {"D.widths": [8, 8, 6], "D.group_size": 4, "D.blocks": 1},
    ),
    "unet": ({"G.width": 4, "G.max_width": 8}, {}),
    "resnet-blocks": ({"G.width": 2, "G.blocks": 1}, {}),
    "srresnet": ({"G.width": 4, "G.blocks": 1}, {}),
    "rrdb": ({"G.width": 4, "G.blocks": 1, "G.growth": 2}, {}),
    "patchgan": ({}, {"D.width": 4, "D.patch": 16}),
    "vgg": ({}, {"D.width": 4, "D.hidden": 6}),
}


def shrunk(name: str) -> Recipe:
    """The recipe at few pixels and features; everything else as it is, but for weights that are not everywhere."""
    whole = recipe(name)
    small: dict[str, Any] = {**SHRUNK[whole.G.name][0], **SHRUNK[whole.D.name][1]}
    if whole.G.name == "mlp":
        small["G.hidden"] = [8 + 2 * i for i in range(len(whole.G.settings["hidden"]))]
    if whole.game.name == "srgan":
        small["game.start_kimg"] = 0.004
    small = {"data.resolution": 16 if whole.G.name != "mlp" else whole.data.resolution, **small}
    small["penalties"] = {penalty: own for penalty, own in whole.penalties.items() if penalty != "content"}
    made = completed(overridden(whole, {**small, "train.batch": 4, "train.precision": "float32", "samples.num": 4}))
    return in_kimg(made, total_nimg=4 * STEPS, num_images=8)


def training(name: str) -> Training:
    """The shrunken recipe in float64, its weights from Gannet's own noise: torch's differs between CPUs."""
    small = shrunk(name)
    classes = ("a", "b") if small.data.labels else ()
    dataset = random_dataset(small, small.data.channels or 3, classes)
    t = build_training(small, dataset, Engine(torch.device("cpu")))
    for number, network in enumerate(t.networks.values()):
        for i, parameter in enumerate(network.parameters()):
            values = normal(number, Stream.SAMPLE, i, 1, parameter.numel()).reshape(parameter.shape)
            scale = (2 / max(parameter[0].numel(), 1)) ** 0.5 if parameter.dim() > 1 else 0.1
            parameter.data = torch.from_numpy(values).double() * scale + (parameter.dim() == 1)
    return exact(t)


def losses(name: str) -> dict[str, list[float]]:
    """Losses of the first steps in which each player learns, and how the weights of what samples differ from zero."""
    t = training(name)
    lines = []
    for _ in range(STEPS):
        iterate(t)
        lines.append(t.means.flush())
    sampler = [p.detach().double().square().mean().sqrt().item() for p in t.samplers["G"].parameters()]
    rating = "D(x)" if "D(x)" in lines[-1] else "logit real"
    return {
        **{key: [line[key] for line in lines if key in line] for key in ("loss D", "loss G", rating)},
        "sampler": sampler,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    GOLDEN.write_text(json.dumps({name: losses(name) for name in NAMES}, indent=1) + "\n")
