"""Gannet's own recipe for a person's images on one GPU."""

from dataclasses import replace

from gannet.config import Ema, Recipe, Train, changed, part
from gannet.recipes.small import small


def best() -> Recipe:
    """`small` with twice the features, at 64 pixels, and with all of ADA's changes that its paper uses.

    Twice the features were better after equally many images (docs/quality.md); what they cost, a GPU
    has. It was never measured on one: for days of training look at `r3gan-ffhq64` and `stylegan2-ada`.
    """
    narrow = changed(small(), "data", resolution=64)
    return replace(
        narrow,
        name="best",
        about="For a person's images on one GPU: a DCGAN with adaptive augmentation, averaged.",
        G=part("dcgan", z_dim=128, width=64, smooth=True, init="dcgan"),
        D=part("dcgan", width=64, stem=16, scales=2, label="projection", init="dcgan"),
        augment=part("ada", kimg=100.0, most=0.8),
        train=Train(length="3000 kimg", batch=64),
        ema=Ema(half_life_kimg=5.0),
    )
