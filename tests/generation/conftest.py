"""Runs to sample from: a G and a D that were never trained, as a run saves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from gannet.networks import DISCRIMINATORS, GENERATORS
from gannet.networks.folder import save_network

Made = Callable[..., Path]


@pytest.fixture
def run(tmp_path: Path) -> Made:
    """Makes a run folder with G and, where asked, D: all that sampling may need."""

    def make(
        classes: tuple[str, ...] = (), channels: int = 3, d: bool = True, classifier: bool = True, bias: float = 0.0
    ) -> Path:
        torch.manual_seed(2)
        folder = tmp_path / "run"
        facts = {"resolution": 16, "channels": channels, "classes": list(classes)}
        settings: dict[str, Any] = {"z_dim": 5, "width": 4, "init": "pytorch"}
        G = GENERATORS.find("dcgan")(16, channels, len(classes), **settings).train()
        for _ in range(20):
            c = torch.eye(max(len(classes), 1))[torch.randint(max(len(classes), 1), (32,))][:, : len(classes)]
            G(torch.randn(32, 5), c)  # gives batch norm its statistics
        save_network(folder / "generator", G, {"name": "dcgan", **facts, "settings": settings})
        if d:
            settings = {"width": 4, "bias": True, "norm": "none", "init": "pytorch"}
            D = DISCRIMINATORS.find("dcgan")(16, channels, len(classes), **settings)
            with torch.no_grad():
                D.to_logit.weight.mul_(20)
                D.to_logit.bias.fill_(bias)
            config = {"name": "dcgan", **facts, "settings": settings, "logit_is_probability": classifier}
            save_network(folder / "discriminator", D, config)
        return folder

    return make
