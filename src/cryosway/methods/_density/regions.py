"""Where density may be, and where it moves: masks about a model in the state that is solved for."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.protein import CoarseModel
from cryosway.validate import soften_mask

FloatArray = npt.NDArray[np.float64]
_GROW, _EDGE = 5.0, 6.0  # Å, as of the solvent mask
_SHARE = 0.25  # of the beads, those that move most


@dataclass(frozen=True, eq=False)
class MovingRegion:
    """The beads that move most.

    Attributes
    ----------
    chosen
        Shape (N,), bool.
    motion
        Shape (N,), Å: rms displacement of each bead from the state, over the particles.
    """

    chosen: npt.NDArray[np.bool_]
    motion: FloatArray

    def describe(self) -> str:
        """Say how many they are and how far they move."""
        inside = float(np.sqrt(np.mean(self.motion[self.chosen] ** 2)))
        rest = float(np.sqrt(np.mean(self.motion[~self.chosen] ** 2)))
        return (
            f"the {int(self.chosen.sum())} beads that move most, {inside:.1f} Å rms from the state "
            f"over the particles; the others move {rest:.1f} Å"
        )


def find_moving(motion: FloatArray) -> MovingRegion:
    """Choose the quarter of the beads that move most, given each one's rms motion (N,), Å."""
    count = max(1, round(_SHARE * len(motion)))
    chosen = np.zeros(len(motion), bool)
    chosen[np.argsort(motion)[-count:]] = True
    return MovingRegion(chosen, motion)


def mask_around(points: FloatArray, box: int, pixel_size: float) -> Tensor:
    """Make a soft mask about points (n, 3), (x, y, z) in Å about voxel D/2: (D, D, D)."""
    inside = np.zeros((box, box, box), bool)
    at = np.round(points[:, ::-1] / pixel_size).astype(np.int64) + box // 2
    at = at[((at >= 0) & (at < box)).all(1)]
    inside[tuple(at.T)] = True
    if not inside.any():
        return torch.zeros(inside.shape)
    return torch.from_numpy(soften_mask(inside, _GROW / pixel_size, _EDGE / pixel_size))


def mask_model(model: CoarseModel, beads: FloatArray, solvent: Tensor, pixel_size: float) -> Tensor:
    """Make the mask of a state: the solvent mask of the consensus, and about the moved model."""
    atoms = model.rebuild(beads, clean=False)
    return torch.maximum(solvent, mask_around(atoms, solvent.shape[-1], pixel_size))


def mask_region(
    model: CoarseModel, beads: FloatArray, region: MovingRegion, mask: Tensor, pixel_size: float
) -> Tensor:
    """Make the mask of a region in a state, within the state's."""
    atoms = model.rebuild(beads, clean=False)[region.chosen[model.atom_to_bead]]
    return mask_around(atoms, mask.shape[-1], pixel_size) * mask
