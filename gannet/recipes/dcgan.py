"""The DCGAN paper's own settings, for any folder."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part

ADAM = Optim(lr=2e-4, betas=(0.5, 0.999))


def dcgan() -> Recipe:
    """Section 4: scaled to [-1, 1], no augmentation, batches of 128, weights from N(0, 0.02), LeakyReLU
    0.2, Adam with 2e-4 and beta1 0.5; z of 100 (figure 1). The paper draws z from U(-1, 1) and G's
    first layer has 1,024 features; here z is normal and the widths are those of its well-known code.
    The number of epochs is ours.
    """
    return Recipe(
        name="dcgan",
        source="Radford, Metz and Chintala 2016, Unsupervised representation learning with deep convolutional GANs",
        about="The DCGAN paper's own settings, on any folder.",
        data=Data(resolution=64),
        G=part("dcgan", z_dim=100, width=64, init="dcgan"),
        D=part("dcgan", width=64, init="dcgan"),
        optim={"G": ADAM, "D": ADAM},
        train=Train(length="100 epochs", batch=128),
        samples=Samples(when="every 1 epochs"),
        checkpoints=Checkpoints(when="every 10 epochs"),
    )
