"""The whitened Gaussian likelihood of images, and the evidence lower bound.

With whitened data y = a f V + n, E|n|² = 1 per coefficient, log p(y | a, V) = −Σ |y − a f V|² up to
a constant; each independent coefficient of the half plane counts once. The bound on log p(y) is
E_q[log p(y | z)] − β KL(q(z) ‖ N(0, 1)), which is the true one at β = 1 (Kingma & Welling, 2014).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from cryosway.volumes import Slices


@dataclass(frozen=True, eq=False)
class Misfit:
    """How views fit images.

    Attributes
    ----------
    squared
        Shape (n,): Σ |y − a f V|², about the number of points where the model is right.
    contrast
        Shape (n,): a.
    """

    squared: Tensor
    contrast: Tensor


def measure_misfit(slices: Slices, views: Tensor, contrast_sd: float = 0.0) -> Misfit:
    """Compare images with views of a volume, each at its best contrast.

    The contrast maximises −Σ |y − a f V|² − (a − 1)² / 2s², in closed form. The misfit's gradient
    needs none of the contrast's, which is at its optimum but for the prior.

    Parameters
    ----------
    slices
        Whitened images of P points.
    views
        Shape (n, P, 2): the volume's slices, without CTF.
    contrast_sd
        Prior spread s of the contrast about 1; 0 fixes it there.
    """
    shown = views * slices.filters[..., None]
    data = torch.view_as_real(slices.values)
    power = shown.square().sum((1, 2))
    match = (shown * data).sum((1, 2))
    contrast = torch.ones_like(power)
    if contrast_sd > 0:
        tie = 0.5 / contrast_sd**2
        contrast = ((match + tie) / (power + tie)).clamp(0.05, 5.0).detach()
    total = data.square().sum((1, 2))
    return Misfit(total - 2 * contrast * match + contrast**2 * power, contrast)


def gaussian_divergence(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, e^lv) ‖ N(0, 1)) in nats, summed over the latent: (n, k) to (n,)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(-1)


def draw_latent(mean: Tensor, log_variance: Tensor, generator: torch.Generator | None) -> Tensor:
    """Reparameterised sample of N(mean, e^lv), shape (n, k)."""
    noise = torch.randn(mean.shape, generator=generator, device=mean.device, dtype=mean.dtype)
    return mean + noise * (0.5 * log_variance).exp()
