"""The game of an auxiliary classifier: D says which class an image is of, and is not told (Odena et al. 2017)."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from gannet.errors import UserError
from gannet.games.gan import GAN, in_full
from gannet.games.turn import Batch, Loss, Noise, Pieces, num_features
from gannet.losses.auxiliary import class_cross_entropy


class ACGAN(GAN):
    """L_S, the game of two, and `weight` times L_C, the class's log-likelihood (equations 2 and 3).

    A class head on D's features learns with D, which maximises L_S + L_C; G maximises L_C - L_S.
    """

    labels_for_d: ClassVar[bool] = False

    @classmethod
    def classes(cls, found: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:
        """The data's. Raises `UserError` where it has none."""
        if not found:
            raise UserError(
                "acgan learns classes, and none are asked for: add --data.labels, and have each class in its own folder"
            )
        return found

    def __init__(self, pieces: Pieces, *, weight: float = 1.0, **settings: Any):
        super().__init__(pieces, **settings)
        if not weight >= 0:
            raise UserError(f"game.weight is {weight}, and must be at least 0")
        self.weight = weight
        self.head = nn.Linear(num_features(self.D), pieces.num_classes)
        self.networks = {"head": self.head}
        self.players["D"].append(self.head)

    def d_loss(self, batch: Batch, fake: Tensor) -> Loss:
        real_logits, real = self.logits_and_classes(batch.x, batch.c)
        fake_logits, fakes = self.logits_and_classes(fake, batch.c)
        loss = self.d_judged(batch, fake, real_logits, fake_logits)
        terms = {"class real": self.class_loss(real, batch.c), "class fake": self.class_loss(fakes, batch.c)}
        stats = {"class accuracy real": hits(real, batch.c), "class accuracy fake": hits(fakes, batch.c)}
        return Loss({**loss.terms, **terms}, {**loss.stats, **stats})

    def g_loss(self, fake: Tensor, noise: Noise, batch: Batch) -> Loss:
        logits, classes = self.logits_and_classes(fake, noise.c)
        loss = self.g_judged(fake, noise, batch, logits)
        return Loss({**loss.terms, "class": self.class_loss(classes, noise.c)}, loss.stats)

    def logits_and_classes(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """D's logits `[N]`, and those of the classes `[N, num_classes]`."""
        logits, features = self.logits_and_features(x, c)
        return logits, in_full(self.head(features))

    def class_loss(self, classes: Tensor, c: Tensor) -> Tensor:
        return self.weight * class_cross_entropy(classes, c)


def hits(logits: Tensor, c: Tensor) -> Tensor:
    """1 where the likeliest class is the one of one-hot c, else 0: `[N]`."""
    return (logits.argmax(1) == c.argmax(1)).float()
