"""An arm that turns full circle on a body, as the Fab of CryoBench's IgG-1D."""

from collections.abc import Sequence
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from cryosway.protein import AtomTable

FloatArray = NDArray[np.float64]

_HALF_SPACING = 36.0  # Å between the centres of the arm's halves, as in a Fab
_TILT = 60.0  # degrees between the arm and the axis it turns about
_GAP = 8.0  # Å from the body's end to the hinge point
_REACH = 32.0  # Å from the hinge point to the centre of the arm's first half


def list_hinge_states(count: int = 100) -> pd.DataFrame:
    """List number and angle (degrees) of every state, and the point on the circle that it is."""
    angle = np.arange(count) * (360.0 / count)
    return pd.DataFrame(
        {
            "state": range(count),
            "angle": angle,
            "cos": np.cos(np.radians(angle)),
            "sin": np.sin(np.radians(angle)),
        }
    )


def turn_arm(body: AtomTable, halves: Sequence[AtomTable], count: int = 100) -> list[AtomTable]:
    """Turn an arm about the long axis of a body, which stands still.

    The arm begins at one end of the body, stands off its long axis by 60°, and turns about it.

    Parameters
    ----------
    body
        Its long axis is laid along z.
    halves
        Parts of the arm, stacked from the hinge outwards as the variable and constant halves of a
        Fab are; one is enough.
    count
        States, at equal angles.

    Returns
    -------
    The atoms of the body and of the halves in each state.
    """
    fixed = align_axes(body.coordinates, longest="z")
    arm = _build_arm([half.coordinates for half in halves])
    hinge = np.array([0.0, 0.0, fixed[:, 2].max() + _GAP])
    whole = AtomTable.concatenate([body, *halves])
    return [
        whole.with_coordinates(np.concatenate([fixed, _turn(angle).apply(arm) + hinge]))
        for angle in list_hinge_states(count)["angle"]
    ]


def _build_arm(halves: list[FloatArray]) -> FloatArray:
    """Stack the halves along z by their thinnest directions; the hinge point is the origin."""
    placed = []
    for number, half in enumerate(halves):
        crossed = Rotation.from_euler("z", 90.0 * number, degrees=True)
        centre = np.array([0.0, 0.0, _REACH + _HALF_SPACING * number])
        placed.append(crossed.apply(align_axes(half, longest="x")) + centre)
    return np.concatenate(placed)


def align_axes(coordinates: FloatArray, longest: Literal["x", "z"]) -> FloatArray:
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
    return Rotation.from_euler("yz", [_TILT, angle], degrees=True)
