"""The first conditional GAN."""

from gannet.config import Checkpoints, Data, Optim, Recipe, Samples, Train, part


def cgan_mnist() -> Recipe:
    """One-hot labels beside z in G and beside the pixels in D, dense layers, batches of 100 (section 4.1).

    As in the paper z has 100 values and G's last hidden layer 1,200 features. Ours otherwise: z is
    normal (uniform there), a rate of 2e-4 with Adam (SGD with momentum there), LeakyReLU and batch norm in
    G, plain layers of 512 and 256 features in D (ReLU, maxout and dropout there), and the length. The
    paper reports a log-likelihood of 132 by Parzen windows.
    """
    adam = Optim(lr=2e-4, betas=(0.5, 0.999))
    return Recipe(
        name="cgan-mnist",
        source="Mirza and Osindero 2014, Conditional generative adversarial nets",
        about="MNIST by label with fully connected networks.",
        data=Data(source="mnist", resolution=28, channels=1, labels=True),
        G=part("mlp", z_dim=100, hidden=(256, 1200), label="one-hot"),
        D=part("mlp", hidden=(512, 256), label="concatenation"),
        optim={"G": adam, "D": adam},
        train=Train(length="50 epochs", batch=100),
        samples=Samples(num=100, when="every 1 epochs"),
        checkpoints=Checkpoints(when="every 10 epochs"),
    )
