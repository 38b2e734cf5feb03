"""Video: DVD-GAN, from noise or from first frames, and a small one for CPUs."""

from dataclasses import replace

from gannet.config import Checkpoints, Data, Ema, Optim, Recipe, Samples, Stats, Train, part

PAPER = "Clark, Donahue and Simonyan 2019, Adversarial video generation on complex datasets"


def dvdgan() -> Recipe:
    """Clips of 12 frames at 64x64, by label: hinge, two steps of D, batches of 512, 300,000 steps of G.

    Adam with 1e-4 for G and 5e-4 for D, betas (0, 0.999); D sees 8 frames drawn at random and the clip at half the
    size. The average of G has BigGAN's decay of 0.9999 an iteration. The paper reports an Inception Score of 32.97
    on UCF-101 (its table 3, for 16 frames at 128x128).
    """
    return Recipe(
        name="dvdgan",
        source=PAPER,
        about="Video by label: a GRU over time in G, one D for frames and one for movement.",
        data=Data(resolution=64, channels=3, kind="clips", frames=12, labels=True),
        G=part("dvdgan"),
        D=part("dvdgan"),
        game=part("gan", d_steps=2),
        objective=part("hinge"),
        optim={"G": Optim(lr=1e-4, betas=(0.0, 0.999)), "D": Optim(lr=5e-4, betas=(0.0, 0.999))},
        train=Train(length="307200 kimg", batch=512),
        ema=Ema(half_life_kimg=7098.0),
        samples=Samples(num=16, when="every 500 kimg"),
        checkpoints=Checkpoints(when="every 2000 kimg"),
    )


def dvdgan_fp() -> Recipe:
    """Frame prediction: 5 frames of 16 are given, and an encoder makes of them what the GRUs begin with; no labels.

    As for Kinetics-600 in the paper (its section 4.3); all else as in dvdgan.
    """
    whole = dvdgan()
    return replace(
        whole,
        name="dvdgan-fp",
        about="What comes next in a video: 5 frames are given, and 11 follow from them.",
        data=replace(whole.data, frames=16, labels=False),
        G=part("dvdgan", given=5),
        game=part("prediction", d_steps=2),
    )


def dvdgan_small() -> Recipe:
    """Gannet's own settings for two threads of a CPU: 16 frames at 32x32, an eighth of the features, batches of 16.

    One step of D for one of G, D twice as fast.
    """
    return replace(
        dvdgan(),
        name="dvdgan-small",
        about="Short videos at 32x32 on a CPU, by label, such as the drawn set moving.",
        data=Data(resolution=32, kind="clips", frames=16, labels=True),
        G=part("dvdgan", z_dim=32, width=8, embedding_dim=16),
        D=part("dvdgan", width=8, num_spatial=4),
        game=part("gan"),
        optim={"G": Optim(lr=5e-4, betas=(0.0, 0.99)), "D": Optim(lr=1e-3, betas=(0.0, 0.99))},
        train=Train(length="30 kimg", batch=16),
        ema=Ema(half_life_kimg=1.0, warm_up=0.1),
        samples=Samples(num=12, when="every 2 kimg"),
        stats=Stats(every=10),
        checkpoints=Checkpoints(when="every 10 kimg"),
    )
