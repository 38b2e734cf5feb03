"""DINOv2's features with random weights in a smaller network of its family, computed in another way."""

import builtins
from functools import partial
from pathlib import Path
from typing import Any

import huggingface_hub
import numpy as np
import pytest
import timm
import torch
from PIL import Image
from pixels import protocol_with
from safetensors.torch import save_file
from torch import nn

from gannet.errors import UserError
from gannet.evaluation import dinov2
from gannet.evaluation.dinov2 import DINOv2, positions

SMALL = "vit_small_patch14_dinov2"
create_model = partial(timm.create_model, depth=2)


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random ones for images of 518x518, as DINOv2's are, under which every block and position counts."""
    torch.manual_seed(0)
    network: Any = create_model(SMALL, num_classes=0)
    assert network.pos_embed.shape == (1, 1 + 37**2, 384)
    for name, parameter in network.named_parameters():
        if name.endswith("gamma"):
            nn.init.constant_(parameter, 0.5)
        elif name == "pos_embed":
            nn.init.normal_(parameter, 0, 0.5)
        elif name.endswith("weight") and parameter.ndim > 1:
            nn.init.xavier_normal_(parameter, 2)
    path = tmp_path_factory.mktemp("weights") / "model.safetensors"
    save_file(network.state_dict(), path)
    return path


@pytest.fixture(scope="module")
def extract(weights: Path) -> DINOv2:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dinov2, "MODEL", SMALL)
        patch.setattr(timm, "create_model", create_model)
        patch.setattr(dinov2, "weights_file", lambda: weights)
        return DINOv2("cpu")


def cubic(distance: np.ndarray, a: float) -> np.ndarray:
    """Keys 1981, equation 4."""
    d = np.abs(distance)
    near = (a + 2) * d**3 - (a + 3) * d**2 + 1
    return np.where(d <= 1, near, np.where(d < 2, a * d**3 - 5 * a * d**2 + 8 * a * d - 4 * a, 0))


def taps(size: int, new: int, scale: float) -> np.ndarray:
    """How much of each of `size` values each of `new` gets: `[new, size]`, beyond the ends those of the ends."""
    matrix = np.zeros((new, size))
    for i in range(new):
        place = (i + 0.5) / scale - 0.5
        for k in range(int(np.floor(place)) - 1, int(np.floor(place)) + 3):
            matrix[i, min(max(k, 0), size - 1)] += cubic(np.array(place - k), -0.75)
    return matrix


def positions_by_hand(table: np.ndarray) -> np.ndarray:
    """DINOv2's, from 37x37 patches to 16x16: bicubic, not antialiased, as if 16.1 were wanted."""
    grid = table[0, 1:].reshape(37, 37, -1)
    matrix = taps(37, 16, 16.1 / 37)
    patches = np.einsum("ih,jw,hwd->ijd", matrix, matrix, grid).reshape(256, -1)
    return np.concatenate([table[0, :1], patches])[None]


def test_positions_are_dinov2s() -> None:
    table = torch.randn(1, 1 + 37**2, 8, generator=torch.Generator().manual_seed(1))
    assert positions(table, 16).numpy() == pytest.approx(positions_by_hand(table.numpy()), abs=1e-4)


@pytest.mark.parametrize("side", [32, 300])
def test_features_are_the_class_token_of_the_resized_image(side: int, extract: DINOv2, weights: Path) -> None:
    images = np.random.Generator(np.random.Philox(1)).integers(0, 256, (2, 3, side, side), np.uint8)
    network: Any = create_model(SMALL, num_classes=0, img_size=224)
    state = extract.network.state_dict() | {"pos_embed": torch.zeros_like(network.pos_embed)}
    network.load_state_dict(state)
    with torch.no_grad():
        table = timm.models.load_state_dict(str(weights))["pos_embed"]
        network.pos_embed += torch.from_numpy(positions_by_hand(table.numpy())).float()
        x = np.empty((2, 3, 224, 224), np.float32)
        for i in range(2):
            for c, (mean, std) in enumerate([(0.485, 0.229), (0.456, 0.224), (0.406, 0.225)]):
                channel = Image.fromarray(images[i, c].astype(np.float32)).resize((224, 224), Image.Resampling.BICUBIC)
                x[i, c] = (np.asarray(channel).clip(0, 255) / 255 - mean) / std
        expected = network.eval().forward_features(torch.from_numpy(x))[:, 0]
    found, logits = extract.both(images)
    assert logits is None and found.shape == (2, 384)
    assert (found - expected).norm() / expected.norm() < 1e-4
    assert (found[0] - found[1]).norm() / expected.norm() > 0.1


def test_the_protocol(extract: DINOv2, weights: Path) -> None:
    facts = {"extractor": "dinov2", "layer": "class token after the norm", "resize": "224x224 bicubic, antialiased"}
    assert extract.protocol == protocol_with(weights, **facts)


def test_the_network_and_its_weights_are_timms_of_that_name() -> None:
    config = timm.get_pretrained_cfg(f"{dinov2.MODEL}.lvd142m")
    assert config is not None and config.hf_hub_id == dinov2.REPOSITORY
    assert (config.mean, config.std, config.input_size) == (dinov2.MEAN, dinov2.STD, (3, 518, 518))


def test_weights_that_cannot_be_had_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no\nconnection")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(UserError) as caught:
        DINOv2("cpu")
    line = str(caught.value)
    assert "\n" not in line and "no connection" in line and "HF_HOME" in line
    assert "hf download timm/vit_large_patch14_dinov2.lvd142m model.safetensors" in line


def test_weights_that_are_there_need_no_network(monkeypatch: pytest.MonkeyPatch, weights: Path) -> None:
    def fail(*_: Any) -> None:
        raise AssertionError("the hub is asked")

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(weights))
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    assert dinov2.weights_file() == weights


@pytest.mark.parametrize("package", ["timm", "huggingface_hub"])
def test_without_its_package_one_line_says_what_to_install(
    package: str, monkeypatch: pytest.MonkeyPatch, weights: Path
) -> None:
    found = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name == package:
            raise ImportError(name)
        return found(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda *_: str(weights))
    with pytest.raises(UserError, match=r'pip install "gannet-gan\[dinov2\]"$'):
        DINOv2("cpu")
