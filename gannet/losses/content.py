"""A perceptual distance: how far two images are apart in the features of a network that has learned elsewhere."""

import functools
import os
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from gannet.efficientnet import efficientnet_lite0
from gannet.errors import UserError, one_line
from gannet.losses.regularisers import Judged, Penalty

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
CONV5_4 = 35  # of VGG-19's layers, up to its 16th convolution
RESCALED = 1 / 12.75  # of VGG-19's features, so that their distance is about as large as that of pixels
LARGE = 96  # pixels that the smaller network is shown at least, since it halves five times

Features = Callable[[Tensor], Tensor]


@functools.cache
def vgg19(activated: bool) -> Features:
    """VGG-19's features phi_5,4 of images in [0, 1], after or before their ReLU, times 1 / 12.75.

    (Ledig et al. 2017, sections 2.2.1 and 3.2.) torchvision downloads the weights once. Raises `UserError` where
    they cannot be had.
    """
    from torchvision.models import VGG19_Weights
    from torchvision.models import vgg19 as build

    try:
        whole: Any = build(weights=VGG19_Weights.IMAGENET1K_V1)
    except Exception as error:  # no connection, no space, a file cut short: each has errors of its own
        url = VGG19_Weights.IMAGENET1K_V1.url
        file = os.path.join(torch.hub.get_dir(), "checkpoints", os.path.basename(url))
        raise UserError(
            f"the weights of VGG-19 cannot be had ({one_line(error)}): put {url} to {file}, or set"
            " --penalties.content.network efficientnet-lite0"
        ) from error
    normalise = nn.BatchNorm2d(3, eps=0, affine=False)  # its numbers move to the device with the network
    normalise.running_mean, normalise.running_var = torch.tensor(MEAN), torch.tensor(STD).square()
    network = nn.Sequential(normalise, whole.features[: CONV5_4 + activated]).eval().requires_grad_(False)

    def features(x: Tensor) -> Tensor:
        return network.to(x)(x) * RESCALED

    return features


@functools.cache
def lite0(activated: bool) -> Features:
    """EfficientNet-Lite0's last map of images in [0, 1], after or before its ReLU."""
    network: Any = efficientnet_lite0()
    before: list[Tensor] = []
    if not activated:
        network._bn1.register_forward_hook(lambda norm, inputs, output: before.append(output))

    def features(x: Tensor) -> Tensor:
        if (side := min(x.shape[2:])) < LARGE:
            x = interpolate(x, scale_factor=LARGE / side, mode="bilinear")
        last = network.to(x).extract_features(2 * x - 1)
        return last if activated else before.pop()

    return features


NETWORKS: dict[str, Callable[[bool], Features]] = {"vgg19": vgg19, "efficientnet-lite0": lite0}


class Content(Penalty):
    """The squared distance of G's images to what they should be, in features (Ledig et al. 2017, equation 5).

    The features are the last convolution's, after its ReLU or, where they are not `activated`, before it (ESRGAN:
    Wang et al. 2018, section 3.3). The mean is over all their values. The papers' network is VGG-19. Grey images are
    repeated, and alpha is left out. Raises `UserError` where the network's weights cannot be had.
    """

    player = "G"
    needs_targets = True

    def __init__(
        self,
        *,
        weight: float = 1.0,
        network: Literal["vgg19", "efficientnet-lite0"] = "vgg19",
        activated: bool = True,
    ):
        super().__init__(weight=weight)
        self.weight, self.network, self.activated = weight, network, activated
        self.features = NETWORKS[network](activated)  # a function, whose weights no checkpoint needs to hold

    def term(self, judged: Judged) -> Tensor:
        x, fake = judged.made()
        with torch.no_grad():
            real = self.features(colours(x))
        return self.weight * (self.features(colours(fake)) - real).square().flatten(1).mean(1)


def colours(x: Tensor) -> Tensor:
    """Images in [-1, 1] as RGB in [0, 1]."""
    rgb = x.expand(-1, 3, -1, -1) if x.shape[1] == 1 else x[:, :3]
    return (rgb + 1) / 2
