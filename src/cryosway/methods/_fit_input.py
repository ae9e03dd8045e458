"""What a fit is given: particles, their sign and half-sets; and what it writes of them."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder, write_table
from cryosway.inference import Consensus, ImageSource, split_halves
from cryosway.jobs import Job
from cryosway.methods._consensus import write_consensus_curves, write_mean
from cryosway.methods._job_files import PARTICLES_NAME, VolumeIndex, particles_table
from cryosway.methods._shared_choices import choose_contrast, warn_of_window
from cryosway.particles import Particles, read_particles

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class FitInput:
    """Particles as a fit takes them.

    Attributes
    ----------
    particles
        With poses, all of one box.
    sign
        Shape (N,), ±1: which makes protein white.
    half
        Shape (N,), 0 or 1: the half-set of each.
    """

    particles: Particles
    sign: npt.NDArray[np.int8]
    half: Tensor

    @classmethod
    def choose(cls, job: JobFolder, particles: Particles, seed: int) -> "FitInput":
        """Decide sign and half-sets, and warn where images are not fit for a fit."""
        sign = choose_contrast(job, particles)
        warn_of_window(particles)
        return cls(particles, sign, split_halves(len(particles), particles.half_sets, seed))

    @classmethod
    def read(cls, job: Job) -> "FitInput":
        """Read what a fit has written of its particles: in the poses that it used, or refined."""
        particles = read_particles(job.path / PARTICLES_NAME, accept_defaults=True)
        half = torch.from_numpy(job.particles["half"].to_numpy(np.int64) - 1)
        return cls(particles, job.particles["sign"].to_numpy(np.int8), half)

    def __len__(self) -> int:
        return len(self.particles)

    @property
    def box(self) -> int:
        """Pixels a side."""
        return self.particles.box

    @property
    def pixel_size(self) -> float:
        """Å per pixel, of the coarsest: that of all maps."""
        return float(self.particles.ctf["pixel_size"].max())

    @property
    def radius(self) -> int:
        """Largest |k|, Fourier pixels."""
        return self.box // 2 - 1

    def open_source(self, device: torch.device) -> ImageSource:
        """Open the images at full resolution, not whitened."""
        return ImageSource(self.particles, self.radius, sign=self.sign, device=device)

    def describe(self, components: int) -> dict[str, Any]:
        """Give what job.json says of a fit's size."""
        return {
            "box": self.box,
            "pixel_size": self.pixel_size,
            "radius": self.radius,
            "components": components,
        }

    def write_particles(
        self,
        folder: Path,
        *,
        latents: FloatArray | None = None,
        latent_sd: FloatArray | None = None,
        contrast: FloatArray,
        **more: Any,
    ) -> None:
        """Write particles.star, and with what the fit found, a row each, particles.parquet."""
        self.particles.write(folder / PARTICLES_NAME, absolute_paths=True)
        table = particles_table(
            self.particles,
            self.half.numpy() + 1,
            latents=latents,
            latent_sd=latent_sd,
            contrast=contrast,
            sign=self.sign,
            **more,
        )
        write_table(folder / "particles.parquet", table)

    def write_consensus(self, job: JobFolder, consensus: Consensus) -> VolumeIndex:
        """Write the consensus with mask and curves; give the index for more maps."""
        index = VolumeIndex(job.path, self.pixel_size)
        write_mean(index, consensus, float(len(self)))
        index.write("mask", consensus.mask, "mask", "solvent mask")
        write_consensus_curves(job, consensus, self.particles, self.pixel_size)
        return index
