"""Latents of particles under an encoder that cryoDRGN has trained."""

import shutil

import numpy as np
import torch

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, read_json, write_table
from cryosway.jobs import Job
from cryosway.methods._cryodrgn.encoder import ENCODER_NAME, CryodrgnEncoder
from cryosway.methods._cryodrgn.model import CryodrgnModel
from cryosway.methods._job_files import PARTICLES_NAME, VolumeIndex, particles_table
from cryosway.optics import CtfParams
from cryosway.particles import Particles

_BATCH = 256


def load_encoder(job: Job, particles: Particles) -> CryodrgnEncoder:
    """Load the encoder of an imported job.

    Raises
    ------
    CryoswayError
        It has none that cryosway knows, or the particles have no poses.
    """
    described = read_json(job.path / "model.json")
    if not described.get("encoder"):
        reason = described.get(
            "no_encoder", "it was imported without it; import it into a new folder"
        )
        raise CryoswayError(f"{job.path} has no encoder: {reason}")
    encoder = CryodrgnEncoder.load(job.path)
    if not particles.has_poses:
        message = "the particles have no poses, but the encoder needs their shifts; give --poses"
        raise CryoswayError(message)
    return encoder


def encode_cryodrgn(
    job: JobFolder, trained: Job, particles: Particles, encoder: CryodrgnEncoder
) -> None:
    """Find latents as ``cryodrgn eval_images`` does, and write the job."""
    sign = "multiplied by −1" if encoder.view.invert else "taken as they are"
    job.decide("images", sign, "as in the training by cryoDRGN, whatever the protein is here")
    with job.stage("latents"):
        mean, sd = _infer(job, particles, encoder)
    with job.stage("writing"):
        for name in ("model.json", "model.safetensors", ENCODER_NAME):
            shutil.copyfile(trained.path / name, job.path / name)
        particles.write(job.path / PARTICLES_NAME, absolute_paths=True)
        table = particles_table(particles, latents=mean, latent_sd=sd)
        write_table(job.path / "particles.parquet", table)
        model = CryodrgnModel.load(job.path)
        index = VolumeIndex(job.path, model.pixel_size)
        centre = mean.mean(0)
        density = model.volume(centre)
        index.write("mean", density, "mean", "network, at the mean latent", z=centre.tolist())
        job.update(box=model.box, pixel_size=model.pixel_size)


def _infer(
    job: JobFolder, particles: Particles, encoder: CryodrgnEncoder
) -> tuple[np.ndarray, np.ndarray]:
    ctf = CtfParams.from_table(particles.ctf) if particles.has_ctf else None
    edges = particles.box * particles.ctf["pixel_size"].to_numpy(np.float64)  # Å
    shifts = torch.from_numpy(particles.shifts / edges[:, None])
    progress = job.progress(len(particles), "latents")
    parts = []
    for start in range(0, len(particles), _BATCH):
        rows = np.arange(start, min(start + _BATCH, len(particles)))
        images = torch.from_numpy(particles.images(rows))
        at = torch.from_numpy(rows)
        theirs = None if ctf is None else ctf[at]
        parts.append(torch.stack(encoder.encode(images, shifts[at], theirs)))
        progress.advance(len(rows))
    mean, log_variance = torch.cat(parts, dim=1).double()
    return mean.numpy(), (0.5 * log_variance).exp().numpy()
