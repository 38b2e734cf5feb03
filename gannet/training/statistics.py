"""What is measured while a run goes on: names, meanings, and means that wait on the device.

| name | meaning |
|---|---|
| `loss D`, `loss G` | sum of the terms that the player minimises, mean over the batch |
| `D real`, `D fake`, `G adversarial`, ... | each term where a turn has more than one |
| `D(x)`, `D(G(z))` | mean probability that D gives to reals and fakes, before its step |
| `D(G(z)) after` | the same for fakes after D's step, as G's turn sees it |
| `accuracy real`, `accuracy fake` | fraction of reals and fakes that D tells right |
| `class accuracy real`, `class accuracy fake` | fraction whose class D names right, in the game `acgan` |
| `code accuracy` | fraction of fakes whose category can be read from them, in the game `infogan` |
| `augment p` | how probable each of ADA's changes is |
| `grad norm D`, `grad norm G` | Euclidean norm of all the player's gradients |
| `update D`, `update G` | norm of the change by one iteration over the norm of the weights, every 25th iteration |
| `optim.G.lr`, `penalties.r1.gamma`, ... | the value of a setting that has a schedule, in the line's last iteration |

Lines of their own, now and then, hold what a look at the samples says that G makes of always the same noise or given
images (`gannet.training.looks`). As many reals have a diversity and a distance of 1.

| name | meaning |
|---|---|
| `diversity` | how many different samples there are, in a fixed feature space |
| `duplicates` | fraction of samples nearer to another one than 49 in 50 reals are to their nearest |
| `copies` | fraction of samples nearer to a real that D trains on than 19 in 20 such reals are; where G has noise |
| `sample distance` | energy distance of samples and reals there, over that of reals and other reals |
| `class agreement sample` | how much oftener than by chance the nearest real has the class asked for (kappa: 0 to 1) |
| `class agreement real` | the same for reals and the nearest other one |
| `class agreement noise` | the deviation of the first by chance |
| `real low`, `real high`, `sample low`, `sample high` | the darkest and the brightest pixel, in [-1, 1] |
| `real mean`, `sample mean` | mean of all pixels |
| `sample saturated` | fraction of pixels at either end of the range; where G makes images from noise |
| `D of real`, `D of held-out`, `D of sample` | mean logit of reals it trains on, of others, of samples, unaugmented |
| `real above sample`, `real above held-out` | fraction of pairs in which D rates the real that it trains on higher |
| `data images`, `data distinct` | images, and the fraction of them that is no copy of another; at the beginning |
| `data smallest class`, `data largest class` | images in it; at the beginning |
| `data classes told` | how often a real's nearest neighbour has its label; at the beginning |
| `data classes chance`, `data classes noise` | what chance gives for that, and its deviation; at the beginning |
"""

import torch
from torch import Tensor

from gannet.training.ranks import ALONE, Ranks


class Means:
    """Running means of named values; nothing is read from the device until `flush`."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, float] = {}

    def add(self, name: str, value: Tensor, weight: float = 1.0) -> None:
        """Adds the mean of `value`; a micro-batch counts as its share of the batch."""
        value = value.detach().mean() * weight
        self.sums[name] = self.sums[name] + value if name in self.sums else value
        self.counts[name] = self.counts.get(name, 0.0) + weight

    def flush(self, ranks: Ranks = ALONE) -> dict[str, float]:
        """The means since the last flush, over all ranks, in the order in which the names first came."""
        if not self.sums:
            return {}
        values = torch.stack(list(self.sums.values()))
        ranks.average_([values])
        means = {name: value / self.counts[name] for name, value in zip(self.sums, values.tolist(), strict=True)}
        self.sums, self.counts = {}, {}
        return means
