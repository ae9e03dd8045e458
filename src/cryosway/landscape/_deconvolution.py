"""The density of molecules behind latents that are known with errors, and its free energy."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.special import softmax

from cryosway._errors import CryoswayError
from cryosway.landscape._evidence import LatentEvidence

FloatArray = NDArray[np.floating]
CELLS = {1: 160, 2: 48}
"""Most cells along each axis, by number of axes."""
_KNOTS = {1: 32, 2: 9}  # most pieces of the splines along each axis
_DRAWS = {1: 400, 2: 100}
_THINNING, _BURN_IN = 5, 60
_REACH = 5.0  # standard deviations of a particle's error that count
_ROUNDS, _STEPS = 30, 30  # of the penalty's weight, and of the fit for each
_RIDGE = 1e-6
_NOTHING = 1e-30  # share of a cell
_SMOOTHNESS = (1e-4, 1e8)


@dataclass(frozen=True, eq=False)
class LatentDensity:
    """A density on a grid of one or two coordinates, with how sure it is.

    Attributes
    ----------
    axes : tuple of ndarray, shapes (G,)
        Middles of the cells along each coordinate.
    shares : ndarray, shape (G,) or (G₁, G₂)
        Of the molecules in each cell; they add up to 1.
    draws : ndarray, shape (R, *shape of shares)
        As sure as the shares are: draws from their posterior.
    smoothness : float
        λ, the weight of the roughness penalty.
    left_out : int
        Particles farther from the grid than their errors explain.
    """

    axes: tuple[FloatArray, ...]
    shares: FloatArray
    draws: FloatArray
    smoothness: float
    left_out: int

    def free_energy(self, coverage: float = 0.9) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Give −ln p in kT above its lowest, and the ends of its interval: shapes of the shares."""
        lowest = int(self.shares.argmax())
        heights = -np.log(np.maximum(self.shares, _NOTHING))
        drawn = -np.log(np.maximum(self.draws, _NOTHING))
        depths = drawn.reshape(len(drawn), -1)[:, lowest]
        tail = 50 * (1 - coverage)
        drawn -= depths.reshape(-1, *[1] * self.shares.ndim)
        low, high = np.percentile(drawn, [tail, 100 - tail], axis=0)
        return heights - heights.flat[lowest], low, high

    def population(self, inside: FloatArray, coverage: float = 0.9) -> tuple[float, float, float]:
        """Give the share of the molecules in a region, and its interval.

        Parameters
        ----------
        inside : ndarray, shape of the shares
            How much of each cell is in the region, 0 to 1.
        coverage : float
            Of the interval.
        """
        axes = tuple(range(1, self.draws.ndim))
        drawn = (self.draws * inside).sum(axis=axes)
        tail = 50 * (1 - coverage)
        low, high = np.percentile(drawn, [tail, 100 - tail])
        return float((self.shares * inside).sum()), float(low), float(high)


def cover_cells(axis: FloatArray, low: float, high: float) -> FloatArray:
    """Give how much of each cell of an axis is between two values, shape (G,), 0 to 1.

    Examples
    --------
    >>> cover_cells(np.array([0.0, 1.0, 2.0]), 0.25, 9.0)
    array([0.25, 1.  , 1.  ])
    """
    half = (axis[1] - axis[0]) / 2
    inside = np.minimum(axis + half, high) - np.maximum(axis - half, low)
    return np.asarray(np.clip(inside / (2 * half), 0.0, 1.0))


def deconvolve(evidence: LatentEvidence, *, seed: int = 0) -> LatentDensity:
    """Estimate the density of the molecules from likelihoods of the particles.

    ln p is a spline whose third differences are penalised (so that the smoothest answer is a
    Gaussian; Silverman, Ann. Statist. 10, 795, 1982), fitted to the counts of particles by
    their likelihood, each seen through its own error (g-modelling: Efron, Biometrika 103, 1, 2016).
    The weight of the penalty is that of highest evidence, by the updates of Wood and Fasiolo
    (Biometrics 73, 1071, 2017); intervals are of the posterior that penalty and likelihood make
    together, which cover as they say on average over the curve (Nychka, JASA 83, 1134, 1988).
    That is sampled by preconditioned Crank–Nicolson steps about its mode (Cotter et al., Statist.
    Sci. 28, 424, 2013), since ln p is not Gaussian where there is hardly a particle. Errors of two
    coordinates are taken for independent of each other.

    Parameters
    ----------
    evidence : LatentEvidence
        Of N particles in one or two coordinates.
    seed : int
        Of the draws.

    Returns
    -------
    LatentDensity

    Raises
    ------
    CryoswayError
        With other numbers of coordinates.
    """
    if evidence.size not in CELLS:
        message = f"a density is drawn of one or two coordinates, not of {evidence.size}"
        raise CryoswayError(message)
    fit = _SplineFit(evidence)
    beta, covariance, smoothness = fit.run()
    drawn = fit.draw(beta, covariance, smoothness, _DRAWS[evidence.size], seed)
    return LatentDensity(
        tuple(fit.axes),
        fit.shares(beta),
        np.stack([fit.shares(one) for one in drawn]),
        smoothness,
        fit.left_out,
    )


@final
class _SplineFit:
    """Fits ln p = Q β on a grid to binned particles.

    Attributes
    ----------
    axes
        Middles of the cells along each coordinate.
    left_out
        Particles beyond the reach of the grid.
    """

    def __init__(self, evidence: LatentEvidence) -> None:
        self.axes = [_make_axis(evidence, k) for k in range(evidence.size)]
        self._splines = [
            _make_splines(axis, sd, _KNOTS[evidence.size])
            for axis, sd in zip(self.axes, evidence.typical_sd, strict=True)
        ]
        if evidence.size == 1:  # as a grid of one column
            self._splines.append(np.ones((1, 1)))
        self._bins = [
            _bin_class(evidence, number, self.axes) for number in range(len(evidence.covariances))
        ]
        self.left_out = len(evidence) - int(sum(counts.sum() for counts, _ in self._bins))

    @cached_property
    def _penalty(self) -> FloatArray:
        first, second = (_third_differences(spline.shape[1]) for spline in self._splines)
        a, b = len(first), len(second)
        return np.kron(first, np.eye(b)) + np.kron(np.eye(a), second)

    def shares(self, beta: FloatArray) -> FloatArray:
        """Give the share of each cell, of the grid's shape."""
        grid = self._shares(beta)
        return grid[:, 0] if len(self.axes) == 1 else grid

    def _shares(self, beta: FloatArray) -> FloatArray:
        first, second = self._splines
        heights = first @ beta.reshape(first.shape[1], second.shape[1]) @ second.T
        return np.asarray(softmax(heights))

    def run(self) -> tuple[FloatArray, FloatArray, float]:
        """Give β (P,), its posterior covariance (P, P) and λ."""
        beta = self._start_from_gaussian()
        rank = np.linalg.matrix_rank(self._penalty)
        smoothness = float(sum(counts.sum() for counts, _ in self._bins))
        for _ in range(_ROUNDS):
            beta, covariance = self._climb(beta, smoothness)
            rough = max(float(beta @ self._penalty @ beta), 1e-9)
            free = rank - smoothness * float(np.sum(covariance * self._penalty))
            new = float(np.clip(free / rough, smoothness / 10, smoothness * 10))
            if abs(np.log(new / smoothness)) < 0.1:
                break
            smoothness = float(np.clip(new, *_SMOOTHNESS))
        return beta, covariance, smoothness

    def _start_from_gaussian(self) -> FloatArray:
        """Give β of a Gaussian as wide as the grid, which no penalty bends."""
        heights = []
        for spline in self._splines:
            places = np.linspace(-1, 1, spline.shape[1]) if spline.shape[1] > 1 else np.zeros(1)
            heights.append(-0.5 * (places / 0.5) ** 2)
        return np.asarray(np.add.outer(heights[0], heights[1]).ravel())

    def _climb(self, beta: FloatArray, smoothness: float) -> tuple[FloatArray, FloatArray]:
        """Give the mode for a λ, by Fisher scoring, and the posterior covariance there."""
        penalty = smoothness * self._penalty + _RIDGE * np.eye(len(beta))
        for _ in range(_STEPS):
            slope, information = self._differentiate(beta)
            covariance = np.linalg.inv(information + penalty)
            slope -= penalty @ beta
            step = covariance @ slope
            beta, moved = self._walk(beta, step, smoothness)
            if float(slope @ step) < 1e-2 or not moved:
                break
        return beta, covariance

    def draw(
        self, beta: FloatArray, covariance: FloatArray, smoothness: float, count: int, seed: int
    ) -> FloatArray:
        """Draw from the posterior of β at its λ, shape (count, P)."""
        rng = np.random.default_rng(seed)
        root = np.linalg.cholesky(covariance + 1e-12 * np.eye(len(beta)))
        length, here = 0.5, np.zeros(len(beta))  # in units of the Gaussian about the mode
        level = self._judge(beta, smoothness)
        drawn = []
        for step in range(_THINNING * (count + _BURN_IN)):
            tried = np.sqrt(1 - length**2) * here + length * rng.normal(size=len(beta))
            there = self._judge(beta + root @ tried, smoothness)
            # the Gaussian is what the steps preserve: only what it gets wrong is judged
            gain = there + 0.5 * tried @ tried - level - 0.5 * here @ here
            accepted = np.log(rng.random()) < gain
            if accepted:
                here, level = tried, there
            if step < _THINNING * _BURN_IN:
                length = float(np.clip(length * (1.1 if accepted else 0.95), 0.02, 0.95))
            elif step % _THINNING == 0:
                drawn.append(beta + root @ here)
        return np.array(drawn)

    def _judge(self, beta: FloatArray, smoothness: float) -> float:
        """Give the penalised log-likelihood."""
        rough = smoothness * float(beta @ self._penalty @ beta) + _RIDGE * float(beta @ beta)
        return self._log_likelihood(beta) - 0.5 * rough

    def _walk(
        self, beta: FloatArray, step: FloatArray, smoothness: float
    ) -> tuple[FloatArray, bool]:
        """Go along a step as far as it helps; also say whether it did."""
        start, length = self._judge(beta, smoothness), 1.0
        for _ in range(20):
            there = beta + length * step
            if self._judge(there, smoothness) > start:
                return there, True
            length /= 2
        return beta, False

    def _log_likelihood(self, beta: FloatArray) -> float:
        shares = self._shares(beta)
        total = 0.0
        for counts, (first, second) in self._bins:
            seen = np.maximum(first @ shares @ second.T, 1e-300)
            total += float(np.vdot(counts, np.log(seen)))
        return total

    def _differentiate(self, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give slope (P,) and expected curvature (P, P) of the likelihood."""
        shares = self._shares(beta)
        one, two = self._splines
        expected = np.einsum("gh,ga,hb->ab", shares, one, two, optimize=True).ravel()
        slope, information = np.zeros(len(beta)), np.zeros((len(beta), len(beta)))
        for counts, (first, second) in self._bins:
            seen = np.maximum(first @ shares @ second.T, 1e-300)
            part = np.einsum("mg,ga,gh->mah", first, one, shares, optimize=True)
            blurred = np.einsum("nh,hb->nbh", second, two)
            filled = np.nonzero(counts)
            scores = np.einsum("mah,nbh->mnab", part, blurred, optimize=True)[filled]
            scores = scores.reshape(len(scores), -1) / seen[filled][:, None] - expected
            n = counts[filled]
            slope += n @ scores
            information += (scores * n[:, None]).T @ scores
        return slope, information


def _make_axis(evidence: LatentEvidence, k: int) -> FloatArray:
    """Place the cells along coordinate k: where the better known half of the particles is."""
    sd = np.sqrt(evidence.covariances[:, k, k])[evidence.classes]
    known = evidence.centres[sd <= np.median(sd) * (1 + 1e-9), k]
    low, high = np.percentile(known, [0.1, 99.9])
    margin = 0.5 * evidence.typical_sd[k] + 1e-9
    wanted = (high - low + 2 * margin) / (0.25 * sd.min())
    cells = int(np.clip(wanted, 32, CELLS[evidence.size]))
    edges = np.linspace(low - margin, high + margin, cells + 1)
    return np.asarray((edges[1:] + edges[:-1]) / 2)


def _make_splines(axis: FloatArray, sd: float, most: int) -> FloatArray:
    """Evaluate cubic B-splines, whose pieces are about as wide as a particle's error, (G, P)."""
    length = axis[-1] - axis[0]
    pieces = int(np.clip(np.ceil(length / (0.7 * sd)), 5, most))
    step = length / pieces
    knots = axis[0] + step * np.arange(-3, pieces + 4)
    inner = np.clip(axis, knots[3], knots[-4] - 1e-9 * length)
    return np.asarray(BSpline.design_matrix(inner, knots, 3).toarray())


def _third_differences(size: int) -> FloatArray:
    if size < 4:
        return np.zeros((size, size))
    rows = np.diff(np.eye(size), 3, axis=0)
    return np.asarray(rows.T @ rows)


def _bin_class(
    evidence: LatentEvidence, number: int, axes: list[FloatArray]
) -> tuple[FloatArray, tuple[FloatArray, FloatArray]]:
    """Count a class's particles in cells of where they seem to be: counts (M₁, M₂).

    Returns
    -------
    The counts, and for each coordinate the probability (M, G) that a molecule in cell g of the grid
    seems to be in cell m.
    """
    points = evidence.centres[evidence.classes == number]
    edges, kernels = [], []
    for k, axis in enumerate(axes):
        sd = float(np.sqrt(evidence.covariances[number, k, k]))
        step = max(axis[1] - axis[0], 0.25 * sd)
        reach = _REACH * sd + step
        cells = int(np.ceil((axis[-1] - axis[0] + 2 * reach) / step))
        edge = axis[0] - reach + step * np.arange(cells + 1)
        middle = (edge[1:] + edge[:-1]) / 2
        width = np.sqrt(sd**2 + step**2 / 12)
        kernel = np.exp(-0.5 * ((middle[:, None] - axis) / width) ** 2)
        edges.append(edge)
        kernels.append(kernel * step / (width * np.sqrt(2 * np.pi)))
    if len(axes) == 1:
        edges.append(np.array([-np.inf, np.inf]))
        kernels.append(np.ones((1, 1)))
        counts = np.histogram(points[:, 0], edges[0])[0][:, None]
    else:
        counts = np.histogram2d(points[:, 0], points[:, 1], edges)[0]
    return counts.astype(np.float64), (kernels[0], kernels[1])
