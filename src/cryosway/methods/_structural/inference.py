"""Unknowns of all particles under an atomic model that is learnt."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import prefetch
from cryosway.inference import Encoder, LatentTable, gaussian_divergence
from cryosway.methods._neural.judgement import Inferred
from cryosway.methods._structural.step import StructuralBatch, StructuralStep

Rows = npt.NDArray[np.int64]

_BATCH = 128
_ROUNDS = 2


@torch.no_grad()
def infer_particles(step: StructuralStep) -> Inferred:
    """Infer latents, contrast and bound of all particles; tables then hold what is found.

    Parameters
    ----------
    step
        After training.
    """
    modules = step.module.eval()
    found: list[tuple[Tensor, ...]] = []
    for batch in read_batches(step, np.arange(step.count)):
        step.infer_composition(batch)
        mean, log_variance = _infer(step, batch)
        composed = step.infer_composition(batch)
        if composed is None:
            corrections = step.corrections(batch.rows)
            bare = modules.bare(batch.slices, modules.deformation(mean), corrections, batch.rows)
            misfit = step.compare(batch.slices, bare)
            contrast, likelihood = misfit.contrast, -misfit.squared
        else:
            contrast, likelihood = composed.contrast, composed.log_likelihood
        bound = likelihood - gaussian_divergence(mean, log_variance)
        found.append((mean, (0.5 * log_variance).exp(), contrast, bound))
    parts = (torch.cat(part).cpu().double().numpy() for part in zip(*found, strict=True))
    return Inferred(*parts)


def _infer(step: StructuralStep, batch: StructuralBatch) -> tuple[Tensor, Tensor]:
    """Mean and log variance of the latents, each (n, k)."""
    latent, z = step.module.latent, None
    if isinstance(latent, Encoder):
        z, log_variance = step.encode(batch)
    if z is None or step.module.poses is not None:
        for _ in range(_ROUNDS):
            step.infer(batch, z)
    if isinstance(latent, LatentTable):
        mean, log_variance = latent(batch.rows)
        return mean, log_variance
    assert z is not None
    return z, log_variance


def read_batches(step: StructuralStep, rows: Rows) -> Iterator[StructuralBatch]:
    """Read particles in the order of `rows`, each batch while the one before is worked on."""
    parts = [rows[start : start + _BATCH] for start in range(0, len(rows), _BATCH)]
    return prefetch(step.read, parts)
