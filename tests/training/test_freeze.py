"""FreezeD: what does not learn, which layers come first, and what it leaves as it was."""

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from exact import SMALL, exact, same, tiny, weights
from runs import NOISY, contents, files, stopped
from torch import nn

import gannet.api as api
from gannet.errors import UserError
from gannet.networks import DISCRIMINATORS
from gannet.networks.layers import spectrally_normalise
from gannet.training.freeze import freeze_first
from gannet.training.loop import iterate


def frozen(D: nn.Module, num: int, classes: int = 0) -> list[str]:
    """Names of what no longer learns, of a D for RGB images of 16 pixels."""
    freeze_first(D, num, torch.zeros(2, 3, 16, 16), torch.zeros(2, classes))
    return [name for name, parameter in D.named_parameters() if not parameter.requires_grad]


def test_frozen_layers_keep_every_bit_and_the_others_learn() -> None:
    t = exact(tiny({**SMALL, "train.freeze_d": 2, "penalties.r1.gamma": 1.0, "optim.D.clip": 0.02}))
    D, before = t.networks["D"], weights(t.networks["D"])
    held = {name for name, parameter in D.named_parameters() if not parameter.requires_grad}
    assert held == {"blocks.0.weight", "blocks.2.weight"}
    with torch.no_grad():  # a weight beyond the bound of D's clipping stays as well
        D.get_parameter("blocks.0.weight")[0, 0, 0, 0] = 3.0
    for _ in range(5):
        iterate(t)
    after = weights(D)
    assert after["blocks.0.weight"].flatten()[0] == 3
    assert torch.equal(after["blocks.0.weight"].flatten()[1:], before["blocks.0.weight"].flatten()[1:])
    assert torch.equal(after["blocks.2.weight"], before["blocks.2.weight"])
    learnt = [name for name, _ in D.named_parameters() if name not in held]
    assert learnt and not any(torch.equal(after[name], before[name]) for name in learnt)
    moved = [p for group in t.optimizers["D"].param_groups for p in group["params"]]
    assert {id(p) for p in moved} == {id(p) for name, p in D.named_parameters() if name not in held}
    assert all(D.get_parameter(name).grad is None and not D.get_parameter(name).requires_grad for name in held)
    assert D.training and all(p.requires_grad for p in t.networks["G"].parameters())


def test_without_it_all_layers_learn() -> None:
    t = tiny(SMALL)
    assert all(p.requires_grad for p in t.networks["D"].parameters())


def test_layers_count_in_the_order_of_the_forward() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last, self.norm, self.first = nn.Linear(4, 1), nn.LayerNorm(4), nn.Conv2d(3, 4, 16)
            self.embed, self.gain = nn.Linear(2, 4), nn.Parameter(torch.ones(()))

        def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            h = self.embed(c)  # which no image goes through
            return self.gain * self.last(h + self.norm(self.first(x).flatten(1))).squeeze(1)

    assert frozen(Backwards(), 1, classes=2) == ["first.weight", "first.bias"]
    with pytest.raises(UserError, match=r"train.freeze_d is 2, and must be below 2, the number of layers of D"):
        frozen(Backwards(), 2, classes=2)


def test_norms_between_frozen_layers_are_frozen_and_the_one_behind_is_not() -> None:
    D = DISCRIMINATORS.find("dcgan")(32, 3, 0, width=4)
    freeze_first(D, 3, torch.zeros(2, 3, 32, 32), torch.zeros(2, 0))
    held = [name for name, parameter in D.named_parameters() if not parameter.requires_grad]
    assert held == ["blocks.0.weight", "blocks.2.weight", "blocks.3.weight", "blocks.3.bias", "blocks.5.weight"]


def test_weights_behind_spectral_norm_are_found() -> None:
    D = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3), nn.Flatten(), nn.Linear(4 * 12 * 12, 1))
    spectrally_normalise(D)
    before = copy.deepcopy(D.state_dict())

    class Rated(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layers = D

        def forward(self, x: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
            return self.layers(x).squeeze(1)

    held = frozen(Rated(), 1)
    assert held == ["layers.0.bias", "layers.0.parametrizations.weight.original"]
    assert same(before, D.state_dict())  # looking at the order moved no vector of it


@pytest.mark.parametrize(
    ("row", "classes"),
    [(row, num) for row in DISCRIMINATORS.rows for num in (0, 3) if row not in ("patchgan", "vgg") or not num],
)
def test_every_family_freezes_its_first_layer_alone(row: str, classes: int) -> None:
    small: dict[str, dict[str, Any]] = {
        "mlp": {"hidden": (8,)},
        "r3gan": {"widths": (16, 16, 16, 16)},
        "stylegan2": {"channel_base": 64, "mapping_layers": 1},
    }
    D = DISCRIMINATORS.find(row)(32, 3, classes, **small.get(row, {"width": 2}))
    everything = copy.deepcopy(D.state_dict())
    freeze_first(D, 1, torch.zeros(4, 3, 32, 32), torch.zeros(4, classes))
    held = [parameter for parameter in D.parameters() if not parameter.requires_grad]
    assert len([parameter for parameter in held if parameter.dim() > 1]) == (2 if row == "dvdgan" else 1)  # of two Ds
    assert any(parameter.requires_grad for parameter in D.parameters())
    assert same(everything, D.state_dict()) and D.training


def test_a_frozen_run_resumes_exactly(run: Path, tmp_path: Path) -> None:
    settings = {**NOISY, "train.freeze_d": 1, "train.length": "8 iterations"}

    def train(path: Path) -> api.Trained:
        return api.train(tmp_path / "pictures", recipe="dcgan-shapes", run=path, settings=settings, init=run)

    whole = train(tmp_path / "whole").path
    with stopped(5):
        train(tmp_path / "parts")
    assert api.resume(tmp_path / "parts").finished
    for what in ("state", "lines", "files"):
        assert contents(tmp_path / "parts")[what] == contents(whole)[what], what
    assert "recipe.toml" in files(whole)


def test_freezing_what_comes_from_nowhere_is_one_line(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="say with --init where they come from"):
        api.train(tmp_path / "pictures", recipe="dcgan-shapes", settings={**NOISY, "train.freeze_d": 1})
