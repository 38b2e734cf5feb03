"""D as it rates images one by one, once it is trained."""

import copy

import numpy as np
import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from gannet.data.batch import Loader

NUM = 512  # reals
BATCH = 64


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
    spread = np.linspace(0, len(loader.dataset.images) - 1, NUM).round().astype(int)
    num_batches = NUM // min(BATCH, most) if norms else 0
    for number in range(num_batches):
        rater(*loader.at(spread[number::num_batches]))  # each batch goes through all of the set
    return rater.eval()
