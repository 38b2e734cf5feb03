"""Layers and initialisations that more than one family uses."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

Init = Literal["pytorch", "dcgan", "he_uniform", "glorot_uniform"]


class ClassEmbedding(nn.Module):
    """One vector a class, for one-hot (or soft) labels: c `[N, num_classes]` to `[N, dim]`.

    Built with 0 classes it gives zeros whatever c is: for networks whose labels come in elsewhere.
    """

    def __init__(self, num_classes: int, dim: int, std: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, dim) * std)

    def forward(self, c: Tensor) -> Tensor:
        return c[:, : len(self.weight)] @ self.weight


class LabelledNoise(nn.Module):
    """What a conditional G starts from: z with the one-hot label or its embedding beside it.

    z `[N, z_dim]` and c `[N, num_classes]` to `[N, out_dim]` (Mirza and Osindero 2014).
    """

    def __init__(self, z_dim: int, num_classes: int, label: Literal["one-hot", "embedding"], embedding_dim: int):
        super().__init__()
        self.embed: nn.Module = nn.Identity()
        if label == "embedding" and num_classes:
            self.embed = ClassEmbedding(num_classes, embedding_dim)
            num_classes = embedding_dim
        self.out_dim = z_dim + num_classes

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return torch.cat([z, self.embed(c).to(z.dtype)], dim=1)


class LabelChannel(nn.Module):
    """x `[N, C, H, W]` with one more channel: an embedding of the label as an image."""

    def __init__(self, num_classes: int, resolution: int):
        super().__init__()
        self.num_channels = 1 if num_classes else 0
        self.embed = ClassEmbedding(num_classes, self.num_channels * resolution**2)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        channel = self.embed(c).reshape(len(x), self.num_channels, *x.shape[2:])
        return torch.cat([x, channel.to(x.dtype)], dim=1)


class LeakyDropout(nn.Module):
    """LeakyReLU, then dropout with probability p (Srivastava et al. 2014).

    LeakyReLU commutes with the mask, whose values are not negative, so it runs last and in place.
    """

    def __init__(self, slope: float, p: float):
        super().__init__()
        self.slope, self.p = slope, p

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.p > 0:
            x = x * dropout_mask(x, self.p)
        return nn.functional.leaky_relu(x, self.slope, inplace=self.training)

    def extra_repr(self) -> str:
        return f"slope={self.slope}, p={self.p}"


def dropout_mask(x: Tensor, p: float) -> Tensor:
    """0 with probability p, else 1 / (1 - p): in the shape, type and memory format of x.

    On the CPU `bernoulli_` draws one value after another, so there each mask value comes from 16
    bits of a 64-bit random word, through integer operations that are vectorised: p is rounded to a
    multiple of 2^-16.
    """
    if x.device.type != "cpu":
        return torch.empty_like(x, requires_grad=False).bernoulli_(1 - p).div_(1 - p)
    first_kept = round(p * 2**16) - 2**15
    words = torch.empty(-(-x.numel() // 4), dtype=torch.int64).random_(-(2**63), None)
    mask = words.view(torch.int16)[: x.numel()].clamp_(first_kept - 1, first_kept).sub_(first_kept - 1)
    return torch.as_strided(mask, x.shape, torch.empty_like(x, device="meta").stride()).to(x.dtype).mul_(1 / (1 - p))


def normalised(layer: nn.Module, num_features: int, norm: Literal["batch", "spectral", "none"]) -> list[nn.Module]:
    """A convolution with what normalises it: batch norm after it, its weight's spectral norm, or neither."""
    if norm == "batch":
        return [layer, nn.BatchNorm2d(num_features)]
    return [spectral_norm(layer) if norm == "spectral" else layer]


def initialise(network: nn.Module, init: Init) -> None:
    """Sets the weights of linear and convolution layers and of batch norm.

    dcgan: N(0, 0.02), batch norm's scale N(1, 0.02) (Radford et al. 2016, section 4 and its code);
    he_uniform and glorot_uniform as in Keras, biases 0; pytorch leaves the layers' own.
    """
    if init == "pytorch":
        return
    weight: Callable[[Tensor], object] = {
        "dcgan": lambda w: nn.init.normal_(w, 0.0, 0.02),
        "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "glorot_uniform": nn.init.xavier_uniform_,
    }[init]
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight(dict(module.named_parameters()).get("parametrizations.weight.original", module.weight))
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and init == "dcgan":
            nn.init.normal_(module.weight, 1.0, 0.02)
