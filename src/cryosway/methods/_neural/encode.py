"""`encode`: latents of particles under a network that was trained on others."""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder, select_device, set_threads
from cryosway.inference import EncoderView, ImageSource, infer_all, split_halves
from cryosway.jobs import Job, open_job
from cryosway.methods._cryodrgn.encode import encode_cryodrgn, load_encoder
from cryosway.methods._cryodrgn.model import CryodrgnModel, is_cryodrgn
from cryosway.methods._cryodrgn.model import open_decoder as open_cryodrgn_decoder
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import VolumeIndex
from cryosway.methods._neural.judgement import infer_particles
from cryosway.methods._neural.model import NeuralDecoder, NeuralModel
from cryosway.methods._neural.model import open_decoder as open_neural_decoder
from cryosway.methods._neural.start import make_source, start_latents
from cryosway.methods._neural.step import NeuralModules, NeuralSettings, NeuralStep
from cryosway.methods._options import EncodeOptions
from cryosway.methods._shared_choices import (
    ParticlesLike,
    as_particles,
    choose_contrast,
    fingerprint_file,
    locate_particles,
)
from cryosway.methods._structural.bead_ensemble import is_structural
from cryosway.methods._structural.encode import encode_structural
from cryosway.methods._structural.model import StructuralDecoder
from cryosway.optics import make_disc
from cryosway.particles import Particles
from cryosway.volumes import BasisGrid


def encode(
    particles: ParticlesLike,
    out: str | Path,
    *,
    resume: bool = True,
    overwrite: bool = False,
    device: str = "auto",
    threads: int | None = None,
    **options: Any,
) -> Job:
    """Find the latents of new particles with the encoder of a finished `vae`, or of cryoDRGN's.

    Latents under a model of `structural` need no encoder: they are found image by image.
    The particles must look as those of the training: same box, pixel size and frame of reference.
    With the encoder of an imported job, latents are those of ``cryodrgn eval_images``.

    Parameters
    ----------
    particles : Particles or path
        With poses and CTF.
    out : path
        Job folder, with the model, so that it decodes like the trained job.
    resume, overwrite : bool
        Whether to go on with an unfinished job, or to replace another one.
    device : str
        auto, cpu, cuda or cuda:1.
    threads : int, optional
        Threads; all CPUs by default.
    **options
        The fields of `EncodeOptions`.

    Returns
    -------
    Job
        With latents of these particles.

    Raises
    ------
    CryoswayError
        When the job has no encoder, or the particles do not fit it.
    """
    settings = EncodeOptions.check("encode", options)
    found = as_particles(particles)
    set_threads(threads)
    trained = open_job(settings.job).main
    _require_encoder(trained)
    theirs = load_encoder(trained, found) if is_cryodrgn(trained) else None
    _require_fit(trained, found)
    inputs = {
        "particles": found.fingerprint(),
        "model": fingerprint_file(trained.path / "model.safetensors"),
    }
    with JobFolder.start(
        out, "encode", settings, inputs, sources=locate_particles(found),
        resume=resume, overwrite=overwrite,
    ) as job:  # fmt: skip
        if not job.already_finished:
            if theirs is not None:
                encode_cryodrgn(job, trained, found, theirs)
            elif is_structural(trained):
                encode_structural(job, trained, found, select_device(device))
            else:
                _encode(job, found, NeuralModel.load(trained.path), select_device(device))
    return open_job(out)


def open_decoder(job: Job) -> NeuralDecoder | CryodrgnModel | StructuralDecoder:
    """Open the decoder of what was encoded: that of the trained job."""
    if is_structural(job):
        return StructuralDecoder(job)
    return open_cryodrgn_decoder(job) if is_cryodrgn(job) else open_neural_decoder(job)


def _require_encoder(job: Job) -> None:
    if job.info.get("command") not in ("vae", "structural", "encode", "import-cryodrgn"):
        message = (
            f"{job.path} is a job of {job.info.get('command')}, which has no encoder: train vae "
            "or structural"
        )
        raise CryoswayError(message)


def _require_fit(job: Job, particles: Particles) -> None:
    """Refuse particles of another size than those of the training."""
    pixel_size = float(particles.ctf["pixel_size"].max())
    if particles.box != job.box or abs(pixel_size / job.pixel_size - 1) > 0.01:
        message = (
            f"the particles have {particles.box} px of {pixel_size:.4g} Å, but {job.path} was "
            f"trained on {job.box} px of {job.pixel_size:.4g} Å: run cryosway prepare with "
            f"--box {job.box}"
        )
        raise CryoswayError(message)


def _encode(job: JobFolder, particles: Particles, model: NeuralModel, device: torch.device) -> None:
    assert model.encoder is not None
    sign = choose_contrast(job, particles)
    groups = particles.ctf["optics_group"].nunique()
    noise = model.noise
    if len(noise) != groups:
        noise = np.repeat(noise.mean(0, keepdims=True), groups, axis=0)
        job.decide("noise", "mean of the training's optics groups", "these particles have others")
    source = make_source(particles, sign, noise, device)
    with job.stage("start"):
        start = _start(source, model)
    view = EncoderView(model.encoder.spec, make_disc(particles.box, source.radius), model.signal)
    modules = NeuralModules(model.volume, model.encoder).to(device).eval()
    step = NeuralStep(modules, source, view, start, NeuralSettings(model.contrast_sd))
    with job.stage("latents"):
        found = infer_particles(step, "float32", job)
    with job.stage("writing"):
        modules.cpu()
        model.save(job.path)
        half = split_halves(len(particles), particles.half_sets, 0)
        FitInput(particles, sign, half).write_particles(
            job.path,
            latents=found.mean,
            latent_sd=found.sd,
            contrast=found.contrast,
            log_likelihood=found.bound,
        )
        index = VolumeIndex(job.path, model.pixel_size)
        mean = model.densities(found.mean.mean(0)[None])[0]
        index.write("mean", mean, "mean", "network, at the mean latent")
        index.write("mask", model.mask, "mask", "solvent mask")
        job.update(box=particles.box, pixel_size=model.pixel_size, radius=source.radius)


def _start(source: ImageSource, model: NeuralModel) -> Tensor:
    """Latents under the linear part, from which the encoder goes on."""
    base, latent_dim = model.volume.unscaled_linear(), model.volume.field.spec.latent_dim
    if len(base) < 2:
        return torch.zeros(len(source), 2, latent_dim)
    ones = np.ones(len(base) - 1)
    posterior = infer_all(source, BasisGrid(base, ones), model.contrast_sd)
    return start_latents(posterior, ones, latent_dim)
