"""What comes next in a video."""

from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn

from gannet.errors import UserError
from gannet.games.gan import GAN, given_channels
from gannet.games.turn import Batch, Pieces


class Prediction(GAN):
    """G goes on from the first frames of real clips, and D sees whole clips (DVD-GAN-FP: Clark et al. 2019, section 3).

    The frames that G is given (`G.given`) are those of the clips that D sees in the same turn. No label is looked at.
    """

    kinds: ClassVar[tuple[str, ...]] = ("clips",)

    @classmethod
    def classes(cls, found: tuple[str, ...], settings: Mapping[str, Any]) -> tuple[str, ...]:
        """None. Raises `UserError` where the data has labels."""
        if found:
            raise UserError("the game 'prediction' looks at no label: add --data.no-labels")
        return ()

    def __init__(self, pieces: Pieces, *, d_steps: int = 1, top_k: float = 1.0):
        super().__init__(pieces, d_steps=d_steps, top_k=top_k)

    def check_g(self) -> None:
        if hasattr(self.G, "multiple") or not given_channels(self.G):
            raise UserError(
                "the game 'prediction' is for a G that is given first frames: set --G.name dvdgan --G.given 1"
            )

    def play(self, batch: Batch) -> Tensor:
        return self.G(batch.z, batch.c, first_frames(self.G, batch.x))

    def show(self, networks: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """The frames that G is given, those that it makes, and those that came next."""
        given = first_frames(networks["G"], batch.x)
        num = given.shape[1]
        made = networks["G"](batch.z, batch.c, given)[:, num:]
        return {"input": given, "output": made, "target": batch.x[:, num:]}


def first_frames(G: nn.Module, clips: Tensor) -> Tensor:
    """The frames of clips `[N, frames * C, R, R]` that G is given, `[N, given * C, R, R]`."""
    return clips[:, : given_channels(G)]
