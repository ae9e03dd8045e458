"""Latents of particles under a model that was fitted to others, for every method."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import JobFolder, load_tensors
from cryosway.inference import gram_matrices, infer_all
from cryosway.jobs import Job
from cryosway.methods._held_out import choose_rows
from cryosway.methods._linear.model import LinearModel
from cryosway.methods._neural.encode import encode
from cryosway.methods._neural.start import make_source
from cryosway.methods._validate.decoded_volumes import decode_volumes
from cryosway.methods._validate.subject import Subject
from cryosway.methods._validate.volume_sample import VolumeSample, project_out
from cryosway.optics import resize_volumes
from cryosway.volumes import BasisGrid, SliceReader

FloatArray = npt.NDArray[np.float64]

_ENCODED = ("vae", "structural")
_SAMPLE = 512
_RESOLUTION = 10.0  # Å
_LARGEST_RADIUS = 31  # Fourier pixels


def infer_others(
    job: JobFolder, trained: Job, others: Job, out: Path, device: str, threads: int | None
) -> FloatArray:
    """Find the latents (n, K) of the particles of one job under the model of another.

    `linear` has them in closed form; `vae` and `structural` encode; a latent table is weighed from
    a sample of the model's volumes.

    Parameters
    ----------
    job
        Shows the progress.
    trained
        Whose model.
    others
        Whose particles.
    out
        Folder for what `encode` writes.
    device, threads
        Where to compute.
    """
    command = str(trained.info["command"])
    if command in _ENCODED:
        particles = Subject(others).data.particles.with_contrast(Subject(others).data.sign)
        made = encode(
            particles, out, job=trained.path, overwrite=True, device=device, threads=threads
        )
        return made.latents
    return (_infer_linear if command == "linear" else _weigh_sample)(job, trained, others)


def _infer_linear(job: JobFolder, trained: Job, others: Job) -> FloatArray:
    model, data = LinearModel.load(trained.path), Subject(others).data
    source = make_source(data.particles, data.sign, model.noise)
    basis = BasisGrid(model.volumes, model.variances)
    with job.progress(len(source), "latents") as progress:
        found = infer_all(source, basis, _read_contrast_sd(trained), progress.advance)
    return found.mean


def _read_contrast_sd(linear: Job) -> float:
    for name in ("fine", "coarse"):
        path = linear.path / "checkpoints" / f"{name}.safetensors"
        if path.exists():
            return float(load_tensors(path)[1]["contrast_sd"])
    return float(linear.particles["contrast"].std())


def _weigh_sample(job: JobFolder, trained: Job, others: Job) -> FloatArray:
    """Posterior means over a sample of the model's volumes."""
    mine, theirs = Subject(trained), Subject(others)
    field = theirs.data.box * theirs.data.pixel_size
    full = make_source(theirs.data.particles, theirs.data.sign, mine.noise.power)
    source = full.within(min(round(field / _RESOLUTION), full.radius, _LARGEST_RADIUS))
    box = 2 * (source.radius + 1)
    mask = mine.read_kind("mask")
    assert mask is not None
    small = (resize_volumes(torch.from_numpy(mask.copy()), box) * (box / len(mask)) ** 3).clamp(
        0, 1
    )
    rows = choose_rows(len(trained.latents), _SAMPLE, 0)
    with job.progress(len(rows), "volumes") as progress:
        volumes = decode_volumes(trained, trained.latents[rows], box, progress.advance)
    sample = VolumeSample.make(trained.latents[rows], volumes * small)
    reader = SliceReader(torch.cat([sample.mean[None], sample.basis]))
    contrast = theirs.posterior.contrast
    found = np.zeros((len(contrast), trained.latents.shape[1]))
    with job.progress(len(contrast), "latents") as progress:
        for batch in source:
            gram = project_out(gram_matrices(batch, reader), [0])
            weights = sample.weigh(gram, contrast[batch.index])
            found[batch.index] = weights @ sample.latents
            progress.advance(len(batch.index))
    return found
