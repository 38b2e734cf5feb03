"""Fully connected networks, as in the first GANs (Goodfellow et al. 2014) and in many tutorials."""

from typing import Literal

from torch import Tensor, nn

from gannet.networks.layers import ClassEmbedding, Init, LabelChannel, LabelledNoise, at_least, initialise


class Generator(nn.Module):
    """Dense layers with LeakyReLU 0.2 and batch norm, then tanh: `[N, channels, R, R]`, [-1, 1].

    Batch norm stands before the activation (`norm_first`) or after it; `first_norm` is whether the
    first layer has it. `bn_momentum` is PyTorch's: the weight of the new batch. Keras's momentum m
    weighs the old value, so it is 1 - m here.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 100,
        hidden: tuple[int, ...] = (256, 512, 1024),
        norm_first: bool = True,
        first_norm: bool = True,
        bn_momentum: float = 0.1,
        bn_eps: float = 1e-5,
        label: Literal["one-hot", "embedding"] = "one-hot",
        embedding_dim: int = 64,
        init: Init = "pytorch",
    ):
        super().__init__()
        at_least(1, **{"G.z_dim": z_dim, "G.hidden": min(hidden, default=1), "G.embedding_dim": embedding_dim})
        self.z_dim = z_dim
        self.shape = (channels, resolution, resolution)
        self.noise = LabelledNoise(z_dim, num_classes, label, embedding_dim)
        layers: list[nn.Module] = []
        before = self.noise.out_dim
        for i, features in enumerate(hidden):
            act: list[nn.Module] = [nn.LeakyReLU(0.2)]
            norm: list[nn.Module] = [nn.BatchNorm1d(features, bn_eps, bn_momentum)] if i or first_norm else []
            layers += [nn.Linear(before, features), *(norm + act if norm_first else act + norm)]
            before = features
        self.layers = nn.Sequential(*layers, nn.Linear(before, channels * resolution**2), nn.Tanh())
        initialise(self, init)

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.layers(self.noise(z, c)).unflatten(1, self.shape)


class Discriminator(nn.Module):
    """Dense layers with LeakyReLU 0.2, then one logit: `[N]`.

    `label` brings c in as a channel beside x, or by projection (Miyato and Koyama 2018, equation 4).
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        hidden: tuple[int, ...] = (512, 256),
        label: Literal["channel", "projection"] = "channel",
        init: Init = "pytorch",
    ):
        super().__init__()
        at_least(1, **{"D.hidden": min(hidden, default=1)})
        as_channel, projected = num_classes and label == "channel", num_classes and label == "projection"
        self.label_channel = LabelChannel(num_classes, resolution) if as_channel else None
        before = (channels + bool(as_channel)) * resolution**2
        layers: list[nn.Module] = [nn.Flatten()]
        for features in hidden:
            layers += [nn.Linear(before, features), nn.LeakyReLU(0.2)]
            before = features
        self.layers = nn.Sequential(*layers)
        self.to_logit = nn.Linear(before, 1)
        self.projection = ClassEmbedding(num_classes, before, std=before**-0.5) if projected else None
        initialise(self, init)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        features = self.layers(self.label_channel(x, c) if self.label_channel else x)
        logits = self.to_logit(features).squeeze(1)
        return logits + (self.projection(c) * features).sum(1) if self.projection else logits
