"""One plain PyTorch file that trains a DCGAN, for those who want to learn from it.

The text is `scaffold.py.txt` beside this file; here are the layers, which depend on the image size.
They are those of `gannet.networks.dcgan` at its defaults, in the same order, so that weights can be
copied from one to the other.
"""

from importlib.resources import files
from itertools import pairwise
from string import Template

from gannet.errors import UserError

SIZES = (16, 32, 64, 128, 256)
INDENT = " " * 12


def script(image_size: int = 64, channels: int = 3, z_dim: int = 100) -> str:
    """The text of the file, which imports torch, torchvision and Pillow only.

    Raises `UserError` unless `image_size` is a power of two from 16 to 256, `channels` 1 or 3 and
    `z_dim` at least 1.
    """
    if image_size not in SIZES:
        raise UserError(f"the image size is {image_size}, and must be 16, 32, 64, 128 or 256: set --image-size")
    if channels not in (1, 3):
        raise UserError(f"the number of channels is {channels}, and must be 1 (grey) or 3 (RGB): set --channels")
    if z_dim < 1:
        raise UserError(f"the length of z is {z_dim}, and must be at least 1: set --z-dim")
    template = files("gannet.recipes").joinpath("scaffold.py.txt").read_text("utf-8")
    return Template(template).substitute(
        size=image_size,
        channels=channels,
        z_dim=z_dim,
        kind="grey" if channels == 1 else "colour",
        mode="L" if channels == 1 else "RGB",
        channels_comment="grey" if channels == 1 else "red, green, blue",
        g_layers=lines(g_layers(image_size)),
        d_layers=lines(d_layers(image_size)),
    )


def lines(layers: list[str]) -> str:
    return "\n".join(INDENT + layer for layer in layers)


def widths(image_size: int) -> list[int]:
    """Features at image_size/2, image_size/4, ... 4: 64, doubled at each halving up to 512."""
    return [min(64 * 2**i, 512) for i in range(image_size.bit_length() - 3)]


def g_layers(image_size: int) -> list[str]:
    """G's lines up to its tanh."""
    first, *features = widths(image_size)[::-1]
    layers = [line(f"up(Z_DIM, {first}, stride=1, padding=0)", 1, 4)]
    for i, (before, after) in enumerate(pairwise([first, *features])):
        layers.append(line(f"up({before}, {after})", 4 * 2**i, 8 * 2**i))
    last = f"nn.ConvTranspose2d({features[-1]}, CHANNELS, 4, stride=2, padding=1, bias=False)"
    return [*layers, line(last, image_size // 2, image_size)]


def d_layers(image_size: int) -> list[str]:
    """D's lines."""
    features = widths(image_size)
    first = f"nn.Conv2d(CHANNELS, {features[0]}, 4, stride=2, padding=1, bias=False)"
    layers = [line(first, image_size, image_size // 2), "nn.LeakyReLU(0.2),"]
    for i, (before, after) in enumerate(pairwise(features)):
        layers.append(line(f"down({before}, {after})", image_size // 2 ** (i + 1), image_size // 2 ** (i + 2)))
    return [*layers, line(f"nn.Conv2d({features[-1]}, 1, 4, bias=False)", 4, 1)]


def line(layer: str, size: int, new_size: int) -> str:
    return f"{layer},  # {size}x{size} to {new_size}x{new_size}"
