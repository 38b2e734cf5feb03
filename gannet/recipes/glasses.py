"""Faces with and without glasses: DCGAN with dropout in D."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part


def dcgan_glasses() -> Recipe:
    """About 5,000 faces of 256 pixels at 64x64, flipped and jittered; weights as PyTorch initialises them.

    The tutorial's text gives G the lower learning rate, its code gives it to D: the code is taken. Its
    fixed noise has 3 channels in place of 100, a slip. Its grids come from G in train mode.

    Its advice, as switches: `--D.dropout 0.3`, `--objective.real-label 0.9 --objective.fake-label 0.1`,
    `--optim.D.lr 5e-5`, `--D.width 32`, `--game.g-steps 2`, `--G.extra-convs 1`, `--epochs 400`.
    """
    return Recipe(
        name="dcgan-glasses",
        source="DCGAN on people with and without glasses (tutorial, PyTorch)",
        about="Faces at 64x64, dropout in D, D's learning rate half of G's.",
        data=Data(resolution=64, channels=3, flip=True, jitter=0.1),
        G=part("dcgan", z_dim=100, width=64, init="pytorch"),
        D=part("dcgan", width=64, dropout=0.1, init="pytorch"),
        optim={"G": Optim(lr=2e-4, betas=(0.5, 0.999)), "D": Optim(lr=1e-4, betas=(0.5, 0.999))},
        train=Train(length="200 epochs", batch=128),
        samples=Samples(num=64, when="every 10 iterations", mode="train"),
        checkpoints=Checkpoints(when="every 10 epochs"),
    )
