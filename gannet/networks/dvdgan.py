"""DVD-GAN (Clark, Donahue and Simonyan 2019, "Adversarial video generation on complex datasets", section 3 and
the appendix): BigGAN's blocks with convolutional GRUs over time, and a D in two parts.

A clip is `[N, frames * C, R, R]`, frame 0's C channels first. From the paper are: the affine map of z and
the class to 4x4; at each size a ConvGRU, then two blocks, of which the second doubles; the condition that
all of G's batch norms share, and their statistics for each time step alone, so that no frame hears of later
ones; in D, `num_spatial` frames drawn at random whose scores are added up, and a clip of half the size
whose first two blocks are 3-D; hinge, spectral norm and orthogonal weights. It gives 512 features at 4x4.

Ours are the other widths, `width` times R / side at a map of that side and 8 at most, in G and in each part of
D, where BigGAN has 16; states that are zero before the first frame; 1x1 convolutions beside 3-D blocks; time,
which is never made shorter; no self-attention.
"""

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import avg_pool2d, conv3d, relu

from gannet.errors import UserError
from gannet.networks.base import Rating
from gannet.networks.biggan import EPS, Logit, finish, no_norm
from gannet.networks.layers import ClassEmbedding, at_least
from gannet.networks.recurrent import ConvGRU
from gannet.networks.resnet import DownBlock, UpBlock


class Generator(nn.Module):
    """z and the class to a clip `[N, frames * C, R, R]` in [-1, 1]; `channels` is frames * C.

    With `given` above 0 that many first frames come as a, `[N, given * C, R, R]` in [-1, 1]: they stand
    first in the clip, and the others follow from the states that an encoder makes of them (DVD-GAN-FP).
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        frames: int = 1,
        *,
        z_dim: int = 120,
        width: int = 64,
        embedding_dim: int = 120,
        given: int = 0,
    ):
        super().__init__()
        each = channels_of_each(channels, frames)
        features = features_of(resolution, width, "G")
        at_least(1, **{"G.z_dim": z_dim, "G.embedding_dim": embedding_dim})
        at_least(0, **{"G.given": given})
        if given >= frames:
            raise UserError(f"G.given is {given}, and must be below data.frames, {frames}: no frame is left to make")
        self.z_dim, self.given_channels, self.start = z_dim, given * each, (1, features[0], 4, 4)
        self.embed = ClassEmbedding(num_classes, embedding_dim) if num_classes else nn.Identity()
        dim, made = z_dim + (embedding_dim if num_classes else 0), frames - given
        self.dense = nn.Linear(dim, features[0] * 4 * 4)
        self.stages = nn.ModuleList(Stage(a, b, made, dim) for a, b in pairwise(features))
        self.norm = FrameNorm(features[-1], made, dim)
        self.to_image = nn.Conv2d(features[-1], each, 3, 1, 1)
        self.encoder = Encoder(each, features, given) if given else None
        finish(self)

    def forward(self, z: Tensor, c: Tensor, a: Tensor | None = None) -> Tensor:
        """The clips of z `[N, z_dim]` and c `[N, num_classes]`; a may be left out where it has no channel."""
        num_given = 0 if a is None else a.shape[1]
        if num_given != self.given_channels:
            raise ValueError(f"this G is given {self.given_channels} channels of first frames, not {num_given}")
        states = [None] * len(self.stages) if a is None or self.encoder is None else self.encoder(a)
        condition = torch.cat([z, self.embed(c).to(z.dtype)], dim=1)
        x = self.dense(condition).unflatten(1, self.start)
        for stage, state in zip(self.stages, states, strict=True):
            x = stage(x, condition, state)
        x = torch.tanh(self.to_image(relu(self.norm(x.flatten(0, 1), condition))))
        clips = x.unflatten(0, (len(z), -1)).flatten(1, 2)
        return clips if a is None else torch.cat([a, clips.to(a.dtype)], dim=1)


class Stage(nn.Module):
    """Maps over time to maps of twice the size: a ConvGRU, then two blocks for each frame.

    x `[N, frames, before, H, W]`, or `[N, 1, before, H, W]` where it is the same at every step, a condition
    `[N, condition_dim]` and a state `[N, before, H, W]` or None to `[N, frames, after, 2H, 2W]`.
    """

    def __init__(self, before: int, after: int, frames: int, condition_dim: int):
        super().__init__()

        def norm_of(features: int) -> nn.Module:
            return FrameNorm(features, frames, condition_dim)

        self.frames = frames
        self.recurrent = ConvGRU(before, before)
        self.same = UpBlock(before, before, norm_of, double=False)
        self.doubling = UpBlock(before, after, norm_of)

    def forward(self, x: Tensor, condition: Tensor, state: Tensor | None) -> Tensor:
        x = self.recurrent(x, self.frames, state).flatten(0, 1)
        x = self.doubling(self.same(x, condition), condition)
        return x.unflatten(0, (-1, self.frames))


class FrameNorm(nn.Module):
    """Batch norm of frames `[N * frames, C, H, W]`, with statistics of each time step alone.

    Scale, above 1, and shift are linear in a condition `[N, condition_dim]`, the same for every frame.
    """

    def __init__(self, features: int, frames: int, condition_dim: int):
        super().__init__()
        self.frames = frames
        self.norm = nn.BatchNorm2d(frames * features, EPS, affine=False)
        self.to_scale, self.to_shift = (nn.Linear(condition_dim, features, bias=False) for _ in range(2))

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        clips = x.unflatten(0, (-1, self.frames))
        normal = self.norm(clips.flatten(1, 2)).unflatten(1, clips.shape[1:3])
        scale, shift = (to(condition)[:, None, :, None, None] for to in (self.to_scale, self.to_shift))
        return (normal * (1 + scale) + shift).flatten(0, 1)


class Encoder(nn.Module):
    """First frames `[N, given * C, R, R]` to a state for each ConvGRU, `[N, features, side, side]` from 4x4 on.

    Each frame goes through D's blocks alone. After each block the frames' maps stand side by side, and
    3x3 and ReLU make the state of that size from them (the paper's extension to video prediction).
    """

    def __init__(self, channels: int, features: list[int], given: int):
        super().__init__()
        self.given = given
        down = features[::-1]
        self.blocks = nn.ModuleList(down_blocks(channels, down)[:-1])
        self.to_states = nn.ModuleList(nn.Conv2d(given * a, b, 3, 1, 1) for a, b in pairwise(down))

    def forward(self, a: Tensor) -> list[Tensor]:
        x, states = frames_of(a, self.given), []
        for block, to_state in zip(self.blocks, self.to_states, strict=True):
            x = block(x)
            states.append(relu(to_state(x.unflatten(0, (-1, self.given)).flatten(1, 2))))
        return states[::-1]


class Discriminator(Rating):
    """A clip `[N, frames * C, R, R]` to two logits, `[N, 2]`: of single frames, and of the movement.

    Objectives take them one by one, as the paper's hinge does. The features of both stand side by side. Of clips
    with fewer than `num_spatial` frames it sees them all.
    """

    def __init__(
        self,
        resolution: int,
        channels: int,
        num_classes: int,
        frames: int = 1,
        *,
        width: int = 64,
        num_spatial: int = 8,
    ):
        super().__init__()
        each = channels_of_each(channels, frames)
        features = features_of(resolution, width, "D")[::-1]
        at_least(1, **{"D.num_spatial": num_spatial})
        self.spatial = SpatialDiscriminator(each, features, num_classes, frames, min(num_spatial, frames))
        self.temporal = TemporalDiscriminator(each, features[:-1], num_classes, frames)
        self.num_features = self.spatial.num_features + self.temporal.num_features
        finish(self)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """`[N, 2]` and `[N, num_features]` of clips x `[N, frames * C, R, R]` and labels c `[N, num_classes]`."""
        both = [part.logits_and_features(x, c) for part in (self.spatial, self.temporal)]
        return torch.stack([logits for logits, _ in both], dim=1), torch.cat([features for _, features in both], dim=1)


class SpatialDiscriminator(Rating):
    """The sum of the logits of `num_spatial` frames, each through BigGAN's D: `[N]`.

    In training each clip's are drawn at random without replacement; in eval mode they are spread evenly.
    """

    def __init__(self, channels: int, features: list[int], num_classes: int, frames: int, num_spatial: int):
        super().__init__()
        self.num_features, self.frames, self.num_spatial = features[-1], frames, num_spatial
        self.blocks = nn.Sequential(*down_blocks(channels, features))
        self.to_logit = Logit(features[-1], num_classes)

    def chosen(self, num: int, device: torch.device) -> Tensor:
        """The numbers of the frames to see, `[num, num_spatial]`."""
        if self.training:
            return torch.rand(num, self.frames, device=device).argsort(dim=1)[:, : self.num_spatial]
        return torch.linspace(0, self.frames - 1, self.num_spatial, device=device).round().long().expand(num, -1)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        clips = x.unflatten(1, (self.frames, -1))
        if self.num_spatial < self.frames:
            rows = torch.arange(len(x), device=x.device)[:, None]
            clips = clips[rows, self.chosen(len(x), x.device)]
        maps = self.blocks(clips.flatten(0, 1))
        each = self.to_logit(maps, c.repeat_interleave(self.num_spatial, dim=0))
        logits, features = (rating.unflatten(0, (len(x), -1)).sum(1) for rating in each)
        return logits, features


class TemporalDiscriminator(Rating):
    """Means of 2x2, two 3-D blocks, then 2-D ones for each frame; pooled over space and time to a logit, `[N]`."""

    def __init__(self, channels: int, features: list[int], num_classes: int, frames: int):
        super().__init__()
        self.num_features, self.frames = features[-1], frames
        self.blocks = nn.Sequential(*down_blocks(channels, features, frames))
        self.to_logit = Logit(features[-1], num_classes)

    def logits_and_features(self, x: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        maps = self.blocks(frames_of(avg_pool2d(x, 2), self.frames)).unflatten(0, (len(x), -1))
        return self.to_logit(maps.transpose(1, 2).flatten(2, 3), c)  # time as more rows of one map


class ClipDownBlock(DownBlock):
    """BigGAN's block of D for frames `[N * frames, C, H, W]`, its 3x3 convolutions 3x3x3; time keeps its length."""

    def __init__(self, before: int, after: int, frames: int, halve: bool = True, first: bool = False):
        super().__init__(before, after, after, no_norm, halve, first)
        self.conv1: nn.Conv2d = ClipConv(before, after, frames)
        self.conv2: nn.Conv2d = ClipConv(after, after, frames)


class ClipConv(nn.Conv2d):
    """A 3x3x3 convolution of frames `[N * frames, before, H, W]`, zeros around the clip.

    Its weight `[after, 3 * before, 3, 3]` has the channels of the frame before first, then the frame's own, and
    four dimensions: so spectral norm and orthogonal values take it as the 3x3 ones, over the neighbours side by side.
    """

    def __init__(self, before: int, after: int, frames: int):
        super().__init__(3 * before, after, 3, 1, 1)
        self.frames = frames

    def forward(self, input: Tensor) -> Tensor:
        clips = input.unflatten(0, (-1, self.frames)).transpose(1, 2)
        kernel = self.weight.unflatten(1, (3, -1)).transpose(1, 2)
        return conv3d(clips, kernel, self.bias, padding=1).transpose(1, 2).flatten(0, 1)


def down_blocks(channels: int, features: list[int], frames: int = 0) -> list[nn.Module]:
    """BigGAN's blocks of D from an image to 4x4, of so many features each, and a last one that keeps the size.

    With `frames` the first two are 3-D.
    """
    blocks: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise([channels, *features])):
        halve, first = i < len(features) - 1, i == 0
        if frames and i < 2:
            blocks.append(ClipDownBlock(before, after, frames, halve, first))
        else:
            blocks.append(DownBlock(before, after, after, no_norm, halve, first))
    return blocks


def frames_of(x: Tensor, frames: int) -> Tensor:
    """`[N, frames * C, H, W]` as `[N * frames, C, H, W]`."""
    return x.unflatten(1, (frames, -1)).flatten(0, 1)


def channels_of_each(channels: int, frames: int) -> int:
    """Channels of one frame. Raises `UserError` where the clip is not made of so many images."""
    at_least(1, frames=frames)
    if channels % frames or channels // frames not in (1, 3, 4):
        raise UserError(
            f"a clip of {channels} channels is not {frames} images of 1, 3 or 4 channels: set --data.frames"
        )
    return channels // frames


def features_of(resolution: int, width: int, player: str) -> list[int]:
    """Widths of the maps from 4x4 to the image."""
    if resolution not in (16, 32, 64, 128, 256):
        raise UserError(f"dvdgan makes clips of 16, 32, 64, 128 or 256 pixels, not {resolution}: set --data.resolution")
    at_least(1, **{f"{player}.width": width})
    return [width * min(resolution // 2**i, 8) for i in range(2, resolution.bit_length())]
