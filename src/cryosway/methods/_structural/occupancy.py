"""Occupancies as results: columns of particles, sentences, and occupancies of atoms."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.methods._structural.groups import BeadGroups
from cryosway.protein import AtomTable, CoarseModel

FloatArray = npt.NDArray[np.float64]
COLUMN = "occupancy_"
COMPOSITION = "composition of the particles"  # as decisions.json has it


def occupancy_columns(groups: BeadGroups, present: FloatArray) -> dict[str, FloatArray]:
    """Make columns of particles.parquet, ``occupancy_B``: probability (n, G) of each group."""
    return {f"{COLUMN}{name}": present[:, at] for at, name in enumerate(groups.names)}


def find_columns(particles: pd.DataFrame, groups: BeadGroups) -> FloatArray:
    """Read the columns of a table of particles back: (n, G)."""
    columns = [np.asarray(particles[f"{COLUMN}{name}"], np.float64) for name in groups.names]
    return np.stack(columns, axis=1)


def say_occupancies(groups: BeadGroups, present: FloatArray) -> str:
    """Say in how many of the particles each group is missing."""
    parts = [
        f"{groups.label(number)} is missing in {100 * (1 - share):.0f} % of the particles"
        for number, share in enumerate(present.mean(axis=0), start=1)
    ]
    sentence = "; ".join(parts)
    return f"{sentence}: images without it are explained by its absence, and not by motion"


def say_all_present(groups: BeadGroups) -> str:
    """Say that every group that was looked at is there in all particles."""
    names = [groups.label(number) for number in range(1, len(groups) + 1)]
    listed = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    verb = "is" if len(names) == 1 else "are"
    return (
        f"{listed} {verb} present in all particles: images without would not be explained better, "
        "beyond what chance and motion do"
    )


def say_moved(groups: BeadGroups) -> str:
    """Say that groups that seem missing have only moved."""
    names = " and ".join(groups.label(number) for number in range(1, len(groups) + 1))
    return (
        f"{names} may seem missing in some particles where the model shows it, but motion explains "
        "the images better than absence: all is taken to be present"
    )


def occupy_atoms(
    atoms: AtomTable, model: CoarseModel, groups: BeadGroups, means: FloatArray
) -> AtomTable:
    """Multiply the occupancies of atoms by those of their groups, `means` (G,)."""
    factors = np.concatenate([[1.0], means])[groups.part][model.atom_to_bead]
    return replace(atoms, occupancies=atoms.occupancies * factors)
