"""Penalties as a recipe names them (`penalties.r1.gamma`): each joins its player's turn, or has one every k iterations.

They are computed in float32 whatever the run's precision.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from gannet.errors import UserError
from gannet.losses import penalties
from gannet.memory import Memory

SHIFT = 4  # pixels, in the consistency terms' own augmentation


@dataclass(frozen=True)
class Judged:
    """What a penalty may look at: the networks, reals and fakes, and what D said of them in this turn, if it did.

    The fakes are made of z and c. The reals x have the labels `real_c`: in D's turns the same, in G's
    others where its noise is fresh. `augment` makes of images what D is shown.
    """

    D: nn.Module
    G: nn.Module
    x: Tensor
    real_c: Tensor
    fake: Tensor
    z: Tensor
    c: Tensor
    augment: Callable[[Tensor], Tensor]
    real_logits: Tensor | None = None
    fake_logits: Tensor | None = None
    channels: int = 0
    """Of one picture, where D sees several as one; 0 where it sees one alone."""

    def made(self) -> tuple[Tensor, Tensor]:
        """The last picture of reals and fakes: before it stands what G was given, where D sees that as well."""
        return self.x[:, -self.channels :], self.fake[:, -self.channels :]

    def rate(self, x: Tensor) -> Tensor:
        """D's logits of x as D sees it, in D's turn, where reals and fakes have the same labels.

        D's slope matters where D is asked: a gradient by x goes through the augmentation (Karras et al. 2020,
        "Training generative adversarial networks with limited data", section 2).
        """
        return self.D(self.augment(x), self.c)


class Penalty(Memory, ABC):
    """One term, `[N]` or a scalar, for `player`: in every step, or `every` iterations and so many times as strong.

    What it remembers are buffers, which follow what it has noted when the iteration is over.
    Its settings are attributes of the same names, read anew each time: schedules set them.
    """

    player = "D"
    needs_targets = False
    """Whether fake number i is compared with real number i."""

    def __init__(self, every: int = 1, **weights: float):
        super().__init__()
        for name, weight in weights.items():
            if not weight >= 0:
                raise UserError(f"{name} is {weight}, and must be at least 0")
        if every < 1:
            raise UserError(f"every is {every}, and must be at least 1")
        self.every = every

    def forward(self, judged: Judged) -> Tensor:
        judged = replace(judged, fake=judged.fake.to(judged.x.dtype))  # G's under autocast may be of half precision
        with torch.autocast(judged.x.device.type, enabled=False):
            return self.every * self.term(judged)

    @abstractmethod
    def term(self, judged: Judged) -> Tensor:
        """The term with its weight, as if it were of every step."""


class R1(Penalty):
    """gamma / 2 |D's gradient at reals|^2 (Mescheder et al. 2018, equation 9)."""

    def __init__(self, *, gamma: float = 1.0, every: int = 1):
        super().__init__(every, gamma=gamma)
        self.gamma = gamma

    def term(self, judged: Judged) -> Tensor:
        return self.gamma * penalties.r1(judged.rate, judged.x)


class R2(Penalty):
    """gamma / 2 |D's gradient at fakes|^2 (Mescheder et al. 2018, equation 10)."""

    def __init__(self, *, gamma: float = 1.0, every: int = 1):
        super().__init__(every, gamma=gamma)
        self.gamma = gamma

    def term(self, judged: Judged) -> Tensor:
        return self.gamma * penalties.r2(judged.rate, judged.fake)


class GradientPenalty(Penalty):
    """WGAN-GP: a slope of 1 between reals and fakes (Gulrajani et al. 2017, equation 3)."""

    def __init__(self, *, weight: float = 10.0, every: int = 1):
        super().__init__(every, weight=weight)
        self.weight = weight

    def term(self, judged: Judged) -> Tensor:
        eps = torch.rand(len(judged.x), device=judged.x.device, dtype=judged.x.dtype)
        between = penalties.interpolated(judged.x, judged.fake, eps)
        return self.weight * penalties.gradient_penalty(judged.rate, between)


class DRAGAN(Penalty):
    """A slope of 1 near the reals (Kodali et al. 2017); `std` is that of normal noise, relative to the reals' own."""

    def __init__(self, *, weight: float = 10.0, std: float = 0.5, every: int = 1):
        super().__init__(every, weight=weight, std=std)
        self.weight, self.std = weight, std

    def term(self, judged: Judged) -> Tensor:
        noise = self.std * judged.x.std() * torch.randn_like(judged.x)
        return self.weight * penalties.dragan(judged.rate, judged.x, noise)


class LeCam(Penalty):
    """Logits pulled to where those of the other kind have been (Tseng et al. 2021)."""

    def __init__(self, *, weight: float = 0.3, decay: float = 0.99):
        super().__init__(weight=weight)
        self.weight, self.decay = weight, checked_decay(decay)
        self.real_mean: Tensor
        self.fake_mean: Tensor
        self.register_buffer("real_mean", torch.zeros(()))
        self.register_buffer("fake_mean", torch.zeros(()))

    def term(self, judged: Judged) -> Tensor:
        assert judged.real_logits is not None and judged.fake_logits is not None
        self.note("real_mean", judged.real_logits.mean(), self.decay)
        self.note("fake_mean", judged.fake_logits.mean(), self.decay)
        return self.weight * penalties.lecam(judged.real_logits, judged.fake_logits, self.real_mean, self.fake_mean)


class Consistency(Penalty):
    """bCR: D rates an image as it rates the image flipped and shifted (Zhao et al. 2021).

    With a `fake_weight` of 0 it is CR (Zhang et al. 2020).
    """

    def __init__(self, *, real_weight: float = 10.0, fake_weight: float = 10.0):
        super().__init__(real_weight=real_weight, fake_weight=fake_weight)
        self.real_weight, self.fake_weight = real_weight, fake_weight

    def term(self, judged: Judged) -> Tensor:
        found = self.real_weight * self.changed(judged, judged.x)
        return found + self.fake_weight * self.changed(judged, judged.fake) if self.fake_weight else found

    def changed(self, judged: Judged, x: Tensor) -> Tensor:
        """What the flip and shift alone change, so D rates both without the run's augmentation."""
        return penalties.consistency(judged.D(x, judged.c), judged.D(moved(x), judged.c))


class PathLength(Penalty):
    """Steps in w change the image by as much wherever they start (StyleGAN2: Karras et al. 2020, section 3.2).

    `weight` multiplies the paper's own, which follows from the resolution (its appendix B).
    """

    player = "G"

    def __init__(self, *, weight: float = 1.0, decay: float = 0.99, every: int = 8):
        super().__init__(every, weight=weight)
        self.weight, self.decay = weight, checked_decay(decay)
        self.mean: Tensor
        self.register_buffer("mean", torch.zeros(()))

    def term(self, judged: Judged) -> Tensor:
        half = max(len(judged.z) // 2, 1)
        G: Any = judged.G
        if not (hasattr(G, "mapping") and hasattr(G, "synthesis")):
            raise UserError("path-length is for a G that has w, such as stylegan2: leave the penalty out")
        w = G.mapping(judged.z[:half], judged.c[:half])
        images = G.synthesis(w)
        lengths = penalties.path_lengths(images, w, torch.randn_like(images))
        self.note("mean", lengths.mean(), self.decay)
        strength = self.weight * penalties.path_length_weight(images.shape[2])
        return strength * penalties.path_length_penalty(lengths, self.mean)


class Orthogonal(Penalty):
    """G's filters at right angles to each other (Brock et al. 2019, equation 3)."""

    player = "G"

    def __init__(self, *, weight: float = 1e-4, every: int = 1):
        super().__init__(every, weight=weight)
        self.weight = weight

    def term(self, judged: Judged) -> Tensor:
        terms = []
        for module in judged.G.modules():
            if isinstance(module, nn.Conv2d | nn.Linear | nn.ConvTranspose2d):
                weight = learned_weight(module)
                transposed = isinstance(module, nn.ConvTranspose2d)
                terms.append(penalties.orthogonality(weight.transpose(0, 1) if transposed else weight))
        if not terms:
            raise UserError("orthogonal finds no convolution or dense layer of torch's own in this G: leave it out")
        return self.weight * torch.stack(terms).sum()


class FeatureMatching(Penalty):
    """Fakes have the reals' mean features inside D (Salimans et al. 2016, section 3.1).

    Beside the objective; with more than one micro-batch the means are those of each.
    """

    player = "G"

    def __init__(self, *, weight: float = 1.0):
        super().__init__(weight=weight)
        self.weight = weight

    def term(self, judged: Judged) -> Tensor:
        D: Any = judged.D
        with torch.no_grad():
            _, real = D.logits_and_features(judged.augment(judged.x), judged.real_c)
        _, fake = D.logits_and_features(judged.augment(judged.fake), judged.c)
        return self.weight * penalties.feature_matching(real, fake)


def learned_weight(layer: nn.Module) -> Tensor:
    """The weight that learns, before spectral norm divides it: reading that one would be a power iteration."""
    made: Any = getattr(layer, "parametrizations", None)
    weight: Any = made.weight.original if made is not None and "weight" in made else layer.weight
    return weight


def checked_decay(decay: float) -> float:
    if not 0 <= decay < 1:
        raise UserError(f"decay is {decay}, and must be from 0 to below 1")
    return decay


def moved(x: Tensor) -> Tensor:
    """Each image flipped with probability 1/2 and shifted by up to `SHIFT` pixels each way, its edge repeated."""
    size, device = x.shape[2], x.device
    x = torch.where(torch.rand(len(x), 1, 1, 1, device=device) < 0.5, x.flip(3), x)
    shift = torch.randint(-SHIFT, SHIFT + 1, (2, len(x), 1), device=device)
    rows, columns = (torch.arange(size, device=device) + shift).clamp_(0, size - 1)
    n, channels = torch.arange(len(x), device=device), torch.arange(x.shape[1], device=device)
    return x[n[:, None, None, None], channels[:, None, None], rows[:, None, :, None], columns[:, None, None, :]]
