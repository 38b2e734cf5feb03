"""Relativistic objectives (Jolicoeur-Martineau 2018): how much more real are reals than fakes?

A logit alone means nothing, only a difference does: there is no `boundary`, and G's loss needs the reals too.
"""

from collections.abc import Mapping

from torch import Tensor
from torch.nn.functional import softplus


class RelativisticPaired:
    """RpGAN with the standard loss (RSGAN): real number i is compared with fake number i."""

    classifier = False
    boundary: float | None = None
    needs_real = True

    def d(self, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
        """D's loss: -log sigmoid(D(x) - D(G(z)))."""
        assert real.shape == fake.shape
        return {"paired": softplus(fake - real)}

    def g(self, fake: Tensor, real: Tensor) -> Tensor:
        """G's loss, D's with the places changed: -log sigmoid(D(G(z)) - D(x))."""
        assert real.shape == fake.shape
        return softplus(real - fake)


class RelativisticAverage:
    """RaGAN with the standard loss (RaSGAN): each sample is compared with the mean of the other kind.

    The mean is that of the logits given: those of one micro-batch on one rank. Of `[N, P]`, such as those of two
    Ds, each of the P has its own.
    """

    classifier = False
    boundary: float | None = None
    needs_real = True

    def d(self, real: Tensor, fake: Tensor) -> Mapping[str, Tensor]:
        """D's loss: -log sigmoid(D(x) - mean D(G(z))), and -log(1 - sigmoid(D(G(z)) - mean D(x)))."""
        return {"real": softplus(fake.mean(0) - real), "fake": softplus(fake - real.mean(0))}

    def g(self, fake: Tensor, real: Tensor) -> Tensor:
        """G's loss, D's with the places changed: the terms of real i and fake i together."""
        assert real.shape == fake.shape
        return softplus(real.mean(0) - fake) + softplus(real - fake.mean(0))
