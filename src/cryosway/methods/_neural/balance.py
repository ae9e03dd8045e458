"""How much of each part of a volume the images show, shell by shell."""

from dataclasses import replace

import torch
from torch import Tensor

from cryosway.engine import JobFolder
from cryosway.inference import Batch, ImageSource, measure_misfit
from cryosway.methods._held_out import MOST_PARTICLES, Rows, choose_rows
from cryosway.methods._neural.start import NeuralStart
from cryosway.volumes import NeuralVolume, Slices, scale_base

_RANGE = (0.5, 2.0)
_WINDOW = 5  # shells that share gains


class ShellGains:
    """Least-squares gains of C parts of the views, per rounded shell.

    Parts that look alike share what the images show: what a network adds counts for what the rest
    of the volume, scaled as it likes, cannot say.

    Parameters
    ----------
    parts
        C.
    shells
        Their number.
    device
        Of the images.
    """

    def __init__(self, parts: int, shells: int, device: torch.device) -> None:
        self.gram = torch.zeros(shells, parts, parts, dtype=torch.float64, device=device)
        self.match = torch.zeros(shells, parts, dtype=torch.float64, device=device)

    def add(self, slices: Slices, parts: list[Tensor], contrast_sd: float) -> None:
        """Add whitened images and the views (n, P, 2) of the parts, each image at its contrast."""
        views = torch.stack(parts)
        contrast = measure_misfit(slices, views.sum(0), contrast_sd).contrast
        shown = views * (contrast[:, None] * slices.filters)[..., None]
        shell = slices.points.norm(dim=-1).round().long().clamp(max=len(self.match) - 1)
        data = torch.view_as_real(slices.values)
        self.gram.index_add_(0, shell, torch.einsum("anpx,bnpx->pab", shown, shown).double())
        self.match.index_add_(0, shell, torch.einsum("anpx,npx->pa", shown, data).double())

    def solve(self) -> Tensor:
        """Gains (shells, C); 1 where nothing is shown."""
        gram, match = _over_window(self.gram), _over_window(self.match)
        power = gram.diagonal(dim1=1, dim2=2)
        tie = 1e-4 * power + 1e-12 * power.amax(1, keepdim=True) + 1e-30
        return torch.linalg.solve(gram + torch.diag_embed(tie), match + tie).float().cpu()


def _over_window(sums: Tensor) -> Tensor:
    """Sum over shells near each."""
    reach = _WINDOW // 2
    ends = [(max(0, at - reach), at + reach + 1) for at in range(len(sums))]
    return torch.stack([sums[first:last].sum(0) for first, last in ends])


def clamp_gains(gains: Tensor) -> Tensor:
    """Keep gains of a base within what may be believed."""
    return gains.clamp(*_RANGE)


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
        Of this start.
    start
        With a base.
    rows
        Of the particles to go by.
    """
    sums = ShellGains(2, volume.band + 1, source.device)
    rows = rows[choose_rows(len(rows), MOST_PARTICLES, 0)]
    progress = job.progress(len(rows), "scale")
    for batch in source.batches(rows):
        parts = volume.base_views(batch.slices, _known_latents(start, batch))
        sums.add(batch.slices, list(parts), start.contrast_sd)
        progress.advance(len(batch.index))
    gains = clamp_gains(sums.solve())
    return replace(start, base=scale_base(start.base, gains), gains=start.gains * gains)


def _known_latents(start: NeuralStart, batch: Batch) -> Tensor:
    return start.latents[torch.from_numpy(batch.index), 0].to(batch.slices.values.device)
