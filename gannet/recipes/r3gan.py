"""R3GAN: a relativistic loss, R1 and R2 on every step, networks without normalisation, and little else."""

from dataclasses import replace

from gannet.config import Checkpoints, Data, Ema, Optim, Recipe, Samples, Stats, Train, part

SOURCE = "Huang et al. 2024, The GAN is dead; long live the GAN! A modern GAN baseline"


def r3gan_cifar10() -> Recipe:
    """CIFAR-10 by label: batches of 512, a burn-in of 20,000 kimg in which everything moves along a cosine.

    Rates from 2e-4 to 5e-5, beta2 from 0.9 to 0.99, gamma from 0.05 to 0.005, the half-life of G's
    average from 0 to 5,000 kimg, the augmentation's p from 0 to 0.55. The paper reports an FID of 1.96
    after 250,000 kimg.

    The budget, the batch, flips and labels are those that its authors' issue tracker names. Not
    confirmed here: the length of the burn-in, and which of ADA's changes are used.
    """
    return Recipe(
        name="r3gan-cifar10",
        source=SOURCE,
        about="R3GAN at 32x32, by label. For GPUs.",
        data=Data(source="cifar10", resolution=32, channels=3, labels=True, flip=True),
        G=part("r3gan"),
        D=part("r3gan"),
        objective=part("relativistic"),
        penalties={"r1": {"gamma": 0.05}, "r2": {"gamma": 0.05}},
        augment=part("ada", target=0.0),
        optim={"G": Optim(lr=2e-4, betas=(0.0, 0.9)), "D": Optim(lr=2e-4, betas=(0.0, 0.9))},
        train=Train(length="250000 kimg", batch=512),
        ema=Ema(half_life_kimg=0.0),
        schedules=burn_in(20_000, gamma=0.005, half_life_kimg=5_000, p=0.55),
        samples=Samples(when="every 500 kimg"),
        stats=Stats(every=16),
        checkpoints=Checkpoints(when="every 1000 kimg"),
    )


def r3gan_ffhq64() -> Recipe:
    """FFHQ at 64x64, without labels: batches of 256, gamma from 2 to 0.2, a half-life of 500 kimg, p up to 0.3.

    All else is that of `r3gan-cifar10`. The length of the burn-in, ADA's changes and the budget of
    150,000 kimg could not be confirmed here.
    """
    paper = r3gan_cifar10()
    return replace(
        paper,
        name="r3gan-ffhq64",
        about="R3GAN at 64x64, for tens of thousands of images. For GPUs.",
        data=Data(resolution=64, channels=3, flip=True),
        penalties={"r1": {"gamma": 2.0}, "r2": {"gamma": 2.0}},
        train=Train(length="150000 kimg", batch=256),
        schedules=burn_in(20_000, gamma=0.2, half_life_kimg=500, p=0.3),
    )


def r3gan_imagenet64() -> Recipe:
    """ImageNet at 64x64, by label: twice the width, batches of 4096, gamma from 1 to 0.1, p up to 0.4.

    All else is that of `r3gan-cifar10`; the budget of 1,000,000 kimg is the paper's. The burn-in of
    200,000 kimg, the half-life of 50,000 kimg, flips and ADA's changes could not be confirmed here.
    """
    paper = r3gan_cifar10()
    wide = part("r3gan", widths=(1536, 1536, 1536, 1536, 1536), group_size=32)
    return replace(
        paper,
        name="r3gan-imagenet64",
        about="R3GAN at 64x64 with 1,536 features in every stage, by label. For many GPUs.",
        data=Data(resolution=64, channels=3, labels=True, flip=True),
        G=wide,
        D=wide,
        penalties={"r1": {"gamma": 1.0}, "r2": {"gamma": 1.0}},
        train=Train(length="1000000 kimg", batch=4096),
        schedules=burn_in(200_000, gamma=0.1, half_life_kimg=50_000, p=0.4),
        samples=Samples(when="every 5000 kimg"),
        checkpoints=Checkpoints(when="every 10000 kimg"),
    )


def burn_in(kimg: int, gamma: float, half_life_kimg: float, p: float) -> dict[str, str]:
    """Where everything goes in the first `kimg`; rates and beta2 go to the same values in all of the paper's runs."""
    ends = {
        "optim.G.lr": 5e-5,
        "optim.D.lr": 5e-5,
        "optim.G.beta2": 0.99,
        "optim.D.beta2": 0.99,
        "penalties.r1.gamma": gamma,
        "penalties.r2.gamma": gamma,
        "ema.half_life_kimg": half_life_kimg,
        "augment.p": p,
    }
    return {name: f"cosine to {end} over {kimg} kimg" for name, end in ends.items()}
