"""How different two images look: LPIPS (Zhang et al. 2018, "The unreasonable effectiveness of deep features")."""

import warnings
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from gannet.errors import UserError

EXTRA = 'pip install "gannet-gan[ppl]"'
WEIGHTS = "vgg16-397923af.pth"
WEIGHTS_URL = f"https://download.pytorch.org/models/{WEIGHTS}"
SIDE = 256  # pixels: larger images are reduced, as in StyleGAN's measure


class Lpips:
    """The squared distance `[N]` of two batches of images `[N, C, R, R]` in [-1, 1], in features of VGG-16.

    C is 1, 3 or 4: grey is repeated, premultiplied colour lies over white. The package `lpips` brings the weights of
    the features, torchvision downloads VGG-16's. Raises `UserError` where the first is not installed or the second
    cannot be had.
    """

    def __init__(self, device: torch.device | str = "cpu") -> None:
        try:
            from lpips import LPIPS
        except ImportError as error:
            raise UserError(f"the path length needs the perceptual distance LPIPS: {EXTRA}") from error
        try:
            with warnings.catch_warnings(action="ignore"):  # of the names of torchvision's arguments
                network = LPIPS(net="vgg", verbose=False)
        except (OSError, RuntimeError) as error:
            place = Path(torch.hub.get_dir()) / "checkpoints"
            raise UserError(f"LPIPS needs the weights of VGG-16: put {WEIGHTS_URL} into {place}") from error
        self.network = network.to(device).requires_grad_(False)

    @torch.inference_mode()
    def __call__(self, one: Tensor, other: Tensor) -> Tensor:
        with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
            return self.network(seen(one), seen(other)).flatten()


def seen(images: Tensor) -> Tensor:
    """What LPIPS looks at: RGB `[N, 3, R, R]` of 256 pixels, or of fewer."""
    if images.shape[1] == 4:
        images = (images[:, :3] + 1 - images[:, 3:]).clamp(max=1)
    if (times := images.shape[-1] // SIDE) > 1:
        images = avg_pool2d(images, times)
    return images.expand(-1, 3, -1, -1)
