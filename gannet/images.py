"""The one way out for images: [-1, 1] to uint8, uint8 to pictures and grids.

Four channels are red, green, blue, alpha with the colour premultiplied, as D sees it; files hold
straight alpha, and grids lay the images over a checkerboard.
"""

from __future__ import annotations

import io
import math
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    import torch

MAX_COLUMNS = 16  # of a grid with a column for each class
GAP = 2  # pixels between the images of a grid


def to_float(images: torch.Tensor) -> torch.Tensor:
    """uint8 `[0, 255]` to float32 `[-1, 1]`."""
    return images.float().div_(127.5).sub_(1)


def to_uint8(images: torch.Tensor | np.ndarray) -> np.ndarray:
    """Generated images, float `[-1, 1]` `[N, C, H, W]`, to uint8 on the CPU, rounded and clipped."""
    if isinstance(images, np.ndarray):
        return (images * np.float32(127.5) + np.float32(127.5)).round().clip(0, 255).astype(np.uint8)
    import torch

    images = images.detach().float().mul(127.5).add_(127.5).round_().clamp_(0, 255)
    return images.to("cpu", torch.uint8).contiguous().numpy()


def premultiply(rgba: np.ndarray) -> np.ndarray:
    """Straight to premultiplied alpha, uint8 `[H, W, 4]`."""
    alpha = rgba[..., 3:].astype(np.uint16)
    colour = (rgba[..., :3] * alpha + 127) // 255
    return np.concatenate([colour.astype(np.uint8), rgba[..., 3:]], axis=-1)


def unpremultiply(rgba: np.ndarray) -> np.ndarray:
    """Premultiplied to straight alpha, uint8 `[H, W, 4]`; colour over alpha is clipped."""
    alpha = np.maximum(rgba[..., 3:], 1).astype(np.uint16)
    colour = np.minimum((rgba[..., :3] * np.uint16(255) + alpha // 2) // alpha, 255)
    return np.concatenate([colour.astype(np.uint8), rgba[..., 3:]], axis=-1)


def to_pil(image: np.ndarray) -> Image.Image:
    """One uint8 image `[C, H, W]` with C of 1, 3 or 4 as a picture: L, RGB or straight RGBA."""
    pixels = np.ascontiguousarray(image.transpose(1, 2, 0))
    if pixels.shape[2] == 4:
        return Image.fromarray(unpremultiply(pixels))
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def class_columns(num: int, num_classes: int) -> int:
    """Columns for a grid of `num` images whose classes take turns, such that each column holds one class.

    As nearly square as that allows; 0 where it cannot be, or where the classes are too many.
    """
    if not 1 < num_classes <= MAX_COLUMNS or num % num_classes:
        return 0
    multiples = [columns for columns in range(num_classes, num + 1, num_classes) if num % columns == 0]
    return min(multiples, key=lambda columns: abs(math.log(columns**2 / num)))


def grid(images: np.ndarray, columns: int = 0) -> Image.Image:
    """uint8 images `[N, C, H, W]` laid out in rows; `columns` of 0 makes it about square.

    Small images are enlarged by a whole factor, so that the picture is at least 256 pixels wide.
    """
    if images.shape[1] == 4:
        images = over_checkerboard(images)
    num, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(num))
    wide, high, scale = grid_size(num, height, width, columns)
    sheet = np.full((channels, high // scale, wide // scale), 24, np.uint8)
    for i, image in enumerate(images):
        top, left = (height + GAP) * (i // columns) + GAP, (width + GAP) * (i % columns) + GAP
        sheet[:, top : top + height, left : left + width] = image
    return to_pil(sheet).resize((wide, high), Image.Resampling.NEAREST)


def grid_size(num: int, height: int, width: int, columns: int = 0) -> tuple[int, int, int]:
    """Width and height in pixels of `grid`, and the factor by which it is enlarged."""
    columns = columns or math.ceil(math.sqrt(num))
    wide, high = columns * (width + GAP) + GAP, math.ceil(num / columns) * (height + GAP) + GAP
    scale = max(1, round(256 / wide))
    return wide * scale, high * scale, scale


def side_by_side(left: Image.Image, right: Image.Image) -> Image.Image:
    """Two pictures with a white gap between them; one whose height fits several times into the other's is enlarged."""
    height = max(left.height, right.height)
    left, right = (
        each.resize((each.width * height // each.height, height), Image.Resampling.NEAREST)
        if height % each.height == 0
        else each
        for each in (left, right)
    )
    picture = Image.new("RGB", (left.width + right.width + 16, max(left.height, right.height)), "white")
    picture.paste(left, (0, 0))
    picture.paste(right, (left.width + 16, 0))
    return picture


def over_checkerboard(images: np.ndarray) -> np.ndarray:
    """Premultiplied RGBA `[N, 4, H, W]` over grey squares: RGB `[N, 3, H, W]`, both uint8."""
    height, width = images.shape[2:]
    size = max(2, height // 8)
    odd = (np.arange(height)[:, None] // size + np.arange(width) // size) % 2
    board = np.where(odd, 204, 153).astype(np.uint16)
    alpha = images[:, 3:].astype(np.uint16)
    colour = images[:, :3] + (board * (255 - alpha) + 127) // 255
    return np.minimum(colour, 255).astype(np.uint8)


def png(picture: Image.Image) -> bytes:
    """The picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


def encoded(picture: Image.Image, format: str) -> bytes:
    """The picture as the bytes of a file, `png` or `webp` (without loss)."""
    if format == "png":
        return png(picture)
    buffer = io.BytesIO()
    picture.save(buffer, "WEBP", lossless=True, exact=True)
    return buffer.getvalue()
