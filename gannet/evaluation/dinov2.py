"""DINOv2's features, in which distances follow people's judgement better than in Inception's (Stein et al. 2023)."""

import math
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor
from torch.nn.functional import interpolate

from gannet.errors import UserError, one_line
from gannet.evaluation.extractors import Extractor, how_resized, resized
from gannet.evaluation.weights import CannotBeHad, sha256_of, shown

MODEL = "vit_large_patch14_dinov2"
REPOSITORY, FILE = "timm/vit_large_patch14_dinov2.lvd142m", "model.safetensors"
SIZE, PATCH = (224, 224), 14  # pixels
OFFSET = 0.1  # DINOv2 enlarges its positions by so much of a patch more than it needs
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, in [0, 1]
EXTRA = 'pip install "gannet-gan[dinov2]"'


class DINOv2(Extractor):
    """1024 features: the class token of ViT-L/14 after the last norm, of images of 224x224 (Stein et al. 2023).

    The network is timm's, with positions for 16x16 patches made as DINOv2 makes them. The weights, 1.2 GB, come
    from Hugging Face into that cache. Raises `UserError` where they or the extra `dinov2` cannot be had.
    """

    def __init__(self, device: torch.device | str) -> None:
        file = weights_file()
        super().__init__(
            "dinov2",
            device,
            weights=shown(sha256_of(file)),
            layer="class token after the norm",
            resize=how_resized(SIZE),
        )
        self.network = vit(file).to(self.device)
        self.mean, self.std = (torch.tensor(values, device=self.device).view(3, 1, 1) for values in (MEAN, STD))

    def forward(self, x: Tensor) -> tuple[Tensor, None]:
        return self.network((resized(x, SIZE) - self.mean) / self.std), None


def weights_file() -> Path:
    """The file of weights in the cache of Hugging Face, loaded there where it is missing."""
    try:
        from huggingface_hub import hf_hub_download, try_to_load_from_cache
        from huggingface_hub.utils import logging
    except ImportError as error:
        raise UserError(f"DINOv2 comes with one more package: {EXTRA}") from error
    if isinstance(found := try_to_load_from_cache(REPOSITORY, FILE), str):  # it would ask the hub first, and wait
        return Path(found)
    verbosity = logging.get_verbosity()
    logging.set_verbosity_error()  # else it tells of each try
    try:
        return Path(hf_hub_download(REPOSITORY, FILE))
    except Exception as error:  # no connection, no space, a server that refuses: each has errors of its own
        raise CannotBeHad(
            f"the weights of DINOv2 cannot be had ({one_line(error)}): run hf download {REPOSITORY} {FILE} where there "
            "is a network, copy the cache folder of Hugging Face, and set HF_HOME to it"
        ) from error
    finally:
        logging.set_verbosity(verbosity)


def vit(file: Path) -> Any:
    """The network of a file of weights: `[N, 3, 224, 224]` to the class token."""
    try:
        import timm
    except ImportError as error:
        raise UserError(f"DINOv2 comes with one more package: {EXTRA}") from error
    overlay = {"file": str(file)}
    network: Any = timm.create_model(
        MODEL, pretrained=True, pretrained_cfg_overlay=overlay, img_size=SIZE, num_classes=0
    )
    with safe_open(file, "pt") as weights:
        network.pos_embed.data = positions(weights.get_tensor("pos_embed"), SIZE[0] // PATCH)
    return network.eval().requires_grad_(False)


def positions(table: Tensor, side: int) -> Tensor:
    """Positions of the class token and of `side` x `side` patches `[1, 1 + side^2, d]`, from those of a larger image.

    timm antialiases here and DINOv2 does not, which moves the features.
    """
    token, patches = table[:, :1], table[:, 1:]
    old = math.isqrt(patches.shape[1])
    grid = patches.unflatten(1, (old, old)).permute(0, 3, 1, 2)
    scale = (side + OFFSET) / old
    grid = interpolate(grid, scale_factor=(scale, scale), mode="bicubic")
    return torch.cat([token, grid.flatten(2).mT], dim=1)
