"""What is learned beside the adversarial game: classes, codes, and images that are known. One value a sample, `[N]`."""

import math

from torch import Tensor
from torch.nn import functional


def class_cross_entropy(logits: Tensor, c: Tensor) -> Tensor:
    """-sum_k c_k log softmax(logits)_k: both `[N, K]`, c one-hot or soft; in nats.

    ACGAN's term, for reals and for fakes (Odena et al. 2017, equation 3). For InfoGAN's categorical
    code it is -log Q(c|x): H(c) minus its mean is the lower bound of the mutual information
    (Chen et al. 2016, equation 5), where H(c) = log K for a uniform code.
    """
    assert logits.shape == c.shape
    return functional.cross_entropy(logits, c.to(logits.dtype), reduction="none")


def gaussian_cross_entropy(mean: Tensor, log_std: Tensor, code: Tensor) -> Tensor:
    """-log N(code; mean, exp(log_std)^2), summed over the codes: all `[N, K]`, to `[N]`; in nats.

    InfoGAN's continuous codes, whose Q is a Gaussian of free mean and spread (Chen et al. 2016,
    section 6): H(c) minus its mean is the lower bound of the mutual information (equation 5), where
    H(c) = K log 2 for K codes uniform on [-1, 1].
    """
    assert mean.shape == log_std.shape == code.shape
    error = (code - mean) * (-log_std).exp()
    return (error.square() / 2 + log_std + math.log(2 * math.pi) / 2).sum(1)


def l1(x: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of each sample: `[N, ...]` to `[N]` (pix2pix: Isola et al. 2017, equation 3).

    A mean over values, not their sum: a weight then means the same at every resolution.
    """
    assert x.shape == target.shape
    return (x - target).abs().flatten(1).mean(1)
