"""Objectives that measure a distance between reals and fakes, of the shape of those in `adversarial.py`.

D's number is no logit of a probability here: its sigmoid means nothing.
"""

import math

from torch import Tensor
from torch.nn.functional import relu

from gannet.errors import UserError
from gannet.losses.adversarial import Separable


class LSGAN(Separable):
    """Least squares to target values (Mao et al. 2017, equation 2).

    D's target is `b` on reals and `a` on fakes, G's is `c`. The defaults are the paper's 0-1 coding
    (equation 9); a = -1, b = 1, c = 0 makes G minimise a Pearson chi-squared divergence (equation 8).
    """

    def __init__(self, *, a: float = 0.0, b: float = 1.0, c: float = 1.0):
        if a == b or not all(map(math.isfinite, (a, b, c))):
            raise UserError(
                f"objective.a, b and c are {a}, {b} and {c}: they must be finite, and a (fakes) other than b (reals)"
            )
        self.a, self.b, self.c = a, b, c

    @property
    def boundary(self) -> float | None:
        """Half way between the targets."""
        return (self.a + self.b) / 2

    def d_real(self, logits: Tensor) -> Tensor:
        """D's loss on reals: (D(x) - b)^2 / 2."""
        return (logits - self.b).square() / 2

    def d_fake(self, logits: Tensor) -> Tensor:
        """D's loss on fakes: (D(G(z)) - a)^2 / 2."""
        return (logits - self.a).square() / 2

    def g(self, logits: Tensor) -> Tensor:
        """G's loss on the logits of its fakes: (D(G(z)) - c)^2 / 2."""
        return (logits - self.c).square() / 2


class Wasserstein(Separable):
    """The critic's difference between fakes and reals (Arjovsky et al. 2017, equation 2).

    It is a distance only where D is Lipschitz: clip D's weights, or add a gradient penalty.
    """

    @property
    def boundary(self) -> float | None:
        """None: only differences mean anything."""
        return None

    def d_real(self, logits: Tensor) -> Tensor:
        """D's loss on reals: -D(x)."""
        return -logits

    def d_fake(self, logits: Tensor) -> Tensor:
        """D's loss on fakes: D(G(z))."""
        return logits

    def g(self, logits: Tensor) -> Tensor:
        """G's loss on the logits of its fakes: -D(G(z))."""
        return -logits


class Hinge(Wasserstein):
    """D is content beyond a margin of 1 (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17).

    G's loss has no margin: -D(G(z)).
    """

    @property
    def boundary(self) -> float | None:
        """0: D is as far from content with both."""
        return 0.0

    def d_real(self, logits: Tensor) -> Tensor:
        """D's loss on reals: max(0, 1 - D(x))."""
        return relu(1 - logits)

    def d_fake(self, logits: Tensor) -> Tensor:
        """D's loss on fakes: max(0, 1 + D(G(z)))."""
        return relu(1 + logits)
