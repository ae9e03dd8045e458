"""Noise spectra from what a model leaves unexplained."""

import numpy as np
import torch

from cryosway.inference._image_source import ImageSource, NoiseModel, ShellSums
from cryosway.inference._posterior import GaussianPosterior
from cryosway.volumes import BasisGrid, SliceReader


def estimate_noise(
    source: ImageSource, basis: BasisGrid, posterior: GaussianPosterior, limit: int = 4000
) -> NoiseModel:
    """Noise power per optics group and shell: mean |y − a P V(z)|² plus the latents' uncertainty.

    The second term (E-step covariance, propagated to the slice) makes up for the noise that the
    latents have fitted.

    Parameters
    ----------
    source
        Whitened by its current noise model.
    basis, posterior
        The current model and the posterior of every particle under it.
    limit
        Most particles to use, evenly spaced.
    """
    if source.noise is None:
        msg = "the source is not whitened"
        raise ValueError(msg)
    count = min(limit, len(source))
    index = np.unique(np.linspace(0, len(source) - 1, count).astype(np.int64))
    reader = SliceReader(basis.volumes.to(source.device))
    sums = ShellSums(len(source.groups), source.disc.radius + 1, source.disc.shell)
    for batch in source.batches(index):
        slices, rows = batch.slices, batch.index
        views = reader.read(slices) * slices.filters[:, :, None, None]
        contrast = torch.from_numpy(posterior.contrast[rows]).float()
        z = torch.from_numpy(posterior.mean[rows]).float()
        amounts = torch.cat([torch.ones(len(z), 1), z], dim=1) * contrast[:, None]
        amounts = amounts.to(source.device)
        expected = torch.einsum("npic,nc->npi", views, amounts)
        power = (torch.view_as_real(slices.values) - expected).square().sum(-1)
        if basis.components:
            root = np.linalg.cholesky(posterior.covariance[rows])
            spread = torch.from_numpy(root * posterior.contrast[rows, None, None]).float()
            spread = spread.to(source.device)
            uncertain = torch.matmul(views[..., 1:].flatten(1, 2), spread).square().sum(-1)
            power = power + uncertain.view(*power.shape, 2).sum(-1)
        sums.add(power.cpu(), batch.group)
    shells = sums.mean()
    return NoiseModel(source.noise.power[:, : shells.shape[1]] * shells)
