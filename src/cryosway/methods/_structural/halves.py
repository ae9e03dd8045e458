"""Two models of a structural job, each from one half-set.

Both start from the same reference and learn start, scale, noise, decoder and latents from their own
images only.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import ImageSource
from cryosway.jobs import Job, open_job
from cryosway.methods._consensus import read_noise
from cryosway.methods._fit_input import FitInput
from cryosway.methods._options import StructuralOptions
from cryosway.methods._shared_choices import fingerprint_inputs
from cryosway.methods._structural.latents import contrast_spread
from cryosway.methods._structural.model import REFERENCE_NAME, StructuralModel
from cryosway.particles import Particles
from cryosway.protein import find_scores, write_structure

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Fit = Callable[[JobFolder, Particles, StructuralOptions, torch.device], None]

HALVES_NAME = "halves"
_MOST_AVERAGED = 1000  # particles


def name_half(half: int) -> str:
    """Give the folder of a half-set's model within the job's."""
    return f"{HALVES_NAME}/half{half + 1}"


@final
class HalfModel:
    """The model of one half-set.

    Parameters
    ----------
    job
        Its job.
    rows
        Rows of its images in the whole set.
    """

    def __init__(self, job: Job, rows: Rows) -> None:
        self.job, self.rows = job, rows
        self.model = StructuralModel.load(job.path)

    @property
    def contrast_sd(self) -> float:
        """Prior spread of the contrast that it was fitted with."""
        return contrast_spread(self.job)

    def open(self, images: ImageSource) -> ImageSource:
        """Whiten the images of the whole set by its noise."""
        return images.with_noise(read_noise(self.job.path, images.particles.box))

    @cached_property
    def mean(self) -> Tensor:
        """Beads (N, 3), Å, averaged over its particles."""
        return average_beads(self.model, self.job.latents)


def average_beads(model: StructuralModel, latents: FloatArray) -> Tensor:
    """Beads (N, 3), Å, averaged over particles, evenly chosen where they are many."""
    chosen = np.unique(np.linspace(0, len(latents) - 1, _MOST_AVERAGED).astype(np.int64))
    return model.beads(latents[chosen]).mean(0)


@final
@dataclass(frozen=True, eq=False)
class Fitted:
    """What a structural job has written of its model and its particles.

    Attributes
    ----------
    job
        The job.
    data
        Particles in the poses that it was fitted with, or has refined; and their half-sets.
    model
        Decoder and reference.
    """

    job: Job
    data: FitInput
    model: StructuralModel

    @classmethod
    def open(cls, folder: Path) -> "Fitted":
        """Read a job's folder."""
        job = open_job(folder)
        return cls(job, FitInput.read(job), StructuralModel.load(folder))

    @property
    def latent_sd(self) -> FloatArray:
        """Shape (N, k)."""
        found = self.job.latent_sd
        assert found is not None
        return found


def fit_halves(
    fitted: Fitted, options: StructuralOptions, device: torch.device, fit: Fit
) -> list[HalfModel]:
    """Fit a model to each half-set, in folders of their own that resume like any job.

    Parameters
    ----------
    fitted
        The job whose particles are parted.
    options
        Of the job.
    device
        Where to compute.
    fit
        Does the work of a structural job in a folder.
    """
    folder = fitted.job.path / HALVES_NAME
    folder.mkdir(exist_ok=True)
    reference = folder / REFERENCE_NAME
    write_structure(reference, fitted.model.coarse.atoms)
    # Confidences of a predicted model lie beside its file, from which the reference comes.
    beside = find_scores(options.model) if options.confidence == "auto" else None
    own = plain_options(options, model=reference, confidence=beside or options.confidence)
    return [_fit_half(fitted, half, own, device, fit) for half in (0, 1)]


def plain_options(options: StructuralOptions, **changes: Any) -> StructuralOptions:
    """Give the options of a fit that stands for another: no checks, halves or linear start."""
    plain = {"halves": False, "check_docking": False, "linear": None, "refine_poses": False}
    return options.model_copy(update={**plain, **changes})


def run_inner_fit(
    path: Path, particles: Particles, options: StructuralOptions, device: torch.device, fit: Fit
) -> Job:
    """Fit a structural job in a folder within another job's; resume it, or find it finished.

    Its warnings are in its own log only.
    """
    path.parent.mkdir(exist_ok=True)
    request = fingerprint_inputs(particles, options)
    with warnings.catch_warnings():
        warnings.showwarning = _keep_quiet
        with JobFolder.start(path, "structural", options, request, overwrite=True) as inner:
            if not inner.already_finished:
                fit(inner, particles, options, device)
    return open_job(path)


def _keep_quiet(*_: Any, **__: Any) -> None:
    """Show no warning."""


def _fit_half(
    fitted: Fitted, half: int, options: StructuralOptions, device: torch.device, fit: Fit
) -> HalfModel:
    rows = (fitted.data.half == half).nonzero()[:, 0].numpy()
    chosen = fitted.data.particles[rows].with_contrast(fitted.data.sign[rows])
    path = fitted.job.path / name_half(half)
    return HalfModel(run_inner_fit(path, chosen, options, device, fit), rows)


def open_halves(fitted: Fitted) -> list[HalfModel]:
    """Open the half-set models of a job; none where it has not made them."""
    folders = [fitted.job.path / name_half(half) for half in (0, 1)]
    if not all((folder / "job.json").exists() for folder in folders):
        return []
    rows = [(fitted.data.half == half).nonzero()[:, 0].numpy() for half in (0, 1)]
    return [HalfModel(open_job(folder), at) for folder, at in zip(folders, rows, strict=True)]
