"""Layers and initialisations that more than one family uses."""

from collections.abc import Callable, Iterable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize

from gannet.errors import UserError

MASK_PIECE = 2**15  # values: small enough for the cache, and below what torch splits over threads
Init = Literal["pytorch", "dcgan", "he_uniform", "glorot_uniform", "orthogonal"]


class ClassEmbedding(nn.Module):
    """One vector a class, for one-hot (or soft) labels: c `[N, num_classes]` to `[N, dim]`."""

    def __init__(self, num_classes: int, dim: int, std: float = 1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(num_classes, dim) * std)

    def forward(self, c: Tensor) -> Tensor:
        return c @ self.weight


def beside(x: Tensor, values: Tensor) -> Tensor:
    """x `[N, C, ...]` with values `[N, K]` as K more channels, the same at every pixel."""
    each = values.to(x.dtype).reshape(*values.shape, *[1] * (x.dim() - 2))
    return torch.cat([x, each.expand(-1, -1, *x.shape[2:])], dim=1)


def with_projection(logits: Tensor, features: Tensor, c: Tensor, projection: nn.Module | None) -> Tensor:
    """The logits `[N]` or `[N, P]`, plus <V c, features> where there is a V (Miyato and Koyama 2018, equation 4)."""
    if projection is None:
        return logits
    of_label = (projection(c) * features).sum(1)
    return logits + (of_label[:, None] if logits.ndim == 2 else of_label)


class LabelledNoise(nn.Module):
    """What a conditional G starts from: z with the one-hot label or its embedding beside it.

    z `[N, z_dim]` and c `[N, num_classes]` to `[N, out_dim]` (Mirza and Osindero 2014).
    """

    def __init__(self, z_dim: int, num_classes: int, label: Literal["one-hot", "embedding"], embedding_dim: int):
        super().__init__()
        self.embed: nn.Module = nn.Identity()
        if label == "embedding" and num_classes:
            self.embed = ClassEmbedding(num_classes, embedding_dim, std=embedding_dim**-0.5)  # as long as a one-hot
            num_classes = embedding_dim
        self.out_dim = z_dim + num_classes

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return torch.cat([z, self.embed(c).to(z.dtype)], dim=1)


class LabelChannel(nn.Module):
    """x `[N, C, H, W]` with one more channel: an embedding of the label as an image."""

    def __init__(self, num_classes: int, resolution: int):
        super().__init__()
        self.embed = ClassEmbedding(num_classes, resolution**2)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return torch.cat([x, self.embed(c).reshape(len(x), 1, *x.shape[2:]).to(x.dtype)], dim=1)


class ConditionalBatchNorm(nn.Module):
    """Batch norm (Ioffe and Szegedy 2015) whose scale and shift follow from a condition (Dumoulin et al. 2017).

    `to_scale` and `to_shift` make `[N, features]` of it; the scale is what they say above 1.
    """

    def __init__(self, features: int, to_scale: nn.Module, to_shift: nn.Module, eps: float = 1e-5):
        super().__init__()
        self.norm = nn.BatchNorm2d(features, eps, affine=False)
        self.to_scale, self.to_shift = to_scale, to_shift

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        scale, shift = 1 + self.to_scale(condition), self.to_shift(condition)
        return self.norm(x) * scale[:, :, None, None] + shift[:, :, None, None]


class ClassBatchNorm(ConditionalBatchNorm):
    """Batch norm with a scale and a shift for each class, 1 and 0 at first."""

    def __init__(self, features: int, num_classes: int):
        scale, shift = (ClassEmbedding(num_classes, features, std=0) for _ in range(2))
        super().__init__(features, scale, shift)


class SameBatchNorm(nn.Module):
    """Batch norm that is the same whatever the condition."""

    def __init__(self, features: int):
        super().__init__()
        self.norm = nn.BatchNorm2d(features)

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        return self.norm(x)


class InstanceNorm(nn.InstanceNorm2d):
    """Each feature of each image to mean 0 and variance 1 (Ulyanov et al. 2016), perhaps with scale and shift.

    Of a single image torch's own gives wrong gradients on the CPU where those that come in lie channels last
    (seen in 2.15): here they are laid out as it has its features.
    """

    def forward(self, input: Tensor) -> Tensor:
        out = super().forward(input)
        if out.requires_grad:
            out.register_hook(Tensor.contiguous)
        return out


def doubled_widths(num: int, width: int, max_width: int) -> list[int]:
    """`num` widths: `width`, and twice as many features each time up to `max_width`."""
    return [min(width * 2**i, max(width, max_width)) for i in range(num)]


def check_dropout(player: str, dropout: float) -> None:
    """Raises `UserError` for a probability that leaves nothing."""
    if not 0 <= dropout < 1:
        raise UserError(f"{player}.dropout is {dropout}, and must be from 0 to below 1")


def norm_layers(norm: str, features: int, affine: bool = False) -> list[nn.Module]:
    """Batch norm, or instance norm, with scale and shift where it is `affine`, in a list; of other names none."""
    if norm == "instance":
        return [InstanceNorm(features, affine=affine)]
    return [nn.BatchNorm2d(features)] if norm == "batch" else []


class Residual(nn.Module):
    """x + what its layers make of it, in the same shape (He et al. 2016)."""

    def __init__(self, *layers: nn.Module):
        super().__init__()
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return x + through(self.layers, x, c)


def through(layers: Iterable[nn.Module], x: Tensor, c: Tensor) -> Tensor:
    """x through one layer after another; those that hang on a condition see c as well."""
    for layer in layers:
        x = layer(x, c) if isinstance(layer, ConditionalBatchNorm | Residual) else layer(x)
    return x


class LeakyDropout(nn.Module):
    """LeakyReLU, then dropout with probability p (Srivastava et al. 2014).

    LeakyReLU commutes with the mask, whose values are not negative, so it runs last. Both work in
    place while training: the convolution or batch norm before does not need its output again.
    """

    def __init__(self, slope: float, p: float):
        super().__init__()
        self.slope, self.p = slope, p

    def forward(self, x: Tensor) -> Tensor:
        if self.training and self.p > 0:
            x = x.mul_(dropout_mask(x, self.p))
        return nn.functional.leaky_relu(x, self.slope, inplace=self.training)

    def extra_repr(self) -> str:
        return f"slope={self.slope}, p={self.p}"


def dropout_mask(x: Tensor, p: float) -> Tensor:
    """0 with probability p, else 1 / (1 - p): in the shape, type and memory format of x.

    On the CPU `bernoulli_` draws one value after another, so there each mask value comes from 16
    bits of a 64-bit random word, through integer operations that are vectorised, in pieces that
    stay in the cache: p is rounded to a multiple of 2^-16,
    not to 0 or 1.
    """
    if x.device.type != "cpu":
        return torch.empty_like(x, requires_grad=False).bernoulli_(1 - p).div_(1 - p)
    mask = torch.empty_like(x, requires_grad=False)
    words = torch.empty(MASK_PIECE // 4, dtype=torch.int64)
    dropped = min(max(round(p * 2**16), 1), 2**16 - 1) - 2**15 - 1  # the largest int16 that drops
    for piece in mask.as_strided((x.numel(),), (1,)).split(MASK_PIECE):
        bits = words.random_(-(2**63), None).view(torch.int16)[: len(piece)]
        piece.copy_(bits.clamp_(dropped, dropped + 1).sub_(dropped)).mul_(1 / (1 - p))
    return mask


def initialise(network: nn.Module, init: Init) -> None:
    """Sets the weights of linear and convolution layers and of batch norm.

    dcgan: N(0, 0.02), batch norm's scale N(1, 0.02) (Radford et al. 2016, section 4 and its code);
    he_uniform and glorot_uniform as in Keras, and orthogonal (Saxe et al. 2014), all with biases 0;
    pytorch leaves the layers' own.
    """
    if init == "pytorch":
        return
    weight: Callable[[Tensor], object] = {
        "dcgan": lambda w: nn.init.normal_(w, 0.0, 0.02),
        "he_uniform": lambda w: nn.init.kaiming_uniform_(w, nonlinearity="relu"),
        "glorot_uniform": nn.init.xavier_uniform_,
        "orthogonal": nn.init.orthogonal_,
    }[init]
    for module in network.modules():
        if isinstance(module, nn.Linear | nn.Conv2d | nn.ConvTranspose2d):
            weight(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.modules.batchnorm._BatchNorm) and module.affine and init == "dcgan":
            nn.init.normal_(module.weight, 1.0, 0.02)


class Vectors(nn.Module):
    """Of what sizes the two vectors are that `spectral_norm` keeps of a weight."""

    def __init__(self, weight: Tensor):
        super().__init__()
        self.register_buffer("_u", weight.new_empty(len(weight)))
        self.register_buffer("_v", weight.new_empty(weight[0].numel()))

    def forward(self, weight: Tensor) -> Tensor:
        return weight


def spectral_norm(module: nn.Conv2d | nn.Linear | ClassEmbedding) -> None:
    """Divides the weight by its largest singular value, as that of torch.

    On the meta device there are sizes alone: to seek the value as torch does takes seconds there, and finds nothing.
    """
    if module.weight.is_meta:
        parametrize.register_parametrization(module, "weight", Vectors(module.weight), unsafe=True)
    else:
        parametrizations.spectral_norm(module)


def spectrally_normalise(network: nn.Module) -> None:
    """Divides each weight by its largest singular value (Miyato et al. 2018), once initialised.

    That is for convolutions and linear layers; an embedding is left as it is.
    """
    for module in list(network.modules()):
        if isinstance(module, nn.Conv2d | nn.Linear):
            spectral_norm(module)


def at_least(low: int, **values: int) -> None:
    """Raises `UserError` for a setting that is below `low`."""
    for name, value in values.items():
        if value < low:
            raise UserError(f"{name} is {value}, and must be at least {low}")
