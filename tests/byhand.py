"""Layers as loops over pixels in NumPy, to hold networks against."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn

Array = np.ndarray


def randomised(network: nn.Module) -> Any:
    """The network in float64, all its parameters of a size that matters."""
    torch.manual_seed(2)
    for parameter in network.double().parameters():
        nn.init.normal_(parameter, std=0.3)
    return network


def values_of(network: nn.Module) -> Iterator[Array]:
    """Its parameters, one after another."""
    return iter([parameter.detach().numpy() for parameter in network.parameters()])


def conv(x: Array, weight: Array, bias: Array | float = 0.0, stride: int = 1, pad: int = 0) -> Array:
    x, k = np.pad(x, [(0, 0), (0, 0), (pad, pad), (pad, pad)]), weight.shape[2]
    rows, columns = ((side - k) // stride + 1 for side in x.shape[2:])
    out = np.empty((len(x), len(weight), rows, columns))
    for i in range(rows):
        for j in range(columns):
            patch = x[:, :, i * stride : i * stride + k, j * stride : j * stride + k]
            out[:, :, i, j] = np.einsum("ncyx,ocyx->no", patch, weight)
    return out + np.reshape(bias, (-1, 1, 1))


def doubling(x: Array, weight: Array, bias: Array | float = 0.0) -> Array:
    """The transpose of a convolution of stride 2 and padding 1: each pixel adds its kernel at twice the size."""
    (num, _, height, width), k = x.shape, weight.shape[2]
    out = np.zeros((num, weight.shape[1], 2 * height + 2, 2 * width + 2))
    for i in range(height):
        for j in range(width):
            out[:, :, 2 * i : 2 * i + k, 2 * j : 2 * j + k] += np.einsum("nc,coyx->noyx", x[:, :, i, j], weight)
    return out[:, :, 1:-1, 1:-1] + np.reshape(bias, (-1, 1, 1))


def batch_norm(x: Array, scale: Array, shift: Array) -> Array:
    return standard(x, (0, 2, 3)) * scale[:, None, None] + shift[:, None, None]


def instance_norm(x: Array) -> Array:
    return standard(x, (2, 3))


def standard(x: Array, axes: tuple[int, ...]) -> Array:
    return (x - x.mean(axes, keepdims=True)) / np.sqrt(x.var(axes, keepdims=True) + 1e-5)


def leaky(x: Array, slope: Array | float = 0.0) -> Array:
    return np.where(x > 0, x, slope * x)
