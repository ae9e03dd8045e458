"""Poses of a finished job beside those of the same particles in a file."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import pandas as pd

from cryosway.optics import relion_euler_to_matrix, rotation_angle
from cryosway.particles import Particles

FloatArray = npt.NDArray[np.float64]

ANGLES, SHIFTS = ["rot", "tilt", "psi"], ["shift_x", "shift_y"]
_SAME_DEGREES, _SAME_ANGSTROM = 0.005, 0.005  # what files round off


@final
@dataclass(frozen=True, eq=False)
class JobPoses:
    """Poses of a job, and how far they are from those that particles have.

    Attributes
    ----------
    rotations, shifts
        Shapes (N, 3, 3) and (N, 2), Å: the job's.
    turned, moved
        Shape (N,): degrees and Å between the two.
    """

    rotations: FloatArray
    shifts: FloatArray
    turned: FloatArray
    moved: FloatArray

    @classmethod
    def beside(
        cls, particles: Particles, table: pd.DataFrame, removed: FloatArray | float = 0.0
    ) -> "JobPoses":
        """Compare the same images in the same order.

        Parameters
        ----------
        particles
            With poses.
        table
            The job's, with its angles and shifts.
        removed
            Shape (N, 2), Å: shifts that the job's images have not, but those of the particles.
        """
        rotations = relion_euler_to_matrix(*(table[name] for name in ANGLES))
        shifts = table[SHIFTS].to_numpy(np.float64) + removed
        turned = rotation_angle(rotations, particles.rotations)
        return cls(rotations, shifts, turned, np.linalg.norm(shifts - particles.shifts, axis=1))

    @property
    def differ(self) -> bool:
        """Whether any differs by more than files round off."""
        return bool(((self.turned > _SAME_DEGREES) | (self.moved > _SAME_ANGSTROM)).any())
