"""Games: who plays, in which order, and what each wants. One file a family.

A game is built as `Game(pieces, *, settings)`. Its `players` name the networks that learn with one
optimizer; `turns(draw, now)` plays one iteration. The class itself says which classes G is asked for,
and whether D is told the label.
"""

from gannet.parts import Table

GAMES = Table(
    "game",
    ("gan", "gannet.games.gan:GAN"),
    ("gan-simultaneous", "gannet.games.gan:SimultaneousGAN"),
    ("gan-halves", "gannet.games.gan:HalvesGAN"),
    ("acgan", "gannet.games.acgan:ACGAN"),
    ("infogan", "gannet.games.infogan:InfoGAN"),
    ("fastgan", "gannet.games.fastgan:FastGAN"),
    ("prediction", "gannet.games.prediction:Prediction"),
    ("pix2pix", "gannet.games.pix2pix:Pix2pix"),
    ("srgan", "gannet.games.pix2pix:SRGAN"),
    ("cyclegan", "gannet.games.cyclegan:CycleGAN"),
)
