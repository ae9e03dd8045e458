"""From a prediction's confidences to what holds its residues together.

PAE is an error in Å: the expected one of residue j's place seen from residue i. So two residues
that are predicted to within p Å of each other are held by a spring whose spread grows with p:

    stiffness relative to a sure pair = min(1, p₀ / p)² · c_i · c_j,  p₀ = 3 Å,

p being the mean of both directions. c rises from 0 at pLDDT 50 to 1 at pLDDT 70 and does no more
than to let go of what is not folded: pLDDT alone is too sure of itself in disordered regions, and
knows nothing of how domains lie to each other. Where PAE is not known, c alone decides.

Residues are *placed* where they are predicted well in relation to others: pLDDT 50 or more, and
PAE up to 8 Å to ten residues that are not their neighbours in the chain. The others, as tails,
are left out of docking and of the network. *Rigid segments* are groups of placed residues within
which the PAE is at most 8 Å on average (average linkage).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from cryosway.protein._domains import LEAST_RESIDUES
from cryosway.protein.prediction._prediction import Key, Prediction

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

_SURE_PAE = 3.0  # Å
_PLACED_PAE = 8.0  # Å
_LOW_PLDDT, _GOOD_PLDDT = 50.0, 70.0
_FEW_PARTNERS, _NEIGHBOURS = 10, 5
_SHORT_RUN = 3


@dataclass(frozen=True, eq=False)
class Restraints:
    """What a prediction of L residues says of how they hold together.

    Attributes
    ----------
    keys
        Chain, number and insertion code of each residue.
    placed
        Shape (L,): residues that are predicted to lie somewhere.
    segments
        Shape (L,), int: rigid segment of each residue, from 1, the largest first; 0 for residues
        that are of none.
    folded
        Shape (L,), 0 to 1: how far pLDDT lets a residue be held.
    pae
        Shape (L, L), Å, the mean of both directions; None where not known.
    """

    keys: list[Key]
    placed: NDArray[np.bool_]
    segments: IndexArray
    folded: FloatArray
    pae: FloatArray | None

    def __len__(self) -> int:
        return len(self.keys)

    def stiffness(self, pairs: NDArray[np.integer]) -> FloatArray:
        """Give the stiffness (E,) of pairs (E, 2) of residues, 0 to 1; 0 lets them go."""
        i, j = np.asarray(pairs).T
        held = self.folded[i] * self.folded[j] * (self.placed[i] & self.placed[j])
        if self.pae is None:
            return np.asarray(held, np.float64)
        sure = np.minimum(1.0, _SURE_PAE / np.maximum(self.pae[i, j], _SURE_PAE)) ** 2
        return np.asarray(sure * held, np.float64)

    def describe(self) -> list[str]:
        """Say in sentences what is held and what is not."""
        count, left = int(self.segments.max(initial=0)), int((~self.placed).sum())
        lines = []
        if self.pae is None:
            lines.append("the PAE is not known: pLDDT alone cannot tell rigid segments apart")
        else:
            sizes = [int((self.segments == n).sum()) for n in range(1, count + 1)]
            listed = f" of {', '.join(map(str, sizes))} residues" if sizes else ""
            lines.append(f"{count} rigid segment{'s' * (count != 1)}{listed} by PAE")
        lines.append(
            f"{left} of {len(self)} residues are not predicted to lie anywhere and are left out of "
            "docking and of the elastic network"
            if left
            else "all residues are predicted well enough to be docked and held"
        )
        return lines


def find_restraints(prediction: Prediction) -> Restraints:
    """Turn a prediction's pLDDT and PAE into restraints; see the top of this file for how.

    Examples
    --------
    >>> from cryosway.protein import find_restraints, read_prediction
    >>> held = find_restraints(read_prediction("fold.cif"))  # doctest: +SKIP
    >>> held.stiffness([[10, 60]])  # doctest: +SKIP
    array([0.31])
    """
    pae = None if prediction.pae is None else (prediction.pae + prediction.pae.T) / 2
    placed = _find_placed(prediction, pae)
    folded = np.clip((prediction.plddt - _LOW_PLDDT) / (_GOOD_PLDDT - _LOW_PLDDT), 0, 1)
    segments = np.zeros(len(prediction), np.intp)
    if pae is not None:
        segments[placed] = cluster_by_error(pae[np.ix_(placed, placed)])
    return Restraints(prediction.keys, placed, segments, folded, pae)


def cluster_by_error(pae: FloatArray, limit: float = _PLACED_PAE) -> IndexArray:
    """Part residues into groups within which the PAE is low.

    Parameters
    ----------
    pae
        Shape (L, L), Å, symmetric.
    limit
        Å: mean PAE between two groups up to which they become one (average linkage).

    Returns
    -------
    Shape (L,), int: groups from 1, the largest first; 0 in groups of less than 20 residues.
    """
    if len(pae) < 2:
        return np.zeros(len(pae), np.intp)
    between = pae.copy()
    np.fill_diagonal(between, 0)
    tree = linkage(squareform(between, checks=False), "average")
    labels = fcluster(tree, limit, "distance")
    sizes = np.bincount(labels)
    order = np.argsort(-sizes, kind="stable")
    names = np.zeros(len(sizes), np.intp)
    large = [label for label in order.tolist() if sizes[label] >= LEAST_RESIDUES]
    names[large] = np.arange(1, len(large) + 1)
    return names[labels]


def _find_placed(prediction: Prediction, pae: FloatArray | None) -> NDArray[np.bool_]:
    good = prediction.plddt >= _LOW_PLDDT
    if pae is not None:
        place = np.arange(len(prediction))
        chains = prediction.chains
        near = np.abs(place[:, None] - place) <= _NEIGHBOURS
        near &= chains[:, None] == chains
        partners = ((pae <= _PLACED_PAE) & ~near & good).sum(axis=1)
        good &= partners >= min(_FEW_PARTNERS, max(0, len(prediction) - 2 * _NEIGHBOURS - 1))
    return _fill_short_runs(good, prediction.chains)


def _fill_short_runs(good: NDArray[np.bool_], chains: NDArray[np.str_]) -> NDArray[np.bool_]:
    """Give runs of up to three residues within a chain what is before and after them."""
    filled = good.copy()
    changes = np.flatnonzero((good[1:] != good[:-1]) | (chains[1:] != chains[:-1])) + 1
    for run in np.split(np.arange(len(good)), changes)[1:-1]:
        first, last = int(run[0]), int(run[-1])
        inside = chains[first - 1] == chains[first] == chains[last + 1]
        if len(run) <= _SHORT_RUN and inside:
            filled[run] = ~good[first]
    return filled
