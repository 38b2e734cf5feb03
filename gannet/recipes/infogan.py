"""Codes that are found without labels."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part


def infogan_mnist() -> Recipe:
    """A category of ten and two continuous codes on MNIST; Adam with 1e-3 for G, 2e-4 for D (appendix C).

    z has 62 values beside the two continuous codes, as in table 1; the networks are DCGAN's at 32x32, in
    place of the table's two convolutions and two dense layers at 28x28. Batches, beta1, the weight of the
    continuous codes and the length are ours, and so is that Q learns with D, at its rate. The paper reports that
    the category names the digit with 5% errors.
    """
    return Recipe(
        name="infogan-mnist",
        source="Chen et al. 2016, InfoGAN: Interpretable representation learning by information maximizing GANs",
        about="MNIST without labels: G has a code for the kind of digit, which can be read from its images.",
        data=Data(source="mnist", resolution=32, channels=1, fit="pad"),
        G=part("dcgan", z_dim=64, width=64, label="one-hot", init="dcgan"),
        D=part("dcgan", width=64, label="none", init="dcgan"),
        game=part("infogan", categories=10, continuous=2, weight=1.0, continuous_weight=0.1),
        optim={"G": Optim(lr=1e-3, betas=(0.5, 0.999)), "D": Optim(lr=2e-4, betas=(0.5, 0.999))},
        train=Train(length="50 epochs", batch=128),
        samples=Samples(num=100, when="every 1 epochs"),
        checkpoints=Checkpoints(when="every 10 epochs"),
    )
