"""The conformations that a structural job found, in the frame of its maps."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import read_json, read_table
from cryosway.jobs import Job
from cryosway.methods._structural.model import StructuralDecoder, StructuralModel
from cryosway.methods._structural.occupancy import find_columns, occupy_atoms
from cryosway.protein import AtomTable, CoarseModel

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]

RESIDUES_NAME = "residues.parquet"
_NUMBERS_AT_ONCE = 6_000_000  # of coordinates, 48 MB


@final
class BeadEnsemble:
    """Beads and atoms at the latents of a structural job.

    The job's own coordinates have the centre of the box at 0; here all lie as its maps do, as MRC
    headers say (voxel 0 at the origin in maps of most programs), so that models and maps overlay.

    Parameters
    ----------
    job
        A finished structural job, or a run of one.

    Raises
    ------
    CryoswayError
        When the job has no atomic model.
    """

    def __init__(self, job: Job) -> None:
        main = job.main
        if not is_structural(main):
            msg = (
                f"{job.path} is a {main.info.get('command')} job, which has no atomic model; give "
                "a job of cryosway structural"
            )
            raise CryoswayError(msg)
        self.job = main
        self.model = StructuralModel.load(main.path)
        self._near = StructuralDecoder(main)
        self.offset = self.model.find_offset(main)
        self.uncertainty = read_uncertainty(main.path, len(self.coarse))

    @property
    def coarse(self) -> CoarseModel:
        """The reference."""
        return self.model.coarse

    @property
    def reference(self) -> FloatArray:
        """Beads of the reference, shape (N, 3), Å."""
        return np.asarray(self.coarse.coordinates + self.offset, np.float64)

    def beads(self, z: FloatArray) -> FloatArray:
        """Beads at latents (n, k): (n, N, 3), Å."""
        found = self.model.beads(np.atleast_2d(z)).double().numpy()
        return np.asarray(found + self.offset, np.float64)

    def chunks(self) -> Iterator[tuple[slice, FloatArray]]:
        """Give rows of the particle table and their beads, as many at once as fit into memory."""
        latents = self.job.latents
        step = max(1, _NUMBERS_AT_ONCE // (3 * len(self.coarse)))
        for start in range(0, len(latents), step):
            rows = slice(start, min(start + step, len(latents)))
            yield rows, self.beads(latents[rows])

    def sample(self, most: int, seed: int) -> FloatArray:
        """Beads of particles chosen at random, up to `most` of them: (n, N, 3), Å."""
        latents = self.job.latents
        if len(latents) > most:
            chosen = np.random.default_rng(seed).choice(len(latents), most, replace=False)
            latents = latents[np.sort(chosen)]
        return self.beads(latents)

    def atoms(self, z: FloatArray, particle: int | None = None) -> AtomTable:
        """All atoms, rebuilt on the beads at a latent (k,).

        B factors tell the uncertainty. Occupancies tell in which share of the particles near the
        latent an atom is there; or with which probability in one `particle`, by its row.
        """
        atoms = self.dress(self.beads(z)[0])
        composition = self.model.composition
        if composition is None:
            return atoms
        present = find_columns(self.job.particles, composition.groups)
        weights = self._weigh(z) if particle is None else np.arange(len(present)) == particle
        means = np.average(present, axis=0, weights=weights)
        return occupy_atoms(atoms, self.coarse, composition.groups, means)

    def _weigh(self, z: FloatArray) -> FloatArray:
        """Weight of every particle at a latent, (N,); alike where none is near."""
        weights = self._near.weights(z)[:, 0]
        return weights if weights.any() else np.ones_like(weights)

    def dress(self, beads: FloatArray) -> AtomTable:
        """All atoms on beads (N, 3)."""
        coarse = self.coarse
        atoms = coarse.atoms.with_coordinates(coarse.rebuild(beads - self.offset) + self.offset)
        if self.uncertainty is None:
            return atoms
        known = uncertainty_to_b_factor(self.uncertainty)[coarse.atom_to_bead]
        return replace(atoms, b_factors=known)


def is_structural(job: Job) -> bool:
    """Tell whether a job's model is atomic: it was trained there, or its particles encoded."""
    path = job.path / "model.json"
    return path.exists() and read_json(path).get("volume") == "AtomicModel"


def uncertainty_to_b_factor(uncertainty: FloatArray) -> FloatArray:
    """B = 8π²/3 u² (Å²) of the rms error u (Å, over all three directions) of a position."""
    return np.asarray(8 * np.pi**2 / 3 * np.asarray(uncertainty) ** 2, np.float64)


def read_uncertainty(folder: Path, count: int) -> FloatArray | None:
    """Read the uncertainty of every residue, (N,), Å, where the job has measured it.

    It is the column ``uncertainty`` of ``residues.parquet``, one row per bead of the model.

    Raises
    ------
    CryoswayError
        When the table is of another model.
    """
    path = folder / RESIDUES_NAME
    if not path.exists():
        return None
    table = read_table(path)
    if "uncertainty" not in table:
        return None
    if len(table) != count:
        msg = (
            f"{path} has {len(table)} rows, but the model has {count} beads; it is of another "
            "model: make it again"
        )
        raise CryoswayError(msg)
    return table["uncertainty"].to_numpy(np.float64)
