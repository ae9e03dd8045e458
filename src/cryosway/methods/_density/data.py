"""What a structural job knows of its particles, as the making of densities takes it."""

from dataclasses import dataclass
from functools import cached_property
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway._errors import CryoswayError
from cryosway.engine import JobFolder
from cryosway.inference import GaussianPosterior, ImageSource, NoiseModel
from cryosway.jobs import Job
from cryosway.methods._consensus import read_noise
from cryosway.methods._fit_input import FitInput
from cryosway.methods._nearby_maps import table_posterior
from cryosway.methods._structural.model import StructuralModel
from cryosway.particles import read_map

FloatArray = npt.NDArray[np.float64]


@final
@dataclass(frozen=True, eq=False)
class DensityData:
    """Particles, latents and noise of a finished structural job.

    Attributes
    ----------
    structural
        The job.
    data
        Its particles, in the poses that it was fitted with.
    noise
        By which images are whitened.
    mask
        Shape (D, D, D): of the consensus.
    posterior
        Of the latents and the contrast.
    """

    structural: Job
    data: FitInput
    noise: NoiseModel
    mask: Tensor
    posterior: GaussianPosterior

    @classmethod
    def open(cls, job: Job) -> "DensityData":
        """Read a structural job.

        Raises
        ------
        CryoswayError
            When it is another job, or not finished.
        """
        structural = require_structural(job)
        data = FitInput.read(structural)
        mask = torch.from_numpy(read_map(structural.path / "volumes" / "mask.mrc")[0].copy())
        return cls(structural, data, read_noise(structural.path, data.box), mask,
                   table_posterior(structural))  # fmt: skip

    @cached_property
    def model(self) -> StructuralModel:
        """The fitted model."""
        return StructuralModel.load(self.structural.path)

    @property
    def latents(self) -> FloatArray:
        """Shape (N, K)."""
        return self.posterior.mean

    @property
    def contrast(self) -> Tensor:
        """Shape (N,), float32."""
        return torch.from_numpy(self.posterior.contrast.astype(np.float32))

    def open_source(self, device: torch.device) -> ImageSource:
        """Open the images, whitened."""
        return self.data.open_source(device).with_noise(self.noise)


def tell_missing(job: JobFolder, data: DensityData) -> None:
    """Say how maps at latents show parts that are missing in some particles, where there are any.

    Latents tell of motion only.
    """
    composition = data.model.composition
    if composition is not None:
        job.decide(
            "parts that may be missing", list(composition.groups.names),
            "maps are of particles that are alike in motion, whatever they lack: they show these "
            "parts by the share of the particles that have them; --by deformed counts every "
            "particle by what it has",
        )  # fmt: skip


def require_structural(job: Job) -> Job:
    """Give the finished structural job that a folder holds, or say what it is instead."""
    found = job.main
    command = found.info.get("command")
    if command != "structural":
        message = f"{found.path} is a {command} job; give a job of cryosway structural"
        raise CryoswayError(message)
    if found.status != "finished":
        message = f"{found.path} is {found.status}: give its command again first, it resumes"
        raise CryoswayError(message)
    return found
