"""What an image says of its particle: one Gauss–Newton step to the posterior of its unknowns.

To first order in the unknowns u about where they are (the latent, and the errors of the pose where
these are refined) an image is linear in them. With the prior u ~ N(0, sd²) the posterior is then
Gaussian, in closed form: the E-step of variational EM, for any model that can be seen.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import final

import torch
from torch import Tensor

_STEP = 0.1  # prior standard deviations, of the differences that stand for derivatives
_LONGEST = 0.7  # prior standard deviations that an unknown moves by at most


@final
@dataclass(frozen=True, eq=False)
class UnknownPosterior:
    """Gaussian posterior of K unknowns of n particles, the contrast marginalised.

    Attributes
    ----------
    mean
        Shape (n, K).
    covariance
        Shape (n, K, K).
    """

    mean: Tensor
    covariance: Tensor

    @property
    def log_variance(self) -> Tensor:
        """Shape (n, K)."""
        return self.covariance.diagonal(dim1=1, dim2=2).log()

    def draw(self, generator: torch.Generator | None) -> Tensor:
        """Sample, (n, K)."""
        root = torch.linalg.cholesky(self.covariance)
        noise = torch.randn(
            self.mean.shape, generator=generator, device=root.device, dtype=root.dtype
        )
        return self.mean + (root @ noise[..., None])[..., 0]

    def divergence(self, sd: Tensor) -> Tensor:
        """KL divergence from the prior N(0, sd²), (n,), nats."""
        scaled = self.covariance.diagonal(dim1=1, dim2=2) + self.mean.square()
        size = torch.linalg.cholesky(self.covariance).diagonal(dim1=1, dim2=2).log().sum(-1)
        return 0.5 * ((scaled / sd.square()) - 1).sum(-1) + sd.log().sum() - size


@torch.no_grad()
def step_to_posterior(
    show: Callable[[Tensor], Tensor],
    images: Tensor,
    at: Tensor,
    sd: Tensor,
    contrast_sd: float = 0.0,
) -> UnknownPosterior:
    """Go one Gauss–Newton step from unknowns towards the most probable ones.

    Minimises Σ |y − a V(u)|² + ½ Σ (u / sd)² + (a − 1)² / 2s² with V linear about `at`; exact
    where it is linear.

    Parameters
    ----------
    show
        Whitened views (n, P, 2) of unknowns (n, K), at contrast 1.
    images
        Shape (n, P, 2), whitened.
    at
        Shape (n, K): where to linearise.
    sd
        Shape (K,): prior standard deviations.
    contrast_sd
        Prior spread s of the contrast a about 1; 0 fixes it there.
    """
    shown = show(at)
    moved = [show(at + change) for change in torch.diag(_STEP * sd)]
    slopes = torch.stack([(view - shown) / _STEP for view in moved], dim=1).flatten(2)
    shown, data = shown.flatten(1), images.flatten(1)
    if contrast_sd > 0:
        tie = 0.5 / contrast_sd**2
        match, power = (shown * data).sum(1) + tie, shown.square().sum(1) + tie
        contrast = (match / power).clamp(0.05, 5.0)[:, None]
    else:
        tie, contrast = 0.0, shown.new_ones(len(shown), 1)
    slopes = torch.cat([slopes * contrast[..., None], shown[:, None]], dim=1)
    # E|noise|² is 1 per coefficient: −log p = Σ |y − a V|².
    information = 2 * slopes @ slopes.mT
    size = at.shape[1]
    prior = torch.ones(size + 1, device=at.device)
    prior[-1] = 2 * tie if contrast_sd > 0 else 1e12  # held
    pull = torch.cat([at / sd, prior[-1] * (contrast - 1)], dim=1)
    left = 2 * (slopes @ (data - contrast * shown)[..., None])[..., 0] - pull
    covariance = torch.linalg.inv((information + torch.diag(prior)).double()).to(at)
    change = (covariance @ left[..., None])[:, :size, 0].clamp(-_LONGEST, _LONGEST)
    return UnknownPosterior(at + change * sd, covariance[:, :size, :size] * sd * sd[:, None])
