import itertools

import pytest
import torch
from torch import Tensor, nn

from gannet.augment import AUGMENTATIONS
from gannet.augment.ada import ADA, CATEGORIES
from gannet.errors import UserError

ALL = ",".join(CATEGORIES)


def image(*shape: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64) * 2 - 1


def ada(p: float, categories: str = ALL) -> ADA:
    return ADA(p=p, categories=categories)


def seeded(augment: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(3)
    return augment(x)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_with_p_0_the_images_are_the_same_to_the_last_bit(channels: int, dtype: torch.dtype) -> None:
    x = image(5, channels, 16, 16).to(dtype)
    assert torch.equal(ada(0)(x), x)


@pytest.mark.parametrize("categories", ["blit,geom", "geom", "color", "filter", "noise", "cutout", ALL])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_with_p_1_every_image_changes(categories: str, channels: int) -> None:
    x = image(50, channels, 16, 16)
    changed = seeded(ada(1, categories), x)
    assert changed.isfinite().all()
    assert (changed != x).flatten(1).any(1).all()


@pytest.mark.parametrize(("category", "often"), [("geom", 1 - 0.7**4), ("noise", 0.3), ("cutout", 0.3)])
def test_categories_act_with_probability_p(category: str, often: float) -> None:
    """With p = 0.3 on 4,000 images; geom has three changes and two rotations that count as one."""
    x = image(4000, 1, 8, 8).float()
    changed = (seeded(ada(0.3, category), x) != x).flatten(1).any(1)
    assert changed.double().mean().item() == pytest.approx(often, abs=0.03)


def test_noise_has_a_half_normal_strength() -> None:
    noise = seeded(ada(1, "noise"), torch.zeros(4000, 3, 8, 8, dtype=torch.float64))
    strength = noise.flatten(1).std(1)
    assert strength.mean().item() == pytest.approx(0.1 * (2 / torch.pi) ** 0.5, rel=0.05)
    assert strength.square().mean().item() == pytest.approx(0.1**2, rel=0.1)


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_derivatives_are_those_of_finite_differences(channels: int) -> None:
    x = image(2, channels, 4, 5).requires_grad_()
    augment = ada(0.8)
    assert torch.autograd.gradcheck(lambda x: seeded(augment, x), x)
    assert torch.autograd.gradgradcheck(lambda x: seeded(augment, x), x, fast_mode=True)


def test_each_image_has_its_own_draw_and_knows_no_other() -> None:
    x = image(1, 3, 16, 16).expand(6, 3, 16, 16).clone()
    augmented = seeded(ada(1), x)
    for one, other in itertools.combinations(augmented, 2):
        assert not torch.allclose(one, other)
    x[3:] = 0
    assert torch.equal(seeded(ada(1), x)[:3], augmented[:3])


def test_one_draw_for_pictures_side_by_side() -> None:
    x = image(8, 3, 16, 16)
    augment = ada(1, "blit,geom,color,filter,cutout")
    torch.manual_seed(0)
    first, second, grey = augment(torch.cat([x, x, x[:, :1]], 1), parts=(3, 3, 1)).split([3, 3, 1], 1)
    assert torch.equal(first, second)
    assert ((grey == 0) >= (first[:, :1] == 0)).all()  # the hole is in the same place


def test_what_is_transparent_stays_so() -> None:
    x = image(20, 4, 16, 16)
    x[:10] = -1
    changed = seeded(ada(1, "color,filter,noise"), x)
    assert torch.equal(changed[:, 3], x[:, 3])
    assert torch.equal(changed[:10], x[:10])


def test_half_precision_around_it_changes_nothing() -> None:
    x = image(4, 3, 16, 16).float()
    exact = seeded(ada(0.8), x)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(seeded(ada(0.8), x), exact)


def test_nothing_is_read_to_python() -> None:
    """Tensors without values have nothing to read."""
    augment = ADA(categories=ALL).to("meta")
    assert augment(torch.zeros(2, 3, 8, 8, device="meta")).shape == (2, 3, 8, 8)
    augment.update(torch.zeros((), device="meta"), 64)


QUADRANTS = [(2, 2), (2, 5), (5, 2), (5, 5)]  # of 8x8 pixels, which a translation by 1 does not leave


def poses() -> list[tuple[int, ...]]:
    """The eight ways to lay a square, as where its four quarters are: flipped or not, then turned."""
    square = torch.arange(4).view(2, 2)
    return [tuple(s.rot90(k).flatten().tolist()) for s in (square, square.flip(1)) for k in range(4)]


def frequencies(augment: ADA, pose: Tensor) -> Tensor:
    """How often the squares, laid in the poses `[N]`, are seen in each of the eight."""
    known = torch.tensor(poses())
    squares = known[pose].view(-1, 1, 2, 2).repeat_interleave(4, 2).repeat_interleave(4, 3).float()
    seen = seeded(augment, squares)
    corners = torch.stack([seen[:, 0, y, x] for y, x in QUADRANTS], 1).long()
    return (corners[:, None] == known).all(2).double().mean(0)


@pytest.mark.parametrize(("p", "smallest"), [(0.5, 0.25), (0.8, 0.04), (1.0, 0.0)])
def test_changes_do_not_leak_while_p_is_below_1(p: float, smallest: float) -> None:
    """The operator that flips and turns make on distributions of poses is invertible for p < 1.

    It is measured on the pipeline itself. (1 - p) I + p U, U uniform, has the least singular value
    1 - p; a flip and a turn together have (1 - p)^2.
    """
    operator = torch.stack([frequencies(ada(p, "blit"), torch.full((10_000,), pose)) for pose in range(8)], 1)
    torch.testing.assert_close(operator.sum(0), torch.ones(8, dtype=torch.float64))
    values = torch.linalg.svdvals(operator)
    assert values[-1].item() == pytest.approx(smallest, abs=0.015)


def test_the_original_distribution_is_told_from_the_augmented_one() -> None:
    """Upright and lying squares: told apart and recovered at p = 0.8, the same at p = 1."""
    upright, lying = torch.zeros(20_000, dtype=torch.long), torch.ones(20_000, dtype=torch.long)
    turned = [frequencies(ada(0.8, "blit"), pose) for pose in (upright, lying)]
    operator = torch.stack([frequencies(ada(0.8, "blit"), torch.full((20_000,), pose)) for pose in range(8)], 1)
    mixed = frequencies(ada(0.8, "blit"), torch.tensor([0, 1, 1, 1]).repeat(5000))
    expected = torch.tensor([0.25, 0.75, 0, 0, 0, 0, 0, 0], dtype=torch.float64)
    torch.testing.assert_close(torch.linalg.solve(operator, mixed), expected, rtol=0, atol=0.2)
    assert (turned[0] - turned[1]).abs().max() > 0.1
    same = [frequencies(ada(1.0, "blit"), pose) for pose in (upright, lying)]
    assert (same[0] - same[1]).abs().max() < 0.02


def steps(augment: ADA, signs: list[float], num_images: int = 12_500) -> list[float]:
    """p after each iteration."""
    found = []
    for sign in signs:
        augment.update(torch.tensor(sign), num_images)
        found.append(augment.p.item())
    return found


def test_p_rises_from_0_to_1_in_500_kimg_and_falls_as_fast() -> None:
    augment = ADA()
    rising = steps(augment, [0.7] * 40)  # 40 iterations of 12.5 kimg
    assert rising[:8] == pytest.approx([0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0.2])
    assert rising[38] == pytest.approx(0.9)
    assert rising[39] == pytest.approx(1.0)
    assert steps(augment, [1.0] * 8)[-1] == 1  # a probability
    assert steps(augment, [0.5] * 8)[-1] == pytest.approx(0.8)
    assert steps(augment, [-1.0] * 100)[-1] == 0
    assert steps(ADA(kimg=100), [0.7] * 4)[-1] == pytest.approx(0.5)


def test_the_mean_since_the_last_step_decides() -> None:
    assert steps(ADA(), [1.0, 1.0, 1.0, -0.5])[-1] == pytest.approx(0.1)  # 0.625 on the whole
    assert steps(ADA(), [0.5, 1.0, 0.5, 0.3])[-1] == 0
    assert steps(ADA(target=0.5), [0.5] * 4)[-1] == 0  # on target
    augment = ADA()
    for sign, num in ((1.0, 100), (1.0, 100), (1.0, 100), (0.5, 10_000)):
        augment.update(torch.tensor(sign), num)
    assert augment.p == 0  # images count, not iterations
    assert steps(ADA(), [float("nan"), 0.7, 0.7, 0.7])[-1] == pytest.approx(0.1)


def test_a_target_of_0_leaves_p_to_others() -> None:
    augment = ADA(p=0.3, target=0.0)
    assert steps(augment, [1.0] * 8 + [-1.0] * 8) == pytest.approx([0.3] * 16)
    assert steps(ADA(p=0.3), [1.0] * 4)[-1] == pytest.approx(0.4)


def test_what_it_has_learnt_is_saved() -> None:
    whole, first, second = ADA(), ADA(), ADA()
    signs = [0.7, 0.7, 0.9, 0.8, 0.7, 0.7, 0.1, 0.9, 0.9]
    steps(whole, signs)
    steps(first, signs[:6])
    second.load_state_dict(first.state_dict())
    steps(second, signs[6:])
    for name, saved in whole.state_dict().items():
        assert torch.equal(second.state_dict()[name], saved)


def test_wrong_settings_are_errors() -> None:
    for settings in (
        {"p": 1.1},
        {"target": 1.0},
        {"kimg": 0.0},
        {"categories": "blit,color,geometry"},
        {"categories": ","},
    ):
        with pytest.raises(UserError):
            AUGMENTATIONS.find("ada")(**settings)
