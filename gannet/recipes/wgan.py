"""Wasserstein GANs: with clipped weights, and with a gradient penalty."""

from dataclasses import replace

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part
from gannet.recipes.dcgan import dcgan

STEPS = 5  # of the critic for each of G's, in both papers


def wgan() -> Recipe:
    """Algorithm 1: weights of the critic within 0.01, RMSProp with 5e-5, batches of 64, on DCGAN's networks.

    It reports pictures and a loss that falls as they get better, no score.
    """
    rmsprop = Optim(lr=5e-5, betas=(0.5, 0.99), name="rmsprop")
    paper = dcgan()
    return replace(
        paper,
        name="wgan",
        source="Arjovsky, Chintala and Bottou 2017, Wasserstein GAN",
        about="The critic's weights clipped, five of its steps for each of G's.",
        objective=part("wasserstein"),
        game=part("gan", d_steps=STEPS, fresh_noise=True),
        optim={"G": rmsprop, "D": replace(rmsprop, clip=0.01)},
        train=replace(paper.train, batch=64),
    )


def wgan_gp() -> Recipe:
    """The ResNet for CIFAR-10 of its appendix: 128 features everywhere, a penalty of 10, Adam with 2e-4 and (0, 0.9).

    100,000 steps of G with batches of 64 and a rate that falls linearly to 0; an Inception Score of 7.86.
    """
    adam = Optim(lr=2e-4, betas=(0.0, 0.9))
    return Recipe(
        name="wgan-gp",
        source="Gulrajani et al. 2017, Improved training of Wasserstein GANs",
        about="A gradient penalty keeps the critic's slope at 1; residual networks at 32x32.",
        data=Data(resolution=32),
        G=part("resnet", z_dim=128, width=128, max_width=128, norm="batch"),
        D=part("resnet", width=128, max_width=128, norm="none", pool="mean"),
        game=part("gan", d_steps=STEPS, fresh_noise=True),
        objective=part("wasserstein"),
        penalties={"gradient-penalty": {"weight": 10.0}},
        optim={"G": adam, "D": adam},
        schedules=dict.fromkeys(("optim.G.lr", "optim.D.lr"), "linear to 0 over 100%"),
        train=Train(length="32000 kimg", batch=64),
        samples=Samples(when="every 100 kimg"),
        checkpoints=Checkpoints(when="every 500 kimg"),
    )
