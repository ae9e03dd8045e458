"""Smooth functions of the latent, from what they are at a few latents."""

from collections.abc import Iterator
from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

FloatArray = NDArray[np.float64]

_WIDTHS = (1.5, 2.0, 3.0, 4.5, 7.0, 10.0)
_RIDGES = (1e-3, 1e-2, 1e-1, 1.0, 10.0)
_LEAST = 1e-9


@final
class LatentCurves(nn.Module):
    """M functions c(z) = [1, z] · line + Σ_a exp(−|(z − z_a) / scale|² / 2) · height_a.

    Parameters
    ----------
    anchors
        Shape (A, K): the z_a.
    scales
        Shape (K,): how far each reaches.
    line
        Shape (1 + K, M).
    heights
        Shape (A, M).
    """

    NAMES = ("anchors", "scales", "line", "heights")
    anchors: Tensor
    scales: Tensor
    line: Tensor
    heights: Tensor

    def __init__(self, anchors: Tensor, scales: Tensor, line: Tensor, heights: Tensor) -> None:
        super().__init__()
        for name, value in zip(self.NAMES, (anchors, scales, line, heights), strict=True):
            self.register_buffer(name, value.float())

    def __len__(self) -> int:
        return self.line.shape[1]

    def forward(self, z: Tensor) -> Tensor:
        """c(z), shape (n, M), of latents (n, K or more)."""
        known = z[:, : self.anchors.shape[1]]
        ones = torch.ones(len(z), 1, dtype=z.dtype, device=z.device)
        away = (known[:, None] - self.anchors) / self.scales
        bumps = (-0.5 * away.square().sum(-1)).exp()
        return torch.cat([ones, known], dim=1) @ self.line + bumps @ self.heights

    @classmethod
    def none(cls) -> "LatentCurves":
        """No functions at all."""
        return cls(torch.zeros(0, 0), torch.zeros(0), torch.zeros(1, 0), torch.zeros(0, 0))

    @classmethod
    def fit(cls, anchors: FloatArray, scales: FloatArray, values: FloatArray) -> "LatentCurves":
        """Fit functions to their values at some latents: ridge regression.

        How wide the bumps are and how much they are held back is what predicts each anchor best
        from the others (leave-one-out, in closed form).

        Parameters
        ----------
        anchors
            Shape (A, K).
        scales
            Shape (K,): unit of distance along each axis, as the latents' posterior sd.
        values
            Shape (A, M).
        """
        fits = ((_left_out(*fit, values), fit) for fit in _designs(anchors, scales))
        _, (design, inverse, width) = min(fits, key=lambda scored: scored[0])
        found = inverse @ design.T @ values
        count = 1 + anchors.shape[1]
        parts = (anchors, width * scales, found[:count], found[count:])
        return cls(*(torch.from_numpy(part) for part in parts))


_Fit = tuple[FloatArray, FloatArray, float]  # design (A, F), (DᵀD + ridge)⁻¹, width


def _designs(anchors: FloatArray, scales: FloatArray) -> Iterator[_Fit]:
    apart = np.square((anchors[:, None] - anchors) / scales).sum(-1)
    line = np.column_stack([np.ones(len(anchors)), anchors])
    for width in _WIDTHS:
        design = np.hstack([line, np.exp(-0.5 * apart / width**2)])
        for ridge in _RIDGES:
            held = np.r_[np.full(line.shape[1], _LEAST), np.full(len(anchors), ridge)]
            yield design, np.linalg.inv(design.T @ design + np.diag(held)), width


def _left_out(design: FloatArray, inverse: FloatArray, _: float, values: FloatArray) -> float:
    """Sum of squared errors at every anchor of a fit to the others."""
    hat = design @ inverse @ design.T
    own = np.clip(1 - np.diagonal(hat), _LEAST, None)
    return float(np.square((values - hat @ values) / own[:, None]).sum())
