"""Latents of new particles under an atomic model that `structural` has learnt."""

import shutil

import numpy as np
import torch

from cryosway.engine import JobFolder, read_json
from cryosway.inference import ImageSource, measure_misfit, split_halves
from cryosway.jobs import Job
from cryosway.methods._consensus import read_noise
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import VolumeIndex, write_curves
from cryosway.methods._neural_judgement import Inferred
from cryosway.methods._neural_start import make_source
from cryosway.methods._shared_choices import choose_contrast
from cryosway.methods._structural_latents import (
    ModelViews,
    contrast_spread,
    infer_latents,
    read_parts,
)
from cryosway.methods._structural_model import REFERENCE_NAME, StructuralModel
from cryosway.particles import Particles, read_map


def is_structural(job: Job) -> bool:
    """Tell whether a job's model is atomic."""
    path = job.path / "model.json"
    return path.exists() and read_json(path).get("volume") == "AtomicModel"


def encode_structural(
    job: JobFolder, trained: Job, particles: Particles, device: torch.device
) -> None:
    """Find latents by Gauss–Newton steps under the fixed model, and write the job."""
    sign = choose_contrast(job, particles)
    noise = read_noise(trained.path, particles.box).power
    groups = particles.ctf["optics_group"].nunique()
    if len(noise) != groups:
        noise = np.repeat(noise.mean(0, keepdims=True), groups, axis=0)
        job.decide("noise", "mean of the training's optics groups", "these particles have others")
    source = make_source(particles, sign, noise, device)
    model = StructuralModel.load(trained.path)
    with job.stage("latents"):
        found = _infer(job, source, model, contrast_spread(trained))
    with job.stage("writing"):
        _write(job, trained, FitInput(particles, sign, _halves(particles)), found, model)


def _halves(particles: Particles) -> torch.Tensor:
    return split_halves(len(particles), particles.half_sets, 0)


@torch.no_grad()
def _infer(
    job: JobFolder, source: ImageSource, model: StructuralModel, contrast_sd: float
) -> Inferred:
    """Posterior of every latent, and contrast and bound at its mean."""
    views, parts = ModelViews(model, source), []
    progress = job.progress(len(source), "latents")
    for _, slices in read_parts(source, np.arange(len(source)), views.latent_dim):
        latents = infer_latents(views, slices, contrast_sd)
        z, covariance = latents.mean, latents.covariance
        misfit = measure_misfit(slices, views(slices, z), contrast_sd)
        variance = covariance.diagonal(dim1=1, dim2=2)
        size = torch.linalg.cholesky(covariance).diagonal(dim1=1, dim2=2).log().sum(1)
        divergence = 0.5 * (z.square() + variance - 1).sum(1) - size
        parts.append((z, variance.sqrt(), misfit.contrast, -misfit.squared - divergence))
        progress.advance(len(z))
    joined = (torch.cat(part).cpu().double().numpy() for part in zip(*parts, strict=True))
    return Inferred(*joined)


def _write(
    job: JobFolder, trained: Job, data: FitInput, found: Inferred, model: StructuralModel
) -> None:
    for name in ("model.json", "model.safetensors", REFERENCE_NAME):
        shutil.copyfile(trained.path / name, job.path / name)
    data.write_particles(
        job.path,
        latents=found.mean,
        latent_sd=found.sd,
        contrast=found.contrast,
        log_likelihood=found.bound,
        displacement=model.displacements(found.mean),
    )
    write_curves(job, noise=read_json(trained.path / "curves.json")["noise"])
    index = VolumeIndex(job.path, data.pixel_size)
    centre = found.mean.mean(0)
    density = model.densities(centre[None])[0]
    index.write("mean", density, "mean", "atomic model, at the mean latent", z=centre.tolist())
    mask = read_map(trained.path / "volumes" / "mask.mrc")[0]
    index.write("mask", mask, "mask", "solvent mask")
    job.update(**data.describe(found.mean.shape[1]))
