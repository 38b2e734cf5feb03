import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gannet.losses.penalties import (
    best,
    consistency,
    dragan,
    feature_matching,
    gradient_penalty,
    interpolated,
    lecam,
    orthogonality,
    path_length_penalty,
    path_length_weight,
    path_lengths,
    r1,
    r2,
)

Critic = Callable[[Tensor], Tensor]
AT_INPUTS = [gradient_penalty, r1, r2]
at_inputs = pytest.mark.parametrize("penalty", AT_INPUTS)


def x(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def drawn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def linear(slope: Tensor | float) -> Critic:
    return lambda x: (slope * x).flatten(1).sum(1)


def smooth(weight: Tensor) -> Critic:
    """A critic with curvature everywhere, whose weights `[values, 3]` can be differentiated."""
    return lambda x: torch.tanh(x.flatten(1) @ weight).square().sum(1)


def test_a_linear_critic_pays_for_its_slope() -> None:
    """Slope 2: (2 - 1)^2 for WGAN-GP and DRAGAN, 2^2 / 2 for R1 and R2, wherever it is measured."""
    at = drawn(5, 1)
    assert gradient_penalty(linear(2), at).tolist() == [1] * 5
    assert dragan(linear(2), at, drawn(5, 1)).tolist() == [1] * 5
    assert r1(linear(2), at).tolist() == r2(linear(2), at).tolist() == [2] * 5
    assert gradient_penalty(linear(2), torch.zeros(3, 1, 2, 2)).tolist() == [9] * 3
    assert gradient_penalty(linear(x(0.6, 0.8)), drawn(4, 2)).tolist() == pytest.approx([0] * 4, abs=1e-24)


def test_a_quadratic_critic_by_hand() -> None:
    """D(x) = |x|^2 has the gradient 2x: at (3, 4) it is 10 long."""
    critic, at = (lambda x: x.square().sum(1)), x(3, 4, 0, 0.5).reshape(2, 2)
    assert r1(critic, at).tolist() == [50, 0.5]
    assert gradient_penalty(critic, at).tolist() == [81, 0]
    assert dragan(critic, at, x(-3, -4, 0.5, 0).reshape(2, 2)).tolist() == pytest.approx([1, (math.sqrt(2) - 1) ** 2])


def test_interpolated_by_hand() -> None:
    real, fake = torch.full((3, 1, 2, 2), 4.0), torch.zeros(3, 1, 2, 2)
    between = interpolated(real, fake, torch.tensor([0.0, 0.25, 1.0]))
    assert [image.unique().tolist() for image in between] == [[0], [1], [4]]
    for wrong in (torch.rand(3, 1), torch.rand(1)):
        with pytest.raises(AssertionError):
            interpolated(real, fake, wrong)


def test_dragan_looks_near_the_data_alone() -> None:
    """A critic that is steep beyond 10 only: WGAN-GP sees that on the way to the fakes at 20."""

    def critic(x: Tensor) -> Tensor:
        return (x + 5 * torch.relu(x - 10)).flatten(1).sum(1)

    torch.manual_seed(0)
    real, fake = drawn(200, 1), drawn(200, 1) + 20
    assert dragan(critic, real, 0.5 * drawn(200, 1)).max() == 0
    between = interpolated(real, fake, torch.rand(200))
    assert gradient_penalty(critic, between).mean().item() == pytest.approx(25 / 2, abs=4)


def test_the_best_critic_between_two_points() -> None:
    """Fakes at 0, reals at 1, D(x) = a x: -a + w (|a| - 1)^2 is least at a = 1 + 1 / (2 w)."""
    slope = x(0.5).requires_grad_()
    for _ in range(300):
        loss = -slope + 10 * gradient_penalty(lambda x: slope * x, x(0.3))
        slope.data -= 0.02 * torch.autograd.grad(loss, slope)[0]
    assert slope.item() == pytest.approx(1.05, abs=1e-9)


@pytest.mark.parametrize("penalty", [r1, r2])
@pytest.mark.parametrize("gamma", [0.0, 1.0])
def test_the_dirac_gan_settles_with_a_penalty_and_circles_without(
    penalty: Callable[[Critic, Tensor], Tensor], gamma: float
) -> None:
    """Reals at 0, the fake at theta, D(x) = psi x: Mescheder et al. 2018, section 2, with Wasserstein's losses."""
    theta, psi = x(1).requires_grad_(), x(1).requires_grad_()
    for _ in range(300):
        d_loss = psi * theta.detach() + gamma * penalty(lambda x: psi * x, theta)
        psi.data -= 0.1 * torch.autograd.grad(d_loss.sum(), psi)[0]
        theta.data += 0.1 * psi.data
    distance = math.hypot(theta.item(), psi.item())
    assert distance < 1e-5 if gamma else 1 < distance < 2


@at_inputs
def test_penalties_differ_by_the_weights_as_finite_differences_do(penalty: Callable[[Critic, Tensor], Tensor]) -> None:
    torch.manual_seed(1)
    weight, at = drawn(4, 3).requires_grad_(), drawn(3, 1, 2, 2)
    assert torch.autograd.gradcheck(lambda w: penalty(smooth(w), at), weight)
    assert torch.autograd.gradgradcheck(lambda w: penalty(smooth(w), at), weight)


@at_inputs
def test_penalties_are_one_a_sample_in_float32_at_least(penalty: Callable[[Critic, Tensor], Tensor]) -> None:
    at = drawn(4, 1, 2, 2)
    critic = smooth(drawn(4, 3))
    alone = [penalty(critic, at[i : i + 1]).item() for i in range(4)]
    assert penalty(critic, at).tolist() == pytest.approx(alone, rel=1e-12)
    assert penalty(linear(1), at.bfloat16()).dtype == penalty(linear(1), at.float()).dtype == torch.float32
    finer_than_bfloat16 = penalty(linear(1), torch.ones(1, 257).bfloat16()).item()
    assert finer_than_bfloat16 == pytest.approx((257**0.5 - 1) ** 2 if penalty is gradient_penalty else 128.5, rel=1e-6)


@at_inputs
def test_no_gradient_reaches_what_made_the_input(penalty: Callable[[Critic, Tensor], Tensor]) -> None:
    made, slope = drawn(4, 2).requires_grad_(), x(3).requires_grad_()
    penalty(lambda x: slope * x.square().sum(1), made * 2).sum().backward()
    assert made.grad is None and slope.grad is not None


def test_a_dead_critic_pays_one_and_its_gradient_is_finite() -> None:
    weight = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    penalty = gradient_penalty(lambda x: (x @ weight).sum(1), drawn(4, 2))
    assert penalty.tolist() == [1] * 4
    assert torch.isfinite(torch.autograd.grad(penalty.sum(), weight)[0]).all()


def test_path_lengths_of_a_linear_generator_by_hand() -> None:
    """G(w) = A w has the Jacobian A at every w: |A^T y|."""
    A, noise = drawn(12, 4), drawn(3, 3, 2, 2)
    w = drawn(3, 4).requires_grad_()
    lengths = path_lengths((w @ A.T).reshape(3, 3, 2, 2), w, noise)
    assert torch.allclose(lengths, (noise.flatten(1) @ A).norm(dim=1), rtol=1e-12)
    assert path_length_penalty(x(3, 1), x(1)).tolist() == [4, 0]


def test_path_lengths_differ_by_gs_weights_as_finite_differences_do() -> None:
    A, noise, w = drawn(4, 12).requires_grad_(), drawn(2, 3, 2, 2), drawn(2, 4).requires_grad_()

    def penalty(A: Tensor) -> Tensor:
        return path_length_penalty(path_lengths(torch.tanh(w @ A).reshape(2, 3, 2, 2), w, noise), x(1))

    assert torch.autograd.gradcheck(penalty, A)


def test_an_orthogonal_generator_has_the_paths_of_a_known_length() -> None:
    """Karras et al. 2020, appendix C: with J^T J = s^2 I, |J^T y| is s sqrt(dim) in the mean, nearly."""
    torch.manual_seed(0)
    J = 3 * torch.linalg.qr(drawn(192, 64)).Q
    w = drawn(500, 64).requires_grad_()
    lengths = path_lengths((w @ J.T).reshape(500, 3, 8, 8), w, drawn(500, 3, 8, 8))
    assert lengths.mean().item() == pytest.approx(24, rel=0.02)


def test_path_length_weight() -> None:
    """r = 4 halves twice: ln 2 / (16 (2 ln 2 - ln 2)) = 1 / 16; r = 1024: 1 / (1024^2 * 9)."""
    assert path_length_weight(4) == pytest.approx(1 / 16)
    assert path_length_weight(1024) == pytest.approx(1 / (1024**2 * 9))


def test_lecam_by_hand() -> None:
    """Reals are held to where fakes have been, fakes to where reals have been."""
    real, fake = x(3, 1).requires_grad_(), x(-1, 0).requires_grad_()
    assert lecam(real, fake, x(2), x(-2)).tolist() == [25 + 9, 9 + 4]
    assert lecam(x(-2), x(2), x(2), x(-2)).tolist() == [0]
    assert torch.autograd.gradcheck(lambda r, f: lecam(r, f, x(2), x(-2)), (real, fake))


def test_consistency_by_hand() -> None:
    assert consistency(x(1, 2), x(1, -1)).tolist() == [0, 9]
    a, b = drawn(4).requires_grad_(), drawn(4).requires_grad_()
    assert torch.autograd.gradcheck(consistency, (a, b))


def test_a_critic_that_does_not_see_a_flip_pays_nothing_for_it() -> None:
    images = drawn(4, 1, 3, 3)
    of_the_sum, of_the_left = linear(1), linear(x(1, 0, 0))
    assert consistency(of_the_sum(images), of_the_sum(images.flip(3))).max() < 1e-20
    assert consistency(of_the_left(images), of_the_left(images.flip(3))).min() > 0


def test_feature_matching_by_hand() -> None:
    """Means of (1, 2) and (0, 4): 1 + 4. Each batch may be as long as it likes."""
    real, fake = x(0, 2, 2, 2).reshape(2, 2).requires_grad_(), x(0, 4).reshape(1, 2).requires_grad_()
    loss = feature_matching(real, fake)
    assert loss.item() == 5
    loss.backward()
    assert real.grad is None and fake.grad is not None and fake.grad.tolist() == [[-2, 4]]
    assert torch.autograd.gradcheck(lambda f: feature_matching(drawn(2, 3).fill_(0.5), f), drawn(4, 3).requires_grad_())


def test_orthogonality_by_hand() -> None:
    """Filters (1, 2) and (3, 4) have the product 11, twice: their lengths cost nothing."""
    assert orthogonality(x(1, 2, 3, 4).reshape(2, 2)).item() == 242
    assert orthogonality(x(5, 0, 0, 0, 0, 7).reshape(2, 3)).item() == 0
    assert orthogonality(torch.linalg.qr(drawn(18, 6)).Q.T.reshape(6, 2, 3, 3)).item() < 1e-24
    assert torch.autograd.gradcheck(orthogonality, drawn(3, 2, 2, 1).requires_grad_())


def test_the_best_fakes_alone_teach() -> None:
    logits = x(0.5, -3, 2, -1).requires_grad_()
    losses = -logits
    assert sorted(best(losses, logits, 2).tolist()) == [-2, -0.5]
    (gradient,) = torch.autograd.grad(best(losses, logits, 2).mean(), logits)
    assert gradient.tolist() == [-0.5, 0, -0.5, 0]
