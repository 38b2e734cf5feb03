"""Gannet's own recipe for a person's images on a laptop."""

from gannet.config import Checkpoints, Data, Ema, Optim, Recipe, Samples, Stats, Train, part

DROPOUT = 0.2


def small() -> Recipe:
    """A narrow DCGAN with faster rates than the paper's, dropout in D, and an average of G that samples.

    The average (Yazici et al. 2019) makes up for the noise of the higher rates. With rates of 1e-3 and
    without dropout, D learned 3,767 emoji by heart after 250 kimg, and G collapsed: docs/quality.md.
    """
    adam = Optim(lr=5e-4, betas=(0.5, 0.999))
    return Recipe(
        name="small",
        source="Gannet's own, from experiments on small real data sets",
        about="For a person's images on a laptop: a narrow DCGAN, averaged.",
        data=Data(resolution=32),
        G=part("dcgan", z_dim=64, width=32, init="dcgan"),
        D=part("dcgan", width=32, dropout=DROPOUT, init="dcgan"),
        optim={"G": adam, "D": adam},
        train=Train(length="300 kimg", batch=64),
        ema=Ema(half_life_kimg=2.0),
        samples=Samples(num=64, when="every 10 kimg"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 50 kimg"),
    )
