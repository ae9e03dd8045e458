"""Control fits of an audit: the same fit where the data support no motion, or another one.

On pure noise, on images of the reference standing still, and on images that were shuffled against
their poses, whatever moves is made up. With a reference that lacks a region, the rest may not move
to fill the gap; a region that was turned in the reference should be turned back by the data.

In pure noise a fit sees no model, and leaves it where it is. What noise bends where the model is
seen, images of the still reference tell: there the fit is as free as on the real ones.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import NoiseModel
from cryosway.jobs import Job
from cryosway.methods._audit.regions import Regions, remove_region, turn_region
from cryosway.methods._held_out import choose_rows
from cryosway.methods._motions.motion_analysis import Spread
from cryosway.methods._options import AuditOptions, StructuralOptions
from cryosway.methods._structural.halves import (
    Fitted,
    average_beads,
    plain_options,
    run_inner_fit,
)
from cryosway.methods._structural.model import REFERENCE_NAME, StructuralModel
from cryosway.methods._structural.structural import fit_structural
from cryosway.methods._validate.null_images import NullImages
from cryosway.optics import filter_volumes, resize_volumes
from cryosway.particles import Particles
from cryosway.protein import AtomTable, fit_rigid_motions, write_structure

FloatArray = npt.NDArray[np.float64]
IndexArray = npt.NDArray[np.intp]
Rows = npt.NDArray[np.int64]

_BATCH = 256
_FINE = 1.5  # Å, of voxels


@dataclass(frozen=True, eq=False)
class Controls:
    """Fits the controls of one audit, each in a folder of its own that resumes like any job.

    Attributes
    ----------
    folder
        Of the audit.
    fitted
        The job that is audited.
    rows
        Its particles that the controls are fitted to.
    noise
        Spectrum of its images' noise.
    options
        Of the audit.
    device
        Where to compute.
    """

    folder: JobFolder
    fitted: Fitted
    rows: Rows
    noise: NoiseModel
    options: AuditOptions
    device: torch.device

    @property
    def particles(self) -> Particles:
        """Those that controls are fitted to."""
        data = self.fitted.data
        return data.particles[self.rows].with_contrast(data.sign[self.rows])

    def on_noise(self) -> Job:
        """Fit to images of nothing but noise."""
        box = self.particles.box
        return self._fit_made("noise", torch.zeros(box, box, box))

    def on_still(self) -> Job:
        """Fit to images of the reference, in the same noise."""
        return self._fit_made("still", show_reference(self.fitted.model))

    def on_shuffled(self) -> Job:
        """Fit to the images with each other's rotations."""
        particles = self.particles
        order = np.random.default_rng(self.options.seed).permutation(len(particles))
        mixed = particles.with_poses(particles.rotations[order], particles.shifts)
        return self._fit("shuffled", mixed, self.fitted.model.coarse.atoms)

    def without(self, members: IndexArray) -> Job:
        """Fit a reference that lacks some beads to the images."""
        return self._fit(
            "removed", self.particles, remove_region(self.fitted.model.coarse, members)
        )

    def turned(self, members: IndexArray) -> Job:
        """Fit a reference some beads of which were turned to the images."""
        atoms = turn_region(self.fitted.model.coarse, members, self.options.turn)
        return self._fit("turned", self.particles, atoms)

    def _fit_made(self, name: str, shown: Tensor) -> Job:
        contrast = self.fitted.job.particles["contrast"].to_numpy(np.float64)[self.rows]
        images = NullImages(self.particles, shown, self.noise, contrast, 0.0, 0.0)
        made = images.write(self.folder.path / f"{name}.mrcs", self.options.seed, _be_silent)
        return self._fit(name, made, self.fitted.model.coarse.atoms)

    def _fit(self, name: str, particles: Particles, atoms: AtomTable) -> Job:
        path = self.folder.path / name
        reference = self.folder.path / f"{name}_{REFERENCE_NAME}"
        write_structure(reference, atoms)
        job = self.fitted.job
        known = StructuralOptions.model_fields  # an older job may have had others
        config = {name: value for name, value in job.info["config"].items() if name in known}
        own = StructuralOptions(**config)
        chosen = plain_options(
            own,
            model=reference,
            confidence="none",  # which would be of other residues where some are missing
            mask=job.path / "volumes" / "mask.mrc",
            epochs=self.options.epochs or own.epochs,
            seed=self.options.seed,
        )
        return run_inner_fit(path, particles, chosen, self.device, fit_structural)


def show_reference(model: StructuralModel) -> Tensor:
    """Density (D, D, D) of a model at rest, as images show it.

    It is sampled finely and cut off in Fourier space: Gaussians are narrower than coarse voxels.
    """
    atoms = model.views.atoms
    finer = max(1, math.ceil(atoms.pixel_size / _FINE))
    density = model.views.density(model.deformation.reference[None], finer * atoms.box)
    resized = resize_volumes(density, atoms.box) / finer**3
    return filter_volumes(resized, model.views.scale)[0]


def _be_silent(_: int) -> None:
    """Show no progress."""


def measure_made_up(job: Job) -> dict[str, float]:
    """Measure how far the model of a structural job is displaced from its reference.

    ``displacement_angstrom``: mean over particles of the rms over residues, as posed;
    ``bent_angstrom``: the same with every conformation superposed on the reference, so that only
    what changes its shape counts; ``motion_angstrom``: rms over residues and particles about the
    mean conformation.
    """
    model = StructuralModel.load(job.path)
    reference = model.deformation.reference.double().numpy()
    spread = Spread(len(reference))
    posed, bent = [], []
    for part in np.array_split(job.latents, max(1, len(job.latents) // _BATCH)):
        x = model.beads(part).double().numpy()
        spread.add(x - reference)
        placed = fit_rigid_motions(reference, x).undo(x)
        posed.append(np.sqrt(((x - reference) ** 2).sum(-1).mean(-1)))
        bent.append(np.sqrt(((placed - reference) ** 2).sum(-1).mean(-1)))
    return {
        "displacement_angstrom": float(np.concatenate(posed).mean()),
        "bent_angstrom": float(np.concatenate(bent).mean()),
        "motion_angstrom": float(np.sqrt(np.mean(spread.rms() ** 2))),
    }


def measure_removed(
    control: Job, fitted: Fitted, rows: Rows, members: IndexArray
) -> dict[str, Any]:
    """Measure what the rest of the model does where a region lacks.

    ``apart_angstrom`` is between the rest as the control places it and as the job does, rms over
    residues and particles.
    """
    kept = np.setdiff1d(np.arange(len(fitted.model.coarse)), members)
    lacking = StructuralModel.load(control.path)
    with_it = fitted.model.beads(fitted.job.latents[rows])[:, kept]
    without = lacking.beads(control.latents)
    reference = lacking.deformation.reference

    def rms(x: torch.Tensor) -> float:
        return float(x.square().sum(-1).mean().sqrt())

    return {
        "apart_angstrom": rms(without - with_it),
        "displacement_angstrom": rms(without - reference),
        "displacement_with_it_angstrom": rms(with_it - reference),
    }


def measure_turned(control: Job, fitted: Fitted, rows: Rows, members: IndexArray) -> dict[str, Any]:
    """Measure whether a region that was turned in the reference goes back to where it belongs.

    Distances, Å, are those of the region's mean conformation from that of the job.
    """
    turned = StructuralModel.load(control.path)
    target = average_beads(fitted.model, fitted.job.latents[rows]).double().numpy()[members]
    start = turned.deformation.reference.double().numpy()[members]
    end = average_beads(turned, control.latents).double().numpy()[members]

    def distance(x: FloatArray) -> float:
        return float(np.sqrt(np.mean(np.sum((x - target) ** 2, axis=-1))))

    def angle(x: FloatArray) -> float:
        found = fit_rigid_motions(target, x[None]).rotations[0]
        return float(np.rad2deg(np.arccos(np.clip((np.trace(found) - 1) / 2, -1, 1))))

    return {
        "distance_before_angstrom": distance(start),
        "distance_after_angstrom": distance(end),
        "angle_before_degrees": angle(start),
        "angle_after_degrees": angle(end),
        "returned": 1 - distance(end) / max(distance(start), 1e-6),
    }


def sample_ensemble(fitted: Fitted, most: int, seed: int) -> FloatArray:
    """Beads (M, N, 3), Å, of particles chosen at random."""
    latents = fitted.job.latents
    return fitted.model.beads(latents[choose_rows(len(latents), most, seed)]).double().numpy()


def name_regions(regions: Regions) -> list[str]:
    """Name all regions."""
    return [regions.name(number) for number in range(1, regions.count + 1)]
