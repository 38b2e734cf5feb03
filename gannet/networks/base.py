"""What every discriminator has in common."""

from abc import ABC, abstractmethod

from torch import Tensor, nn


class Rating(nn.Module, ABC):
    """A discriminator: one logit a sample, or one a patch, and the features that they are made from, in one forward.

    What needs the features of D learns on top of them: a class head (ACGAN), codes (InfoGAN), feature
    matching. A layer over the batch, such as minibatch discrimination, comes after them where it can, so
    that they tell of their sample alone.
    """

    num_features: int

    @abstractmethod
    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """`[N]` (or `[N, P]`) and `[N, num_features]` of x `[N, channels, R, R]` and labels c `[N, num_classes]`."""

    def forward(self, x: Tensor, c: Tensor) -> Tensor:
        return self.logits_and_features(x, c)[0]
