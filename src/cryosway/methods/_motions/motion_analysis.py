"""What moves in the conformations of all particles: domains, residues, distances and angles."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway.methods._motions.motion_measures import Measure
from cryosway.methods._structural.bead_ensemble import BeadEnsemble
from cryosway.protein import (
    DomainMotion,
    Domains,
    RigidMotions,
    analyse_motion,
    fit_rigid_motions,
)

FloatArray = npt.NDArray[np.float64]
Watch = Callable[[int], None]


@final
@dataclass(frozen=True, eq=False)
class Motions:
    """Motions of N residues over M particles.

    Attributes
    ----------
    domains
        Rigid domains; domain 1 is the fixed one.
    moves
        By the number of each other domain, its motion as domain 1 sees it.
    displacement
        Shape (N,), Å: rms over the particles from the mean position, as the poses have it.
    relative
        Shape (N,), Å: the same as seen from domain 1, or with each conformation superposed as a
        whole on the reference where there are no domains.
    within
        Shape (N,), Å: the same as seen from the residue's own domain.
    mean
        Shape (N, 3), Å: mean positions in the frame of `relative`.
    measures
        By name, shape (M,): Å or degrees.
    """

    domains: Domains
    moves: dict[int, DomainMotion]
    displacement: FloatArray
    relative: FloatArray
    within: FloatArray
    mean: FloatArray
    measures: dict[str, FloatArray]


def analyse_motions(
    ensemble: BeadEnsemble, domains: Domains, measures: Sequence[Measure], watch: Watch
) -> Motions:
    """Follow domains, residues and measures through all particles.

    Parameters
    ----------
    ensemble
        M conformations of N residues.
    domains
        Found in some of them.
    measures
        What is measured in every particle.
    watch
        Is told how many particles were done.
    """
    everything = np.arange(len(ensemble.coarse))
    parts = [domains.members(k) for k in range(1, domains.count + 1)] or [everything]
    shapes = [ensemble.reference[members] for members in parts]
    as_posed, relative, within = (Spread(len(everything)) for _ in range(3))
    fits: list[list[RigidMotions]] = []
    values: dict[str, list[FloatArray]] = {measure.name: [] for measure in measures}
    for rows, beads in ensemble.chunks():
        found = [
            fit_rigid_motions(shape, beads[:, members])
            for shape, members in zip(shapes, parts, strict=True)
        ]
        own = beads.copy()
        for motions, members in zip(found, parts, strict=True):
            own[:, members] = motions.undo(beads[:, members])
        as_posed.add(beads)
        relative.add(found[0].undo(beads))
        within.add(own)
        for measure in measures:
            values[measure.name].append(measure.of(beads))
        fits.append([found[0].inverse().after(motions) for motions in found[1:]])
        watch(rows.stop - rows.start)
    moves = {
        number: analyse_motion(shapes[0], shapes[number - 1], _join([one[at] for one in fits]))
        for at, number in enumerate(range(2, domains.count + 1))
    }
    return Motions(
        domains=domains,
        moves=moves,
        displacement=as_posed.rms(),
        relative=relative.rms(),
        within=within.rms(),
        mean=relative.mean(),
        measures={name: np.concatenate(parts) for name, parts in values.items()},
    )


@final
class Spread:
    """Mean and spread of N points, gathered over many copies."""

    def __init__(self, count: int) -> None:
        self._first = np.zeros((count, 3))
        self._second = np.zeros(count)
        self._copies = 0

    def add(self, points: FloatArray) -> None:
        """Add copies, shape (n, N, 3)."""
        self._first += points.sum(0)
        self._second += (points**2).sum((0, 2))
        self._copies += len(points)

    def mean(self) -> FloatArray:
        """Mean positions, (N, 3)."""
        return np.asarray(self._first / self._copies, np.float64)

    def rms(self) -> FloatArray:
        """Rms distance from the mean position, (N,)."""
        square = self._second / self._copies - (self.mean() ** 2).sum(-1)
        return np.asarray(np.sqrt(square.clip(min=0)), np.float64)


def _join(parts: Sequence[RigidMotions]) -> RigidMotions:
    return RigidMotions(
        np.concatenate([part.rotations for part in parts]),
        np.concatenate([part.translations for part in parts]),
    )
