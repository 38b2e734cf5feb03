"""Inception Score (Salimans et al. 2016, "Improved techniques for training GANs", section 4)."""

import numpy as np
import torch
from torch import Tensor

from gannet.errors import UserError
from gannet.evaluation.estimate import Estimate, bootstrapped

SPLITS = 10
SEED = 2020


def inception_score(logits: Tensor) -> Estimate:
    """exp(E KL(p(y|x) || p(y))) of class logits `[N, K]`: from 1, for images of no or one class, to K.

    The mean over ten splits of the images, shuffled as torch-fidelity 0.4 shuffles them. It looks at no real image,
    and grows with the number of images. The interval is over the images, each resampled with its influence on the
    score of its split. Raises `UserError` for fewer images than splits.
    """
    num = len(logits)
    if num < SPLITS:
        raise UserError(f"the Inception Score is a mean over {SPLITS} splits, and there are {num} images: make more")
    logits = logits[torch.from_numpy(np.random.RandomState(SEED).permutation(num))]
    scores, influences = [], []
    for split in range(SPLITS):
        part = logits[split * num // SPLITS : (split + 1) * num // SPLITS].double()
        log_p = part.log_softmax(1)
        p = log_p.exp()
        # A class that no image of the split has, even by rounding, adds nothing.
        divergence = torch.where(p > 0, p * (log_p - p.mean(0).log()), 0).sum(1)
        scores.append(divergence.mean().exp())
        influences.append(scores[-1] * (divergence - divergence.mean()) * (num / SPLITS / len(part)))
    return bootstrapped(torch.stack(scores).mean().item(), torch.cat(influences), lowest=1.0)
