"""How good images are: distances of features, and of pictures to their targets. Imports no other room."""

from gannet.parts import Table

EXTRACTORS = Table(
    "extractor",
    ("inception", "gannet.evaluation.inception:Inception"),
    ("dinov2", "gannet.evaluation.dinov2:DINOv2"),
    ("efficientnet-lite0", "gannet.evaluation.efficientnet:EfficientNetLite0"),
)

WEIGHTS = Table("thing to fetch", ("inception", "gannet.evaluation.inception:fetch"))
