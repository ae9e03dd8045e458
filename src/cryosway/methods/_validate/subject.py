"""The job that is validated: what it was fitted to, with which options, and what it found."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from cryosway._errors import CryoswayError
from cryosway.engine import read_json
from cryosway.inference import (
    GaussianPosterior,
    ImageSource,
    NoiseModel,
    split_halves,
    total_power,
)
from cryosway.jobs import Job
from cryosway.landscape import PrincipalAxes, fit_principal_axes, read_latents
from cryosway.methods._consensus import read_noise
from cryosway.methods._fit_input import FitInput
from cryosway.methods._job_files import PARTICLES_NAME
from cryosway.methods._linear.model import load_posterior
from cryosway.particles import read_map, read_particles

FloatArray = npt.NDArray[np.float64]
Volume = npt.NDArray[np.float32]

REFITTED = ("linear", "vae", "autodecoder", "structural")
_WIDTH_UNKNOWN = 0.5  # of the latents' spread: where no posterior width is known


@final
@dataclass(frozen=True, eq=False)
class Subject:
    """A finished job with latents.

    Attributes
    ----------
    job
        The step of a `run` that answers for it, or the job itself.
    """

    job: Job

    @classmethod
    def open(cls, job: Job) -> "Subject":
        """Take a job, or say why it cannot be validated."""
        main = job.main
        if main.status != "finished":
            message = f"{main.path} is {main.status}: give its command again first, it resumes"
            raise CryoswayError(message)
        read_latents(main)
        return cls(main)

    @property
    def command(self) -> str:
        """The method's name."""
        return str(self.job.info["command"])

    @property
    def config(self) -> dict[str, Any]:
        """The method's options."""
        return dict(self.job.info["config"])

    @property
    def has_images(self) -> bool:
        """Whether the images are known; an imported job may lack them."""
        return (self.job.path / PARTICLES_NAME).exists()

    # -- particles -----------------------------------------------------------------------------

    @cached_property
    def data(self) -> FitInput:
        """Particles in the poses that the job ended with."""
        if {"sign", "half"} <= set(self.job.particles.columns):
            return FitInput.read(self.job)
        particles = read_particles(self.job.path / PARTICLES_NAME, accept_defaults=True)
        inverted = read_json(self.job.path / "model.json").get("invert_data", False)
        sign = np.full(len(particles), -1 if inverted else 1, np.int8)
        return FitInput(particles, sign, split_halves(len(particles), particles.half_sets, 0))

    @cached_property
    def noise(self) -> NoiseModel:
        """Noise of the images: measured by the job, else all of their power."""
        if (self.job.path / "curves.json").exists():
            return read_noise(self.job.path, self.data.box)
        return total_power(self.data.open_source(torch.device("cpu")))

    def open_source(self, device: torch.device, radius: int | None = None) -> ImageSource:
        """Open the images, whitened, up to a radius (all of it by default)."""
        source = self.data.open_source(device).with_noise(self.noise)
        return source if radius is None else source.within(radius)

    # -- latents -------------------------------------------------------------------------------

    @cached_property
    def axes(self) -> PrincipalAxes:
        """Principal directions of the latents."""
        return fit_principal_axes(self.job.latents, self.job.latent_sd)

    @cached_property
    def coordinates(self) -> FloatArray:
        """Principal coordinates of all particles, shape (N, K)."""
        return np.asarray(self.axes.project(self.job.latents), np.float64)

    @cached_property
    def posterior(self) -> GaussianPosterior:
        """Of latents and contrast, as far as the job knows it."""
        return read_posterior(self.job)

    # -- maps ----------------------------------------------------------------------------------

    def read_kind(self, kind: str) -> Volume | None:
        """Read the first map of a kind in ``volumes.json``, shape (D, D, D)."""
        entry = next((e for e in self.job.volumes if e["kind"] == kind), None)
        return None if entry is None else read_map(self.job.path / "volumes" / entry["file"])[0]


def read_posterior(job: Job) -> GaussianPosterior:
    """Read latents and contrast with their uncertainties, as far as a job states them."""
    if (job.path / "latents.safetensors").exists():
        return load_posterior(job.path)[0]
    mean, sd = np.array(job.latents), job.latent_sd
    if sd is None:
        sd = np.broadcast_to(_WIDTH_UNKNOWN * mean.std(0).clip(min=1e-6), mean.shape)
    ones = np.ones(len(mean))
    known = "contrast" in job.particles
    contrast = np.array(job.particles["contrast"], np.float64) if known else ones
    return GaussianPosterior(
        mean=mean,
        covariance=np.square(sd)[:, :, None] * np.eye(mean.shape[1]),
        contrast=contrast,
        contrast_variance=0 * ones,
        log_likelihood=0 * ones,
    )


def draw_latents(posterior: GaussianPosterior, seed: int) -> FloatArray:
    """Draw a latent from every particle's posterior, shape (N, K)."""
    rng = np.random.default_rng([seed, 5])
    noise = rng.standard_normal(posterior.mean.shape)
    roots = np.linalg.cholesky(posterior.covariance + 1e-12 * np.eye(noise.shape[1]))
    return np.asarray(posterior.mean + np.einsum("nij,nj->ni", roots, noise))
