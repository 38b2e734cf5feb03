"""The convolutions that halve and double an image: 4x4, stride 2, padding 1, a smooth doubling, and both ends.

While training on the CPU in bfloat16, those of many features at few pixels are computed as one matrix product over
patches. The weights of such a layer do not fit the cache, and the library's convolution streams them
anew for each image. From 256 to 512 features at 8x8, 128 images, the product took 3/4 of its time on one processor,
and on another 1/5 for the gradients of the weights; in float32 twice as long on the one, 2/3 on the other.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import conv2d, linear, pad, pixel_shuffle

PRODUCT_FEATURES = 64 * 128  # in times out: from here on the product was the faster one
PRODUCT_SIDE = 4  # and at most this many patches a side


class HalvingConv(nn.Conv2d):
    """x `[N, C, H, W]` to `[N, out, H/2, W/2]`."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool = False):
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        if not (self.training and is_product_faster(input, self.in_channels * self.out_channels, input.shape[2] // 2)):
            return super().forward(input)
        patches = Patches.apply(input.permute(0, 2, 3, 1))
        out = patches.flatten(3) @ self.weight.permute(2, 3, 1, 0).flatten(0, 2)
        return (out if self.bias is None else out + self.bias).permute(0, 3, 1, 2)


class DoublingConv(nn.ConvTranspose2d):
    """x `[N, C, H, W]` to `[N, out, 2H, 2W]`."""

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 4, 2, 1, bias=False)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not (self.training and is_product_faster(input, self.in_channels * self.out_channels, input.shape[2])):
            return super().forward(input, output_size)
        patches = input.permute(0, 2, 3, 1) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        return Sums.apply(patches.unflatten(3, (4, 4, self.out_channels))).permute(0, 3, 1, 2)


class SmoothDoublingConv(nn.Conv2d):
    """x `[N, C, H, W]` to `[N, out, 2H, 2W]`: bilinear doubling, then a 3x3 convolution. x is 0 outside.

    It makes none of the checkerboards that transposed convolutions make (Odena, Dumoulin and Olah 2016,
    "Deconvolution and checkerboard artifacts"). Computed as one 3x3 convolution of x to four times as many
    features, one for each pixel of a square of 2x2, which is the same: nothing of C features is ever enlarged.
    """

    from_neighbours: Tensor

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 3, 1, 1, bias=False)
        # For each of the three taps around a pixel of the result, how much each of x's three nearest pixels counts.
        even, odd = [[3, 1, 0], [1, 3, 0], [0, 3, 1]], [[1, 3, 0], [0, 3, 1], [0, 1, 3]]
        self.register_buffer("from_neighbours", torch.tensor([even, odd]) / 4, persistent=False)

    def forward(self, input: Tensor) -> Tensor:
        taps = self.from_neighbours
        weight = torch.einsum("oiyx,pyh,qxw->opqihw", self.weight, taps, taps).flatten(0, 2)
        return pixel_shuffle(conv2d(input, weight, padding=1), 2)


class FirstConv(nn.ConvTranspose2d):
    """z `[N, C, 1, 1]` to `[N, out, 4, 4]`.

    Computed as the matrix product that it is: the library's convolution took four times as long, with its gradients,
    and three times for the last one (32 images in bfloat16, one thread of a CPU).
    """

    def __init__(self, in_channels: int, out_channels: int):
        super().__init__(in_channels, out_channels, 4, bias=False)

    def forward(self, input: Tensor, output_size: list[int] | None = None) -> Tensor:
        if not self.training:  # in float32 a map that lies channels last slows the layers after it
            return super().forward(input, output_size)
        out = input.flatten(1) @ self.weight.permute(0, 2, 3, 1).flatten(1)
        return out.unflatten(1, (4, 4, self.out_channels)).permute(0, 3, 1, 2)


class LastConv(nn.Conv2d):
    """x `[N, C, 4, 4]` to `[N, out, 1, 1]`, as a matrix product too."""

    def __init__(self, in_channels: int, out_channels: int, bias: bool):
        super().__init__(in_channels, out_channels, 4, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        x, weight = (each.permute(0, 2, 3, 1).flatten(1) for each in (input, self.weight))
        return linear(x, weight, self.bias)[:, :, None, None]


def is_product_faster(x: Tensor, features: int, num_patches: int) -> bool:
    """Whether a layer of so many features in times out, and patches a side, is one that the module is about."""
    is_bfloat16 = x.dtype == torch.bfloat16
    return x.device.type == "cpu" and is_bfloat16 and features >= PRODUCT_FEATURES and num_patches <= PRODUCT_SIDE


class Patches(torch.autograd.Function):
    """The 4x4 patches of each second pixel: `[N, H, W, C]` to `[N, H/2, W/2, 4, 4, C]`."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        padded = pad(x, (0, 0, 1, 1, 1, 1))
        n, y, x_, c = padded.stride()
        sizes = (x.shape[0], x.shape[1] // 2, x.shape[2] // 2, 4, 4, x.shape[3])
        return padded.as_strided(sizes, (n, 2 * y, 2 * x_, y, x_, c)).contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return Sums.apply(gradients[0])


class Sums(torch.autograd.Function):
    """Patches added up where they lay, the transpose of `Patches`: `[N, h, w, 4, 4, C]` to `[N, 2h, 2w, C]`.

    Neighbours overlap by half: rows first, then columns, each in one addition over long runs of memory.
    """

    @staticmethod
    def forward(ctx: Any, patches: Tensor) -> Tensor:
        n, h, w, _, _, c = patches.shape
        rows = patches.new_zeros(n, h + 1, 2, w, 4, c)
        rows[:, :h] = patches[:, :, :, :2].transpose(2, 3)
        rows[:, 1:] += patches[:, :, :, 2:].transpose(2, 3)
        rows = rows.flatten(1, 2)[:, 1:-1]
        out = patches.new_zeros(n, 2 * h, w + 1, 2, c)
        out[:, :, :w] = rows[:, :, :, :2]
        out[:, :, 1:] += rows[:, :, :, 2:]
        return out.flatten(2, 3)[:, :, 1:-1].contiguous()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return Patches.apply(gradients[0])
