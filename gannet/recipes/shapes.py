"""Drawn circles and squares: the smallest DCGAN, spectral norm in its D, and a conditional one."""

from dataclasses import replace

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part

ADAM = Optim(lr=2e-4, betas=(0.5, 0.999))
LESSON = "Image Generation - GANs (a course's lesson)"


def dcgan_shapes() -> Recipe:
    """2,000 circles at 32x32; D gives logits and G plays fresh noise; samples in eval mode."""
    return Recipe(
        name="dcgan-shapes",
        source=LESSON,
        about="2,000 drawn circles at 32x32 with a small DCGAN.",
        data=Data(source="shapes", resolution=32, channels=3),
        G=part("dcgan", z_dim=64, width=32, init="pytorch"),
        D=part("dcgan", width=32, bias=True, init="pytorch"),
        game=part("gan", fresh_noise=True),
        optim={"G": ADAM, "D": ADAM},
        train=Train(length="10 epochs", batch=64),
        samples=Samples(num=16, when="every 1 epochs", mode="eval"),
        checkpoints=Checkpoints(when="every 5 epochs"),
    )


def sngan_shapes() -> Recipe:
    """The same with spectral norm in every layer of D in place of batch norm."""
    return replace(
        dcgan_shapes(),
        name="sngan-shapes",
        about="dcgan-shapes with spectral norm in D instead of batch norm.",
        D=part("dcgan", width=32, norm="spectral", bias=True, init="pytorch"),
    )


def sngan_shapes_ttur() -> Recipe:
    """Two time scales (Heusel et al. 2017): D learns 4 times as fast as G; the lesson says 2 to 4."""
    return replace(
        sngan_shapes(),
        name="sngan-shapes-ttur",
        about="sngan-shapes with D's learning rate 4 times G's.",
        optim={"G": Optim(lr=1e-4, betas=(0.5, 0.999)), "D": Optim(lr=4e-4, betas=(0.5, 0.999))},
    )


def cdcgan_shapes() -> Recipe:
    """Circles against squares: one-hot labels beside z in G, a class embedding as a channel in D.

    The lesson leaves it as an exercise and names no length. After its 10 epochs nearly everything is round;
    180 is where squares have corners (measured in docs/quality.md).
    """
    return replace(
        dcgan_shapes(),
        name="cdcgan-shapes",
        about="Circles against squares, by label.",
        data=Data(source="shapes-labelled", resolution=32, channels=3, labels=True),
        G=part("dcgan", z_dim=64, width=32, label="one-hot", init="pytorch"),
        D=part("dcgan", width=32, bias=True, label="channel", init="pytorch"),
        train=Train(length="180 epochs", batch=64),
        samples=Samples(num=16, when="every 10 epochs", mode="eval"),
        checkpoints=Checkpoints(when="every 30 epochs"),
    )
