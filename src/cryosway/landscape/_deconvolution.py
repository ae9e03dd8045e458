"""The density of molecules behind latents that are known with errors, and its free energy."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax

from cryosway._errors import CryoswayError
from cryosway.landscape._evidence import LatentEvidence
from cryosway.landscape._spline_density import CELLS, BinnedEvidence, SplineFit

FloatArray = NDArray[np.floating]
_ORDERS = {1: (1, 2, 3), 2: (3,)}
"""Orders of the penalties that are averaged over, by number of axes."""
_ODDS = {1: 10.0, 2: 1.0, 3: 1.0}
"""How likely each is beforehand: edges and gaps narrower than an error show too little."""
_DRAWS = {1: 400, 2: 100}
_NOTHING = 1e-30  # share of a cell


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
    orders : dict of int to float
        Weight of each order of the penalty in the average.
    left_out : int
        Particles farther from the grid than their errors explain.
    """

    axes: tuple[FloatArray, ...]
    shares: FloatArray
    draws: FloatArray
    orders: dict[int, float]
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

    ln p is a spline whose differences are penalised, fitted to the counts of particles by their
    likelihood, each seen through its own error (g-modelling: Efron, Biometrika 103, 1, 2016). The
    weight of the penalty is that of highest evidence, by the updates of Wood and Fasiolo
    (Biometrics 73, 1071, 2017); intervals are of the posterior that penalty and likelihood make
    together, which cover as they say on average over the curve (Nychka, JASA 83, 1134, 1988).
    That is sampled by preconditioned Crank–Nicolson steps about its mode (Cotter et al., Statist.
    Sci. 28, 424, 2013), since ln p is not Gaussian where there is hardly a particle.

    How smooth a density is, and in which sense, is not known beforehand. With third differences
    the smoothest answer is a Gaussian (Silverman, Ann. Statist. 10, 795, 1982), and a density with
    an edge, such as of a motion that comes to a stop, is believed to be what it is not. Along one
    coordinate the answer is therefore the average over penalties of the first to the third order,
    weighed by their evidence. Errors of two coordinates are taken for independent of each other.

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
    binned, orders = BinnedEvidence.of(evidence), _ORDERS[evidence.size]
    fits = [SplineFit(binned, order) for order in orders]
    found = [fit.run() for fit in fits]
    level = [fit.weigh(*one) for fit, one in zip(fits, found, strict=True)]
    weights = softmax(np.array(level) + np.log([_ODDS[order] for order in orders]))
    counts = np.rint(weights * _DRAWS[evidence.size]).astype(int)
    drawn = [
        fit.shares(beta)
        for fit, one, count in zip(fits, found, counts, strict=True)
        if count
        for beta in fit.draw(*one, int(count), seed)
    ]
    modes = [fit.shares(beta) for fit, (beta, _, _) in zip(fits, found, strict=True)]
    return LatentDensity(
        tuple(binned.axes),
        np.tensordot(weights, modes, axes=1),
        np.stack(drawn),
        dict(zip(orders, weights.tolist(), strict=True)),
        binned.left_out,
    )
