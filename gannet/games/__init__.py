"""Games: who plays, in which order, and what each wants. One file a family.

A game is built as `Game(networks, objective, *, settings)`. Its `players` name the networks that
learn with one optimizer; `turns(draw, now)` plays one iteration.
"""

from gannet.parts import Table

GAMES = Table(
    "game",
    ("gan", "gannet.games.gan:GAN"),
    ("gan-simultaneous", "gannet.games.gan:SimultaneousGAN"),
    ("gan-halves", "gannet.games.gan:HalvesGAN"),
)
