"""Games whose G is given an image in place of z: pix2pix, of pairs, and SRGAN, which enlarges."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gannet.errors import UserError
from gannet.games.gan import GAN, check_translator, in_full, other_g
from gannet.games.turn import Batch, Draw, Loss, Noise, Now, Pieces, Turn
from gannet.losses.auxiliary import l1


@dataclass(frozen=True)
class Given:
    """A batch in whose place of z stands the image that G is given, `[N, C, H, W]`."""

    z: Tensor
    c: Tensor
    x: Tensor
    a: Tensor


class GivenDraw:
    """Batches of images that G is given, as `make` has them."""

    def __init__(self, draw: Draw):
        self.draw, self.offset = draw, draw.offset

    def __call__(self) -> Batch:
        return self.make(self.draw())

    def noise(self) -> Noise:
        return self()

    def make(self, batch: Batch) -> Given:
        """The two of a pair along the channels, as D sees them."""
        return Given(batch.a, batch.c, torch.cat([batch.a, batch.x], 1), batch.a)


class Smaller(GivenDraw):
    """Batches of images that G is given reduced."""

    def __init__(self, draw: Draw, scale: int):
        super().__init__(draw)
        self.scale = scale

    def make(self, batch: Batch) -> Given:
        return Given(reduced(batch.x, self.scale), batch.c, batch.x, batch.a)


class Alone(nn.Module):
    """A translator, called as a generator is."""

    def __init__(self, G: nn.Module):
        super().__init__()
        self.G = G

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return self.G(z)


class Beside(Alone):
    """What a translator was given and, along the channels, what it makes of it."""

    def forward(self, z: Tensor, c: Tensor) -> Tensor:
        return torch.cat([z, self.G(z)], 1)


class Pix2pix(GAN):
    """D tells pairs of a and its target from pairs of a and what G makes of it (Isola et al. 2017, equation 1).

    `l1` is the weight of G's absolute distance to the target (lambda, equation 4): beside least squares, which are
    halved here (Mao et al. 2017), 50 is the paper's 100. There is no z: dropout is G's noise (section 2.1).
    The paper halves D's objective: see `CycleGAN`.
    """

    kinds: ClassVar[tuple[str, ...]] = ("pairs",)
    labels_for_d: ClassVar[bool] = False
    pictures_for_d: ClassVar[int] = 2
    has_targets: ClassVar[bool] = True

    def __init__(self, pieces: Pieces, *, l1: float = 100.0, d_steps: int = 1):
        super().__init__(pieces, d_steps=d_steps)
        if l1 < 0:
            raise UserError(f"game.l1 is {l1}, and must be at least 0")
        self.l1, self.G = l1, Beside(self.G)

    def check_g(self) -> None:
        check_translator(self.G)

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        yield from super().turns(GivenDraw(draw), now)

    def g_loss(self, fake: Tensor, noise: Noise, batch: Batch) -> Loss:
        loss = super().g_loss(fake, noise, batch)
        made, target = (pair.chunk(2, dim=1)[1] for pair in (fake, batch.x))
        return Loss({**loss.terms, "l1": self.l1 * l1(in_full(made), target)}, loss.stats)

    def show(self, networks: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """The image that G is given, what it makes of it, and the target."""
        return {"input": batch.a, "output": networks["G"](batch.a), "target": batch.x}


class SRGAN(GAN):
    """G makes images large again that were reduced (Ledig et al. 2017).

    For the first `start_kimg` thousand images by the distance of pixels alone, so that D does not begin with a G
    that knows nothing (section 3.2): the `squared` one, or the `absolute` one (ESRGAN: Wang et al. 2018, section 4.1).
    Then `adversarial` is the weight of D's word beside the penalty `content` (equation 3), and `pixel` that of the
    absolute distance of pixels (ESRGAN, equation 3).
    """

    kinds: ClassVar[tuple[str, ...]] = ("images",)
    labels_for_d: ClassVar[bool] = False
    has_targets: ClassVar[bool] = True

    def __init__(
        self,
        pieces: Pieces,
        *,
        start_kimg: float = 0.0,
        start_distance: Literal["squared", "absolute"] = "squared",
        adversarial: float = 1e-3,
        pixel: float = 0.0,
        d_steps: int = 1,
    ):
        super().__init__(pieces, d_steps=d_steps)
        if min(start_kimg, adversarial, pixel) < 0:
            raise UserError("game.start_kimg, game.adversarial and game.pixel must be at least 0")
        self.start_kimg, self.start_distance = start_kimg, start_distance
        self.adversarial, self.pixel = adversarial, pixel
        self.scale = cast(int, self.G.scale)
        self.G = Alone(self.G)

    def check_g(self) -> None:
        if getattr(self.G, "scale", 1) == 1:
            raise other_g("smaller images", "srresnet or rrdb")

    def turns(self, draw: Draw, now: Now) -> Iterator[Turn | tuple[Turn, ...]]:
        draw = Smaller(draw, self.scale)
        if now.cur_nimg >= 1000 * self.start_kimg:
            yield from super().turns(draw, now)
            return
        batch = draw()
        yield Turn("G", learns="G", loss=lambda: self.pixel_loss(batch))

    def pixel_loss(self, batch: Batch) -> Loss:
        made = in_full(self.G(batch.z, batch.c))
        if self.start_distance == "absolute":
            return Loss({"pixel": l1(made, batch.x)})
        return Loss({"pixel": (made - batch.x).square().flatten(1).mean(1)})

    def g_loss(self, fake: Tensor, noise: Noise, batch: Batch) -> Loss:
        loss = super().g_loss(fake, noise, batch)
        terms = {**loss.terms, "adversarial": self.adversarial * loss.terms["adversarial"]}
        if self.pixel:
            terms["pixel"] = self.pixel * l1(in_full(fake), batch.x)
        return Loss(terms, loss.stats)

    def show(self, networks: Mapping[str, nn.Module], batch: Batch) -> Mapping[str, Tensor]:
        """The reduced image enlarged by a filter, what G makes of it, and the image that it was."""
        small = reduced(batch.x, self.scale)
        return {"input": enlarged(small, self.scale), "output": networks["G"](small), "target": batch.x}


def reduced(x: Tensor, scale: int) -> Tensor:
    """x a `scale`-th as large, bicubic and antialiased, in whole 8-bit levels as from a file."""
    small = interpolate(x, scale_factor=1 / scale, mode="bicubic", antialias=True).clamp(-1, 1)
    return ((small + 1) * 127.5).round() / 127.5 - 1


def enlarged(x: Tensor, scale: int) -> Tensor:
    """x `scale` times as large, by the bicubic kernel that reduces: what a network has to beat.

    (Without `antialias` torch's kernel is another, which is a little worse.)
    """
    return interpolate(x, scale_factor=scale, mode="bicubic", antialias=True).clamp(-1, 1)
