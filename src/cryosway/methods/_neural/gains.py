"""How much of what a network adds is confirmed by particles that it has not seen."""

import torch

from cryosway.engine import JobFolder, autocast
from cryosway.methods._held_out import Rows
from cryosway.methods._neural.balance import ShellGains, clamp_gains
from cryosway.methods._neural.judgement import read_all
from cryosway.methods._neural.step import NeuralStep


@torch.no_grad()
def calibrate_gains(step: NeuralStep, held: Rows, precision: str, job: JobFolder) -> None:
    """Let a network add to each shell as much as unseen particles confirm.

    A network fits noise along with signal, most where there is little signal. Mean, what varies in
    the base, and what the network adds are scaled in every shell by the gains that describe unseen
    particles best together; that of the network, from 0 to 1. Their noise is not in it.

    Parameters
    ----------
    step
        After training, with a base.
    held
        Rows of particles that were not trained on.
    """
    volume, latents = step.module.volume, step.module.infer
    sums = ShellGains(3, volume.band + 1, step.device)
    for batch in read_all(step, held):
        with autocast(precision, step.device):
            z = latents(batch)[0].float()
            whole = step.module.views(batch, z)
        mean, varying = step.module.base_views(batch, z)
        sums.add(batch.slices, [mean, varying, whole - mean - varying], step.settings.contrast_sd)
    found = sums.solve()
    gains = found[:, 2].clamp(0, 1)
    power = sums.gram[:, 2, 2].cpu()
    volume.amplitude *= gains.to(volume.amplitude)
    volume.scale(clamp_gains(found[:, :2]))
    share = float((gains * power).sum() / power.sum().clamp(min=1e-20))
    job.decide(
        "share of the network",
        f"{100 * share:.0f} %",
        f"of what it adds, as {len(held)} particles confirm that it has not been trained on; the "
        "rest is noise that it has learnt",
    )
    job.update(network_gains=[round(float(gain), 4) for gain in gains])
