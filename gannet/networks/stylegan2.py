"""StyleGAN2, at any resolution that is a power of two from 16 to 1024; written from the papers.

1: Karras, Laine and Aila 2019, "A style-based generator architecture for generative adversarial
networks". 2: Karras et al. 2020, "Analyzing and improving the image quality of StyleGAN". ADA: Karras
et al. 2020, "Training generative adversarial networks with limited data". Pro: Karras et al. 2018,
"Progressive growing of GANs".
"""

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, conv_transpose2d, leaky_relu, linear

from gannet.errors import UserError
from gannet.memory import Memory
from gannet.networks.base import Rating
from gannet.networks.layers import at_least
from gannet.networks.minibatch import MinibatchStdDev

RESOLUTIONS = (16, 32, 64, 128, 256, 512, 1024)
MAPPING_LR = 0.01  # 1, appendix C: how fast the mapping layers learn, beside the others
W_DECAY = 0.998  # of the running average of w, a batch
GROUP = 4  # images that share one minibatch standard deviation
EPS = 1e-8


def widths(resolution: int, base: int, most: int) -> dict[int, int]:
    """Features at 4, 8, ... `resolution` pixels: `base` divided by the pixels of a side, at most `most`.

    A base of 0 is the papers': 16,384 up to 256 pixels (ADA's halved capacity), 32,768 above.
    """
    if resolution not in RESOLUTIONS:
        sizes = ", ".join(map(str, RESOLUTIONS[:-1]))
        raise UserError(
            f"stylegan2 makes images of {sizes} or {RESOLUTIONS[-1]} pixels, not {resolution}: set --data.resolution"
        )
    base = base or (16384 if resolution <= 256 else 32768)
    at_least(resolution, channel_base=base)
    at_least(1, channel_max=most)
    return {side: min(base // side, most) for side in (4, 8, *RESOLUTIONS) if side <= resolution}


def normalised(x: Tensor) -> Tensor:
    """Rows of mean square 1 (Pro, section 4.2): `[N, dim]`."""
    return x * (x.square().mean(1, keepdim=True) + EPS).rsqrt()


def activated(x: Tensor, bias: Tensor) -> Tensor:
    """x `[N, C, ...]` with its bias `[C]`, through LeakyReLU 0.2, times sqrt(2) to keep the variance."""
    x = x + bias.to(x.dtype).view(-1, *[1] * (x.dim() - 2))
    return leaky_relu(x, 0.2) * math.sqrt(2)


class EqualLinear(nn.Module):
    """A dense layer at the equalised learning rate (Pro, section 4.1): `[N, into]` to `[N, out]`.

    Weights are drawn from N(0, 1) and scaled at run time, so that Adam moves all layers alike;
    `lr` slows it down by making what is stored larger.
    """

    def __init__(self, into: int, out: int, *, activate: bool = False, bias: float = 0.0, lr: float = 1.0):
        super().__init__()
        self.activate, self.lr, self.scale = activate, lr, lr / math.sqrt(into)
        self.weight = nn.Parameter(torch.randn(out, into) / lr)
        self.bias = nn.Parameter(torch.full((out,), bias / lr))

    def forward(self, x: Tensor) -> Tensor:
        weight, bias = self.weight * self.scale, self.bias * self.lr
        return activated(linear(x, weight), bias) if self.activate else linear(x, weight, bias)


def dense_layers(into: int, out: int, num: int) -> nn.Sequential:
    return nn.Sequential(*[EqualLinear(out if i else into, out, activate=True, lr=MAPPING_LR) for i in range(num)])


class Filter(nn.Module):
    """The filter [1, 3, 3, 1] across and down, over each feature by itself; zeros beyond the border."""

    taps: Tensor

    def __init__(self) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 8
        self.register_buffer("taps", row[:, None] * row, persistent=False)

    def kernel(self, x: Tensor) -> Tensor:
        return self.taps.to(x.dtype).expand(x.shape[1], 1, 4, 4)

    def blur(self, x: Tensor, padding: int, gain: int = 1) -> Tensor:
        """`[N, C, H, W]` to `[N, C, H + 2 padding - 3, W + 2 padding - 3]`."""
        return conv2d(x, gain * self.kernel(x), padding=padding, groups=x.shape[1])

    def downsample(self, x: Tensor) -> Tensor:
        return conv2d(x, self.kernel(x), stride=2, padding=1, groups=x.shape[1])

    def upsample(self, x: Tensor) -> Tensor:
        return conv_transpose2d(x, 4 * self.kernel(x), stride=2, padding=1, groups=x.shape[1])


def modulated_conv(x: Tensor, weight: Tensor, style: Tensor, *, demodulate: bool, doubling: bool = False) -> Tensor:
    """A convolution whose weights differ from sample to sample (2, equations 1 and 3).

    x `[N, I, H, W]`, weight `[O, I, k, k]`, and style `[N, I]`, which scales what each feature of x
    weighs; `demodulate` brings the weights of each output feature to norm 1. The result is
    `[N, O, H, W]`, or with `doubling` what a transposed convolution makes, `[N, O, 2H + 1, 2W + 1]`.
    Scaling what goes in and what comes out is the same as scaling the weights, and leaves one
    ordinary convolution for all samples: ten times as fast on a CPU as one with a group for each.
    """
    if doubling:
        y = conv_transpose2d(x * style[:, :, None, None], weight.transpose(0, 1), stride=2)
    else:
        y = conv2d(x * style[:, :, None, None], weight, padding=weight.shape[2] // 2)
    if demodulate:
        norms = style.square() @ weight.square().sum((2, 3)).T
        y = y * (norms + EPS).rsqrt()[:, :, None, None]
    return y


class StyledConv(nn.Module):
    """A modulated 3x3 convolution, then noise, bias and LeakyReLU: to `[N, out, side, side]` (2, figure 2d).

    Noise is drawn anew while training; in eval mode it is `noise_const`, the same for every image.
    """

    noise_const: Tensor

    def __init__(self, into: int, out: int, w_dim: int, side: int, doubling: bool):
        super().__init__()
        self.doubling, self.scale = doubling, 1 / math.sqrt(9 * into)
        self.style = EqualLinear(w_dim, into, bias=1.0)
        self.weight = nn.Parameter(torch.randn(out, into, 3, 3))
        self.bias = nn.Parameter(torch.zeros(out))
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.filter = Filter()

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        style = self.style(w)
        x = modulated_conv(x, self.weight * self.scale, style, demodulate=True, doubling=self.doubling)
        if self.doubling:
            x = self.filter.blur(x, padding=1, gain=4)  # 4, as three of four pixels were zeros
        fixed = self.noise_const
        noise = torch.randn(len(x), 1, *fixed.shape, dtype=x.dtype, device=x.device) if self.training else fixed
        return activated(x + self.noise_strength * noise.to(x.dtype), self.bias)


class ToRGB(nn.Module):
    """A modulated 1x1 convolution, not demodulated, to the channels of an image."""

    def __init__(self, into: int, channels: int, w_dim: int):
        super().__init__()
        self.scale = 1 / math.sqrt(into)
        self.style = EqualLinear(w_dim, into, bias=1.0)
        self.weight = nn.Parameter(torch.randn(channels, into, 1, 1))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor, w: Tensor) -> Tensor:
        x = modulated_conv(x, self.weight * self.scale, self.style(w), demodulate=False)
        return x + self.bias.to(x.dtype).view(-1, 1, 1)


class Generator(Memory):
    """z to w by `mapping`, w to images by `synthesis`: `[N, channels, R, R]`.

    While training the images have no bounds, as in the papers, and styles and noise are drawn from
    torch's generator. In eval mode they are clipped to [-1, 1], and each image follows from its z
    and c alone. `channel_base` divided by the pixels of a side is the number of features there, at
    most `channel_max`; 0 is the papers' base.
    """

    w_avg: Tensor

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        z_dim: int = 512,
        w_dim: int = 512,
        mapping_layers: int = 8,
        channel_base: int = 0,
        channel_max: int = 512,
        style_mixing: float = 0.9,
    ):
        super().__init__()
        features = widths(resolution, channel_base, channel_max)
        at_least(1, **{"G.z_dim": z_dim, "G.w_dim": w_dim, "G.mapping_layers": mapping_layers})
        if not 0 <= style_mixing <= 1:
            raise UserError(f"G.style_mixing is {style_mixing}, and must be a probability, from 0 to 1")
        self.z_dim, self.w_dim, self.style_mixing = z_dim, w_dim, style_mixing
        self.num_layers = 2 * len(features)
        self.embed = EqualLinear(num_classes, w_dim) if num_classes else None
        self.layers = dense_layers(z_dim + (w_dim if num_classes else 0), w_dim, mapping_layers)
        self.register_buffer("w_avg", torch.zeros(w_dim))
        self.const = nn.Parameter(torch.randn(1, features[4], 4, 4))
        self.convs, self.to_rgbs, self.filter = nn.ModuleList(), nn.ModuleList(), Filter()
        before = features[4]
        for side, after in features.items():
            if side > 4:
                self.convs.append(StyledConv(before, after, w_dim, side, doubling=True))
            self.convs.append(StyledConv(after, after, w_dim, side, doubling=False))
            self.to_rgbs.append(ToRGB(after, channels, w_dim))
            before = after

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        """Images of z and c. Training also has `w_avg` follow their w."""
        w = self.to_w(z, c)
        if self.training:
            self.note("w_avg", w.mean(0, dtype=self.w_avg.dtype), W_DECAY)
        return self.bounded(self.synthesis(self.of_layers(w, z, c)))

    def near_average(self, w: Tensor, psi: float, cutoff: int | None = None) -> Tensor:
        """w `[N, num_layers, w_dim]` nearer to its average: w_avg + psi (w - w_avg).

        psi 1 leaves w as it is, 0 is the average image; only the first `cutoff` layers have the new w,
        or all of them (1, appendix B).
        """
        near = self.w_avg.to(w.dtype).lerp(w[:, :cutoff], psi)
        return near if cutoff is None else torch.cat([near, w[:, cutoff:]], 1)

    def bounded(self, images: Tensor) -> Tensor:
        return images if self.training else images.clamp(-1, 1)

    def mapping(self, z: Tensor, c: Tensor) -> Tensor:
        """w `[N, num_layers, w_dim]`: one w for all layers of an image, while training often two."""
        return self.of_layers(self.to_w(z, c), z, c)

    def of_layers(self, w: Tensor, z: Tensor, c: Tensor) -> Tensor:
        every = w[:, None].expand(-1, self.num_layers, -1)
        return self.mixed(every, self.to_w(torch.randn_like(z), c)) if self.training and self.style_mixing else every

    def to_w(self, z: Tensor, c: Tensor) -> Tensor:
        """w `[N, w_dim]`; a label comes in as its embedding beside z, both normalised (ADA, its appendix)."""
        z = normalised(z)
        return self.layers(torch.cat([z, normalised(self.embed(c)).to(z.dtype)], 1) if self.embed else z)

    def mixed(self, w: Tensor, other: Tensor) -> Tensor:
        """w with `other` `[N, w_dim]` from a layer on that is drawn for each image (1, section 3.1)."""
        num, device = len(w), w.device
        layer = torch.randint(1, self.num_layers, (num, 1), device=device)
        layer = layer.masked_fill(torch.rand(num, 1, device=device) >= self.style_mixing, self.num_layers)
        is_other = torch.arange(self.num_layers, device=device) >= layer
        return torch.where(is_other[:, :, None], other[:, None], w)

    def synthesis(self, w: Tensor) -> Tensor:
        """Images of w `[N, num_layers, w_dim]`, without bounds: the sum of what each resolution adds (2, figure 7b).

        The RGB of a resolution takes the w of the layer that comes next.
        """
        assert w.shape[1:] == (self.num_layers, self.w_dim), w.shape
        x = self.convs[0](self.const.expand(len(w), -1, -1, -1), w[:, 0])
        images = self.to_rgbs[0](x, w[:, 1])
        for i in range(1, len(self.to_rgbs)):
            x = self.convs[2 * i - 1](x, w[:, 2 * i - 1])
            x = self.convs[2 * i](x, w[:, 2 * i])
            images = self.filter.upsample(images) + self.to_rgbs[i](x, w[:, 2 * i + 1])
        return images


class EqualConv(nn.Module):
    """A convolution at the equalised learning rate; `halving` blurs, then takes each second pixel.

    `[N, into, H, W]` to `[N, out, H, W]`, or `[N, out, H/2, W/2]`. `activate` adds bias and LeakyReLU.
    """

    def __init__(self, into: int, out: int, size: int, *, activate: bool = True, halving: bool = False):
        super().__init__()
        self.halving, self.scale = halving, 1 / math.sqrt(size**2 * into)
        self.weight = nn.Parameter(torch.randn(out, into, size, size))
        self.bias = nn.Parameter(torch.zeros(out)) if activate else None
        self.filter = Filter() if halving else None

    def forward(self, x: Tensor) -> Tensor:
        size, weight = self.weight.shape[2], self.weight * self.scale
        if self.filter is None:
            x = conv2d(x, weight, padding=size // 2)
        elif size == 1:  # each second pixel of the blur is all that it needs
            x = conv2d(self.filter.downsample(x), weight)
        else:
            x = conv2d(self.filter.blur(x, padding=2), weight, stride=2)
        return x if self.bias is None else activated(x, self.bias)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a 1x1 one, halved, with the variance of either (2, figure 7c)."""

    def __init__(self, into: int, out: int):
        super().__init__()
        self.main = nn.Sequential(EqualConv(into, into, 3), EqualConv(into, out, 3, halving=True))
        self.skip = EqualConv(into, out, 1, activate=False, halving=True)

    def forward(self, x: Tensor) -> Tensor:
        return (self.main(x) + self.skip(x)) / math.sqrt(2)


class Discriminator(Rating):
    """x through residual blocks down to 4x4, then dense layers: one logit, `[N]`.

    With classes, the logit is the product of what the last layer makes of x and a mapped embedding
    of c, scaled to the variance of one factor (ADA, its appendix). Sizes are those of `Generator`.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        *,
        mapping_layers: int = 8,
        channel_base: int = 0,
        channel_max: int = 512,
    ):
        super().__init__()
        features = widths(resolution, channel_base, channel_max)
        at_least(1, **{"D.mapping_layers": mapping_layers})
        sizes, last = list(features.values())[::-1], features[4]
        self.num_features = last
        blocks = [ResidualBlock(before, after) for before, after in pairwise(sizes)]
        self.blocks = nn.Sequential(EqualConv(channels, sizes[0], 1), *blocks)
        self.deviation = MinibatchStdDev(GROUP)
        self.last_conv = EqualConv(last + 1, last, 3)
        self.dense = EqualLinear(16 * last, last, activate=True)
        self.to_logit = EqualLinear(last, last if num_classes else 1)
        self.embed = EqualLinear(num_classes, last) if num_classes else None
        self.layers = dense_layers(last, last, mapping_layers) if num_classes else nn.Sequential()

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        features = self.dense(self.last_conv(self.deviation(self.blocks(x))).flatten(1))
        logits = self.to_logit(features)
        if self.embed is None:
            return logits.squeeze(1), features
        label = self.layers(normalised(self.embed(c)))
        return (logits * label).sum(1) / math.sqrt(logits.shape[1]), features
