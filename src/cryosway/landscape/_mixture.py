"""Gaussian mixtures of latents that are known with errors: extreme deconvolution."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import logsumexp

from cryosway.engine import Progress
from cryosway.landscape._evidence import LatentEvidence
from cryosway.landscape._mixture_starts import group_points, split_components, take_sample

FloatArray = NDArray[np.floating]
LEAST_WIDTH = 0.2
"""No component is drawn narrower than this part of the uncertainty of one particle."""
_PRIOR_PARTICLES = 1.0  # that the least width counts as
_STEPS = 300
_SEARCH_TOLERANCE, _TOLERANCE = 1e-6, 1e-8  # nats per particle and step
_STARTS = 2
_IN_VAIN = 2  # so many more components without a better criterion end the search
_BLOCK = 65_536
_SPLIT_STEPS = 5  # after which it is judged which component is best split


@dataclass(frozen=True, eq=False)
class Mixture:
    """Gaussian components of the density of latents, without the errors of the particles.

    Attributes
    ----------
    shares : ndarray, shape (K,)
        Of the particles; they add up to 1.
    centres : ndarray, shape (K, d)
        Means, the largest component's first coordinate to the last.
    covariances : ndarray, shape (K, d, d)
        Of the molecules, not of their estimates.
    log_likelihood : float
        Of the particles it was fitted to, nats.
    """

    shares: FloatArray
    centres: FloatArray
    covariances: FloatArray
    log_likelihood: float = float("nan")

    def __len__(self) -> int:
        return len(self.shares)

    @property
    def parameters(self) -> int:
        """Number of free parameters."""
        size = self.centres.shape[1]
        return len(self) * (1 + size + size * (size + 1) // 2) - 1

    def log_densities(self, points: FloatArray, error: FloatArray | float = 0.0) -> FloatArray:
        """Give ln(share × density) of each component at points seen with an error, shape (n, K).

        Parameters
        ----------
        points : ndarray, shape (n, d)
            Where.
        error : ndarray, shape (d, d), or 0
            Covariance of the errors of these points.
        """
        roots = np.linalg.cholesky(self.covariances + error)
        away = np.linalg.solve(roots, (points[:, None] - self.centres).transpose(1, 2, 0))
        spread = np.log(np.einsum("kdd->kd", roots)).sum(axis=1)
        constant = np.log(self.shares) - spread - 0.5 * points.shape[1] * np.log(2 * np.pi)
        return np.asarray(constant - 0.5 * (away**2).sum(axis=1).T)

    def log_density(self, points: FloatArray) -> FloatArray:
        """Give the logarithm of the density of molecules at points, shape (n,)."""
        return np.asarray(logsumexp(self.log_densities(points), axis=1))

    def assign(self, evidence: LatentEvidence) -> FloatArray:
        """Give the probability that each particle is of each component, shape (N, K)."""
        answer = np.empty((len(evidence), len(self)))
        for rows, error in class_blocks(evidence):
            scores = self.log_densities(evidence.centres[rows], error)
            answer[rows] = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        return answer


def class_blocks(evidence: LatentEvidence) -> Iterator[tuple[NDArray[np.int64], FloatArray]]:
    """Give the rows of each class in blocks, with the class's covariance (d, d)."""
    order = np.argsort(evidence.classes, kind="stable")
    ends = np.cumsum(np.bincount(evidence.classes, minlength=len(evidence.covariances)))
    for first, last, error in zip([0, *ends[:-1]], ends, evidence.covariances, strict=True):
        for start in range(int(first), int(last), _BLOCK):
            yield order[start : min(start + _BLOCK, int(last))], error


def fit_mixture(
    evidence: LatentEvidence,
    count: int,
    *,
    seed: int = 0,
    tolerance: float = _TOLERANCE,
    smaller: Mixture | None = None,
) -> Mixture:
    """Fit a mixture of a given number of components (best of some starts, seeded).

    Expectation–maximisation with the true place of each particle as another unknown: Bovy, Hogg
    and Roweis, Ann. Appl. Stat. 5, 1657 (2011), eqs. 16 and 17.

    Parameters
    ----------
    evidence : LatentEvidence
        Of N particles.
    count : int
        Number of components K.
    seed : int
        Same seed, same answer.
    tolerance : float
        Steps end when the likelihood grows by no more than this per particle, nats.
    smaller : Mixture, optional
        Fitted, with one component less: another start is this with one of them in two.

    Returns
    -------
    Mixture
        Sorted along the first coordinate.
    """
    starts = [_start(evidence, count, seed + start) for start in range(_STARTS if count > 1 else 1)]
    if smaller is not None:
        starts += _start_by_split(evidence, smaller, seed)
    fits = [_improve(evidence, start, tolerance) for start in starts]
    best = max(fits, key=lambda fit: fit.log_likelihood)
    return sort_components(best)


def sort_components(mixture: Mixture) -> Mixture:
    """Put the components in the order of their first coordinates."""
    order = np.argsort(mixture.centres[:, 0], kind="stable")
    return replace(
        mixture,
        shares=mixture.shares[order],
        centres=mixture.centres[order],
        covariances=mixture.covariances[order],
    )


def choose_mixture(
    evidence: LatentEvidence,
    most: int = 16,
    *,
    halves: NDArray[np.bool_] | None = None,
    seed: int = 0,
) -> Mixture:
    """Fit mixtures of 1, 2, … components, and take the one that tells most of other particles.

    By default the one of lowest BIC (Schwarz, Ann. Statist. 6, 461, 1978).

    Parameters
    ----------
    evidence : LatentEvidence
        Of N particles.
    most : int
        Most components; the search ends sooner where two more in a row do not help.
    halves : ndarray, shape (N,), bool, optional
        Which half-set each particle is of; the number of components is then that of highest
        likelihood of each half-set under a mixture of the other.
    seed : int
        Same seed, same answer.

    Returns
    -------
    Mixture
    """
    best, lowest, vain = None, np.inf, 0
    found: Mixture | None = None
    with Progress(most, "mixtures of Gaussians") as progress:
        for count in range(1, most + 1):
            found = fit_mixture(
                evidence, count, seed=seed, tolerance=_SEARCH_TOLERANCE, smaller=found
            )
            criterion = found.parameters * np.log(len(evidence)) - 2 * found.log_likelihood
            if halves is not None:
                criterion = -2 * _judge_halves(evidence, halves, count, seed)
            if criterion < lowest:
                best, lowest, vain = found, criterion, 0
            elif (vain := vain + 1) >= _IN_VAIN:
                break
            progress.advance()
    assert best is not None
    return sort_components(_improve(evidence, best, _TOLERANCE))


def _judge_halves(
    evidence: LatentEvidence, halves: NDArray[np.bool_], count: int, seed: int
) -> float:
    """Give the log-likelihood of each half-set under the mixture of the other, added up."""
    total = 0.0
    for side in (halves, ~halves):
        mine, other = (evidence.take(np.flatnonzero(part)) for part in (side, ~side))
        found = fit_mixture(mine, count, seed=seed, tolerance=_SEARCH_TOLERANCE)
        for rows, error in class_blocks(other):
            total += float(logsumexp(found.log_densities(other.centres[rows], error), axis=1).sum())
    return total


def reweigh(
    mixture: Mixture, evidence: LatentEvidence, weights: FloatArray | None = None
) -> Mixture:
    """Fit the shares anew, with the components as they are.

    Parameters
    ----------
    mixture : Mixture
        Its components are kept.
    evidence : LatentEvidence
        Of N particles.
    weights : ndarray, shape (N,), optional
        How much each particle counts.
    """
    blocks = [
        (rows, np.exp(_level(mixture.log_densities(evidence.centres[rows], error))))
        for rows, error in class_blocks(evidence)
    ]
    relative = [likelihood / mixture.shares for _, likelihood in blocks]
    amounts = [1.0 if weights is None else weights[rows][:, None] for rows, _ in blocks]
    shares = mixture.shares
    for _ in range(_STEPS):
        terms = [one * shares for one in relative]
        sums = [(a * t / t.sum(axis=1, keepdims=True)).sum(0) for a, t in
                zip(amounts, terms, strict=True)]  # fmt: skip
        new = np.sum(sums, axis=0)
        new /= new.sum()
        change, shares = np.abs(new - shares).max(), new
        if change < 1e-6:
            break
    return replace(mixture, shares=shares)


def _level(scores: FloatArray) -> FloatArray:
    return np.asarray(scores - scores.max(axis=1, keepdims=True))


def _start(evidence: LatentEvidence, count: int, seed: int) -> Mixture:
    """Start from k-means; with another seed, from other centres."""
    points = take_sample(evidence).centres
    return Mixture(*group_points(points, count, np.diag(evidence.typical_sd**2), seed))


def _start_by_split(evidence: LatentEvidence, smaller: Mixture, seed: int) -> Iterator[Mixture]:
    """Start with that component of a smaller mixture in two which gains most by it, if any can."""
    sample = take_sample(evidence)
    tried = [
        _improve(sample, one, _TOLERANCE, steps=_SPLIT_STEPS)
        for one in split_components(sample, smaller, seed)
    ]
    if tried:
        yield max(tried, key=lambda one: one.log_likelihood)


def _improve(
    evidence: LatentEvidence, mixture: Mixture, tolerance: float, steps: int = _STEPS
) -> Mixture:
    """Alternate expectation and maximisation until the likelihood stands still."""
    least = np.diag((LEAST_WIDTH * evidence.typical_sd) ** 2)
    before = -np.inf
    for _ in range(steps):
        mixture = _step(mixture, evidence, least)
        if mixture.log_likelihood - before < tolerance * len(evidence):
            break
        before = mixture.log_likelihood
    return mixture


def _step(mixture: Mixture, evidence: LatentEvidence, least: FloatArray) -> Mixture:
    """Make one step; the likelihood in the answer is that before it."""
    blurred = mixture.covariances + evidence.covariances[:, None]
    n, s, q, total = _gather(mixture, evidence, blurred)
    # b = μ + G (m − μ) is where a particle of component k is, with G = S T⁻¹ and covariance S − G S
    gain = np.linalg.solve(blurred, np.broadcast_to(mixture.covariances, blurred.shape))
    gain = gain.swapaxes(-1, -2)
    rest = mixture.covariances - gain @ mixture.covariances
    amount = np.maximum(n.sum(axis=0), 1e-9)
    move = np.einsum("ckde,cke->kd", gain, s) / amount[:, None]
    spread = (gain @ q @ gain.swapaxes(-1, -2) + n[..., None, None] * rest).sum(axis=0)
    spread -= amount[:, None, None] * move[:, :, None] * move[:, None]
    spread += _PRIOR_PARTICLES * least
    return Mixture(
        np.maximum(amount / amount.sum(), 1e-12),
        mixture.centres + move,
        spread / (amount + _PRIOR_PARTICLES)[:, None, None],
        total,
    )


def _gather(
    mixture: Mixture, evidence: LatentEvidence, blurred: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray, float]:
    """Sum r, r (m − μ) and r (m − μ)(m − μ)ᵀ: (C, K), (C, K, d), (C, K, d, d); and ln p."""
    from cryosway.landscape._mixture_kernels import gather_moments

    roots = np.linalg.cholesky(blurred)
    whiteners = np.linalg.inv(roots)
    spread = np.log(np.einsum("ckdd->ckd", roots)).sum(axis=-1)
    constants = np.log(mixture.shares) - spread - 0.5 * evidence.size * np.log(2 * np.pi)
    shape = (*constants.shape, evidence.size, evidence.size)
    n, s, q = np.zeros(shape[:2]), np.zeros(shape[:3]), np.zeros(shape)
    total = gather_moments(
        evidence.centres, evidence.classes, mixture.centres, whiteners, constants, n, s, q
    )
    lower = np.tril(q, -1)
    return n, s, q + lower.swapaxes(-1, -2), float(total)
