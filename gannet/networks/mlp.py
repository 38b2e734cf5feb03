"""Fully connected networks, as in the first GANs (Goodfellow et al. 2014) and in many tutorials."""

from itertools import pairwise
from typing import Literal

from torch import Tensor, nn

from gannet.errors import UserError
from gannet.networks.base import Rating
from gannet.networks.layers import (
    ClassEmbedding,
    Init,
    LabelChannel,
    LabelledNoise,
    Residual,
    at_least,
    beside,
    initialise,
    through,
    with_projection,
)
from gannet.networks.minibatch import Minibatch, minibatch_layer


def dense(into: int, out: int, *norm: nn.Module, residual: bool) -> list[nn.Module]:
    """A dense layer and its norm; with `residual` they add to what they are given, where the widths are equal."""
    layers = [nn.Linear(into, out), *norm]
    return [Residual(*layers)] if residual and into == out else layers


def check_hidden(player: str, hidden: tuple[int, ...], residual: bool) -> None:
    """Raises `UserError` for hidden layers that cannot be."""
    at_least(1, **{f"{player}.hidden": min(hidden, default=1)})
    if residual and all(a != b for a, b in pairwise(hidden)):
        raise UserError(
            f"{player}.residual joins hidden layers of equal width that follow each other, and "
            f"{player}.hidden has none: {', '.join(map(str, hidden))}"
        )


class Generator(nn.Module):
    """Dense layers with LeakyReLU 0.2 and batch norm, then tanh: `[N, channels, R, R]`, [-1, 1].

    Batch norm stands before the activation (`norm_first`) or after it; `first_norm` is whether the
    first layer has it. `bn_momentum` is PyTorch's: the weight of the new batch. Keras's momentum m
    weighs the old value, so it is 1 - m here. With `residual` a hidden layer adds to the one before it
    where both are equally wide, before its activation (He et al. 2016).
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 100,
        hidden: tuple[int, ...] = (256, 512, 1024),
        residual: bool = False,
        norm_first: bool = True,
        first_norm: bool = True,
        bn_momentum: float = 0.1,
        bn_eps: float = 1e-5,
        label: Literal["one-hot", "embedding"] = "one-hot",
        embedding_dim: int = 64,
        init: Init = "pytorch",
    ):
        super().__init__()
        at_least(1, **{"G.z_dim": z_dim, "G.embedding_dim": embedding_dim})
        check_hidden("G", hidden, residual)
        self.z_dim = z_dim
        self.shape = (channels, resolution, resolution)
        self.noise = LabelledNoise(z_dim, num_classes, label, embedding_dim)
        layers: list[nn.Module] = []
        before = self.noise.out_dim
        for i, features in enumerate(hidden):
            norm: list[nn.Module] = [nn.BatchNorm1d(features, bn_eps, bn_momentum)] if i or first_norm else []
            first, last = (norm, []) if norm_first else ([], norm)
            layers += [*dense(before, features, *first, residual=residual and i > 0), nn.LeakyReLU(0.2), *last]
            before = features
        self.layers = nn.Sequential(*layers, nn.Linear(before, channels * resolution**2), nn.Tanh())
        initialise(self, init)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return through(self.layers, self.noise(z, c), c).unflatten(1, self.shape)


class Discriminator(Rating):
    """Dense layers with LeakyReLU 0.2, then one logit: `[N]`.

    `residual` is as in `Generator`. `minibatch` shows the last layer how much the samples of a batch
    differ. `label` brings c in as a channel beside x (an embedding), one-hot beside the flattened x
    (Mirza and Osindero 2014), by projection (Miyato and Koyama 2018, equation 4), or not at all. The
    features are the last hidden layer.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        hidden: tuple[int, ...] = (512, 256),
        residual: bool = False,
        minibatch: Minibatch = "none",
        label: Literal["channel", "concatenation", "projection", "none"] = "channel",
        init: Init = "pytorch",
    ):
        super().__init__()
        check_hidden("D", hidden, residual)
        as_channel, projected = num_classes and label == "channel", num_classes and label == "projection"
        self.label_channel = LabelChannel(num_classes, resolution) if as_channel else None
        self.is_concatenated = label == "concatenation" and num_classes > 0
        before = (channels + bool(as_channel)) * resolution**2 + self.is_concatenated * num_classes
        layers: list[nn.Module] = [nn.Flatten()]
        for i, features in enumerate(hidden):
            layers += [*dense(before, features, residual=residual and i > 0), nn.LeakyReLU(0.2)]
            before = features
        self.layers = nn.Sequential(*layers)
        self.num_features = before
        self.minibatch, more = minibatch_layer(minibatch, before)
        self.to_logit = nn.Linear(before + more, 1)
        self.projection = ClassEmbedding(num_classes, before, std=before**-0.5) if projected else None
        initialise(self, init)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        x = self.label_channel(x, c) if self.label_channel else x
        features = through(self.layers, beside(x.flatten(1), c) if self.is_concatenated else x, c)
        logits = self.to_logit(self.minibatch(features)).squeeze(1)
        return with_projection(logits, features, c, self.projection), features
