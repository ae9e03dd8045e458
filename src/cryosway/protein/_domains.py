"""Rigid domains, found from an ensemble of conformations.

Residues that keep their distances belong together: a domain is cut in two where the distances
fluctuate, by a normalised cut (as in Ponzoni et al., SPECTRUS, Structure 23, 2015). Then every
residue goes to the domain whose rigid motion it follows best, and the motions are fitted anew,
until nothing changes (the limit of little noise of the mixture of rigid motions in Nguyen and
Habeck, Bioinformatics 32, i710, 2016).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cryosway.protein._rigid_motions import RigidMotions, fit_rigid_motions

FloatArray = NDArray[np.float64]
IndexArray = NDArray[np.intp]

#: Least residues of a domain (as in DynDom, Hayward and Berendsen, Proteins 30, 144, 1998).
LEAST_RESIDUES = 20
MOST_DOMAINS = 8
#: Å: rms motion within the molecule below which nothing moves.
STILL = 0.3
#: Least part of the mean square motion that domains must explain to be called so.
_LEAST_EXPLAINED = 0.5
#: The fewest domains are taken that leave no more than this part of what the most explain, or Å.
_SPARED, _SPARED_ANGSTROM = 0.05, 0.2
_MOST_BEADS, _MOST_MEMBERS = 1_500, 400
_ROUNDS = 30
#: Å²: mean square motion within a domain that is not worth a cut.
_STIFF = 1e-4
#: A residue is of no domain that moves by so many times the median, and by so many Å.
_LOOSE, _LOOSE_ANGSTROM = 3.0, 1.0
#: Ways to cut a domain that are tried: what parts most may be too small to be one.
_WAYS = 3


@dataclass(frozen=True, eq=False)
class Domains:
    """Rigid domains of N residues.

    Attributes
    ----------
    labels
        Shape (N,), int: the domain of each residue, from 1, the largest first; 0 for loose ones
        (tails, loops), and for all where nothing moves, or nothing moves as rigid domains.
    motion
        Å: rms of the residues over the ensemble, all of each conformation superposed.
    explained
        Part of the mean square motion that motions of the domains explain, of residues that are
        not loose.
    residuals
        Å, of 1, 2, … domains: rms of what they leave of it.
    """

    labels: IndexArray
    motion: float
    explained: float
    residuals: tuple[float, ...]

    @property
    def count(self) -> int:
        """How many there are."""
        return int(self.labels.max(initial=0))

    def members(self, number: int) -> IndexArray:
        """Give the residues of domain `number`, ascending."""
        return np.flatnonzero(self.labels == number)


def find_domains(
    ensemble: FloatArray,
    chains: NDArray[np.str_],
    *,
    count: int | None = None,
    least_residues: int = LEAST_RESIDUES,
) -> Domains:
    """Find the rigid domains of an ensemble, and how many there are.

    The fewest domains are taken whose rigid motions explain 95 % of the mean square motion that
    the most would, or all but (0.2 Å)² of it. There are none where the residues move by less than
    0.3 Å within the molecule, or rigid domains explain less than half of it.

    Parameters
    ----------
    ensemble
        Shape (M, N, 3), Å: a bead per residue.
    chains
        Shape (N,): the chain of each; residues follow each other in the order of the chain.
    count
        How many domains are wanted; there may be fewer where they would be small.
    least_residues
        Of a domain.
    """
    size = ensemble.shape[1]
    step = -(-size // _MOST_BEADS)
    cut = _Cut(ensemble[:, ::step], chains[::step], max(3, least_residues // step))
    motion = cut.motion()
    labels = cut.split_repeatedly(count or MOST_DOMAINS) if motion >= STILL else [cut.whole]
    left = [cut.own_variances(one) for one in labels]
    steady = ~_find_loose(left[-1])
    squares = [float(own[steady].mean()) for own in left]
    chosen = _choose_count(squares) if count is None else len(labels) - 1
    explained = 1 - squares[chosen] / squares[0] if squares[0] > 0 else 0.0
    roots = tuple(float(np.sqrt(square)) for square in squares)
    if chosen == 0 or (count is None and explained < _LEAST_EXPLAINED):
        return Domains(np.zeros(size, np.intp), motion, 0.0, roots)
    found, own = labels[chosen], left[chosen]
    if step > 1:
        fine = _Cut(ensemble, chains, least_residues)
        found = fine.assign(np.repeat(found, step)[:size])
        own = fine.own_variances(found)
    loose = vote_along_chains(_find_loose(own).astype(np.intp), chains) > 0
    numbered = np.where(loose, 0, _number_by_size(found))
    return Domains(numbered, motion, float(explained), roots)


def _choose_count(squares: list[float]) -> int:
    """Choose how many cuts are worth it, from the mean square motion left after each."""
    best = min(squares)
    enough = best + max(_SPARED * (squares[0] - best), _SPARED_ANGSTROM**2)
    return next(at for at, value in enumerate(squares) if value <= enough)


def _find_loose(own: FloatArray) -> NDArray[np.bool_]:
    """Find residues that move by much more than others as seen from their domain."""
    return own > np.maximum(_LOOSE_ANGSTROM**2, _LOOSE**2 * np.median(own))


class _Cut:
    """The work of `find_domains` on M copies of n beads."""

    def __init__(self, ensemble: FloatArray, chains: NDArray[np.str_], least: int) -> None:
        self.ensemble, self.chains, self.least = ensemble, chains, least
        self.count = ensemble.shape[1]

    @property
    def whole(self) -> IndexArray:
        """All beads in one."""
        return np.zeros(self.count, np.intp)

    def motion(self) -> float:
        """Rms motion of all beads, each copy superposed as a whole, Å."""
        return float(np.sqrt(variances_from(self.ensemble, self._fit(self.ensemble)).mean()))

    def variances(self, members: IndexArray) -> FloatArray:
        """Mean square motion (n,), Å², of all beads as seen from a domain's steady ones."""
        copies = self.ensemble[:, members]
        own = variances_from(copies, self._fit(copies))
        steady = own <= 4 * np.median(own) + 0.25
        if 3 <= steady.sum() < len(members):
            copies = copies[:, steady]
        return variances_from(self.ensemble, self._fit(copies))

    def own_variances(self, labels: IndexArray) -> FloatArray:
        """Mean square motion (n,), Å², of every bead as seen from its domain."""
        own = np.empty(self.count)
        for number in np.unique(labels):
            members = np.flatnonzero(labels == number)
            own[members] = self.variances(members)[members]
        return own

    def _fit(self, copies: FloatArray) -> RigidMotions:
        """Superpose copies (M, m, 3) on their mean."""
        shape = copies[0]
        for _ in range(3):
            shape = fit_rigid_motions(shape, copies).undo(copies).mean(0)
        return fit_rigid_motions(shape, copies)

    def split_repeatedly(self, most: int) -> list[IndexArray]:
        """Give labels of one domain, of two, and so on."""
        labels = [self.whole]
        while len(labels) < most:
            finer = self.split(labels[-1])
            if finer is None:
                break
            labels.append(finer)
        return labels

    def split(self, labels: IndexArray) -> IndexArray | None:
        """Cut one domain in two, that with most motion left if it can be; None if none can."""
        groups = [np.flatnonzero(labels == number) for number in np.unique(labels)]
        left = [self.variances(members)[members].sum() for members in groups]
        for at in np.argsort(left)[::-1]:
            members = groups[at]
            if len(members) < 2 * self.least or left[at] < _STIFF * len(members):
                continue
            for side in self._bisect(members).T:
                parted = labels.copy()
                parted[members[side]] = labels.max() + 1
                found = self.refine(parted)
                if found.max() > labels.max():
                    return found
        return None

    def _bisect(self, members: IndexArray) -> NDArray[np.bool_]:
        """Cut members where their distances fluctuate most (Shi and Malik's cut): (m, ways)."""
        few = np.linspace(0, len(members) - 1, min(len(members), _MOST_MEMBERS)).round().astype(int)
        squares = distance_variances(self.ensemble[:, members[few]])
        usual = np.minimum(squares, np.quantile(squares, 0.9)).mean()  # whatever flaps most
        alike = np.exp(-2 * squares / max(float(usual), 1e-12))
        degree = 1 / np.sqrt(alike.sum(1))
        _, vectors = np.linalg.eigh(degree[:, None] * alike * degree)
        sides = degree[:, None] * vectors[:, -2 : -2 - _WAYS : -1] > 0
        nearest = np.abs(np.arange(len(members))[:, None] - few).argmin(1)
        return np.asarray(sides[nearest], bool)

    def refine(self, labels: IndexArray) -> IndexArray:
        """Let every bead go to the domain that it moves with, until none changes."""
        for _ in range(_ROUNDS):
            found = self.assign(labels)
            if np.array_equal(found, labels):
                break
            labels = found
        return labels

    def assign(self, labels: IndexArray) -> IndexArray:
        """Let every bead go to the domain that it moves with; domains that are small end."""
        while True:
            numbers = np.unique(labels)
            seen = [self.variances(np.flatnonzero(labels == number)) for number in numbers]
            nearest = vote_along_chains(np.stack(seen).argmin(0), self.chains)
            found = np.unique(nearest, return_inverse=True)[1].astype(np.intp)
            sizes = np.bincount(found)
            if len(sizes) == 1 or sizes.min() >= self.least:
                return found
            labels = found
            if len(sizes) == len(numbers):
                others = np.delete(np.arange(len(sizes)), sizes.argmin())
                labels = others[np.stack(seen)[others].argmin(0)]


def variances_from(ensemble: FloatArray, motions: RigidMotions) -> FloatArray:
    """Mean square motion (N,), Å², of beads (M, N, 3) in a frame that moves."""
    return np.asarray(motions.undo(ensemble).var(0).sum(-1), np.float64)


def distance_variances(copies: FloatArray) -> FloatArray:
    """Variances (n, n), Å², over M copies (M, n, 3) of the distance of every pair."""
    size = copies.shape[1]
    first, second = np.zeros((size, size)), np.zeros((size, size))
    for x in copies:
        square = ((x[:, None] - x[None]) ** 2).sum(-1)
        first += np.sqrt(square)
        second += square
    mean = first / len(copies)
    return np.asarray((second / len(copies) - mean**2).clip(min=0), np.float64)


def vote_along_chains(labels: IndexArray, chains: NDArray[np.str_]) -> IndexArray:
    """Give every residue the label of most in a window of five along its chain.

    Runs of three and more residues keep their ends.
    """
    votes = labels[:, None] == np.arange(labels.max() + 1)
    counted = 0.5 * votes  # of two that are even, its own
    for chain in dict.fromkeys(chains.tolist()):
        rows = np.flatnonzero(chains == chain)
        padded = np.pad(votes[rows].astype(np.float64), ((2, 2), (0, 0)))
        counted[rows] += sum(padded[at : at + len(rows)] for at in range(5))
    return np.asarray(counted.argmax(1), np.intp)


def _number_by_size(labels: IndexArray) -> IndexArray:
    """Give domains numbers from 1, the largest first."""
    values, sizes = np.unique(labels, return_counts=True)
    order = np.argsort(-sizes, kind="stable")
    number = np.empty(int(values.max()) + 1, np.intp)
    number[values[order]] = np.arange(1, len(values) + 1)
    return number[labels]
