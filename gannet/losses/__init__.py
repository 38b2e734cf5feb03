"""What the players minimise: pure functions on logits, one value a sample."""

from gannet.parts import Table

OBJECTIVES = Table(
    "objective",
    ("non-saturating", "gannet.losses.adversarial:NonSaturating"),
    ("minimax", "gannet.losses.adversarial:Minimax"),
)
