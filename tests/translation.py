"""Small trainings of the games whose G is given images."""

from pathlib import Path
from typing import Any

from clips import save_videos

FACTS: dict[str, Any] = {"data.resolution": 16, "train.batch": 4}
PATCHES: dict[str, Any] = {"name": "patchgan", "width": 4, "patch": 16}
PIX2PIX: dict[str, Any] = {
    **FACTS,
    "data.kind": "pairs",
    "G": {"name": "unet", "width": 4, "max_width": 8},
    "D": PATCHES,
    "game": {"name": "pix2pix"},
}
CYCLEGAN: dict[str, Any] = {
    **FACTS,
    "data.kind": "unpaired",
    "G": {"name": "resnet-blocks", "width": 2, "blocks": 1},
    "D": {**PATCHES, "norm": "instance"},
    "game": {"name": "cyclegan", "pool": 3},
    "objective": {"name": "lsgan"},
}
SRGAN: dict[str, Any] = {
    **FACTS,
    "G": {"name": "srresnet", "width": 4, "blocks": 1, "scale": 2},
    "D": {"name": "vgg", "width": 2, "hidden": 6},
    "game": {"name": "srgan", "adversarial": 0.5},
}
GIVEN = {"pix2pix": PIX2PIX, "cyclegan": CYCLEGAN, "srgan": SRGAN}
QUIET: dict[str, Any] = {
    "G": {**PIX2PIX["G"], "dropout": 0.0, "norm": "instance"},
    "D": {**PATCHES, "norm": "instance"},
}
"""No dropout, and no norm over a batch: then micro-batches and ranks change nothing."""


def told_apart(data: Path, settings: dict[str, Any]) -> tuple[Path, dict[str, Any]]:
    """The folder of classes a and b, or, where the sets are unpaired, that of a with b as the other one.

    For clips another folder, of videos of both classes.
    """
    if settings.get("data.kind") == "clips":
        videos = data.with_name("videos")
        return save_videos(videos, frames=settings.get("data.frames", 16), classes=("a", "b")), settings
    if settings.get("data.kind") != "unpaired":
        return data, settings
    return data / "a", {**settings, "data.other": str(data / "b")}
