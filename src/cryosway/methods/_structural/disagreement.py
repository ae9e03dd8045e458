"""Where two half-set models disagree, and what that says of the error of a job's own model.

Each model places the images of the other half-set too, its decoder being fixed.

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
from typing import Any, final

import numpy as np
import numpy.typing as npt
import torch

from cryosway.engine import JobFolder
from cryosway.inference import ImageSource
from cryosway.methods._held_out import choose_rows
from cryosway.methods._structural.halves import Fitted, HalfModel
from cryosway.methods._structural.latents import ModelViews, infer_rows
from cryosway.methods._structural.model import StructuralModel
from cryosway.methods._structural.unseen import Conformations, Unseen, join_unseen, judge_unseen

FloatArray = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]

_JUDGED = 300  # images of each half-set
_NUMBERS_AT_ONCE = 6_000_000  # of coordinates


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
        over_mean, over_reference = self.unseen.gain("mean"), self.unseen.gain("reference")
        return {
            "disagreement_angstrom": _rms(self.disagreement),
            "uncertainty_angstrom": _rms(self.uncertainty),
            "images_judged": len(self.unseen.motion),
            "gain_over_mean": over_mean.difference,
            "gain_over_mean_error": over_mean.standard_error,
            "gain_over_reference": over_reference.difference,
            "gain_over_reference_error": over_reference.standard_error,
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
    judged = [half.rows[choose_rows(len(half.rows), _JUDGED, seed)] for half in reversed(halves)]
    total = len(images) + sum(map(len, judged))
    with job.progress(total, "half-set models on each other's images") as progress:
        placed = [_place_all(half, images, progress.advance) for half in halves]
        parts = [
            _judge(half, images, rows, seed, progress.advance)
            for half, rows in zip(halves, judged, strict=True)
        ]
    return HalfSets(*_measure_spread(fitted, halves, placed), join_unseen(parts))


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
