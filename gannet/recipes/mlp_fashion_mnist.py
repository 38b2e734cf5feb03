"""Fashion-MNIST with fully connected networks that step at the same time."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part

KERAS_MOMENTUM = 0.1  # the weight of the old value; PyTorch's momentum is the weight of the new one


def mlp_fashion_mnist() -> Recipe:
    """One forward of G, both gradients from the same state, then both steps; D's loss is real + fake.

    Batch norm has Keras momentum 0.1, which is PyTorch's 0.9, and eps 0.8. The tutorial takes betas,
    batch size and number of epochs by argument: 0.5 and 0.999, 128 and 100 are ours.
    """
    adam = Optim(lr=2e-4, betas=(0.5, 0.999), eps=1e-7)
    return Recipe(
        name="mlp-fashion-mnist",
        source="Live Code Stream, Generating images with Deep Learning",
        about="Fashion-MNIST at 28x28 with fully connected networks, simultaneous steps.",
        data=Data(source="fashion-mnist", resolution=28, channels=1),
        G=part(
            "mlp",
            z_dim=100,
            hidden=(128, 256, 512, 1024),
            first_norm=False,
            bn_momentum=1 - KERAS_MOMENTUM,
            bn_eps=0.8,
            init="he_uniform",
        ),
        D=part("mlp", hidden=(512, 256), init="he_uniform"),
        game=part("gan-simultaneous"),
        optim={"G": adam, "D": adam},
        train=Train(length="100 epochs", batch=128),
        samples=Samples(num=64, when="every 1 epochs"),
        checkpoints=Checkpoints(when="every 15 epochs"),
    )
