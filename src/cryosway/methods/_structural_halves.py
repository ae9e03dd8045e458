"""Two models of a structural job, each from one half-set: where they disagree, the data are weak.

Both start from the same reference and learn start, scale, noise, decoder and latents from their own
images only. Then each places the images of the other half-set, its decoder being fixed.

Two models whose errors are independent and of variance s² are apart by d² = 2 s² on average. An
image misleads both alike by its noise, which d does not show; the posterior of its latent does. So

    uncertainty² = d² / 2 + Σ_k (x(z + σ_k e_k) − x(z))²,

of every residue in every particle. (The job's own model has seen twice the images. Were all error
noise, it would have half of d² / 2; on simulated sets it is no better than its half-set models.)
What both models owe to the same reference and priors is in neither term: on simulated adenylate
kinase the true error was 1.3 times the uncertainty.
"""

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
from cryosway.methods._job_files import PARTICLES_NAME
from cryosway.methods._options import StructuralOptions
from cryosway.methods._shared_choices import fingerprint_inputs
from cryosway.methods._structural_latents import ModelViews, contrast_spread, infer_rows
from cryosway.methods._structural_model import REFERENCE_NAME, StructuralModel
from cryosway.methods._structural_unseen import Conformations, Unseen, judge_unseen
from cryosway.particles import Particles, read_particles
from cryosway.protein import write_structure

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Fit = Callable[[JobFolder, Particles, StructuralOptions, torch.device], None]

HALVES_NAME = "halves"
_JUDGED = 300  # images of each half-set
_NUMBERS_AT_ONCE = 6_000_000  # of coordinates
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
        table = job.particles
        particles = read_particles(folder / PARTICLES_NAME, accept_defaults=True)
        half = torch.from_numpy(table["half"].to_numpy(np.int64) - 1)
        data = FitInput(particles, table["sign"].to_numpy(np.int8), half)
        return cls(job, data, StructuralModel.load(folder))

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
    own = plain_options(options, model=reference)
    return [_fit_half(fitted, half, own, device, fit) for half in (0, 1)]


def plain_options(options: StructuralOptions, **changes: Any) -> StructuralOptions:
    """Give the options of a fit that stands for another: no checks, halves or linear start."""
    plain = {"halves": False, "check_docking": False, "linear": None, "refine_poses": False}
    known = {name: value for name, value in plain.items() if name in type(options).model_fields}
    return options.model_copy(update={**known, **changes})


def run_inner_fit(
    path: Path, particles: Particles, options: StructuralOptions, device: torch.device, fit: Fit
) -> Job:
    """Fit a structural job in a folder within another job's; resume it, or find it finished."""
    path.parent.mkdir(exist_ok=True)
    request = fingerprint_inputs(particles, options)
    with JobFolder.start(path, "structural", options, request, overwrite=True) as inner:
        if not inner.already_finished:
            fit(inner, particles, options, device)
    return open_job(path)


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


@final
@dataclass(frozen=True, eq=False)
class HalfSets:
    """What two half-set models say of N particles and M residues.

    Attributes
    ----------
    disagreement
        Shape (N,), Å: rms over the residues of the distance between the two models.
    uncertainty
        Shape (N,), Å: rms error to be expected of the job's own model.
    residue_disagreement, residue_uncertainty
        Shape (M,), Å: the same, rms over the particles.
    unseen
        Of images that a model was not trained on.
    """

    disagreement: FloatArray
    uncertainty: FloatArray
    residue_disagreement: FloatArray
    residue_uncertainty: FloatArray
    unseen: Unseen

    def columns(self) -> dict[str, FloatArray]:
        """Give the columns of particles.parquet."""
        return {"disagreement": self.disagreement, "uncertainty": self.uncertainty}

    def describe(self) -> dict[str, Any]:
        """Give the entry ``halves`` of job.json."""
        over_mean, mean_error = self.unseen.gain("mean")
        over_reference, reference_error = self.unseen.gain("reference")
        return {
            "disagreement_angstrom": _rms(self.disagreement),
            "uncertainty_angstrom": _rms(self.uncertainty),
            "images_judged": len(self.unseen.motion),
            "gain_over_mean": over_mean,
            "gain_over_mean_error": mean_error,
            "gain_over_reference": over_reference,
            "gain_over_reference_error": reference_error,
        }


def _rms(values: FloatArray) -> float:
    return float(np.sqrt(np.mean(np.square(values))))


def compare_halves(
    job: JobFolder,
    fitted: Fitted,
    halves: list[HalfModel],
    device: torch.device,
    seed: int,
) -> HalfSets:
    """Compare two half-set models on all particles, and judge each on the other's images.

    Parameters
    ----------
    job
        Shows progress.
    fitted
        The job's own model, and all particles.
    halves
        Their models.
    device
        Where to compute.
    seed
        Of what is drawn.
    """
    images = fitted.data.open_source(device)
    judged = [_choose(half.rows, seed) for half in reversed(halves)]
    total = len(images) + sum(map(len, judged))
    with job.progress(total, "half-set models on each other's images") as progress:
        placed = [_place_all(half, images, progress.advance) for half in halves]
        parts = [
            _judge(half, images, rows, seed, progress.advance)
            for half, rows in zip(halves, judged, strict=True)
        ]
    return HalfSets(*_measure_spread(fitted, halves, placed), join_unseen(parts))


def _choose(rows: Rows, seed: int) -> Rows:
    chosen = np.random.default_rng(seed).permutation(len(rows))[:_JUDGED]
    return rows[np.sort(chosen)]


def join_unseen(parts: list[Unseen]) -> Unseen:
    """Put one after the other what was judged by several models."""
    names = list(Unseen.__annotations__)
    return Unseen(*(np.concatenate([getattr(part, name) for part in parts]) for name in names))


def _judge(
    half: HalfModel, images: ImageSource, rows: Rows, seed: int, watch: Callable[[int], None]
) -> Unseen:
    source = half.open(images)
    reference = half.model.deformation.reference.cpu()
    nothing = torch.zeros(0, len(reference), dtype=torch.bool)
    against = Conformations(half.mean, reference, nothing, torch.zeros_like(reference))
    views = ModelViews(half.model, source)
    return judge_unseen(views, source, rows, against, half.contrast_sd, seed, watch)


def _place_all(half: HalfModel, images: ImageSource, watch: Callable[[int], None]) -> FloatArray:
    """Latents (N, k) of all images under one model: its own as trained, the others inferred."""
    others = np.setdiff1d(np.arange(len(images)), half.rows)
    source = half.open(images)
    found = infer_rows(ModelViews(half.model, source), source, others, half.contrast_sd, watch)
    latents = np.empty((len(images), half.job.latents.shape[1]))
    latents[half.rows], latents[others] = half.job.latents, found.double().numpy()
    return latents


def _measure_spread(
    fitted: Fitted, halves: list[HalfModel], placed: list[FloatArray]
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    """Disagreement and uncertainty of particles (N,) and of residues (M,), rms, Å."""
    model, latents, sd = fitted.model, fitted.job.latents, fitted.latent_sd
    beads = len(model.coarse)
    step = max(1, _NUMBERS_AT_ONCE // (3 * beads))
    by_particle: list[FloatArray] = []
    by_residue = np.zeros((2, beads))
    for start in range(0, len(latents), step):
        rows = slice(start, start + step)
        first, second = (h.model.beads(z[rows]) for h, z in zip(halves, placed, strict=True))
        apart = (first - second).square().sum(-1).double().numpy()
        error = 0.5 * apart + latent_spread(model, latents[rows], sd[rows])
        both = np.stack([apart, error])
        by_particle.append(both.mean(2))
        by_residue += both.sum(1)
    particles = np.sqrt(np.concatenate(by_particle, axis=1))
    residues = np.sqrt(by_residue / len(latents))
    return particles[0], particles[1], residues[0], residues[1]


def latent_spread(model: StructuralModel, latents: FloatArray, latent_sd: FloatArray) -> FloatArray:
    """Mean square displacement (n, N), Å², of beads by the spread of their latents (n, k)."""
    at = model.beads(latents)
    total = torch.zeros(at.shape[:2], dtype=torch.float64)
    for number in range(latents.shape[1]):
        step = np.zeros_like(latents)
        step[:, number] = latent_sd[:, number]
        total += (model.beads(latents + step) - at).square().sum(-1)
    return np.asarray(total.numpy())
