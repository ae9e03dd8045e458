"""Splines of ln p on a grid, fitted to particles that are seen through their errors."""

from dataclasses import dataclass
from typing import final

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import BSpline
from scipy.special import softmax

from cryosway.landscape._evidence import LatentEvidence

FloatArray = NDArray[np.floating]
CELLS = {1: 160, 2: 48}
"""Most cells along each axis, by number of axes."""
_PIECE = {1: 0.35, 2: 0.7}  # width of the splines' pieces, in typical errors of a particle
_MOST_PIECES = {1: 64, 2: 9}  # along each axis
_THINNING, _BURN_IN = 5, 60
_REACH = 5.0  # standard deviations of a particle's error that count
_ROUNDS, _STEPS = 30, 30  # of the penalty's weight, and of the fit for each
_RIDGE = 1e-4
_FREE = 1e-3  # prior precision, in the evidence, of what a penalty leaves free: 30 kT
_SMOOTHNESS = (1e-4, 1e7)


@final
@dataclass(frozen=True, eq=False)
class BinnedEvidence:
    """Particles counted in cells of where they seem to be.

    Attributes
    ----------
    axes
        Middles of the cells of the density along each coordinate.
    splines
        Cubic B-splines at these cells, shape (G, P), along each of two coordinates; of a density
        of one coordinate the second is 1.
    classes
        For each class of errors the counts, shape (M₁, M₂), and for each coordinate the
        probability, shape (M, G), that a molecule in cell g of the grid seems to be in cell m.
    left_out
        Particles beyond the reach of the grid.
    """

    axes: list[FloatArray]
    splines: list[FloatArray]
    classes: list[tuple[FloatArray, tuple[FloatArray, FloatArray]]]
    left_out: int

    @classmethod
    def of(cls, evidence: LatentEvidence) -> "BinnedEvidence":
        """Count particles of one or two coordinates."""
        size = evidence.size
        axes = [_make_axis(evidence, k) for k in range(size)]
        splines = [
            _make_splines(axis, _PIECE[size] * sd, _MOST_PIECES[size])
            for axis, sd in zip(axes, evidence.typical_sd, strict=True)
        ]
        if size == 1:  # as a grid of one column
            splines.append(np.ones((1, 1)))
        classes = [_bin_class(evidence, c, axes) for c in range(len(evidence.covariances))]
        counted = int(sum(counts.sum() for counts, _ in classes))
        return cls(axes, splines, classes, len(evidence) - counted)

    @property
    def particles(self) -> float:
        """How many are counted."""
        return float(sum(counts.sum() for counts, _ in self.classes))


@final
class SplineFit:
    """Fits ln p = Q β on a grid to binned particles.

    Parameters
    ----------
    binned
        The particles.
    order
        Differences of this order are penalised: a heavy penalty of 3 leaves a Gaussian, one of 1
        an even spread; a light one of 1 lets ln p jump.
    """

    def __init__(self, binned: BinnedEvidence, order: int) -> None:
        self._binned = binned
        first, second = (_differ(spline.shape[1], order) for spline in binned.splines)
        a, b = len(first), len(second)
        self._penalty = np.kron(first, np.eye(b)) + np.kron(np.eye(a), second)

    def shares(self, beta: FloatArray) -> FloatArray:
        """Give the share of each cell, of the grid's shape."""
        grid = self._shares(beta)
        return grid[:, 0] if len(self._binned.axes) == 1 else grid

    def _shares(self, beta: FloatArray) -> FloatArray:
        first, second = self._binned.splines
        heights = first @ beta.reshape(first.shape[1], second.shape[1]) @ second.T
        return np.asarray(softmax(heights))

    def run(self) -> tuple[FloatArray, FloatArray, float]:
        """Give β (P,), the precision of its posterior (P, P) and λ."""
        beta = self._start_from_gaussian()
        rank = np.linalg.matrix_rank(self._penalty)
        smoothness = self._binned.particles
        for _ in range(_ROUNDS):
            beta, precision = self._climb(beta, smoothness)
            rough = max(float(beta @ self._penalty @ beta), 1e-9)
            free = rank - smoothness * float(np.trace(np.linalg.solve(precision, self._penalty)))
            new = float(np.clip(free / rough, smoothness / 10, smoothness * 10))
            if abs(np.log(new / smoothness)) < 0.1:
                break
            smoothness = float(np.clip(new, *_SMOOTHNESS))
        return beta, precision, smoothness

    def _start_from_gaussian(self) -> FloatArray:
        """Give β of a Gaussian as wide as the grid, which no penalty bends."""
        heights = []
        for spline in self._binned.splines:
            places = np.linspace(-1, 1, spline.shape[1]) if spline.shape[1] > 1 else np.zeros(1)
            heights.append(-0.5 * (places / 0.5) ** 2)
        return np.asarray(np.add.outer(heights[0], heights[1]).ravel())

    def _climb(self, beta: FloatArray, smoothness: float) -> tuple[FloatArray, FloatArray]:
        """Give the mode for a λ, by Fisher scoring, and the posterior's precision there."""
        penalty = smoothness * self._penalty + _RIDGE * np.eye(len(beta))
        for _ in range(_STEPS):
            slope, information = self._differentiate(beta)
            precision = information + penalty
            slope -= penalty @ beta
            step = np.linalg.solve(precision, slope)
            beta, moved = self._walk(beta, step, smoothness)
            if float(slope @ step) < 1e-2 or not moved:
                break
        return beta, precision

    def weigh(self, beta: FloatArray, precision: FloatArray, smoothness: float) -> float:
        """Give the logarithm of the evidence, by Laplace's approximation about the mode."""
        rough = smoothness * float(beta @ self._penalty @ beta)
        free = _FREE * np.eye(len(beta))
        before = np.linalg.slogdet(smoothness * self._penalty + free)[1]
        after = np.linalg.slogdet(precision + free)[1]
        return float(self._log_likelihood(beta) + 0.5 * (before - after - rough))

    def draw(
        self, beta: FloatArray, precision: FloatArray, smoothness: float, count: int, seed: int
    ) -> FloatArray:
        """Draw from the posterior of β at its λ, shape (count, P)."""
        rng = np.random.default_rng(seed)
        values, axes = np.linalg.eigh(precision)
        root = axes / np.sqrt(np.maximum(values, _RIDGE))
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
        for counts, (first, second) in self._binned.classes:
            seen = np.maximum(first @ shares @ second.T, 1e-300)
            total += float(np.vdot(counts, np.log(seen)))
        return total

    def _differentiate(self, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Give slope (P,) and expected curvature (P, P) of the likelihood."""
        shares = self._shares(beta)
        one, two = self._binned.splines
        expected = np.einsum("gh,ga,hb->ab", shares, one, two, optimize=True).ravel()
        slope, information = np.zeros(len(beta)), np.zeros((len(beta), len(beta)))
        for counts, (first, second) in self._binned.classes:
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


def _make_splines(axis: FloatArray, piece: float, most: int) -> FloatArray:
    """Evaluate cubic B-splines with pieces of a width, but no more than `most`, (G, P)."""
    length = axis[-1] - axis[0]
    pieces = int(np.clip(np.ceil(length / piece), 5, most))
    step = length / pieces
    knots = axis[0] + step * np.arange(-3, pieces + 4)
    inner = np.clip(axis, knots[3], knots[-4] - 1e-9 * length)
    return np.asarray(BSpline.design_matrix(inner, knots, 3).toarray())


def _differ(size: int, order: int) -> FloatArray:
    """Give the matrix of the sum of squared differences of an order, (P, P)."""
    if size <= order:
        return np.zeros((size, size))
    rows = np.diff(np.eye(size), order, axis=0)
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
