"""Gannet's own recipe for a person's images on a laptop."""

from dataclasses import replace

from gannet.config import Checkpoints, Data, Ema, Optim, Recipe, Samples, Stats, Train, part

SLOWER = "linear to 0.1x from 40% to 100%"


def small() -> Recipe:
    """A narrow DCGAN at five times its paper's rates and more, which fall, with D held back by flips, turns and shifts.

    D has a stem, and a smaller D beside it for half the size (Wang et al. 2018): with G's rate above D's, emoji
    gained much and digits a little, but drawn circles lost. Labels come into D by projection. ADA (Karras et al.
    2020) with its cheapest changes and five times its pace keeps D from learning a small set by heart, and stops at
    0.8, before G learns the changes. A weak R1 (Mescheder et al. 2018), every 16th iteration, keeps D's slopes from
    growing where ADA sees nothing wrong: without it digits were better after 200 kimg than after 350. G ends in a
    smooth doubling (Odena et al. 2016): flat areas were grained, which made up a tenth of the distance to reals. The
    average of G (Yazici et al. 2019) makes up for the noise of the rates. What each of these gave, and what did not:
    docs/quality.md.
    """
    adam = Optim(lr=1e-3, betas=(0.5, 0.999))
    faster = replace(adam, lr=1.5e-3)
    return Recipe(
        name="small",
        source="Gannet's own, from experiments on small real data sets",
        about="For a person's images on a laptop: a narrow DCGAN with adaptive augmentation, averaged.",
        data=Data(resolution=32),
        G=part("dcgan", z_dim=64, width=32, smooth=True, init="dcgan"),
        D=part("dcgan", width=32, stem=16, scales=2, label="projection", init="dcgan"),
        penalties={"r1": {"gamma": 0.1, "every": 16}},
        augment=part("ada", categories="blit", kimg=100.0, most=0.8),
        optim={"G": faster, "D": adam},
        schedules={"optim.G.lr": SLOWER, "optim.D.lr": SLOWER},
        train=Train(length="300 kimg", batch=32),
        ema=Ema(half_life_kimg=2.0),
        samples=Samples(num=64, when="every 10 kimg"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 50 kimg"),
    )
