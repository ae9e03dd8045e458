"""Latents of all particles under a trained network, and how it describes those it has not seen."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder, autocast, prefetch
from cryosway.inference import (
    draw_latent,
    gaussian_divergence,
    gram_matrices,
    infer_posterior,
    measure_misfit,
)
from cryosway.methods._held_out import Gain, Rows
from cryosway.methods._neural.step import NeuralBatch, NeuralStep
from cryosway.volumes import SliceReader

FloatArray = npt.NDArray[np.float64]
# Points at a time: a CPU's caches hold the hidden values of few, a GPU wants many.
_CPU_POINTS, _GPU_POINTS = 1 << 15, 1 << 18
_SAMPLES = 8


@dataclass(frozen=True, eq=False)
class Inferred:
    """What is found of every particle.

    Attributes
    ----------
    mean, sd
        Shape (N, k): posterior of the latents.
    contrast
        Shape (N,).
    bound
        Shape (N,): evidence lower bound at the posterior mean, up to a constant of the data, nats.
    """

    mean: FloatArray
    sd: FloatArray
    contrast: FloatArray
    bound: FloatArray


@dataclass(frozen=True)
class Judgement:
    """How well held-out particles are described, in nats per particle.

    Attributes
    ----------
    particles
        How many were held out.
    network
        Mean importance-weighted bound (Burda et al., ICLR 2016): no more than the log evidence.
    linear
        Mean log evidence under the linear part alone, exact; none where there is none.
    difference, standard_error
        Of the network over the linear part, particle by particle.
    """

    particles: int
    network: float
    linear: float | None
    difference: float | None
    standard_error: float | None

    def describe(self) -> dict[str, Any]:
        """Give the values for job.json, with a verdict in words."""
        described: dict[str, Any] = dict(vars(self))
        if self.difference is not None and self.standard_error is not None:
            gain = Gain(self.difference, self.standard_error)
            described["better"] = gain.judge("network", "linear")
        return described


@torch.no_grad()
def infer_particles(step: NeuralStep, precision: str, job: JobFolder) -> Inferred:
    """Infer latents, contrast and bound of all particles, those held out too."""
    count = step.count
    progress = job.progress(count, "latents")
    found: list[tuple[Tensor, ...]] = []
    for batch in read_all(step, np.arange(count)):
        with autocast(precision, step.device):
            mean, log_variance = (value.float() for value in step.module.infer(batch))
            views = step.module.views(batch, mean)
        misfit = measure_misfit(batch.slices, views, step.settings.contrast_sd)
        bound = -misfit.squared - gaussian_divergence(mean, log_variance)
        found.append((mean, (0.5 * log_variance).exp(), misfit.contrast, bound))
        progress.advance(len(mean))
    parts = (torch.cat(part).cpu().double().numpy() for part in zip(*found, strict=True))
    return Inferred(*parts)


@torch.no_grad()
def judge_held_out(
    step: NeuralStep, base: Tensor, held: Rows, precision: str, seed: int
) -> Judgement | None:
    """Compare network and linear part on particles that the network has not been trained on.

    Parameters
    ----------
    step
        After training.
    base
        Shape (1 + K, D, D, D): mean and components of unit variance.
    held
        Rows; none give no judgement.
    """
    if not len(held):
        return None
    generator = torch.Generator(step.device).manual_seed(seed)
    linear = len(base) > 1
    reader = SliceReader(base.to(step.device)) if linear else None
    network: list[FloatArray] = []
    closed: list[FloatArray] = []
    for batch in read_all(step, held):
        with autocast(precision, step.device):
            network.append(_importance_bound(step, batch, generator))
        if reader is not None:
            gram = gram_matrices(batch.as_images(), reader)
            posterior = infer_posterior(gram, np.ones(len(base) - 1), step.settings.contrast_sd)
            closed.append(posterior.log_likelihood)
    ours = np.concatenate(network)
    if not linear:
        return Judgement(len(held), float(ours.mean()), None, None, None)
    theirs = np.concatenate(closed)
    gain = Gain.measure(ours, theirs)
    means = float(ours.mean()), float(theirs.mean())
    return Judgement(len(held), *means, gain.difference, gain.standard_error)


def _importance_bound(
    step: NeuralStep, batch: NeuralBatch, generator: torch.Generator
) -> FloatArray:
    """Give log mean exp of p(y, z) / q(z) over samples of q, shape (n,)."""
    mean, log_variance = (value.float() for value in step.module.infer(batch))
    weights = []
    for _ in range(_SAMPLES):
        z = draw_latent(mean, log_variance, generator)
        views = step.module.views(batch, z)
        misfit = measure_misfit(batch.slices, views, step.settings.contrast_sd)
        standard = (z - mean).square() / log_variance.exp()
        log_ratio = 0.5 * (standard + log_variance - z.square()).sum(-1)
        weights.append(-misfit.squared + log_ratio)
    bound = torch.logsumexp(torch.stack(weights), 0) - np.log(_SAMPLES)
    return np.asarray(bound.cpu().double().numpy())


def read_all(step: NeuralStep, rows: Rows) -> Iterator[NeuralBatch]:
    """Read particles in order, each batch while the one before is worked on."""
    points = _CPU_POINTS if step.device.type == "cpu" else _GPU_POINTS
    size = max(1, points // step.points)
    parts = [rows[start : start + size] for start in range(0, len(rows), size)]
    return prefetch(step.read, parts)
