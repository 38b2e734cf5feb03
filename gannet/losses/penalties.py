"""What keeps D or G well-behaved beside the objective: functions of D and its inputs, of logits, features or weights.

D is here any function of x alone, `[N, ...]` to `[N]`: a game binds the labels. Where it gives `[N, P]`, the mean of
those is differentiated. Nothing is drawn and nothing is remembered: the caller brings the noise, keeps the running
means and sets the weights. One value a sample, `[N]`, where not said otherwise.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor


def input_gradient(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """The gradient of D at each x, `[N, values]` in float32 at least; it can be differentiated itself.

    It is one of each sample alone only where D rates each sample alone: batch norm in D mixes them.
    """
    x = x.detach().requires_grad_()
    ratings = D(x).reshape(len(x), -1).mean(1)
    (gradient,) = torch.autograd.grad(ratings.sum(), x, create_graph=True)
    return gradient.reshape(len(x), -1).to(torch.promote_types(gradient.dtype, torch.float32))


def gradient_penalty(D: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """(|D's gradient at x| - 1)^2: WGAN-GP's penalty at `interpolated` x (Gulrajani et al. 2017, equation 3)."""
    return (torch.linalg.vector_norm(input_gradient(D, x), dim=1) - 1).square()


def interpolated(real: Tensor, fake: Tensor, eps: Tensor) -> Tensor:
    """eps x + (1 - eps) G(z): eps `[N]`, drawn from U[0, 1] (Gulrajani et al. 2017, algorithm 1)."""
    assert real.shape == fake.shape and eps.shape == real.shape[:1]
    return torch.lerp(fake, real, eps.to(real.dtype).reshape(-1, *[1] * (real.ndim - 1)))


def dragan(D: Callable[[Tensor], Tensor], real: Tensor, noise: Tensor) -> Tensor:
    """(|D's gradient at x + noise| - 1)^2: noise of the shape of x from N(0, c) (DRAGAN: Kodali et al. 2017).

    It asks for a slope of 1 near the data alone, where WGAN-GP asks for it up to the fakes.
    """
    assert real.shape == noise.shape
    return gradient_penalty(D, real + noise)


def r1(D: Callable[[Tensor], Tensor], real: Tensor) -> Tensor:
    """|D's gradient at x|^2 / 2, to be weighted by gamma (Mescheder et al. 2018, equation 9)."""
    return input_gradient(D, real).square().sum(1) / 2


def r2(D: Callable[[Tensor], Tensor], fake: Tensor) -> Tensor:
    """R1 at the fakes (Mescheder et al. 2018, equation 10). No gradient reaches G."""
    return r1(D, fake)


def path_lengths(images: Tensor, w: Tensor, noise: Tensor) -> Tensor:
    """|J^T y|, J the Jacobian of the images by w (StyleGAN2: Karras et al. 2020, section 3.2).

    images `[N, C, H, W]` made from w `[N, ...]`, such as `[N, layers, dim]`, which requires a gradient; noise y of the
    images' shape from N(0, 1).
    """
    assert images.shape == noise.shape
    (gradient,) = torch.autograd.grad((images * noise).sum(), w, create_graph=True)
    gradient = gradient.reshape(len(w), -1).to(torch.promote_types(gradient.dtype, torch.float32))
    return torch.linalg.vector_norm(gradient, dim=1)


def path_length_penalty(lengths: Tensor, mean: Tensor) -> Tensor:
    """(|J^T y| - a)^2, a the moving average of earlier lengths (Karras et al. 2020, equation 4)."""
    return (lengths - mean).square()


def path_length_weight(resolution: int) -> float:
    """The weight that suits images of so many pixels a side, more than 2: ln 2 / (r^2 (ln r - ln 2)).

    (Karras et al. 2020, appendix B.)
    """
    return math.log(2) / (resolution**2 * (math.log(resolution) - math.log(2)))


def lecam(real: Tensor, fake: Tensor, real_mean: Tensor, fake_mean: Tensor) -> Tensor:
    """(D(x) - mean D(G(z)))^2 + (D(G(z)) - mean D(x))^2, for D (Tseng et al. 2021).

    The means are each kind's moving average: logits are pulled to where the other kind has been,
    so a D that tells few images apart by heart pays for it.
    """
    assert real.shape == fake.shape
    return (real - fake_mean).square() + (fake - real_mean).square()


def consistency(logits: Tensor, augmented: Tensor) -> Tensor:
    """(D(x) - D(T(x)))^2, for D: what it says of x must not hang on the augmentation T.

    On reals: CR (Zhang et al. 2020, algorithm 1). On reals and on fakes, each with its own
    weight: balanced CR, bCR (Zhao et al. 2021, algorithm 1).
    """
    assert logits.shape == augmented.shape
    return (logits - augmented).square()


def feature_matching(real: Tensor, fake: Tensor) -> Tensor:
    """|mean f(x) - mean f(G(z))|^2, for G: a scalar (Salimans et al. 2016, section 3.1).

    f `[N, ...]` are features inside D. Those of the reals count as given.
    """
    assert real.shape[1:] == fake.shape[1:]
    return (real.detach().mean(0) - fake.mean(0)).square().sum()


def orthogonality(weight: Tensor) -> Tensor:
    """|W W^T with its diagonal at 0|^2: a scalar, 0 when the filters are orthogonal (Brock et al. 2019, equation 3).

    One filter a row of the weight `[filters, ...]`: that of a transposed convolution comes transposed.
    Without the diagonal the filters keep their lengths.
    """
    rows = weight.flatten(1)
    gram = rows @ rows.T
    return (gram - torch.diag(gram.diagonal())).square().sum()


def best(losses: Tensor, logits: Tensor, k: int) -> Tensor:
    """G's losses on the k fakes that D finds most real: `[N]` and `[N]` to `[k]` (Sinha et al. 2020, section 3).

    Of `[N, P]` and `[N, P]`, `[k, P]`: those whose P logits have the highest mean.
    """
    assert losses.shape == logits.shape
    return losses[logits.detach().reshape(len(logits), -1).mean(1).topk(k).indices]
