"""MNIST with fully connected networks; D steps on reals and on fakes apart, G steps twice."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Stats, Train, part


def mlp_mnist() -> Recipe:
    """12,000 iterations of 32 images drawn with replacement; a 5x5 grid of fresh noise every 200.

    G's batch norm comes after LeakyReLU and has Keras momentum 0.7, which is PyTorch's 0.3; what the
    tutorial leaves to Keras is Keras's: Glorot initialisation, eps 1e-3 in batch norm, 1e-7 in Adam.
    D's loss and accuracy are the means of its two halves.
    """
    adam = Optim(lr=2e-4, betas=(0.5, 0.999), eps=1e-7)
    return Recipe(
        name="mlp-mnist",
        source="Analytics Vidhya, GANs: End-to-End Introduction",
        about="MNIST at 28x28 with fully connected networks; G steps twice for each step of D.",
        data=Data(source="mnist", resolution=28, channels=1, replacement=True),
        G=part(
            "mlp",
            z_dim=100,
            hidden=(256, 512, 1024),
            norm_first=False,
            bn_momentum=0.3,
            bn_eps=1e-3,
            init="glorot_uniform",
        ),
        D=part("mlp", hidden=(512, 256), init="glorot_uniform"),
        game=part("gan-halves", g_steps=2),
        optim={"G": adam, "D": adam},
        train=Train(length="12000 iterations", batch=32),
        samples=Samples(num=25, when="every 200 iterations", noise="fresh"),
        stats=Stats(every=1),
        checkpoints=Checkpoints(when="every 2000 iterations"),
    )
