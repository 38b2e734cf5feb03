"""Inception v3 as FID has it: the network of the TensorFlow graph of 2015-12-05 (Heusel et al. 2017, section 4).

Its blocks are torchvision's but for what that graph does otherwise. FID, the Inception Score and KID of the
literature are numbers in this network's features alone, with this resize.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, max_pool2d
from torch.nn.utils.fusion import fuse_conv_bn_eval
from torchvision.models.inception import (
    BasicConv2d,
    Inception3,
    InceptionA,
    InceptionAux,
    InceptionB,
    InceptionC,
    InceptionD,
    InceptionE,
)

from gannet.evaluation.extractors import Extractor
from gannet.evaluation.weights import Progress, Weights, shown

SIDE = 299
CLASSES = 1008

# Converted from TensorFlow's file by torch-fidelity; both are under the Apache licence 2.0.
WEIGHTS = Weights(
    "inception",
    "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
    95_628_359,
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
)


class Inception(Extractor):
    """2048 features, the means of the last map, and the logits of 1008 classes without their bias.

    The Inception Score is made of such logits. Images are resized to 299x299 as TensorFlow 1 does it (`tf1_resized`),
    the reference's own way, and are (x - 128) / 128 to the network. The weights, 96 MB, are loaded once into `cache`.
    Raises `UserError` where they cannot be had.
    """

    def __init__(self, device: torch.device | str, cache: Path, progress: Progress | None = None) -> None:
        super().__init__(
            "inception",
            device,
            weights=shown(WEIGHTS.sha256),
            layer="2048 of the last pool",
            resize=f"{SIDE}x{SIDE} bilinear of TensorFlow 1",
        )
        network: Any = inception()
        network.load_state_dict(torch.load(WEIGHTS.ready(cache, progress), map_location="cpu", weights_only=True))
        network.eval().requires_grad_(False)
        self.classes = network.fc.weight.T.to(self.device)
        network.fc = nn.Identity()
        blocks: list[Any] = [block for block in network.modules() if isinstance(block, BasicConv2d)]
        for block in blocks:  # on CPUs a tenth faster
            block.conv, block.bn = fuse_conv_bn_eval(block.conv, block.bn), nn.Identity()
        self.network = network.to(self.device).to(memory_format=torch.channels_last)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = (tf1_resized(x.float(), SIDE) - 128) / 128
        features = self.network(x.contiguous(memory_format=torch.channels_last))
        return features, features @ self.classes


def fetch(cache: Path, progress: Progress | None = None) -> Path:
    """Loads the weights ahead; returns their folder."""
    return WEIGHTS.ready(cache, progress).parent


def tf1_resized(x: Tensor, side: int) -> Tensor:
    """Float images `[N, C, H, W]` at `side` x `side`, as TensorFlow 1's `resize_bilinear` makes them.

    Pixel i of the result is taken at i * size / side, without half a pixel's shift and without antialiasing, between
    the pixel there and the next, or the last.
    """
    for dim in (3, 2):
        size = x.shape[dim]
        place = torch.arange(side, dtype=torch.float32, device=x.device) * (size / side)
        left = place.long()
        share = (place - left).view(-1, *[1] * (3 - dim))
        low, high = x.index_select(dim, left), x.index_select(dim, (left + 1).clamp_(max=size - 1))
        x = low + (high - low) * share
    return x


def inception() -> Inception3:
    """The network without weights: RGB `[N, 3, 299, 299]` to 1008 logits."""
    blocks: list[Callable[..., nn.Module]] = [BasicConv2d, BlockA, InceptionB, BlockC, InceptionD, BlockE, InceptionAux]
    network = Inception3(CLASSES, aux_logits=False, init_weights=False, inception_blocks=blocks)
    network.Mixed_7c = LastBlockE(2048)
    return network


def inner_mean(x: Tensor) -> Tensor:
    """Means over 3x3, at the border over what lies inside alone."""
    return avg_pool2d(x, 3, stride=1, padding=1, count_include_pad=False)


class BlockA(InceptionA):
    """With means of what lies inside."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        return [
            self.branch1x1(x),
            self.branch5x5_2(self.branch5x5_1(x)),
            self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
            self.branch_pool(inner_mean(x)),
        ]


class BlockC(InceptionC):
    """With means of what lies inside."""

    def _forward(self, x: Tensor) -> list[Tensor]:
        twice = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return [
            self.branch1x1(x),
            self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
            self.branch7x7dbl_5(self.branch7x7dbl_4(twice)),
            self.branch_pool(inner_mean(x)),
        ]


class BlockE(InceptionE):
    """With means of what lies inside."""

    def pool(self, x: Tensor) -> Tensor:
        return inner_mean(x)

    def _forward(self, x: Tensor) -> list[Tensor]:
        once, twice = self.branch3x3_1(x), self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return [
            self.branch1x1(x),
            self.branch3x3_2a(once),
            self.branch3x3_2b(once),
            self.branch3x3dbl_3a(twice),
            self.branch3x3dbl_3b(twice),
            self.branch_pool(self.pool(x)),
        ]


class LastBlockE(BlockE):
    """With the largest of 3x3."""

    def pool(self, x: Tensor) -> Tensor:
        return max_pool2d(x, 3, stride=1, padding=1)
