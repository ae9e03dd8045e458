"""The base of a network, at the scale that the images show."""

from dataclasses import replace

import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import Batch, ImageSource, measure_misfit
from cryosway.methods._held_out import Rows, choose_rows
from cryosway.methods._neural_start import NeuralStart
from cryosway.optics import fft3_half, frequency_radius, ifft3_half
from cryosway.volumes import NeuralVolume

_MOST_PARTICLES = 20_000
_RANGE = (0.5, 2.0)


@torch.no_grad()
def balance_base(
    job: JobFolder, source: ImageSource, volume: NeuralVolume, start: NeuralStart, rows: Rows
) -> NeuralStart:
    """Scale the mean and what varies, per shell, to what describes the images best.

    Closed forms damp what is noisy, the mean and all. A network would first of all undo that, and
    take the noise of every shell in with it: which helps the likelihood, and not the maps.

    Parameters
    ----------
    job
        Shows the progress.
    source
        Whitened particles.
    volume
        Of this start, whose network is silent.
    start
        With a base.
    rows
        Of the particles to go by.
    """
    shells = volume.band + 1
    gram = torch.zeros(shells, 2, 2, dtype=torch.float64, device=source.device)
    match = torch.zeros(shells, 2, dtype=torch.float64, device=source.device)
    rows = rows[choose_rows(len(rows), _MOST_PARTICLES, 0)]
    progress = job.progress(len(rows), "scale")
    for batch in source.batches(rows):
        parts = _view_parts(volume, batch, start)
        shell = batch.slices.points.norm(dim=-1).round().long().clamp(max=volume.band)
        data = torch.view_as_real(batch.slices.values)
        gram.index_add_(0, shell, torch.einsum("anpx,bnpx->pab", parts, parts).double())
        match.index_add_(0, shell, torch.einsum("anpx,npx->pa", parts, data).double())
        progress.advance(len(batch.index))
    trace = torch.diagonal(gram, dim1=1, dim2=2).mean(1)
    tie = torch.eye(2, device=gram.device) * (1e-3 * trace + 1e-12)[:, None, None]
    gains = torch.linalg.solve(gram + tie, match + tie.diagonal(dim1=1, dim2=2)).clamp(*_RANGE)
    return replace(start, base=_filter(start.base, gains.float().cpu()))


def _view_parts(volume: NeuralVolume, batch: Batch, start: NeuralStart) -> Tensor:
    """Images of the mean and of what varies, (2, n, P, 2), at each particle's contrast."""
    z = start.latents[torch.from_numpy(batch.index), 0].to(batch.slices.values.device)
    mean, varying = volume.base_views(batch.slices, z)
    contrast = measure_misfit(batch.slices, mean + varying, start.contrast_sd).contrast
    return torch.stack([mean, varying]) * (contrast[:, None] * batch.slices.filters)[..., None]


def _filter(base: Tensor, gains: Tensor) -> Tensor:
    """Scale the shells of the mean by one gain and those of the other volumes by the other."""
    shell = frequency_radius(base.shape[-1], base.device).round().long()
    at = gains[shell.clamp(max=len(gains) - 1)]
    scaled = [
        ifft3_half(fft3_half(each) * at[..., min(number, 1)]) for number, each in enumerate(base)
    ]
    return torch.stack(scaled)
