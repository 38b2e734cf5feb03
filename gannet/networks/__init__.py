"""Networks: one family a file, found by name.

A generator is built as `Generator(resolution, channels, num_classes, *, z_dim, ...)`; it knows its
`z_dim`, and `G(z, c)` makes images in [-1, 1] from z `[N, z_dim]` and one-hot labels c
`[N, num_classes]` (width 0 without classes). A discriminator is built as
`Discriminator(resolution, channels, num_classes, *, ...)`; `D(x, c)` gives one logit a sample, `[N]`, or
`[N, P]`, one for each of P patches, and `D.logits_and_features(x, c)` the same with the features that the
logits are made from, `[N, D.num_features]`, in one forward (`base.Rating`). A translator is built as
`Translator(resolution, channels, num_classes, *, ...)`, and `G(a)` makes images of images a
(`translator.Translator`). A module whose buffers move with means over the batch is a `memory.Memory`:
they move once an iteration, by the mean over micro-batches and ranks. Of clips, whose frames lie one after
another along the channels, `channels` are those of all frames; a part with a fourth positional parameter
`frames` is told how many there are.
"""

from gannet.parts import Table

GENERATORS = Table(
    "generator",
    ("mlp", "gannet.networks.mlp:Generator"),
    ("dcgan", "gannet.networks.dcgan:Generator"),
    ("r3gan", "gannet.networks.r3gan:Generator"),
    ("fastgan", "gannet.networks.fastgan:Generator"),
    ("resnet", "gannet.networks.resnet:Generator"),
    ("biggan", "gannet.networks.biggan:Generator"),
    ("biggan-deep", "gannet.networks.biggan:DeepGenerator"),
    ("stylegan2", "gannet.networks.stylegan2:Generator"),
    ("dvdgan", "gannet.networks.dvdgan:Generator"),
)
TRANSLATORS = Table(
    "translator",
    ("unet", "gannet.networks.unet:UNet"),
    ("resnet-blocks", "gannet.networks.resnet_blocks:ResNetBlocks"),
    ("srresnet", "gannet.networks.srresnet:SRResNet"),
    ("rrdb", "gannet.networks.srresnet:RRDBNet"),
)
DISCRIMINATORS = Table(
    "discriminator",
    ("mlp", "gannet.networks.mlp:Discriminator"),
    ("dcgan", "gannet.networks.dcgan:Discriminator"),
    ("r3gan", "gannet.networks.r3gan:Discriminator"),
    ("fastgan", "gannet.networks.fastgan:Discriminator"),
    ("resnet", "gannet.networks.resnet:Discriminator"),
    ("biggan", "gannet.networks.biggan:Discriminator"),
    ("biggan-deep", "gannet.networks.biggan:DeepDiscriminator"),
    ("stylegan2", "gannet.networks.stylegan2:Discriminator"),
    ("dvdgan", "gannet.networks.dvdgan:Discriminator"),
    ("patchgan", "gannet.networks.patchgan:Discriminator"),
    ("vgg", "gannet.networks.vgg:Discriminator"),
)
