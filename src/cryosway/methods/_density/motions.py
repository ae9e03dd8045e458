"""Where a structural model has the beads of every particle, and which of them are there.

Half-maps are independent if nothing that made one of them has seen the images of the other. So the
images of a half-set are moved as the model of that half-set says, where the job has one. The two
models share the reference, and the maps a mask and the spectrum of the noise.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import read_json
from cryosway.jobs import Job
from cryosway.methods._density.data import DensityData
from cryosway.methods._neural.poses import FOLLOWED_POSES
from cryosway.methods._structural.halves import Fitted, open_halves
from cryosway.methods._structural.model import StructuralModel
from cryosway.methods._structural.occupancy import find_columns
from cryosway.protein import MovingFrames

Rows = npt.NDArray[np.int64]
FloatArray = npt.NDArray[np.float64]
_KEPT_BYTES = 1 << 29


@final
@dataclass(frozen=True, eq=False)
class Motions:
    """What a model says of its particles.

    Attributes
    ----------
    model
        Gives the beads at each particle's latent.
    latents, contrast
        Shapes (N, K) and (N,), of all particles of the set; not a number where the model has not
        seen them.
    share
        Shape (N, G): probability that each particle has each of the groups that may be missing.
    """

    model: StructuralModel
    latents: FloatArray
    contrast: Tensor
    share: Tensor

    @classmethod
    def of(cls, job: Job, model: StructuralModel, rows: Rows, count: int) -> "Motions":
        """Read what a job says of its particles, which are `rows` of a set of `count`."""
        table = job.particles
        composition = model.composition
        share = np.empty((len(rows), 0))
        if composition is not None:
            share = find_columns(table, composition.groups)
        parts = (job.latents, table["contrast"].to_numpy(np.float64)[:, None], share)
        whole = [np.full((count, part.shape[1]), np.nan) for part in parts]
        for to, part in zip(whole, parts, strict=True):
            to[rows] = part
        latents, contrast, spread = whole
        return cls(model, latents, torch.from_numpy(contrast[:, 0]).float(),
                   torch.from_numpy(spread).float())  # fmt: skip

    def beads(self, rows: Rows) -> FloatArray:
        """Beads (n, N, 3) of particles, Å."""
        return self.model.beads(self.latents[rows]).double().numpy()

    @property
    def missing(self) -> tuple[str, ...]:
        """Names of the groups of beads that may be missing."""
        composition = self.model.composition
        return () if composition is None else composition.groups.names

    def present(self, rows: Rows) -> Tensor:
        """Probability (n, N) that each bead of particles is there."""
        composition = self.model.composition
        if composition is None:
            return torch.ones(len(rows), len(self.model.coarse))
        share = self.share[torch.from_numpy(rows)]
        both = torch.cat([share.new_ones(len(rows), 1), share], dim=1)
        return both[:, torch.from_numpy(composition.groups.part)]


@final
@dataclass(frozen=True, eq=False)
class HalfMotions:
    """By which motions the images of each half-set are moved.

    Attributes
    ----------
    of_half
        Of half-sets 1 and 2.
    are_apart
        Whether each is of a model that has not seen the other half-set.
    share_poses
        Whether both stand on poses that were refined with the images of both.
    """

    of_half: tuple[Motions, Motions]
    are_apart: bool
    share_poses: bool = False

    @classmethod
    def open(cls, data: DensityData) -> "HalfMotions":
        """Read the half-set models of a job, or its own model where it has none."""
        job, count = data.structural, len(data.data)
        share = _has_refined_poses(job)
        halves = open_halves(Fitted(job, data.data, data.model))
        if not halves:
            common = Motions.of(job, data.model, np.arange(count), count)
            return cls((common, common), are_apart=False, share_poses=share)
        first, second = (Motions.of(half.job, half.model, half.rows, count) for half in halves)
        return cls((first, second), are_apart=True, share_poses=share)

    @property
    def missing(self) -> list[str]:
        """Names of the groups of beads that may be missing, of either."""
        return sorted({name for motions in self.of_half for name in motions.missing})


def _has_refined_poses(job: Job) -> bool:
    """Whether a structural job's poses were refined by it, or by the linear job it started from."""
    path = job.path / "decisions.json"
    decided = read_json(path) if path.exists() else []
    refined = job.info.get("config", {}).get("refine_poses", False)
    return bool(refined or any(entry["what"] == FOLLOWED_POSES for entry in decided))


@final
class ParticleFrames:
    """Frames of the beads in every particle; kept where there is memory for all.

    Parameters
    ----------
    motions
        Of the particles.
    moving
        The beads in the state that voxels are of.
    """

    def __init__(self, motions: Motions, moving: MovingFrames) -> None:
        self._motions, self._moving = motions, moving
        shape = (len(motions.latents), len(moving.reference), 3, 4)
        fits = 4 * int(np.prod(shape)) <= _KEPT_BYTES
        self._kept = torch.full(shape, torch.nan) if fits else None

    def __call__(self, rows: Rows) -> Tensor:
        """Give the frames (n, N, 3, 4) of particles."""
        if self._kept is None:
            return self._make(rows)
        at = torch.from_numpy(rows)
        missing = self._kept[at, 0, 0, 0].isnan().numpy()
        if missing.any():
            self._kept[at[torch.from_numpy(missing)]] = self._make(rows[missing])
        return self._kept[at]

    def _make(self, rows: Rows) -> Tensor:
        return torch.from_numpy(self._moving.affine(self._motions.beads(rows)).astype(np.float32))
