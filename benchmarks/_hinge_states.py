"""A two-domain hinge that turns full circle, as the IgG-1D set of CryoBench.

Made of 7CTH: the body is the dimer of envelope proteins E (chains B and C), the arm the two
antibody fragments (H with L, I with M) stacked as the variable and constant halves of a Fab are.
The arm begins at one end of the body, stands off its long axis, and turns about it. Masses are
those of an antibody: 100 kDa, and 48 kDa that move.
"""

from typing import Literal

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.spatial.transform import Rotation

from cryosway.protein import AtomTable

FloatArray = npt.NDArray[np.float64]

BODY = ("B", "C")
ARM_HALVES = (("H", "L"), ("I", "M"))
STATE_COUNT = 100
HALF_SPACING = 36.0  # Å between the centres of the arm's halves, as in a Fab
TILT = 60.0  # degrees between the arm and the axis it turns about
GAP = 8.0  # Å from the body's end to the hinge point
REACH = 32.0  # Å from the hinge point to the centre of the arm's first half


def list_hinge_states() -> pd.DataFrame:
    """Number and angle (degrees) of every state, and the point on the circle that it is."""
    angle = np.arange(STATE_COUNT) * (360.0 / STATE_COUNT)
    return pd.DataFrame(
        {
            "state": range(STATE_COUNT),
            "angle": angle,
            "cos": np.cos(np.radians(angle)),
            "sin": np.sin(np.radians(angle)),
        }
    )


def make_hinge_states(atoms: AtomTable) -> list[AtomTable]:
    """Atoms of every state; the body stands still, with its long axis along z."""
    parts = [atoms.select_chains(chains).coordinates for chains in (BODY, *ARM_HALVES)]
    body, arm = _align(parts[0], longest="z"), _build_arm(parts[1:])
    hinge = np.array([0.0, 0.0, body[:, 2].max() + GAP])
    chains = (BODY, *ARM_HALVES)
    whole = atoms[np.concatenate([np.flatnonzero(np.isin(atoms.chains, c)) for c in chains])]
    return [
        whole.with_coordinates(np.concatenate([body, _turn(angle).apply(arm) + hinge]))
        for angle in list_hinge_states()["angle"]
    ]


def _build_arm(halves: list[FloatArray]) -> FloatArray:
    """Stack the halves along z by their thinnest directions; the hinge point is the origin."""
    placed = []
    for number, half in enumerate(halves):
        crossed = Rotation.from_euler("z", 90.0 * number, degrees=True)
        centre = np.array([0.0, 0.0, REACH + HALF_SPACING * number])
        placed.append(crossed.apply(_align(half, longest="x")) + centre)
    return np.concatenate(placed)


def _align(coordinates: FloatArray, longest: Literal["x", "z"]) -> FloatArray:
    """Centre, and turn the principal axes onto x, y and z, the longest onto the one named."""
    centred = coordinates - coordinates.mean(axis=0)
    _, axes = np.linalg.eigh(centred.T @ centred)  # from the shortest to the longest
    if longest == "x":
        axes = axes[:, ::-1]
    axes = axes * np.sign(axes[np.abs(axes).argmax(axis=0), range(3)])
    axes[:, 1] *= np.linalg.det(axes)  # a rotation, not a mirror
    return np.asarray(centred @ axes)


def _turn(angle: float) -> Rotation:
    """Tilt the arm off the z axis, then turn it about that."""
    return Rotation.from_euler("yz", [TILT, angle], degrees=True)
