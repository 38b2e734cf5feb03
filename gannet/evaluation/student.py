"""Student's t distribution, for intervals of the means of few numbers."""

import math
from statistics import NormalDist

import numpy as np

NODES, WEIGHTS = np.polynomial.legendre.leggauss(64)
MANY = 1e4  # degrees of freedom
HALVINGS = 60


def t_quantile(p: float, freedom: float) -> float:
    """The value that Student's t stays under with probability `p`; `freedom` is 1 or more, and need not be whole.

    It is right to a millionth of itself for p from 0.005 to 0.995.

    With t = sqrt(f) tan(a) the density is that of cos(a)^(f - 1), which is integrated and halved down to p. From
    10,000 degrees of freedom on by the first terms of the expansion about the normal (Abramowitz and Stegun, 26.7.5).
    """
    if p < 0.5:
        return -t_quantile(1 - p, freedom)
    if freedom > MANY:
        z = NormalDist().inv_cdf(p)
        return z + (z**3 + z) / (4 * freedom)
    scale = math.exp(math.lgamma((freedom + 1) / 2) - math.lgamma(freedom / 2)) / math.sqrt(math.pi)
    low, high = 0.0, math.pi / 2
    for _ in range(HALVINGS):
        angle = (low + high) / 2
        # Beyond ten deviations nothing is left to add, and the nodes would be too far apart to see the rest.
        upper = min(angle, 10 / math.sqrt(freedom)) if freedom > 100 else angle
        between = np.cos(upper / 2 * (NODES + 1)) ** (freedom - 1)
        if 0.5 + scale * upper / 2 * float(WEIGHTS @ between) < p:
            low = angle
        else:
            high = angle
    return math.sqrt(freedom) * math.tan(high)
