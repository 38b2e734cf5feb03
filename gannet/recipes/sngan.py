"""Spectral normalisation, and self-attention on top of it."""

from gannet.config import Checkpoints, Data, Ema, Optim, Recipe, Samples, Train, part


def sngan_cifar10() -> Recipe:
    """The ResNet of table 4 with the hinge loss: five steps of D, Adam with 2e-4 and (0, 0.9), batches of 64.

    50,000 steps of G while the rate falls linearly to 0. The paper reports an Inception Score of 8.22
    and an FID of 21.7 on CIFAR-10 without labels.
    """
    adam = Optim(lr=2e-4, betas=(0.0, 0.9))
    return Recipe(
        name="sngan-cifar10",
        source="Miyato et al. 2018, Spectral normalization for generative adversarial networks",
        about="Residual networks at 32x32, D with spectral norm and the hinge loss.",
        data=Data(source="cifar10", resolution=32, channels=3),
        G=part("resnet", z_dim=128),
        D=part("resnet"),
        game=part("gan", d_steps=5, fresh_noise=True),
        objective=part("hinge"),
        optim={"G": adam, "D": adam},
        schedules=dict.fromkeys(("optim.G.lr", "optim.D.lr"), "linear to 0 over 100%"),
        train=Train(length="16000 kimg", batch=64),
        samples=Samples(when="every 100 kimg"),
        checkpoints=Checkpoints(when="every 500 kimg"),
    )


def sagan() -> Recipe:
    """Section 4: spectral norm in both networks, attention at 32x32, two time scales, one step each, by label.

    Adam with 1e-4 for G and 4e-4 for D, betas (0, 0.9), batches of 256, a million iterations. The paper
    reports an FID of 18.65 on ImageNet at 128x128.
    """
    return Recipe(
        name="sagan",
        source="Zhang et al. 2019, Self-attention generative adversarial networks",
        about="Self-attention at 32x32, conditional batch norm, projection; 128x128, by label.",
        data=Data(resolution=128, channels=3, labels=True),
        G=part("resnet", z_dim=128, attention=(32,), spectral=True),
        D=part("resnet", attention=(32,)),
        objective=part("hinge"),
        optim={"G": Optim(lr=1e-4, betas=(0.0, 0.9)), "D": Optim(lr=4e-4, betas=(0.0, 0.9))},
        train=Train(length="256000 kimg", batch=256),
        samples=Samples(when="every 500 kimg"),
        checkpoints=Checkpoints(when="every 2000 kimg"),
    )


def biggan_cifar10() -> Recipe:
    """BigGAN's networks at 32x32 with 64 features and no attention, by label, hinge, orthogonal regularisation in G.

    The paper reports an FID of 14.73 and an Inception Score of 9.22 on CIFAR-10 and names few settings
    for it: Adam with 2e-4 and (0, 0.999), four steps of D, batches of 50 and 500 epochs are what is
    commonly run. The average of G has the paper's decay of 0.9999 an iteration.
    """
    adam = Optim(lr=2e-4, betas=(0.0, 0.999))
    return Recipe(
        name="biggan-cifar10",
        source="Brock, Donahue and Simonyan 2019, Large scale GAN training for high fidelity natural image synthesis",
        about="BigGAN at 32x32: a split z, a shared embedding, conditional batch norm.",
        data=Data(source="cifar10", resolution=32, channels=3, labels=True, flip=True),
        G=part("biggan", z_dim=120, width=64, attention=()),
        D=part("biggan", width=64, attention=()),
        game=part("gan", d_steps=4, fresh_noise=True),
        objective=part("hinge"),
        penalties={"orthogonal": {"weight": 1e-4}},
        optim={"G": adam, "D": adam},
        train=Train(length="25000 kimg", batch=50),
        ema=Ema(half_life_kimg=1386.0),
        samples=Samples(when="every 100 kimg"),
        checkpoints=Checkpoints(when="every 500 kimg"),
    )
