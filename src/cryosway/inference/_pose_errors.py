"""Errors of the given poses, as variables of the linear model.

A pose that is slightly wrong shows, to first order, derivatives of the mean map: three by turning
the body, two by moving it in the image. Unless the model knows them, they are its strongest
components. Here every particle has five small Gaussian unknowns beside its latents, which the
same closed form infers and integrates out, and whose spread is measured from the data.
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.inference._image_source import Batch
from cryosway.optics import fft3_half, ifft3_half

FloatArray = NDArray[np.float64]
UNKNOWNS = 5  # three turns and two moves
_LEAST_PIXELS = 0.05  # an error that moves less than this is none
_OUTLIER = 4.0  # standard deviations
_RIM = 0.25  # where turns are judged: at a quarter of the box


@dataclass(frozen=True, eq=False)
class PoseErrors:
    """What is not known of the poses, and how far they have been corrected.

    The true pose of a particle is R exp([turn]×), its content moved by `move` in the image.

    Attributes
    ----------
    turn_sd
        Prior spread of the error about each axis of the body, radians.
    move_sd
        Prior spread of the error along x and y of the image, box lengths.
    turns
        Shape (N, 3): correction of every pose so far, radians.
    moves
        Shape (N, 2): correction of every shift so far, box lengths.
    """

    turn_sd: float
    move_sd: float
    turns: FloatArray
    moves: FloatArray

    @classmethod
    def start(cls, count: int, box: int) -> "PoseErrors":
        """Start from one pixel of error, in shifts and at a quarter of the box in turns."""
        sd = 1 / box
        return cls(sd / _RIM, sd, np.zeros((count, 3)), np.zeros((count, 2)))

    @property
    def active(self) -> bool:
        """Whether there are errors at all."""
        return self.turn_sd > 0 or self.move_sd > 0

    @property
    def matters(self) -> bool:
        """Whether anything differs from the given poses taken as exact."""
        return self.active or bool(self.turns.any() or self.moves.any())

    @property
    def variances(self) -> FloatArray:
        """Prior variances of the five unknowns."""
        return np.array([self.turn_sd**2] * 3 + [self.move_sd**2] * 2)

    def expected(self, rows: NDArray[np.int64]) -> FloatArray:
        """Prior mean of what is left of the error in corrected poses, shape (n, 5)."""
        return -np.concatenate([self.turns[rows], self.moves[rows]], axis=1)

    def corrected(self, found: "PosePosterior") -> "PoseErrors":
        """Take what has been found of every particle's error into its pose."""
        left = self.expected(np.arange(len(self.turns))) + found.mean
        return replace(self, turns=self.turns + left[:, :3], moves=self.moves + left[:, 3:])

    def updated(self, found: "PosePosterior", box: int, *, doubtful: bool = False) -> "PoseErrors":
        """Measure the spreads anew; those of less than a twentieth of a pixel become 0.

        Parameters
        ----------
        found
            Of all particles.
        box
            Pixels of the images.
        doubtful
            Whether what cannot be told from 0 is kept for data of finer shells to judge.
        """
        turns, moves = slice(0, 3), slice(3, 5)
        turn_sd, move_sd = (
            measure_spread(found.mean[:, at], found.variance[:, at], current, doubtful=doubtful)
            for at, current in ((turns, self.turn_sd), (moves, self.move_sd))
        )
        return replace(
            self,
            turn_sd=turn_sd if turn_sd * _RIM * box > _LEAST_PIXELS else 0.0,
            move_sd=move_sd if move_sd * box > _LEAST_PIXELS else 0.0,
        )


@dataclass(frozen=True, eq=False)
class PosePosterior:
    """Posterior of the five unknowns of n particles, less their prior means.

    Attributes
    ----------
    mean, variance
        Shape (n, 5).
    """

    mean: FloatArray
    variance: FloatArray

    @staticmethod
    def concatenate(parts: "list[PosePosterior]") -> "PosePosterior":
        """Join posteriors of consecutive particles."""
        return PosePosterior(
            np.concatenate([p.mean for p in parts]), np.concatenate([p.variance for p in parts])
        )


def measure_spread(
    mean: FloatArray, variance: FloatArray, current: float, *, doubtful: bool = False
) -> float:
    """Spread of an unknown with prior N(0, s²), by moments: 0 where there is none.

    Under prior spread s, a particle whose likelihood has its peak at p with variance v has
    posterior mean p s² / (s² + v). The spread is that of the peaks less their own widths;
    particles further out than four standard deviations (junk, wrong poses) do not count.

    Parameters
    ----------
    mean, variance
        Any shape: of the posterior.
    current
        The prior spread s.
    doubtful
        Whether to give no less than what could not be told from 0 (one standard error of s²).
    """
    if current == 0:
        return 0.0
    width = 1 / np.maximum(1 / np.maximum(variance, 1e-30) - 1 / current**2, 1e-12)
    peak = mean * (current**2 + width) / current**2
    total = width + current**2
    inside = peak**2 < _OUTLIER**2 * total
    weight = np.where(inside, total**-2.0, 0.0)
    sum_of_weights = max(float(np.sum(weight)), 1e-30)
    excess = float(np.sum(weight * (peak**2 - width))) / sum_of_weights
    if doubtful:
        error = np.sqrt(2 * float(np.sum((weight * width) ** 2))) / sum_of_weights
        excess = max(excess, min(error, current**2))
    return float(np.sqrt(max(excess, 0.0)))


def turn_derivatives(volume: Tensor) -> Tensor:
    """How a density changes as it turns about x, y and z: −e · (r × ∇V), (3, D, D, D)."""
    gx, gy, gz = gradient(volume)
    box = volume.shape[-1]
    at = torch.arange(box, dtype=volume.dtype, device=volume.device) - box // 2
    z, y, x = at[:, None, None], at[None, :, None], at[None, None, :]
    return -torch.stack([y * gz - z * gy, z * gx - x * gz, x * gy - y * gx])


def gradient(volume: Tensor) -> Tensor:
    """∇V along x, y and z per voxel, band-limited: (3, D, D, D)."""
    box = volume.shape[-1]
    k = torch.fft.fftfreq(box, dtype=volume.dtype, device=volume.device) * (2 * torch.pi)
    k[box // 2] = 0  # the Nyquist frequency has no derivative that is real
    half = k[: box // 2 + 1]
    transform = fft3_half(volume)
    waves = (half[None, None, :], k[None, :, None], k[:, None, None])
    return torch.stack([ifft3_half(1j * wave * transform) for wave in waves])


def rigid_directions(mean: Tensor, mask: Tensor) -> Tensor:
    """Orthonormal volumes that turning and moving the mean spans within the mask: (6, D³)."""
    volumes = torch.cat([turn_derivatives(mean), gradient(mean)]) * mask
    orthogonal, _ = torch.linalg.qr(volumes.flatten(1).T.double())
    directions: Tensor = orthogonal.T.float()
    return directions


def move_derivatives(batch: Batch, views: Tensor) -> Tensor:
    """How slices change as their content moves along x and y of the image, per box length.

    Parameters
    ----------
    batch
        For its points.
    views
        Shape (n, P, 2): slices of the mean, (re, im).

    Returns
    -------
    Shape (n, P, 2, 2): the last axis is x, y.
    """
    turned = torch.stack([views[..., 1], -views[..., 0]], dim=-1)  # −i times
    return turned[..., None] * (2 * torch.pi * batch.slices.points)[None, :, None, :]
