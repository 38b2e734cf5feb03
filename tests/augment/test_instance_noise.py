import pytest
import torch
from exact import DENSE, tiny

from gannet.augment import AUGMENTATIONS
from gannet.augment.noise import InstanceNoise
from gannet.errors import UserError
from gannet.training.loop import iterate


@pytest.mark.parametrize("std", [0.1, 0.5])
def test_the_noise_is_normal_and_as_strong_as_it_says(std: float) -> None:
    torch.manual_seed(0)
    x = torch.linspace(-1, 1, 64).expand(40, 3, 64, 64)
    noise = InstanceNoise(std=std)(x) - x
    assert noise.mean().item() == pytest.approx(0, abs=std / 100)
    assert noise.std().item() == pytest.approx(std, rel=0.01)
    assert (noise.abs() < std).float().mean().item() == pytest.approx(0.6827, abs=2e-3)
    assert (noise[0] != noise[1]).float().mean() > 0.99


def test_without_noise_images_are_the_same() -> None:
    x = torch.rand(2, 4, 8, 8) * 2 - 1
    assert torch.equal(InstanceNoise(std=0.0)(x), x)


def test_gradients_pass_through() -> None:
    x = torch.zeros(2, 3, 4, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad((3 * InstanceNoise()(x)).sum(), x)
    assert (gradient == 3).all()


def test_it_fades_by_its_schedule() -> None:
    text = "linear to 0 over 0.008 kimg"
    t = tiny({**DENSE, "augment": {"name": "instance-noise", "std": 0.2}, "schedules.augment.std": text})
    found = []
    for _ in range(3):
        iterate(t)
        found.append(t.moved["augment.std"])
    assert found == [0.2, 0.1, 0.0]
    x = torch.zeros(1, 3, 8, 8)
    assert torch.equal(t.networks["augment"](x), x)


@pytest.mark.parametrize("std", [-0.1, float("nan"), float("inf")])
def test_wrong_settings_are_errors(std: float) -> None:
    with pytest.raises(UserError, match=r"augment\.std is"):
        AUGMENTATIONS.find("instance-noise")(std=std)
