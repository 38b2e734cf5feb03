"""Who is near to whom among features, in blocks: no table of all the pairs is ever held."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor

BLOCK = 2**24  # distances at once: 64 MB
DIRECT = 2**22  # differences of features at once: 16 MB


def nearest(features: Tensor, among: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """The `num` nearest of `among` `[T, d]` to each of `features` `[N, d]`, or all T where they are fewer.

    Distances float32 and indices int64, both `[N, min(num, T)]`, nearest first. The distances are those of the
    differences, so that the same image is at 0.
    """
    num, found = min(num, len(among)), []
    few = max(1, DIRECT // (num * features.shape[1]))
    start = 0
    for squares in squared_distances(features, among):
        candidates = squares.topk(num, largest=False).indices
        for some in candidates.split(few):
            away = torch.linalg.vector_norm(among[some] - features[start : start + len(some), None], dim=2)
            distances, order = away.sort()
            found.append((distances, some.gather(1, order)))
            start += len(some)
    distances, indices = zip(*found, strict=True)
    return torch.cat(distances), torch.cat(indices)


def distances_between(features: Tensor, some: Tensor, others: Tensor) -> Tensor:
    """Of features `[T, d]` those numbered `some` `[N, k]` to those numbered `others` `[N]`: float32 `[N, k]`."""
    few = max(1, DIRECT // (some.shape[1] * features.shape[1]))
    parts = zip(some.split(few), others.split(few), strict=True)
    return torch.cat([torch.linalg.vector_norm(features[i] - features[j, None], dim=2) for i, j in parts])


def leaders(features: Tensor, within: float) -> np.ndarray:
    """The leader of each of `features` `[N, d]`: the first one before it, itself a leader, at most `within` away.

    Indices int64 `[N]`; who has nobody to follow leads, and is its own.
    """
    num = len(features)
    leader, leads = np.arange(num), np.zeros(num, bool)
    i = 0
    for squares in squared_distances(features, features):
        for close in (squares <= within**2).numpy():
            before = np.flatnonzero(close[:i] & leads[:i])
            if len(before):
                leader[i] = before[0]
            else:
                leads[i] = True
            i += 1
    return leader


def squared_distances(features: Tensor, among: Tensor) -> Iterator[Tensor]:
    """|x - y|^2 of `features` `[N, d]` and `among` `[T, d]`, some rows `[n, T]` at a time; near 0 they are rounded."""
    centre = among.mean(0)
    squares = torch.cat([(some - centre).square().sum(1) for some in among.split(1024)])
    for block in features.split(max(1, BLOCK // len(among))):
        # Centred on one side only, which costs no copy of `among` and takes most of what an offset rounds away.
        centred = block - centre
        products = centred @ among.T - (centred @ centre)[:, None]
        yield (squares - 2 * products + centred.square().sum(1, keepdim=True)).clamp_(min=0)
