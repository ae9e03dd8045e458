"""The files of a finished `structural`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cryosway.engine import JobFolder, TrainingResult
from cryosway.inference import Consensus
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import training_entry
from cryosway.methods._motions.models import write_directions
from cryosway.methods._neural.poses import refine_particles
from cryosway.methods._options import StructuralOptions
from cryosway.methods._structural.composition import Composition
from cryosway.methods._structural.inference import infer_particles
from cryosway.methods._structural.model import StructuralModel
from cryosway.methods._structural.occupancy import (
    COMPOSITION,
    occupancy_columns,
    say_occupancies,
)
from cryosway.methods._structural.step import StructuralStep
from cryosway.protein import CoarseModel


def write_results(
    job: JobFolder,
    data: FitInput,
    step: StructuralStep,
    coarse: CoarseModel,
    consensus: Consensus,
    training: TrainingResult,
    held_out: Mapping[str, Any],
    options: StructuralOptions,
) -> None:
    """Write model, particles, maps, curves, models along directions and what job.json says.

    Where half-set models follow, these write the models along directions, with B factors.
    """
    found = infer_particles(step)
    modules = step.module.cpu().eval()
    composition = modules.composition
    model = StructuralModel(
        coarse, modules.deformation, modules.views, composition, options.nucleotide_beads
    )
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
        held_out=~np.isin(np.arange(len(latents)), step.chosen),
        **_tell_occupancies(job, composition),
    )
    index = data.write_consensus(job, consensus)
    centre = latents.mean(0)
    index.write(
        "model_mean", model.densities(centre[None])[0], "state",
        "atomic model, at the mean latent", z=centre.tolist(),
    )  # fmt: skip
    if not options.halves:
        write_directions(job.path)
    job.update(
        **data.describe(latents.shape[1]),
        resolution_angstrom=consensus.resolution,
        training=training_entry(training),
        **held_out,
    )


def _tell_occupancies(
    job: JobFolder, composition: Composition | None
) -> dict[str, npt.NDArray[np.float64]]:
    """Say which groups are missing in how many particles; give the columns that say in which."""
    if composition is None:
        return {}
    groups, present = composition.groups, composition.present.double().numpy()
    shares = dict(zip(groups.names, present.mean(axis=0).tolist(), strict=True))
    sentence = say_occupancies(groups, present)
    job.decide(COMPOSITION, shares, sentence)
    job.update(composition={"present": shares, "sentence": sentence})
    return occupancy_columns(groups, present)
