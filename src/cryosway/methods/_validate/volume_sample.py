"""A sample of a job's volumes as a mean and few principal volumes, and which of them images show.

Whatever the model, an image's likelihood under every volume of the sample follows from the Gram
matrix of its views of the principal volumes. With the sample drawn from the particles, their share
is the prior, and the weights are a posterior over volumes that any method has.
"""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

FloatArray = npt.NDArray[np.float64]

_COMPONENTS = 12
_EXPLAINED = 0.999


@final
@dataclass(frozen=True, eq=False)
class VolumeSample:
    """Volumes at latents.

    Attributes
    ----------
    latents
        Shape (M, K).
    mean
        Shape (b, b, b).
    basis
        Shape (R, b, b, b): principal volumes, orthonormal.
    scores
        Shape (M, R): volume m is mean + Σ_r scores[m, r] basis[r].
    """

    latents: FloatArray
    mean: Tensor
    basis: Tensor
    scores: FloatArray

    @classmethod
    def make(cls, latents: FloatArray, volumes: Tensor) -> "VolumeSample":
        """Find the principal components of volumes (M, b, b, b) at latents (M, K)."""
        mean = volumes.mean(0)
        away = (volumes - mean).flatten(1)
        basis = _find_components(away)
        scores = (away @ basis.T).double().numpy()
        return cls(latents, mean, basis.reshape(-1, *mean.shape), scores)

    def change(self, scores: FloatArray) -> Tensor:
        """Volumes (n, b, b, b) at scores (n, R), less the mean."""
        return torch.einsum("nr,rxyz->nxyz", torch.from_numpy(scores).float(), self.basis)

    def weigh(self, gram: FloatArray, contrast: FloatArray) -> FloatArray:
        """Posterior weight of every volume of the sample for n images, shape (n, M).

        log p(y | m) = a s·G_y − ½ a² sᵀ G s with the scores s of the volume: the factor 2 of
        `gram_matrices` makes it nats.

        Parameters
        ----------
        gram
            Shape (n, R + 1, R + 1), of the principal volumes and the data, less what the mean
            explains (see `project_out`).
        contrast
            Shape (n,): a of each image.
        """
        s, a = self.scores, contrast[:, None]
        square = np.einsum("mr,nrq,mq->nm", s, gram[:, :-1, :-1], s, optimize=True)
        log = a * (gram[:, :-1, -1] @ s.T) - 0.5 * a**2 * square
        weights = np.exp(log - log.max(1, keepdims=True))
        return np.asarray(weights / weights.sum(1, keepdims=True))


def project_out(gram: FloatArray, columns: list[int]) -> FloatArray:
    """Gram matrices (n, C, C) of the other columns, less what some of them explain.

    As if the amounts of these in every image were unknown: they are fitted to it anew.
    """
    kept = [c for c in range(gram.shape[-1]) if c not in columns]
    own = gram[:, columns][:, :, columns]
    scale = np.einsum("ncc->n", own)[:, None, None]
    own = own + 1e-9 * scale * np.eye(len(columns)) + 1e-30 * np.eye(len(columns))
    across = gram[:, columns][:, :, kept]
    return np.asarray(
        gram[:, kept][:, :, kept] - across.transpose(0, 2, 1) @ np.linalg.solve(own, across)
    )


def _find_components(away: Tensor) -> Tensor:
    """Orthonormal rows (R, V) that explain what volumes (M, V) differ in."""
    values, vectors = torch.linalg.eigh((away @ away.T).double())
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    share = torch.cumsum(values, 0) / values.sum().clamp(min=1e-30)
    count = min(int((share < _EXPLAINED).sum()) + 1, _COMPONENTS, max(len(away) - 1, 1))
    rows = vectors[:, :count].T.float() @ away
    return torch.nn.functional.normalize(rows, dim=1)
