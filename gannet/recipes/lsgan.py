"""Least squares GAN."""

from dataclasses import replace

from gannet.config import Optim, Recipe, part
from gannet.recipes.dcgan import dcgan


def lsgan() -> Recipe:
    """Least squares in the 0-1 coding (equation 9) on DCGAN's networks, Adam with 1e-3 and beta1 0.5, batches of 64.

    The rate is the paper's for LSUN scenes; its own networks are somewhat deeper. It reports pictures, no score.
    """
    adam = Optim(lr=1e-3, betas=(0.5, 0.999))
    paper = dcgan()
    return replace(
        paper,
        name="lsgan",
        source="Mao et al. 2017, Least squares generative adversarial networks",
        about="Least squares in place of cross-entropy.",
        objective=part("lsgan"),
        optim={"G": adam, "D": adam},
        train=replace(paper.train, batch=64),
    )
