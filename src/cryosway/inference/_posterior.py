"""The closed-form posterior of latents and contrast under a volume linear in z.

With whitened data y = a (P mean + P U z) + noise, z ~ N(0, Λ), a ~ N(1, s²), everything that an
image says of (z, a) is in the Gram matrix of its slices [P mean, P U, y]: 2 Re⟨·,·⟩, the 2 because
each complex coefficient with E|noise|² = 1 has variance ½ in its real and imaginary part.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import Batch
from cryosway.volumes import SliceReader

FloatArray = NDArray[np.float64]
_ROUNDS = 3


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
    slices = batch.slices
    views = reader.read(slices) * slices.filters[:, :, None, None]
    data = torch.view_as_real(slices.values)[..., None]
    columns = torch.cat([views, data], dim=-1).flatten(1, 2)
    return 2 * torch.bmm(columns.transpose(1, 2), columns).double().cpu().numpy()


def infer_posterior(
    gram: FloatArray, variances: FloatArray, contrast_sd: float = 0.0
) -> GaussianPosterior:
    """Posterior of latents and contrast from Gram matrices.

    Given the contrast, z is Gaussian with precision a² G_UU + Λ⁻¹; given z, the contrast is
    Gaussian too; the two are alternated, starting from a = 1.

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
    g_uu, g_um, g_uy = gram[:, 1 : k + 1, 1 : k + 1], gram[:, 1 : k + 1, 0], gram[:, 1 : k + 1, -1]
    prior = np.diag(1 / np.maximum(variances, 1e-30))
    a, a_variance = np.ones(len(gram)), np.zeros(len(gram))
    for last in [False] * (_ROUNDS if contrast_sd > 0 else 0) + [True]:
        a2 = (a**2)[:, None, None]
        precision = a2 * g_uu + prior
        covariance = np.linalg.inv(precision)
        right = a[:, None] * g_uy - a2[:, 0] * g_um
        z = np.einsum("nij,nj->ni", covariance, right)
        if not last:
            a, a_variance = _infer_contrast(gram, z, covariance, contrast_sd)
    log_determinant = np.linalg.slogdet(precision)[1] + np.log(np.maximum(variances, 1e-30)).sum()
    misfit = gram[:, -1, -1] - 2 * a * gram[:, 0, -1] + a**2 * gram[:, 0, 0]
    evidence = -0.5 * (misfit - np.einsum("ni,ni->n", right, z) + log_determinant)
    return GaussianPosterior(z, covariance, a, a_variance, evidence)


def _infer_contrast(
    gram: FloatArray, z: FloatArray, covariance: FloatArray, sd: float
) -> tuple[FloatArray, FloatArray]:
    k = z.shape[1]
    v = np.concatenate([np.ones((len(z), 1)), z], axis=1)
    g = gram[:, : k + 1, : k + 1]
    power = np.einsum("ni,nij,nj->n", v, g, v)
    power += np.einsum("nij,nji->n", covariance, g[:, 1:, 1:])
    variance = 1 / (power + 1 / sd**2)
    a = (np.einsum("ni,ni->n", v, gram[:, : k + 1, -1]) + 1 / sd**2) * variance
    return np.clip(a, 0.05, 5.0), variance
