"""D as it rates images one by one, once it is trained."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gannet.data.batch import Loader

NUM = 512  # reals
BATCH = 64
QUANTILES = 101


@torch.no_grad()
def as_rater(D: nn.Module, loader: Loader, most: int) -> nn.Module:
    """A copy of D in eval mode whose batch norm has the statistics of reals.

    D learns with batches of reals and batches of fakes, each with statistics of its own; the running
    ones are of neither, and rate reals as unlikely too (measured in docs/quality.md). At most `most`
    images are rated at once. With several ranks all of them must call it.
    """
    rater = copy.deepcopy(D).eval().requires_grad_(False)
    norms = [module for module in rater.modules() if isinstance(module, _BatchNorm)]
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the plain mean of all batches
        norm.train()
    spread = through(loader)
    num_batches = NUM // min(BATCH, most) if norms else 0
    for number in range(num_batches):
        rater(*loader.at(spread[number::num_batches]))  # each batch goes through all of the set
    return rater.eval()


@torch.no_grad()
def real_logits(rater: nn.Module, loader: Loader, most: int) -> list[float]:
    """101 quantiles of D's logits for reals, from the least to the largest: what its logits for others compare with.

    `rater` is that of `as_rater`. Of several logits of an image it is their mean.
    """
    chosen = np.unique(through(loader))
    parts = np.array_split(chosen, -(-len(chosen) // min(BATCH, most)))
    logits = [rater(*loader.at(part)).float().reshape(len(part), -1).mean(1).cpu().numpy() for part in parts]
    return [float(value) for value in np.quantile(np.concatenate(logits), np.linspace(0, 1, QUANTILES))]


def through(loader: Loader) -> np.ndarray:
    """The numbers of 512 reals from all of the set; in sets of fewer some come more than once."""
    return np.linspace(0, len(loader.dataset.images) - 1, NUM).round().astype(int)
