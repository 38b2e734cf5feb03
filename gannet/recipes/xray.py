"""Chest X-rays with a plain DCGAN."""

from dataclasses import replace

from gannet.config import Data, Recipe, Samples
from gannet.recipes.dcgan import dcgan


def dcgan_xray() -> Recipe:
    """5,221 chest X-rays of differing sizes, labels unused, at 64x64 and padded where smaller.

    The tutorial shows the images of one constant noise at epochs 1, 5, 10, 20 and on to 100 (the 50
    is ours, as are the paper's 64 filters), keeps the losses of each of its 4,100 iterations, and
    afterwards keeps the samples that D rates at 0.8 or more: `gannet sample RUN --min-realness 0.8`.
    """
    return replace(
        dcgan(),
        name="dcgan-xray",
        source="OVHcloud, Understanding Image Generation: A Beginner's Guide to Generative Adversarial Networks",
        about="Chest X-rays of differing sizes at 64x64.",
        data=Data(resolution=64, fit="pad"),
        samples=Samples(num=64, when="at 1, 5, 10, 20, 50, 100 epochs"),
    )
