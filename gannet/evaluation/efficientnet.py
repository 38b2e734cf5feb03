"""EfficientNet-Lite0's features: its weights lie in a package, and need no download."""

from typing import Any, Literal

import torch
from torch import Tensor

from gannet.efficientnet import efficientnet_lite0, weights_file
from gannet.evaluation.extractors import Extractor, how_resized, resized
from gannet.evaluation.weights import sha256_of, shown

SIZE = (96, 96)  # pixels: the network's own 224 take seven times as long


class EfficientNetLite0(Extractor):
    """1280 features, the means of the last map, and the logits of ImageNet's 1000 classes.

    Images are resized to 96x96, antialiased, whatever their size, so that what is finer in larger ones is not seen.
    Raises `UserError` where the extra `eval-offline` is not installed.
    """

    def __init__(
        self, device: torch.device | str = "cpu", *, resize: Literal["bicubic", "bilinear"] = "bicubic"
    ) -> None:
        super().__init__(
            "efficientnet-lite0",
            device,
            weights=shown(sha256_of(weights_file())),
            layer="last map, mean over places",
            resize=how_resized(SIZE, resize),
        )
        self.network: Any = efficientnet_lite0().to(self.device).to(memory_format=torch.channels_last)
        self.mode = resize

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = resized(x, SIZE, self.mode) * 2 - 1
        features = self.network.extract_features(x.contiguous(memory_format=torch.channels_last)).mean((2, 3))
        return features, self.network._fc(features)
