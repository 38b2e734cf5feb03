"""The statistics of batch norm that go with z near 0 (Brock, Donahue and Simonyan 2019, appendix)."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

PASSES = 100  # of the paper's appendix


@torch.no_grad()
def standing_statistics(G: nn.Module, sample: Callable[[], tuple[Tensor, ...]], passes: int = PASSES) -> None:
    """Replaces the running statistics of G's batch norms by their means over forward passes (the paper's appendix).

    `sample` gives the z `[N, z_dim]` and c `[N, num_classes]` of one pass (and what else G takes), truncated as they
    will be used: what was collected in training fits z that is not. Nothing else of G changes, its mode included.
    """
    norms = [module for module in G.modules() if isinstance(module, _BatchNorm)]
    modes = [(module, module.training) for module in G.modules()]
    momenta = [norm.momentum for norm in norms]
    G.eval()  # spectral norm stays as it is
    for norm in norms:
        norm.train().reset_running_stats()
        norm.momentum = None  # the mean of all passes, each with the same weight
    try:
        for _ in range(passes if norms else 0):
            G(*sample())
    finally:
        for norm, momentum in zip(norms, momenta, strict=True):
            norm.momentum = momentum
        for module, mode in modes:
            module.training = mode
