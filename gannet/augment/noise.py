"""Instance noise (Sonderby et al. 2017, "Amortised MAP inference for image super-resolution", section 3.3;
Arjovsky and Bottou 2017, "Towards principled methods for training generative adversarial networks")."""

from collections.abc import Sequence

import torch
from torch import Tensor

from gannet.augment.base import Augmentation
from gannet.errors import UserError


class InstanceNoise(Augmentation):
    """Normal noise of `std`, where images are in [-1, 1], on reals and fakes, so that their distributions overlap.

    It is meant to fade: `schedules = {"augment.std": "linear to 0 over 50%"}`.
    """

    def __init__(self, *, std: float = 0.1):
        super().__init__()
        if not 0 <= std < float("inf"):
            raise UserError(f"augment.std is {std}, and must be at least 0, and finite")
        self.std = std

    def change(self, x: Tensor, parts: Sequence[int]) -> Tensor:
        return x + self.std * torch.randn_like(x)
