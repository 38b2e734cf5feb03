"""What the players minimise: pure functions on logits, one value a sample."""

from gannet.parts import Table

OBJECTIVES = Table(
    "objective",
    ("non-saturating", "gannet.losses.adversarial:NonSaturating"),
    ("minimax", "gannet.losses.adversarial:Minimax"),
    ("lsgan", "gannet.losses.distances:LSGAN"),
    ("hinge", "gannet.losses.distances:Hinge"),
    ("wasserstein", "gannet.losses.distances:Wasserstein"),
    ("relativistic", "gannet.losses.relativistic:RelativisticPaired"),
    ("relativistic-average", "gannet.losses.relativistic:RelativisticAverage"),
)
PENALTIES = Table(
    "penalty",
    ("r1", "gannet.losses.regularisers:R1"),
    ("r2", "gannet.losses.regularisers:R2"),
    ("gradient-penalty", "gannet.losses.regularisers:GradientPenalty"),
    ("dragan", "gannet.losses.regularisers:DRAGAN"),
    ("lecam", "gannet.losses.regularisers:LeCam"),
    ("consistency", "gannet.losses.regularisers:Consistency"),
    ("path-length", "gannet.losses.regularisers:PathLength"),
    ("orthogonal", "gannet.losses.regularisers:Orthogonal"),
    ("feature-matching", "gannet.losses.regularisers:FeatureMatching"),
    ("content", "gannet.losses.content:Content"),
)
