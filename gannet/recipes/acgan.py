"""An auxiliary classifier in D."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part


def acgan() -> Recipe:
    """CIFAR-10 by label: D names the class, and is not told it; z of 100 beside the one-hot label.

    Adam with 2e-4 and beta1 0.5, batches of 100, dropout of 0.5 in D, 50,000 iterations (appendix A,
    table 2, which tries rates from 1e-4 to 3e-4). The networks are DCGAN's; those of the table have 5x5
    kernels in G and six layers in D, and noise on D's activations. The paper reports an Inception Score
    of 8.25.
    """
    adam = Optim(lr=2e-4, betas=(0.5, 0.999))
    return Recipe(
        name="acgan",
        source="Odena, Olah and Shlens 2017, Conditional image synthesis with auxiliary classifier GANs",
        about="CIFAR-10 by label: D names the class of what it sees.",
        data=Data(source="cifar10", resolution=32, channels=3, labels=True),
        G=part("dcgan", z_dim=100, width=64, label="one-hot", init="dcgan"),
        D=part("dcgan", width=64, dropout=0.5, label="none", init="dcgan"),
        game=part("acgan", weight=1.0),
        optim={"G": adam, "D": adam},
        train=Train(length="5000 kimg", batch=100),
        samples=Samples(num=100, when="every 50 kimg"),
        checkpoints=Checkpoints(when="every 500 kimg"),
    )
