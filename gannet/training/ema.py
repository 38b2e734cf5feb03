"""A moving average of a network's weights and buffers (Yazici et al. 2019, "The unusual
effectiveness of averaging in GAN training")."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn
from torch.nn.utils.parametrize import ParametrizationList


class EMA:
    """The averages of networks by name; the half-life is in images, so that it means the same at any batch size.

    With a half-life of 0, as at the start of a schedule, they are the networks. Spectral norm divides an
    averaged weight by its own largest singular value, whose vectors are no average of the network's:
    where those turn, their mean is too short.
    """

    def __init__(self, networks: Mapping[str, nn.Module], half_life_kimg: float, warm_up: float = 0.0):
        self.networks = {name: copy.deepcopy(network).requires_grad_(False) for name, network in networks.items()}
        self.half_life_kimg, self.warm_up = half_life_kimg, warm_up
        source, average = (state_of(which) for which in (networks, self.networks))
        floating = [name for name, value in average.items() if value.is_floating_point()]
        others = [name for name in average if name not in floating]
        self.pairs = [average[n] for n in floating], [source[n] for n in floating]
        self.counters = [average[n] for n in others], [source[n] for n in others]
        modules = [module for network in self.networks.values() for module in network.modules()]
        self.made_weights = [module for module in modules if isinstance(module, ParametrizationList)]

    @torch.no_grad()
    def update(self, num_images: int, cur_nimg: int = 0) -> None:
        """Moves the average towards the network, `num_images` reals after the last time, `cur_nimg` in all."""
        half_life = self.half_life_kimg * 1000
        if self.warm_up:
            half_life = min(half_life, cur_nimg * self.warm_up)
        old_share = 0.5 ** (num_images / half_life) if half_life else 0.0
        torch._foreach_lerp_(*self.pairs, 1 - old_share)
        if self.counters[0]:
            torch._foreach_copy_(*self.counters)
        for weight in self.made_weights:
            weight.train()()  # computed in this mode, its vectors take one power iteration


def state_of(networks: Mapping[str, nn.Module]) -> dict[tuple[str, str], Tensor]:
    """All weights and buffers."""
    return {(name, key): value for name, network in networks.items() for key, value in network.state_dict().items()}
