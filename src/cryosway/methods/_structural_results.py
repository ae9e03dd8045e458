"""The files of a finished `structural`."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, TrainingResult
from cryosway.inference import Consensus
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import training_entry
from cryosway.methods._neural_poses import refine_particles
from cryosway.methods._structural_composition import Composition
from cryosway.methods._structural_inference import infer_particles
from cryosway.methods._structural_model import StructuralModel
from cryosway.methods._structural_occupancy import (
    COMPOSITION,
    occupancy_columns,
    say_occupancies,
)
from cryosway.methods._structural_step import StructuralStep
from cryosway.protein import CoarseModel, write_structure

_PATH = np.linspace(-2.0, 2.0, 9)  # standard deviations along a direction


def write_results(
    job: JobFolder,
    data: FitInput,
    step: StructuralStep,
    coarse: CoarseModel,
    consensus: Consensus,
    training: TrainingResult,
) -> None:
    """Write model, particles, maps, curves, models along directions and what job.json says."""
    found = infer_particles(step)
    modules = step.module.cpu().eval()
    composition = modules.composition
    model = StructuralModel(coarse, modules.deformation, modules.views, composition)
    model.save(job.path)
    latents = found.mean
    refined = replace(data, particles=refine_particles(data.particles, modules.poses))
    refined.write_particles(
        job.path,
        latents=latents,
        latent_sd=found.sd,
        contrast=found.contrast,
        log_likelihood=found.bound,
        displacement=model.displacements(latents),
        **_tell_occupancies(job, composition),
    )
    index = data.write_consensus(job, consensus)
    centre = latents.mean(0)
    index.write(
        "model_mean", model.densities(centre[None])[0], "state",
        "atomic model, at the mean latent", z=centre.tolist(),
    )  # fmt: skip
    _write_paths(job.path, model, latents)
    job.update(
        **data.describe(latents.shape[1]),
        resolution_angstrom=consensus.resolution,
        training=training_entry(training),
    )


def _tell_occupancies(
    job: JobFolder, composition: Composition | None
) -> dict[str, npt.NDArray[np.float64]]:
    """Say which groups are missing in how many particles; give the columns that say in which."""
    if composition is None:
        return {}
    groups, present = composition.groups, composition.present.double().numpy()
    shares = dict(zip(groups.names, present.mean(axis=0).tolist(), strict=True))
    job.decide(COMPOSITION, shares, say_occupancies(groups, present))
    return occupancy_columns(groups, present)


def _write_paths(folder: Path, model: StructuralModel, latents: npt.NDArray[np.float64]) -> None:
    """Write the model along the principal directions of the latents, a file each."""
    if len(latents) < 2:
        msg = "a structural job needs two particles at least"
        raise CryoswayError(msg)
    centre = latents.mean(0)
    _, sizes, directions = np.linalg.svd(latents - centre, full_matrices=False)
    spread = sizes / np.sqrt(len(latents))
    out = folder / "models"
    out.mkdir(exist_ok=True)
    for number in range(min(2, len(spread))):
        steps = [centre + amount * spread[number] * directions[number] for amount in _PATH]
        path = out / f"direction{number + 1}.cif"
        write_structure(path, [model.atoms(z) for z in steps])
