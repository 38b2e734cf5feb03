"""Augmentation: what D sees of reals and fakes alike, differentiable, so that G learns through it.

An augmentation is built from its settings alone. `augment(x)` changes each image of x `[N, C, H, W]`
in [-1, 1] by itself; `augment.update(signs, num_images)` tells it how sure D is of the reals; what it
has learnt from that is in its `state_dict`.
"""

from gannet.parts import Table

AUGMENTATIONS = Table(
    "augmentation",
    ("none", "gannet.augment.base:Augmentation"),
    ("diffaugment", "gannet.augment.diffaugment:DiffAugment"),
    ("ada", "gannet.augment.ada:ADA"),
    ("instance-noise", "gannet.augment.noise:InstanceNoise"),
)
