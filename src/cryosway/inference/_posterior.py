"""The closed-form posterior of latents and contrast under a volume linear in z.

With whitened data y = a (P mean + P U z) + noise, z ~ N(0, Λ), a ~ N(1, s²), everything that an
image says of (z, a) is in the Gram matrix of its slices [P mean, P U, y]: 2 Re⟨·,·⟩, the 2 because
each complex coefficient with E|noise|² = 1 has variance ½ in its real and imaginary part.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import Batch
from cryosway.volumes import SliceReader

FloatArray = NDArray[np.float64]
_NEWTON_STEPS = 8
_CONTRASTS = (0.05, 5.0)


@dataclass(frozen=True, eq=False)
class GaussianPosterior:
    """Posterior of n particles.

    Attributes
    ----------
    mean
        Shape (n, K): E[z].
    covariance
        Shape (n, K, K).
    contrast
        Shape (n,): a.
    contrast_variance
        Shape (n,).
    log_likelihood
        Shape (n,): log p(y | a) with z integrated out, up to a constant of the data.
    """

    mean: FloatArray
    covariance: FloatArray
    contrast: FloatArray
    contrast_variance: FloatArray
    log_likelihood: FloatArray

    def moments(self) -> tuple[Tensor, Tensor]:
        """E[m] and E[m mᵀ] of m = a (1, z): shapes (n, 1+K) and (n, 1+K, 1+K)."""
        ones = np.ones((len(self.mean), 1))
        v = np.concatenate([ones, self.mean], axis=1)
        second = v[:, :, None] * v[:, None, :]
        second[:, 1:, 1:] += self.covariance
        a2 = self.contrast**2 + self.contrast_variance
        return (
            torch.from_numpy((self.contrast[:, None] * v).astype(np.float32)),
            torch.from_numpy((a2[:, None, None] * second).astype(np.float32)),
        )

    def first(self, components: int) -> "GaussianPosterior":
        """Give the posterior of the first latents alone, the others integrated out."""
        return replace(
            self,
            mean=self.mean[:, :components],
            covariance=self.covariance[:, :components, :components],
        )

    def first_given_others(self, components: int) -> "GaussianPosterior":
        """Give the same means, with the covariance of the first latents were the others known."""
        inner = np.linalg.inv(self.covariance)[:, :components, :components]
        return replace(
            self, mean=self.mean[:, :components], covariance=np.asarray(np.linalg.inv(inner))
        )

    @property
    def precision(self) -> FloatArray:
        """Inverse covariance, shape (n, K, K)."""
        return np.asarray(np.linalg.inv(self.covariance))

    @staticmethod
    def concatenate(parts: "list[GaussianPosterior]") -> "GaussianPosterior":
        """Join posteriors of consecutive particles."""
        names = ("mean", "covariance", "contrast", "contrast_variance", "log_likelihood")
        return GaussianPosterior(*(np.concatenate([getattr(p, n) for p in parts]) for n in names))


def gram_matrices(batch: Batch, reader: SliceReader) -> FloatArray:
    """2 Re⟨·,·⟩ of [P V_0 … P V_C−1, y] for each image, shape (n, C+1, C+1)."""
    return gram_of_columns(make_columns(batch, reader))


def make_columns(batch: Batch, reader: SliceReader, spare: int = 0) -> Tensor:
    """Stack filtered views, room for `spare` more, and the data: (n, P, 2, C+spare+1)."""
    slices, views = batch.slices, reader.read(batch.slices)
    columns = views.new_empty(*views.shape[:3], views.shape[3] + spare + 1)
    columns[..., : views.shape[3]] = views
    columns[..., : views.shape[3]] *= slices.filters[:, :, None, None]
    columns[..., -1] = torch.view_as_real(slices.values)
    return columns


def gram_of_columns(columns: Tensor) -> FloatArray:
    """2 Re⟨·,·⟩ of what `make_columns` gives, shape (n, C, C)."""
    flat = columns.flatten(1, 2)
    return 2 * torch.bmm(flat.transpose(1, 2), flat).double().cpu().numpy()


def infer_posterior(
    gram: FloatArray, variances: FloatArray, contrast_sd: float = 0.0
) -> GaussianPosterior:
    """Posterior of latents and contrast from Gram matrices.

    Given the contrast, z is Gaussian with precision a² G_UU + Λ⁻¹. The contrast is where its own
    posterior, with z integrated out, is highest; its variance is from the curvature there.

    Parameters
    ----------
    gram
        Shape (n, K+2, K+2), from `gram_matrices` of a mean and K components.
    variances
        Shape (K,), the prior variances Λ.
    contrast_sd
        Prior spread s of the contrast about 1; 0 fixes it at 1.
    """
    k = len(variances)
    variances = np.maximum(variances, 1e-30)
    g_uu, g_um, g_uy = gram[:, 1 : k + 1, 1 : k + 1], gram[:, 1 : k + 1, 0], gram[:, 1 : k + 1, -1]
    a, a_variance = np.ones(len(gram)), np.zeros(len(gram))
    if contrast_sd > 0:
        a, a_variance = _infer_contrast(gram, variances, contrast_sd)
    precision = (a**2)[:, None, None] * g_uu + np.diag(1 / variances)
    covariance = np.asarray(np.linalg.inv(precision), np.float64)
    right = a[:, None] * g_uy - (a**2)[:, None] * g_um
    z = np.einsum("nij,nj->ni", covariance, right)
    log_determinant = np.linalg.slogdet(precision)[1] + np.log(variances).sum()
    misfit = gram[:, -1, -1] - 2 * a * gram[:, 0, -1] + a**2 * gram[:, 0, 0]
    evidence = -0.5 * (misfit - np.einsum("ni,ni->n", right, z) + log_determinant)
    return GaussianPosterior(z, covariance, a, a_variance, np.asarray(evidence, np.float64))


def _infer_contrast(
    gram: FloatArray, variances: FloatArray, sd: float
) -> tuple[FloatArray, FloatArray]:
    """Mode and curvature's variance of log p(y | a) p(a), by Newton's method from a = 1.

    In the basis where Λ^½ G_UU Λ^½ is diagonal, with d on it, and s = a² d + 1, r = a p − a² q,
    log p(y | a) = a G_my − ½ a² G_mm + ½ Σ (r² / s − log s) + const.
    """
    k, root = len(variances), np.sqrt(variances)
    d, turn = np.linalg.eigh(root[:, None] * gram[:, 1 : k + 1, 1 : k + 1] * root)
    d = np.maximum(d, 0)
    p = np.einsum("nij,ni->nj", turn, root * gram[:, 1 : k + 1, -1])
    q = np.einsum("nij,ni->nj", turn, root * gram[:, 1 : k + 1, 0])
    g_my, g_mm = gram[:, 0, -1], gram[:, 0, 0]
    a, curvature = np.ones(len(gram)), np.zeros(len(gram))
    for _ in range(_NEWTON_STEPS):
        at = a[:, None]
        s, r = at**2 * d + 1, at * p - at**2 * q
        s1, r1 = 2 * at * d, p - 2 * at * q  # derivatives by a
        ratio, log_s1 = r / s, s1 / s
        slope = (r1 * ratio - 0.5 * ratio**2 * s1 - 0.5 * log_s1).sum(1)
        slope += g_my - a * g_mm - (a - 1) / sd**2
        bend = (r1 - ratio * s1) ** 2 / s - 2 * q * ratio - ratio**2 * d - d / s + 0.5 * log_s1**2
        curvature = np.maximum(g_mm + 1 / sd**2 - bend.sum(1), 0.5 / sd**2)
        a = np.clip(a + slope / curvature, *_CONTRASTS)
    return a, 1 / curvature
