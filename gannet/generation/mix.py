"""Style mixing: images that have their coarse layers from one image and their fine layers from another."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from gannet.errors import UserError
from gannet.generation.latents import Latents
from gannet.generation.sampler import Sampler
from gannet.images import grid

BANDS = (("coarse", 0, 4), ("middle", 4, 8), ("fine", 8, 99))  # layers, for 4 and 8, 16 and 32, and more pixels
MARGIN = 48  # pixels at the left of a picture, for the names of the bands
GAP = 12  # pixels between the bands


@dataclass(frozen=True)
class Band:
    """Layers of G whose w are those of the columns: from `first` up to `end`, which is not one of them."""

    name: str
    first: int
    end: int

    def __str__(self) -> str:
        return f"{self.name} (layers {self.first} to {self.end - 1})"


def bands(num_layers: int, from_layer: int | None) -> list[Band]:
    """The bands of Karras et al. (2019, figure 3) that G has, or one from a layer on.

    Coarse are the layers of 4 and 8 pixels, middle those of 16 and 32, fine those of more. Raises `UserError` for a
    layer that there is not, and for the first, from which on nothing would be mixed.
    """
    if from_layer is not None:
        if not 1 <= from_layer < num_layers:
            raise UserError(
                f"--from-layer is {from_layer}, and must be from 1 to {num_layers - 1}: this G has {num_layers} layers"
            )
        return [Band("chosen", from_layer, num_layers)]
    return [Band(name, first, min(end, num_layers)) for name, first, end in BANDS if first < num_layers]


def mixed(rows: Latents, columns: Latents, from_layer: int | None) -> tuple[list[Band], list[np.ndarray]]:
    """The bands, and for each what mixes: uint8 `[rows + 1, columns + 1, C, R, R]`, with what is mixed at its edges.

    The image in row i and column j has the w of column j in the band's layers, and the w of row i in the others
    (Karras et al. 2019, "A style-based generator architecture for generative adversarial networks", section 3.1). The
    corner is empty. Raises `UserError` where G shows no w.
    """
    G = rows.G
    if not G.shows_w:
        raise UserError("style mixing needs a w, and this generator shows none: only runs of stylegan2 do")
    w_rows, w_columns = (w_of(G, each) for each in (rows, columns))
    found = bands(w_rows.shape[1], from_layer)
    first, top = images_of(G, w_rows), images_of(G, w_columns)
    pictures = []
    for band in found:
        w = np.repeat(w_rows[:, None], len(w_columns), axis=1)
        w[:, :, band.first : band.end] = w_columns[None, :, band.first : band.end]
        inner = np.stack([images_of(G, row) for row in w])
        above = np.concatenate([np.zeros_like(top[:1]), top])
        pictures.append(np.concatenate([above[None], np.concatenate([first[:, None], inner], axis=1)]))
    return found, pictures


def w_of(G: Sampler, latents: Latents) -> np.ndarray:
    num = latents.num or 1
    z, c = (G.as_input(each) for each in (G.within(latents.z(0, num)), latents.c(0, num)))
    return G.w(z, c).cpu().numpy()


def images_of(G: Sampler, w: np.ndarray) -> np.ndarray:
    return G.to_uint8(G.images_of(G.as_input(w)))


def picture(found: Sequence[Band], pictures: Sequence[np.ndarray]) -> Image.Image:
    """The bands below each other as in figure 3: at the top what the columns are, at the left what the rows are.

    The columns' images stand there once. Beside each band is its name.
    """
    columns = pictures[0].shape[1]
    every = [each if i == 0 else each[1:] for i, each in enumerate(pictures)]
    grids = [grid(each.reshape(-1, *each.shape[2:]), columns) for each in every]
    heights = [each.height for each in grids]
    whole = Image.new("RGB", (MARGIN + grids[0].width, sum(heights) + GAP * (len(grids) - 1)), "white")
    draw, top = ImageDraw.Draw(whole), 0
    for band, each, height in zip(found, grids, heights, strict=True):
        whole.paste(each, (MARGIN, top))
        draw.text((2, top + height // 2 - 14), f"{band.name}\n{band.first} to {band.end - 1}", fill="black")
        top += height + GAP
    return whole
