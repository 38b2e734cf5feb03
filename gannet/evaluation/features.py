"""What a network sees in images: the spaces in which distances are measured."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.efficientnet import efficientnet_lite0

SIDE = 96  # pixels: the network's own 224 take seven times as long
BATCH = 50


class EfficientNetLite0:
    """uint8 images `[N, C, H, W]` to features float64 `[N, 1280]`: the last map's means over its places.

    C is 1, 3 or 4; grey is repeated, and premultiplied colour lies over white. Images are resized to 96x96,
    antialiased, whatever their size, so that what is finer in larger ones is not seen. Raises `UserError` where
    the extra `eval-offline` is not installed.
    """

    def __init__(self, device: torch.device | str = "cpu", resize: Literal["bicubic", "bilinear"] = "bicubic") -> None:
        self.network: Any = efficientnet_lite0().to(device).to(memory_format=torch.channels_last)
        self.device, self.resize = device, resize

    @property
    def protocol(self) -> dict[str, str]:
        """What the features depend on, besides the images."""
        return {
            "extractor": "efficientnet-lite0",
            "layer": "last map, mean over places",
            "resize": f"{SIDE}x{SIDE} {self.resize}, antialiased",
        }

    @torch.inference_mode()
    def __call__(self, images: np.ndarray) -> Tensor:
        parts = []
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            for start in range(0, len(images), BATCH):
                x = colours(torch.from_numpy(images[start : start + BATCH]).to(self.device))
                x = interpolate(x, (SIDE, SIDE), mode=self.resize, antialias=True).clamp_(-1, 1)
                x = x.contiguous(memory_format=torch.channels_last)
                parts.append(self.network.extract_features(x).mean((2, 3)).double().cpu())
        return torch.cat(parts)


def colours(images: Tensor) -> Tensor:
    """uint8 images of 1, 3 or 4 channels as RGB `[N, 3, H, W]` in [-1, 1], premultiplied colour over white."""
    x = images.float()
    if x.shape[1] == 4:
        x = (x[:, :3] + 255 - x[:, 3:]).clamp_(max=255)
    return x.expand(-1, 3, -1, -1) / 127.5 - 1
