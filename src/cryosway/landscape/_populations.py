"""Populations of states and their free energies, with intervals."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import norm

from cryosway.landscape._evidence import LatentEvidence
from cryosway.landscape._mixture import Mixture, class_blocks

FloatArray = NDArray[np.floating]
IntArray = NDArray[np.int64]
JOINED_BELOW = 1.0
"""Components with no barrier of so many kT between them are one state."""


@dataclass(frozen=True, eq=False)
class Populations:
    """Populations of states.

    Attributes
    ----------
    shares : ndarray, shape (S,)
        Of the molecules; they add up to 1.
    covariance : ndarray, shape (S, S)
        Of their errors.
    """

    shares: FloatArray
    covariance: FloatArray

    def intervals(self, coverage: float = 0.9) -> FloatArray:
        """Give intervals, symmetric in the logit, that hold each share so often: (S, 2)."""
        sd = np.sqrt(np.maximum(np.diag(self.covariance), 0.0))
        inner = self.shares * (1 - self.shares)
        sure = inner < 1e-9  # of all or of none
        reach = norm.ppf(0.5 + coverage / 2) * sd / np.maximum(inner, 1e-9)
        middle = logit(np.clip(self.shares, 1e-9, 1 - 1e-9))
        ends = expit(np.stack([middle - reach, middle + reach], axis=1))
        return np.where(sure[:, None], self.shares[:, None], ends)

    def free_energies(self, coverage: float = 0.9) -> tuple[FloatArray, FloatArray]:
        """Give −ln(share / largest share) in kT, shape (S,), and intervals, shape (S, 2)."""
        largest = int(self.shares.argmax())
        shares = np.maximum(self.shares, 1e-9)
        slope = -np.diag(1 / shares)
        slope[:, largest] += 1 / shares[largest]
        sd = np.sqrt(np.maximum(np.diag(slope @ self.covariance @ slope.T), 0.0))
        energy = -np.log(shares / shares[largest])
        reach = norm.ppf(0.5 + coverage / 2) * sd
        return energy, np.stack([energy - reach, energy + reach], axis=1)

    def join(self, states: IntArray) -> "Populations":
        """Add up components that are of one state, by the number (from 0) of its state."""
        adding = (states == np.arange(states.max() + 1)[:, None]).astype(float)
        return Populations(adding @ self.shares, adding @ self.covariance @ adding.T)


def measure_populations(
    mixture: Mixture, evidence: LatentEvidence, weights: FloatArray | None = None
) -> Populations:
    """Estimate how sure the shares of a mixture are.

    The shares are those of maximum likelihood, so that a particle that could be of several
    components counts for each by its probability given all the others. Their covariance is the
    sandwich A⁻¹ B A⁻¹ of the scores of all parameters (White, Econometrica 50, 1, 1982), A and B
    being sums of w s sᵀ and w² s sᵀ: what is not known of centres and widths, and how unequally
    particles count, widens the intervals.

    Parameters
    ----------
    mixture : Mixture
        Fitted to the evidence; with weights, its shares too (see `reweigh`).
    evidence : LatentEvidence
        Of N particles.
    weights : ndarray, shape (N,), optional
        How much each particle counts.

    Returns
    -------
    Populations
    """
    inner = np.zeros((mixture.parameters,) * 2)
    outer = inner.copy()
    for rows, error in class_blocks(evidence):
        scores = _score_parameters(mixture, evidence.centres[rows], error)
        w = np.ones(len(rows)) if weights is None else weights[rows]
        weighed = scores * w[:, None]
        inner += weighed.T @ scores
        outer += weighed.T @ weighed
    bread = np.linalg.pinv(inner, rcond=1e-10, hermitian=True)
    covariance = bread @ outer @ bread
    free = len(mixture) - 1
    slope = np.diag(mixture.shares)[:, :free] - np.outer(mixture.shares, mixture.shares[:free])
    return Populations(mixture.shares, slope @ covariance[:free, :free] @ slope.T)


def _score_parameters(mixture: Mixture, points: FloatArray, error: FloatArray) -> FloatArray:
    """Differentiate ln p(point) by logits of shares, centres and covariances, (n, parameters)."""
    scores = mixture.log_densities(points, error)
    r = np.exp(scores - scores.max(axis=1, keepdims=True))
    r /= r.sum(axis=1, keepdims=True)
    inverse = np.linalg.inv(mixture.covariances + error)
    pull = np.einsum("kde,nke->nkd", inverse, points[:, None] - mixture.centres)
    upper = np.triu_indices(points.shape[1])
    twice = np.where(upper[0] == upper[1], 0.5, 1.0)
    bend = (pull[..., upper[0]] * pull[..., upper[1]] - inverse[:, upper[0], upper[1]]) * twice
    parts = (
        r[:, :-1] - mixture.shares[:-1],
        (r[..., None] * pull).reshape(len(points), -1),
        (r[..., None] * bend).reshape(len(points), -1),
    )
    return np.concatenate(parts, axis=1)


def join_components(mixture: Mixture, barrier: float = JOINED_BELOW) -> IntArray:
    """Tell which components are one state, since no barrier is between them.

    The density along the ridge between two centres has a lowest point. From the highest of these
    down, the two states that it parts are joined where it is less than the barrier below the top of
    the lower one (persistence: Chazal et al., J. ACM 60, 41, 2013); so a component that is wide and
    low, as of junk, goes to one state and is no bridge between two. All critical points of two
    Gaussians are on that ridge (Ray and Lindsay, Ann. Statist. 33, 2042, 2005, eq. 4), which bends
    where the landscape does.

    Parameters
    ----------
    mixture : Mixture
        K components.
    barrier : float
        kT.

    Returns
    -------
    ndarray, shape (K,), int
        Number of each component's state, from 0, in the order of the components.
    """
    count = len(mixture)
    inverses = np.linalg.inv(mixture.covariances)
    passes = []
    for a in range(count):
        for b in range(a):
            ridge = _trace_ridge(mixture.centres, inverses, a, b)
            passes.append((float(mixture.log_density(ridge).min()), a, b))
    tops = mixture.log_density(mixture.centres)  # of the state that each component began
    states = np.arange(count)
    for level, a, b in sorted(passes, reverse=True):
        first, second = sorted((states[a], states[b]))
        if first != second and level > min(tops[first], tops[second]) - barrier:
            states[states == second] = first
            tops[first] = max(tops[first], tops[second])
    return np.asarray(np.unique(states, return_inverse=True)[1])


def _trace_ridge(centres: FloatArray, inverses: FloatArray, a: int, b: int) -> FloatArray:
    """Give points along the ridge from the centre of component a to that of b, (n, d)."""
    share = np.linspace(0, 1, 61)[:, None, None]
    first, second = (1 - share) * inverses[a], share * inverses[b]
    pulled = first @ centres[a] + second @ centres[b]
    return np.asarray(np.linalg.solve(first + second, pulled[..., None])[..., 0])
