"""What all augmentations share: precision, pictures side by side in the channels, chance, cutout."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor, nn

from gannet.errors import UserError, nearest


class Augmentation(nn.Module):
    """Shows the images as they are; those that change them say how in `change`."""

    steered = False
    """Whether `update` changes anything."""

    def forward(self, x: Tensor, parts: Sequence[int] = ()) -> Tensor:
        """x `[N, C, H, W]` in [-1, 1], augmented, one draw an image; as many gradients as are wanted.

        C is 1, 3 or 4 (premultiplied alpha). Pictures that shall share one draw come concatenated:
        `parts` says how, (3, 1) for a colour image and its grey one.
        """
        parts = tuple(parts) or (x.shape[1],)
        assert x.ndim == 4 and sum(parts) == x.shape[1] and set(parts) <= {1, 3, 4}, (x.shape, parts)
        # Half precision would blur even the images that are left as they are.
        half = torch.amp.is_autocast_available(x.device.type)
        with torch.autocast(x.device.type, enabled=False) if half else nullcontext():
            return self.change(x.to(torch.promote_types(x.dtype, torch.float32)), parts).to(x.dtype)

    def change(self, x: Tensor, parts: Sequence[int]) -> Tensor:
        """x augmented, in float32 at least, `parts` as they are."""
        return x

    def update(self, sign_mean: Tensor, num_images: int) -> None:
        """Tells of `num_images` reals (of all ranks), whose logits' signs have the mean `sign_mean`."""

    def stats(self) -> Mapping[str, Tensor]:
        """What is to be reported of it, by name."""
        return {}


class Draw:
    """Chance for N images: each number drawn with probability p, and 0, which changes nothing, otherwise."""

    def __init__(self, x: Tensor, p: Tensor):
        self.x, self.p = x, p.to(x.device, x.dtype)

    def random(self) -> Tensor:
        """`[N]`, uniform in [0, 1)."""
        return torch.rand(len(self.x), device=self.x.device, dtype=self.x.dtype)

    def happens(self) -> Tensor:
        """`[N]`, true with probability p."""
        return self.random() < self.p

    def sometimes(self, values: Tensor) -> Tensor:
        return torch.where(self.happens(), values, 0.0)

    def uniform(self, low: float, high: float) -> Tensor:
        return self.sometimes(low + (high - low) * self.random())

    def integer(self, count: int) -> Tensor:
        """0 to count - 1."""
        return self.sometimes((self.random() * count).floor())

    def normal(self, std: float) -> Tensor:
        return self.sometimes(std * torch.randn_like(self.x[:, 0, 0, 0]))

    def half_as_often(self) -> "Draw":
        """Such that of two things that happen so often, one at least happens with probability p."""
        return Draw(self.x, 1 - (1 - self.p).sqrt())


def opaque(x: Tensor) -> Tensor:
    """Where there is something, from 0 to 1, `[N or 1, 1, H or 1, W or 1]`: alpha, or 1."""
    return (x[:, 3:] + 1) / 2 if x.shape[1] == 4 else x.new_ones(1, 1, 1, 1)


def blank(x: Tensor) -> float:
    """Nothing: the middle grey of the papers, or what is transparent."""
    return -1.0 if x.shape[1] == 4 else 0.0


def cut_out(x: Tensor, centre_x: Tensor, centre_y: Tensor, acts: Tensor) -> Tensor:
    """x without a rectangle of half its size around a centre `[N]` in [0, 1), where `acts` `[N]`.

    What falls outside of the image is lost (DeVries and Taylor 2017).
    """
    rows, columns = (within(centre, size) for centre, size in ((centre_y, x.shape[2]), (centre_x, x.shape[3])))
    hole = acts[:, None, None] & rows[:, :, None] & columns[:, None, :]
    return torch.where(hole[:, None], blank(x), x)


def within(centre: Tensor, size: int) -> Tensor:
    """`[N, size]`: which of `size` pixels are nearer than a quarter of the size to a centre in [0, 1)."""
    pixel = torch.arange(size, device=centre.device)
    low, high = (((centre[:, None] + side) * size).round() for side in (-0.25, 0.25))
    return (pixel >= low) & (pixel < high)


def constant(values: np.ndarray, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A tensor to keep: also what inference makes first can take part in gradients later."""
    with torch.inference_mode(False):
        return torch.tensor(values, device=device, dtype=dtype)


def chosen(text: str, known: Collection[str], field: str) -> tuple[str, ...]:
    """The names in a list with commas, `"color,cutout"`; raises `UserError` for unknown ones."""
    names = tuple(name.strip() for name in text.split(",") if name.strip())
    for name in names:
        if name not in known:
            raise UserError(f"{field} has no '{name}'{nearest(name, known)}")
    if not names:
        raise UserError(f"{field} is empty: choose from {', '.join(known)}, with commas between")
    return names
