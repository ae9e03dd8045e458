"""How kernels of several widths are combined into the maps of a job, per shell and region."""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import BANDWIDTHS, MixtureFit, ShellMixture
from cryosway.methods._linear.model import KernelDecoder, LinearModel

FloatArray = npt.NDArray[np.float64]

TARGETS = 6  # latents at which candidates of the half-sets are compared


def empty_mixture(regions: Tensor) -> ShellMixture:
    """Give the mixture in soft regions (R, D, D, D) that holds nothing yet."""
    shells = regions.shape[-1] // 2
    return ShellMixture(torch.zeros(len(regions), len(BANDWIDTHS) + 1, shells), regions)


def fit_mixture(job: JobFolder, decoder: KernelDecoder, targets: FloatArray) -> LinearModel:
    """Choose, per shell and region, how kernels and the map of all particles are combined.

    Parameters
    ----------
    job
        Shows the progress.
    decoder
        Of a model with an `empty_mixture`.
    targets
        Shape (n, K): latents whose maps are made from both half-sets.
    """
    model = decoder.model
    candidates, shells = model.mixture.gains.shape[1:]
    fit = MixtureFit(model.mixture.regions, candidates, shells)
    progress = job.progress(len(targets), "kernels")
    for z in targets:
        (first, second), _ = decoder.candidates(z, (0, 1))
        fit.add(first, second)
        progress.advance(1)
    return replace(model, mixture=fit.solve())
