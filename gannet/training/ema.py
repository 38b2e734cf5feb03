"""A moving average of a network's weights and buffers (Yazici et al. 2019, "The unusual
effectiveness of averaging in GAN training")."""

import copy

import torch
from torch import nn


class EMA:
    """The average of `network`; its half-life is in images, so that it means the same at any batch size."""

    def __init__(self, network: nn.Module, half_life_kimg: float, warm_up: float = 0.0):
        self.network = copy.deepcopy(network).requires_grad_(False)
        self.half_life_nimg, self.warm_up = half_life_kimg * 1000, warm_up
        source, average = dict(network.state_dict()), self.network.state_dict()
        floating = [name for name, value in average.items() if value.is_floating_point()]
        others = [name for name in average if name not in floating]
        self.pairs = [average[n] for n in floating], [source[n] for n in floating]
        self.counters = [average[n] for n in others], [source[n] for n in others]

    @torch.no_grad()
    def update(self, num_images: int, cur_nimg: int = 0) -> None:
        """Moves the average towards the network, `num_images` reals after the last time, `cur_nimg` in all."""
        half_life = min(self.half_life_nimg, cur_nimg * self.warm_up) if self.warm_up else self.half_life_nimg
        torch._foreach_lerp_(*self.pairs, 1 - 0.5 ** (num_images / half_life))
        if self.counters[0]:
            torch._foreach_copy_(*self.counters)
