"""How much of what a network adds is confirmed by particles that it has not seen."""

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from cryosway.engine import JobFolder, autocast
from cryosway.inference import measure_misfit
from cryosway.methods._neural_judgement import read_all
from cryosway.methods._neural_step import NeuralBatch, NeuralStep

Rows = npt.NDArray[np.int64]
_WINDOW = 5  # shells that share a gain


@torch.no_grad()
def calibrate_gains(step: NeuralStep, held: Rows, precision: str, job: JobFolder) -> None:
    """Let a network add to each shell as much as unseen particles confirm.

    A network fits noise along with signal, most where there is little signal. What it adds to the
    base, x, is scaled in every shell by the gain that describes the residuals r of unseen particles
    best: Σ Re(x* r) / Σ |x|², from 0 to 1. Their noise is not in the network.

    Parameters
    ----------
    step
        After training, with a base.
    held
        Rows of particles that were not trained on.
    """
    volume = step.module.volume
    match, power = (torch.zeros(volume.band + 1, device=step.device) for _ in range(2))
    for batch in read_all(step, held):
        with autocast(precision, step.device):
            found = _compare(step, batch)
        shell = batch.slices.points.norm(dim=-1).round().long().clamp(max=volume.band)
        for total, values in zip((match, power), found, strict=True):
            total.index_add_(0, shell, values)
    gains = (_smooth(match) / _smooth(power).clamp(min=1e-20)).clamp(0, 1)
    volume.amplitude *= gains
    share = float((gains * power).sum() / power.sum().clamp(min=1e-20))
    job.decide(
        "share of the network",
        f"{100 * share:.0f} %",
        f"of what it adds, as {len(held)} particles confirm that it has not been trained on; the "
        "rest is noise that it has learnt",
    )
    job.update(network_gains=[round(float(gain), 4) for gain in gains])


def _compare(step: NeuralStep, batch: NeuralBatch) -> tuple[Tensor, Tensor]:
    """Σ Re(x* r) and Σ |x|² of a batch, at every point: (P,) each."""
    module = step.module
    mean, _ = module.infer(batch)
    whole = module.views(batch, mean.float())
    amplitude = module.volume.amplitude.clone()
    module.volume.amplitude.zero_()
    base = module.views(batch, mean.float())
    module.volume.amplitude.copy_(amplitude)
    contrast = measure_misfit(batch.slices, whole, step.settings.contrast_sd).contrast
    shown = contrast[:, None, None] * batch.slices.filters[..., None]
    residual = torch.view_as_real(batch.slices.values) - shown * base
    added = shown * (whole - base)
    return (added * residual).sum((0, 2)), added.square().sum((0, 2))


def _smooth(values: Tensor) -> Tensor:
    """Sum over shells near each."""
    ones = torch.ones(1, 1, _WINDOW, device=values.device)
    return torch.nn.functional.conv1d(values[None, None], ones, padding=_WINDOW // 2)[0, 0]
