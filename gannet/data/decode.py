"""One image of any kind to the uint8 square that networks train on."""

import contextlib

import numpy as np
from PIL import Image, ImageCms, ImageOps

from gannet.config import Data
from gannet.images import premultiply

FILTERS = {"bicubic": Image.Resampling.BICUBIC, "nearest": Image.Resampling.NEAREST}


def to_array(image: Image.Image, settings: Data, channels: int, levels: tuple[float, float] | None) -> np.ndarray:
    """The image as uint8 `[C, R, R]`, with C of `channels` and R of `settings.resolution`.

    Four channels are premultiplied before anything is resized, so that the colour of transparent
    pixels does not bleed. `levels` are the values of the whole set that become 0 and 255 in images of
    more than 8 bits; 8-bit images are never stretched. Raises what Pillow raises for a bad file.
    """
    size = settings.resolution
    if image.format == "JPEG" and settings.filter == "bicubic":
        # JPEG is decoded at a half, quarter or eighth as long as twice the target remains.
        image.draft(None, (2 * size, 2 * size))
    pad = 255 if settings.alpha == "white" else 0
    image = _in_use(image, settings.alpha, channels, levels)
    return _to_channels(np.asarray(_fitted(image, size, settings.fit, FILTERS[settings.filter], pad)), channels)


def whole(image: Image.Image, alpha: str, channels: int, levels: tuple[float, float] | None) -> np.ndarray:
    """The image at its own size, else as `to_array` makes it: uint8 `[C, H, W]`."""
    return _to_channels(np.asarray(_in_use(image, alpha, channels, levels)), channels)


def _in_use(image: Image.Image, alpha: str, channels: int, levels: tuple[float, float] | None) -> Image.Image:
    """Upright, and with the greys, the colours or the premultiplied colours that become so many channels."""
    image = upright(image)
    if is_wide(image):
        if levels is None:
            raise ValueError(f"an image of mode {image.mode} needs levels")
        return _mapped(image, levels)
    if channels == 4:
        return _premultiplied(image, alpha)
    image = opaque(image, "white" if alpha == "white" else "black")
    return image.convert("L" if channels == 1 else image.mode)


def is_wide(image: Image.Image) -> bool:
    """Whether the image holds greys of more than 8 bits, by its header."""
    return image.mode == "F" or image.mode.startswith("I")


def upright(image: Image.Image) -> Image.Image:
    """The image loaded (the first frame of several) and turned as its EXIF orientation says."""
    image.load()
    with contextlib.suppress(Exception):  # damaged EXIF is no reason to lose the image
        ImageOps.exif_transpose(image, in_place=True)
    return image


def rgba(image: Image.Image) -> Image.Image | None:
    """A loaded image as straight RGBA, or None when its kind cannot be transparent."""
    if not image.has_transparency_data:
        return None
    return (image.convert("LA") if image.mode == "La" else image).convert("RGBA")


def opaque(image: Image.Image, background: str) -> Image.Image:
    """A loaded 8-bit image as L or RGB, laid over `background` where it is transparent."""
    if (straight := rgba(image)) is not None:
        under = Image.new("RGBA", image.size, background)
        under.alpha_composite(straight)
        return under.convert("RGB")
    if image.mode in ("1", "L"):
        return image.convert("L")
    if image.mode == "LAB":
        lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
        turned = ImageCms.profileToProfile(image, lab, srgb, outputMode="RGB")
        assert turned is not None
        return turned
    return image.convert("RGB")


def wide_values(image: Image.Image) -> np.ndarray:
    """The values of a loaded wide image, float64 `[H, W]`; what is not a number becomes the lowest."""
    values = np.asarray(image, np.float64)
    finite = np.isfinite(values)
    if finite.all():
        return values
    if not finite.any():
        raise ValueError("no value in the image is a number")
    return np.where(finite, values, values[finite].min())


def _mapped(image: Image.Image, levels: tuple[float, float]) -> Image.Image:
    low, high = levels
    scaled = (wide_values(image) - low) * (255 / max(high - low, 1e-30))
    return Image.fromarray(scaled.clip(0, 255).astype(np.float32))


def _premultiplied(image: Image.Image, alpha: str) -> Image.Image:
    straight = rgba(image) if alpha == "keep" else None
    if straight is None:
        straight = opaque(image, alpha).convert("RGBA")
    return Image.frombytes("RGBa", straight.size, premultiply(np.asarray(straight)).tobytes())


def _fitted(image: Image.Image, size: int, fit: str, resample: Image.Resampling, pad: int) -> Image.Image:
    width, height = image.size
    if fit == "pad":
        scale = min(1.0, size / max(width, height))
        inner = max(1, round(width * scale)), max(1, round(height * scale))
        if inner != image.size:
            image = image.resize(inner, resample)
        bands = len(image.getbands())
        square = Image.new(image.mode, (size, size), (pad,) * bands if bands > 1 else pad)
        square.paste(image, ((size - inner[0]) // 2, (size - inner[1]) // 2))
        return square
    box = (0, 0, width, height)
    if fit == "crop":
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = left, top, left + side, top + side
    if (box[2] - box[0], box[3] - box[1]) == (size, size):
        return image.crop(box)
    return image.resize((size, size), resample, box)


def _to_channels(pixels: np.ndarray, channels: int) -> np.ndarray:
    """`[H, W]` or `[H, W, c]`, uint8 or float, to uint8 `[channels, H, W]`."""
    if pixels.dtype != np.uint8:
        pixels = np.rint(pixels).clip(0, 255).astype(np.uint8)
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], min(channels, 3), axis=2)
        if channels == 4:
            pixels = np.concatenate([pixels, np.full_like(pixels[..., :1], 255)], axis=2)
    elif channels == 4:
        # Bicubic overshoots; colour above alpha would not be premultiplied colour.
        pixels = np.concatenate([np.minimum(pixels[..., :3], pixels[..., 3:]), pixels[..., 3:]], axis=2)
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))
