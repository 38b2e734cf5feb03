"""Adversarial objectives, from logits: never a sigmoid followed by a logarithm.

An objective gives D's loss, `d(real, fake)`, as named terms, and G's, `g(fake)`, one value a sample
`[N]` in float32. `classifier` says that D's logit is that of "x is real", so that its sigmoid is a
probability; `boundary` is the logit above which D takes an image for real, None where there is none;
`needs_real` that G's loss is `g(fake, real)`.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import softplus

from gannet.errors import UserError


def bce(logits: Tensor, label: Tensor | float) -> Tensor:
    """Cross-entropy of Bernoulli(label) and sigmoid(logits): -label log s - (1 - label) log(1 - s)."""
    return softplus(logits) - label * logits


class Separable(ABC):
    """An objective whose losses look at reals and at fakes apart."""

    classifier = False
    needs_real = False

    @property
    def boundary(self) -> float | None:
        """The logit above which D takes an image for real."""
        return 0.0

    def d(self, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
        """D's loss."""
        return {"real": self.d_real(real), "fake": self.d_fake(fake)}

    @abstractmethod
    def d_real(self, logits: Tensor) -> Tensor:
        """D's loss on reals."""

    @abstractmethod
    def d_fake(self, logits: Tensor) -> Tensor:
        """D's loss on fakes."""

    @abstractmethod
    def g(self, logits: Tensor) -> Tensor:
        """G's loss on the logits of its fakes."""


class NonSaturating(Separable):
    """G maximises log D(G(z)) (Goodfellow et al. 2014, section 3).

    D's labels: `real_label` and `fake_label` of 1 and 0, or smoothed, one-sided (0.9 and 0: Salimans
    et al. 2016, section 3.4) or two-sided (0.9 and 0.1); each label is flipped with probability
    `label_noise`. G's own target is always 1.
    """

    classifier = True

    def __init__(self, *, real_label: float = 1.0, fake_label: float = 0.0, label_noise: float = 0.0):
        if not 0 <= fake_label < real_label <= 1:
            raise UserError(
                f"labels of {fake_label} (fake) and {real_label} (real) must be from 0 to 1, fake below real"
            )
        if not 0 <= label_noise < 0.5:
            raise UserError(f"objective.label_noise is {label_noise}, and must be from 0 to below 0.5")
        self.real_label, self.fake_label, self.label_noise = real_label, fake_label, label_noise

    def d_real(self, logits: Tensor) -> Tensor:
        """D's loss on reals."""
        return bce(logits, self.noisy(logits, self.real_label, self.fake_label))

    def d_fake(self, logits: Tensor) -> Tensor:
        """D's loss on fakes."""
        return bce(logits, self.noisy(logits, self.fake_label, self.real_label))

    def g(self, logits: Tensor) -> Tensor:
        """G's loss on the logits of its fakes: -log D(G(z))."""
        return softplus(-logits)

    def noisy(self, logits: Tensor, label: float, flipped: float) -> Tensor | float:
        if not self.label_noise:
            return label
        flip = torch.rand_like(logits) < self.label_noise
        return torch.where(flip, flipped, label)


class Minimax(NonSaturating):
    """G minimises log(1 - D(G(z))), the value that D maximises (Goodfellow et al. 2014, equation 1).

    It saturates: where D is sure, G's gradient vanishes.
    """

    def g(self, logits: Tensor) -> Tensor:
        """G's loss on the logits of its fakes: log(1 - D(G(z)))."""
        return -softplus(logits)
