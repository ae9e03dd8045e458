"""Latents of new particles under an atomic model that `structural` has learnt."""

import shutil
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import JobFolder, read_json
from cryosway.inference import ImageSource, measure_misfit, split_halves
from cryosway.jobs import Job
from cryosway.methods._consensus import read_noise
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import VolumeIndex, write_curves
from cryosway.methods._neural.judgement import Inferred
from cryosway.methods._neural.start import make_source
from cryosway.methods._shared_choices import choose_contrast
from cryosway.methods._structural.latents import (
    ModelViews,
    contrast_spread,
    infer_latents,
    read_parts,
)
from cryosway.methods._structural.model import REFERENCE_NAME, StructuralModel
from cryosway.methods._structural.occupancy import occupancy_columns
from cryosway.particles import Particles, read_map

FloatArray = npt.NDArray[np.float64]


def encode_structural(
    job: JobFolder, trained: Job, particles: Particles, device: torch.device
) -> None:
    """Find latents by Gauss–Newton steps under the fixed model, and write the job."""
    sign = choose_contrast(job, particles)
    write_curves(job, noise=list(_choose_noise(job, trained, particles)))
    noise = read_noise(job.path, particles.box)
    source = make_source(particles, sign, noise.power, device)
    model = StructuralModel.load(trained.path)
    with job.stage("latents"):
        found, present = _infer(job, source, model, contrast_spread(trained))
    with job.stage("writing"):
        data = FitInput(particles, sign, split_halves(len(particles), particles.half_sets, 0))
        _write(job, trained, data, found, present, model)


def _choose_noise(job: JobFolder, trained: Job, particles: Particles) -> Iterator[dict[str, Any]]:
    """Give the spectra of the training's optics groups; of others, their mean."""
    known = {e["optics_group"]: e for e in read_json(trained.path / "curves.json")["noise"]}
    mean = np.mean([entry["power"] for entry in known.values()], axis=0).tolist()
    wanted = np.unique(particles.ctf["optics_group"]).tolist()
    if new := [group for group in wanted if group not in known]:
        listed = ", ".join(map(str, new))
        job.decide("noise", "mean of the training's", f"it knows no optics group {listed}")
    some = next(iter(known.values()))
    for group in wanted:
        yield known.get(group, {**some, "optics_group": group, "power": mean})


@torch.no_grad()
def _infer(
    job: JobFolder, source: ImageSource, model: StructuralModel, contrast_sd: float
) -> tuple[Inferred, FloatArray]:
    """Posterior of every latent, contrast and bound at its mean; what is present (N, G)."""
    views, parts = ModelViews(model, source), []
    prior = torch.ones(views.latent_dim, device=source.device)
    progress = job.progress(len(source), "latents")
    for _, slices in read_parts(source, np.arange(len(source)), views.latent_dim):
        latents = infer_latents(views, slices, contrast_sd).latents
        z, sd = latents.mean, (0.5 * latents.log_variance).exp()
        composed = views.compose(slices, z, contrast_sd)
        if composed is None:
            misfit = measure_misfit(slices, views(slices, z), contrast_sd)
            explained = misfit.contrast, -misfit.squared, z.new_zeros(len(z), 0)
        else:
            explained = composed.contrast, composed.log_likelihood, composed.present
        contrast, likelihood, present = explained
        parts.append((z, sd, contrast, likelihood - latents.divergence(prior), present))
        progress.advance(len(z))
    *found, groups = (torch.cat(part).cpu().double().numpy() for part in zip(*parts, strict=True))
    return Inferred(*found), groups


def _write(
    job: JobFolder,
    trained: Job,
    data: FitInput,
    found: Inferred,
    present: FloatArray,
    model: StructuralModel,
) -> None:
    groups = None if model.composition is None else model.composition.groups
    for name in ("model.json", "model.safetensors", REFERENCE_NAME):
        shutil.copyfile(trained.path / name, job.path / name)
    data.write_particles(
        job.path,
        latents=found.mean,
        latent_sd=found.sd,
        contrast=found.contrast,
        log_likelihood=found.bound,
        displacement=model.displacements(found.mean),
        **({} if groups is None else occupancy_columns(groups, present)),
    )
    index = VolumeIndex(job.path, data.pixel_size)
    centre = found.mean.mean(0)
    density = model.densities(centre[None])[0]
    index.write("mean", density, "mean", "atomic model, at the mean latent", z=centre.tolist())
    mask = read_map(trained.path / "volumes" / "mask.mrc")[0]
    index.write("mask", mask, "mask", "solvent mask")
    job.update(**data.describe(found.mean.shape[1]), contrast_sd=contrast_spread(trained))
