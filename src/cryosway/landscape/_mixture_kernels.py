"""Compiled E-step of a Gaussian mixture of points with errors (numba)."""

# mypy: disable-error-code="no-untyped-def,untyped-decorator"
# ruff: noqa: ANN001, ANN202
import numpy as np
from numba import njit


@njit(error_model="numpy", cache=True, nogil=True)
def gather_moments(points, classes, centres, whiteners, constants, zeroth, first, second):
    """Add up the moments of points about the components that they may be of.

    Points m (N, d) of classes (N,) have the score constants[c, k] − ½ |W (m − μ)|², with W of
    whiteners (C, K, d, d), lower triangular, for component k; its softmax r weighs them. Adds the
    sums of r, r (m − μ) and r (m − μ)(m − μ)ᵀ to zeroth (C, K), first (C, K, d) and the lower
    triangle of second (C, K, d, d). Gives the sum of the logarithms of Σ exp(score).
    """
    count, size = centres.shape
    scores, away = np.empty(count), np.empty((count, size))
    total = 0.0
    for n in range(len(points)):
        c = classes[n]
        top = -np.inf
        for k in range(count):
            square = 0.0
            for i in range(size):
                away[k, i] = points[n, i] - centres[k, i]
                part = 0.0
                for j in range(i + 1):
                    part += whiteners[c, k, i, j] * away[k, j]
                square += part * part
            scores[k] = constants[c, k] - 0.5 * square
            top = max(top, scores[k])
        norm = 0.0
        for k in range(count):
            scores[k] = np.exp(scores[k] - top)
            norm += scores[k]
        total += top + np.log(norm)
        for k in range(count):
            r = scores[k] / norm
            if r < 1e-12:
                continue
            zeroth[c, k] += r
            for i in range(size):
                pulled = r * away[k, i]
                first[c, k, i] += pulled
                for j in range(i + 1):
                    second[c, k, i, j] += pulled * away[k, j]
    return total
