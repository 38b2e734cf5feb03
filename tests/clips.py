"""Small clips: settings to train with, data to train on, and runs to sample from."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from gannet.networks import GENERATORS
from gannet.networks.folder import save_network

FRAMES = 3
SIZE = 16
G_SMALL: dict[str, Any] = {"z_dim": 5, "width": 2, "embedding_dim": 3}
CLIPS: dict[str, Any] = {
    "data.resolution": SIZE,
    "data.kind": "clips",
    "data.frames": 4,
    "train.batch": 4,
    "G": {"name": "dvdgan", **G_SMALL},
    "D": {"name": "dvdgan", "width": 2, "num_spatial": 2},
    "objective": {"name": "hinge"},
}
PREDICTION: dict[str, Any] = {**CLIPS, "G": {**CLIPS["G"], "given": 2}, "game": {"name": "prediction"}}


def save_videos(folder: Path, num: int = 8, frames: int = FRAMES, classes: tuple[str, ...] = ()) -> Path:
    """GIFs of noise, in class folders where classes are named."""
    random = np.random.Generator(np.random.Philox(6))
    for i in range(num):
        path = folder / (classes[i % len(classes)] if classes else "") / f"{i:03}.gif"
        path.parent.mkdir(parents=True, exist_ok=True)
        first, *more = map(Image.fromarray, random.integers(0, 256, (frames, SIZE, SIZE, 3), np.uint8))
        first.save(path, save_all=True, append_images=more)
    return folder


def save_run(folder: Path, classes: tuple[str, ...] = (), channels: int = 3, given: int = 0) -> Path:
    """A run folder with DVD-GAN's G in it."""
    torch.manual_seed(2)
    settings = {**G_SMALL, "given": given}
    G = GENERATORS.find("dvdgan")(SIZE, FRAMES * channels, len(classes), FRAMES, **settings)
    facts = {"resolution": SIZE, "channels": FRAMES * channels, "frames": FRAMES, "classes": list(classes)}
    save_network(folder / "generator", G, {"name": "dvdgan", **facts, "settings": settings})
    return folder
