"""Motion of a population along a few directions: factor analysis, with a prior on the directions.

Particle i has amplitudes q_i = μ + W z_i of K motions, z_i ~ N(0, 1) of k numbers, and images say
−log p = ½ q_iᵀ A_i q_i − b_iᵀ q_i. EM finds μ and W; a column of (μ, W) is a priori N(0, s² D), as
if it were drawn from the thermal motion D, and s² follows from all columns. A free covariance of K
motions would take up whatever the linearised images leave; μ and W share what all images say, and
stiff motions must be well supported.
"""

from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

_EM_ROUNDS = 30
_LEAST_VARIANCE = 1e-12  # of a motion that does not occur


@final
@dataclass(frozen=True, eq=False)
class Population:
    """Distribution of the amplitudes of K motions over particles; float64.

    Attributes
    ----------
    mean, directions
        μ, shape (K,), and the rows of Wᵀ, shape (k, K), Å.
    size
        s², Å²: variance of the softest motion.
    """

    mean: Tensor
    directions: Tensor
    size: float

    def extend(self, count: int) -> "Population":
        """Add motions that do not occur yet, up to `count`."""
        more = (0, count - len(self.mean))
        pad = torch.nn.functional.pad
        return Population(pad(self.mean, more), pad(self.directions, more), self.size)

    def infer(self, information: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """Posterior of the latents of n particles: means (n, k) and covariances (n, k, k).

        Parameters
        ----------
        information, gradient
            A_i and b_i, shapes (n, K, K) and (n, K).
        """
        w = self.directions
        seen = w @ information
        covariance = torch.linalg.inv(seen @ w.T + torch.eye(len(w), dtype=w.dtype))
        left = gradient @ w.T - seen @ self.mean
        return (covariance @ left[..., None])[..., 0], covariance


def start_population(
    information: Tensor, gradient: Tensor, variances: Tensor, size: float
) -> Population:
    """Take the directions in which particles differ most if each is explained by itself.

    Parameters
    ----------
    information, gradient
        Shapes (n, K, K) and (n, K), float64.
    variances
        Shape (1 + k, K), k ≤ K: D of the mean and of every direction.
    size
        s², Å².
    """
    prior = torch.diag(1 / (size * variances[0]))
    each = torch.linalg.solve(information + prior, gradient)
    mean = each.mean(0)
    widths, axes = torch.linalg.eigh((each - mean).T @ (each - mean) / len(each))
    wide = (axes * widths.clamp(min=0).sqrt()).T.flip(0)
    return Population(mean, wide[: len(variances) - 1], size)


def fit_population(
    information: Tensor, gradient: Tensor, variances: Tensor, population: Population
) -> Population:
    """Find the most probable mean and directions by EM.

    Parameters
    ----------
    information, gradient
        Shapes (n, K, K) and (n, K), float64.
    variances
        Shape (1 + k, K): D of the mean and of every direction.
    population
        Where to start.
    """
    variances = variances.clamp(min=_LEAST_VARIANCE)
    for _ in range(_EM_ROUNDS):
        z, covariance = population.infer(information, gradient)
        support = _gather(information, gradient, z, covariance)
        found, size = _maximise(*support, variances, population.size)
        population = _standardise(found, z, covariance, size)
    return population


def regress_population(
    information: Tensor, gradient: Tensor, variances: Tensor, latents: Tensor, size: float
) -> Population:
    """Find the most probable mean and directions where the latents are known.

    Parameters
    ----------
    information, gradient, variances
        As in `fit_population`.
    latents
        Shape (n, 2, k): mean and log variance.
    size
        s², Å², at first.
    """
    variances = variances.clamp(min=_LEAST_VARIANCE)
    z, log_variance = latents.double().unbind(1)
    support = _gather(information, gradient, z, log_variance.exp().diag_embed())
    for _ in range(_EM_ROUNDS):
        found, size = _maximise(*support, variances, size)
    return Population(found[0], found[1:], size)


def _gather(
    information: Tensor, gradient: Tensor, z: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor]:
    """Sum what images say of the columns of (μ, W), at latents of a mean and covariance.

    Shapes (C K, C K) and (C K,), of C = 1 + k columns of K motions.
    """
    motions = gradient.shape[1]
    known = torch.cat([torch.ones_like(z[:, :1]), z], dim=1)
    columns = known.shape[1]
    moments = known[:, :, None] * known[:, None, :]
    moments[:, 1:, 1:] += covariance
    shape = (columns, columns, motions, motions)
    pairs = (moments.flatten(1).T @ information.flatten(1)).view(shape).transpose(1, 2)
    return pairs.reshape(columns * motions, -1), (known.T @ gradient).flatten()


def _maximise(pairs: Tensor, match: Tensor, variances: Tensor, size: float) -> tuple[Tensor, float]:
    """Give the most probable columns, (1 + k, K), and the s² that their size implies."""
    precision = pairs + torch.diag((1 / (size * variances)).flatten())
    spread = torch.linalg.inv(precision)
    found = (spread @ match).view_as(variances)
    squares = found.square() + spread.diagonal().view_as(variances)
    return found, float((squares / variances).mean())


def infer_on_axes(
    information: Tensor, gradient: Tensor, population: Population
) -> tuple[Population, Tensor, Tensor]:
    """Make the directions orthogonal, the widest first, and infer the latents along them."""
    _, size, axes = torch.linalg.svd(population.directions, full_matrices=False)
    turned = Population(population.mean, size[:, None] * axes, population.size)
    return turned, *turned.infer(information, gradient)


def _standardise(found: Tensor, z: Tensor, covariance: Tensor, size: float) -> Population:
    """Let latents be N(0, 1) over the particles: EM is faster (Liu, Rubin & Wu, 1998)."""
    centre = z.mean(0)
    spread = (z - centre).T @ (z - centre) / len(z) + covariance.mean(0)
    root = torch.linalg.cholesky(spread)
    return Population(found[0] + centre @ found[1:], root.T @ found[1:], size)
