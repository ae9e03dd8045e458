"""Distances and angles between groups of residues, in every particle."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway.protein import CoarseModel, select_residues

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]


@final
@dataclass(frozen=True, eq=False)
class Measure:
    """The distance of two groups of residues, or the angle at the second of three.

    Groups are where the mean of their beads is (Cα of amino acids, C1' of nucleotides).

    Attributes
    ----------
    name
        Of its column: ``distance1``, ``angle1``, ….
    selections
        Two or three, in ChimeraX's syntax.
    groups
        The beads of each.
    """

    name: str
    selections: tuple[str, ...]
    groups: tuple[IndexArray, ...]

    @property
    def kind(self) -> str:
        """``distance`` or ``angle``."""
        return "distance" if len(self.groups) == 2 else "angle"

    @property
    def unit(self) -> str:
        """``Å`` or ``°``."""
        return "Å" if self.kind == "distance" else "°"

    @property
    def label(self) -> str:
        """What a reader calls it."""
        return f"{self.kind} {' – '.join(self.selections)}"

    def of(self, beads: FloatArray) -> FloatArray:
        """Measure in conformations (n, N, 3), Å: (n,), Å or degrees."""
        points = [beads[:, group].mean(1) for group in self.groups]
        if self.kind == "distance":
            return np.asarray(np.linalg.norm(points[0] - points[1], axis=1), np.float64)
        one, other = points[0] - points[1], points[2] - points[1]
        across = np.linalg.norm(np.cross(one, other), axis=1)
        return np.rad2deg(np.arctan2(across, (one * other).sum(1)))


def make_measures(
    model: CoarseModel,
    distances: Sequence[Sequence[str]],
    angles: Sequence[Sequence[str]],
) -> list[Measure]:
    """Read what is to be measured; `select_residues` says what it cannot read."""
    return [
        Measure(
            f"{kind}{number}",
            tuple(texts),
            tuple(select_residues(model, text) for text in texts),
        )
        for kind, asked in (("distance", distances), ("angle", angles))
        for number, texts in enumerate(asked, start=1)
    ]
