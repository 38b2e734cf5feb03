"""Images a second: pix2pix and CycleGAN in a plain loop, as their papers describe it, against Gannet's.

Both train the same networks (the papers', at full width) on drawn images, batches of 1, in one process, in turn;
each plays two steps, of which the second is timed. What is printed is the median of each and the median of the
pairs' ratios. First it is shown that both do the same: the losses of three steps in float64, without dropout and
with an empty pool. The plain loop computes no gradient of D in G's turn, as the authors' own.

    uv run python benchmarks/translation.py           # about eight minutes on two cores
"""

import argparse
import itertools
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from paired import alternate, take_weights, training_of
from torch import Tensor, nn
from torch.nn.functional import l1_loss, mse_loss

from gannet.config import Recipe, changed
from gannet.data.dataset import Dataset, opened, prepare
from gannet.recipes.translation import cyclegan, pix2pix
from gannet.training.loop import iterate

POOL = 50


class UNet(nn.Module):
    """pix2pix's G for 256 pixels."""

    def __init__(self, dropout: float):
        super().__init__()
        features = [64, 128, 256, 512, 512, 512, 512, 512]
        self.downs, self.ups = nn.ModuleList(), nn.ModuleList()
        for i, (before, after) in enumerate(itertools.pairwise([3, *features])):
            norm = [nn.BatchNorm2d(after)] if 0 < i < 7 else []
            self.downs.append(nn.Sequential(nn.Conv2d(before, after, 4, 2, 1, bias=False), *norm, nn.LeakyReLU(0.2)))
        for i, (before, after) in enumerate(itertools.pairwise(features[::-1])):
            conv = nn.ConvTranspose2d(before * (1 + (i > 0)), after, 4, 2, 1, bias=False)
            dropped = [nn.Dropout(dropout)] if i < 3 else []
            self.ups.append(nn.Sequential(conv, nn.BatchNorm2d(after), *dropped, nn.ReLU()))
        self.last = nn.ConvTranspose2d(128, 3, 4, 2, 1)

    def forward(self, a: Tensor) -> Tensor:
        maps = [a]
        for down in self.downs:
            maps.append(down(maps[-1]))
        x = maps.pop()
        for up in self.ups:
            x = torch.cat([up(x), maps.pop()], 1)
        return torch.tanh(self.last(x))


def resnet(blocks: int) -> nn.Module:
    """CycleGAN's G."""

    class Block(nn.Sequential):
        def forward(self, input: Tensor) -> Tensor:
            return input + super().forward(input)

    def normed(conv: nn.Module, features: int) -> list[nn.Module]:
        return [conv, nn.InstanceNorm2d(features), nn.ReLU()]

    def block() -> Block:
        first = [nn.ReflectionPad2d(1), *normed(nn.Conv2d(256, 256, 3), 256)]
        return Block(*first, nn.ReflectionPad2d(1), nn.Conv2d(256, 256, 3), nn.InstanceNorm2d(256))

    return nn.Sequential(
        nn.ReflectionPad2d(3), *normed(nn.Conv2d(3, 64, 7), 64),
        *normed(nn.Conv2d(64, 128, 3, 2, 1), 128), *normed(nn.Conv2d(128, 256, 3, 2, 1), 256),
        *(block() for _ in range(blocks)),
        *normed(nn.ConvTranspose2d(256, 128, 3, 2, 1, 1), 128), *normed(nn.ConvTranspose2d(128, 64, 3, 2, 1, 1), 64),
        nn.ReflectionPad2d(3), nn.Conv2d(64, 3, 7), nn.Tanh(),
    )  # fmt: skip


def patches(channels: int, norm: Callable[[int], nn.Module]) -> nn.Module:
    """The 70x70 PatchGAN, without the biases that a norm takes away."""

    def layer(before: int, after: int, stride: int) -> list[nn.Module]:
        return [nn.Conv2d(before, after, 4, stride, 1, bias=False), norm(after), nn.LeakyReLU(0.2)]

    return nn.Sequential(
        nn.Conv2d(channels, 64, 4, 2, 1), nn.LeakyReLU(0.2),
        *layer(64, 128, 2), *layer(128, 256, 2), *layer(256, 512, 1), nn.Conv2d(512, 1, 4, 1, 1),
    )  # fmt: skip


def adam(*networks: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam([p for network in networks for p in network.parameters()], 2e-4, (0.5, 0.999))


def learns(networks: Sequence[nn.Module], whether: bool) -> None:
    for network in networks:
        network.requires_grad_(whether)


class Plain(ABC):
    """A paper's networks, optimizers and step. `order` names the networks as Gannet does."""

    order: tuple[str, ...]

    def __init__(self, *networks: nn.Module):
        self.networks = dict(zip(self.order, networks, strict=True))

    @abstractmethod
    def step(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        """One iteration; the losses of D and G."""


class Pix2pix(Plain):
    """Non-saturating, and 100 times the absolute distance. The paper halves D's loss; Adam does not notice."""

    order = ("G", "D")

    def __init__(self, dropout: float = 0.5):
        self.G, self.D = UNet(dropout), patches(6, nn.BatchNorm2d)
        super().__init__(self.G, self.D)
        self.bce, self.adam_G, self.adam_D = nn.BCEWithLogitsLoss(), adam(self.G), adam(self.D)

    def step(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        fake = self.G(a)
        self.adam_D.zero_grad()
        on_fake, on_real = self.D(torch.cat([a, fake.detach()], 1)), self.D(torch.cat([a, b], 1))
        loss_D = self.bce(on_fake, torch.zeros_like(on_fake)) + self.bce(on_real, torch.ones_like(on_real))
        loss_D.backward()
        self.adam_D.step()
        learns([self.D], False)
        self.adam_G.zero_grad()
        on_fake = self.D(torch.cat([a, fake], 1))
        loss_G = self.bce(on_fake, torch.ones_like(on_fake)) + 100 * l1_loss(fake, b)
        loss_G.backward()
        self.adam_G.step()
        learns([self.D], True)
        return loss_D.detach(), loss_G.detach()


class CycleGAN(Plain):
    """Least squares (halved, as Gannet has them), a cycle of 5, an identity of half of it, pools of 50."""

    order = ("G", "F", "D", "D_X")

    def __init__(self, pool: int = POOL):
        self.G, self.F = resnet(6), resnet(6)
        self.D, self.D_X = (patches(3, nn.InstanceNorm2d) for _ in range(2))
        super().__init__(self.G, self.F, self.D, self.D_X)
        self.adam_G, self.adam_D = adam(self.G, self.F), adam(self.D, self.D_X)
        self.size, self.pools = pool, {"a": list[Tensor](), "b": list[Tensor]()}

    def pooled(self, side: str, fake: Tensor) -> Tensor:
        pool = self.pools[side]
        if len(pool) < self.size:
            pool.append(fake)
            return fake
        if self.size and torch.rand(()) < 0.5:
            place = int(torch.randint(self.size, ()))
            pool[place], fake = fake, pool[place]
        return fake

    def half_squares(self, logits: Tensor, target: float) -> Tensor:
        return mse_loss(logits, torch.full_like(logits, target)) / 2

    def step(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        learns([self.D, self.D_X], False)
        self.adam_G.zero_grad()
        fake_b, fake_a = self.G(a), self.F(b)
        cycle = l1_loss(self.F(fake_b), a) + l1_loss(self.G(fake_a), b)
        same = l1_loss(self.G(b), b) + l1_loss(self.F(a), a)
        fooled = self.half_squares(self.D(fake_b), 1.0) + self.half_squares(self.D_X(fake_a), 1.0)
        loss_G = fooled + 5 * cycle + 2.5 * same
        loss_G.backward()
        self.adam_G.step()
        learns([self.D, self.D_X], True)
        self.adam_D.zero_grad()
        old_b, old_a = self.pooled("b", fake_b.detach()), self.pooled("a", fake_a.detach())
        loss_D = self.half_squares(self.D(b), 1.0) + self.half_squares(self.D(old_b), 0.0)
        loss_D = loss_D + self.half_squares(self.D_X(a), 1.0) + self.half_squares(self.D_X(old_a), 0.0)
        loss_D.backward()
        self.adam_D.step()
        return loss_D.detach(), loss_G.detach()


def recipes() -> dict[str, tuple[Recipe, type[Plain]]]:
    """pix2pix at 256 pixels; CycleGAN at 128, where the paper's G has six blocks."""
    unpaired = changed(replace(cyclegan(), schedules={}), "data", source="circles", other="squares", resolution=128)
    return {"pix2pix": (changed(pix2pix(), "data", source="outlines"), Pix2pix), "cyclegan": (unpaired, CycleGAN)}


def in_float64(loader: Any) -> None:
    if loader:
        reals = loader.reals
        loader.reals = lambda *numbers: tuple(value.double() for value in reals(*numbers))


def show_equal(name: str, recipe: Recipe, dataset: Dataset) -> None:
    """Prints both losses of three steps in float64 from the same weights and images."""
    setting = ("G", {"dropout": 0.0}) if name == "pix2pix" else ("game", {"pool": 0})
    part = getattr(recipe, setting[0])
    recipe = replace(recipe, **{setting[0]: replace(part, settings={**part.settings, **setting[1]})})
    training = training_of(recipe, dataset, "float32")
    plain = Pix2pix(0.0) if name == "pix2pix" else CycleGAN(0)
    take_weights(plain.networks, training)
    for network in (*training.networks.values(), *plain.networks.values()):
        network.double()
    torch.set_default_dtype(torch.float64)
    worst = 0.0
    for loader in (training.loader, training.loader.other):
        in_float64(loader)
    for step in range(3):
        x, _ = training.loader.reals(training.cur_nimg, 1)
        given, target = training.loader.given(x, training.cur_nimg)
        theirs = [float(loss) for loss in plain.step(given, target)]
        iterate(training)
        means = training.means.flush()
        ours = [means["loss D"], means["loss G"]]
        worst = max(worst, *(abs(x - y) for x, y in zip(ours, theirs, strict=True)))
        print(f"  step {step + 1}: plain {theirs[0]:.6f} {theirs[1]:.6f}   Gannet {ours[0]:.6f} {ours[1]:.6f}")
    torch.set_default_dtype(torch.float32)
    print(f"  largest difference {worst:.1e}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=7)
    pairs = parser.parse_args().pairs
    torch.manual_seed(0)
    print(f"torch {torch.__version__}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (recipe, make) in recipes().items():
            recipe = changed(recipe, "data", cache=folder)
            dataset = prepare(opened(recipe.data, Path(folder)), recipe.data, 3)
            print(f"\n{name} at {recipe.data.resolution} pixels, {pairs} pairs")
            show_equal(name, recipe, dataset)
            plain = make()
            a, b = torch.randn(2, 1, 3, recipe.data.resolution, recipe.data.resolution).tanh()
            alternate("plain loop", lambda plain=plain, a=a, b=b: plain.step(a, b), recipe, dataset, pairs)


if __name__ == "__main__":
    main()
