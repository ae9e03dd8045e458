"""What is learnt of every particle by itself: its latent, and a correction of its pose."""

from typing import final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cryosway.volumes import Slices


@final
class LatentTable(nn.Module):
    """Posterior of every particle's latent as free numbers (auto-decoder).

    Parameters
    ----------
    start
        Shape (N, 2, k): mean and log variance to start from.
    fixed
        Whether they stay as they are.
    """

    values: Tensor

    def __init__(self, start: Tensor, *, fixed: bool = False) -> None:
        super().__init__()
        values = start.flatten(1).clone().float()
        if fixed:
            self.register_buffer("values", values)
        else:
            self.values = nn.Parameter(values)

    def forward(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and log variance of the particles in `rows`, each (n, k)."""
        mean, log_variance = _look_up(self.values, rows).chunk(2, dim=1)
        return mean, log_variance


@final
class PoseTable(nn.Module):
    """A small rotation and shift that correct every particle's pose; zero at the start.

    The rotation is exp(ω) R, in the frame of the image: ω_z is in-plane. Turns are kept as what
    they move at a quarter of the box, so that turns and shifts are learnt at one pace, in pixels.

    Parameters
    ----------
    count
        Number N of particles.
    box
        Image size D, pixels.
    """

    def __init__(self, count: int, box: int) -> None:
        super().__init__()
        self.box = box
        self.turns = nn.Parameter(torch.zeros(count, 3))  # ω D / 4, pixels
        self.moves = nn.Parameter(torch.zeros(count, 2))  # of the content, pixels, (x, y)

    def rotations(self, rows: Tensor, rotations: Tensor) -> Tensor:
        """Corrected rotations (n, 3, 3) of particles; gradients flow to ω."""
        return self.turn(_look_up(self.turns, rows), rotations)

    def turn(self, turns: Tensor, rotations: Tensor) -> Tensor:
        """Rotations (n, 3, 3) corrected by turns (n, 3), pixels."""
        with torch.autocast(rotations.device.type, enabled=False):
            return rotate_by(turns * (4 / self.box)) @ rotations

    def move(self, rows: Tensor, slices: Slices, views: Tensor) -> Tensor:
        """Give views (n, P, 2) of the content moved by each particle's shift."""
        return self.shift(_look_up(self.moves, rows), slices, views)

    def shift(self, moves: Tensor, slices: Slices, views: Tensor) -> Tensor:
        """Move the content of views (n, P, 2) by moves (n, 2), pixels."""
        with torch.autocast(views.device.type, enabled=False):
            angle = (moves @ slices.points.T) * (-2 * torch.pi / self.box)
        cos, sin = angle.cos(), angle.sin()
        re, im = views.unbind(-1)
        return torch.stack([re * cos - im * sin, re * sin + im * cos], dim=-1)

    def penalty(self, rows: Tensor, sd_px: float) -> Tensor:
        """Negative log prior of each correction, N(0, sd²) in pixels: (n,), nats."""
        both = torch.cat([_look_up(self.turns, rows), _look_up(self.moves, rows)], dim=1)
        return both.square().sum(1) / (2 * sd_px**2)

    def corrected(
        self, rotations: NDArray[np.float64], shifts_px: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Apply the corrections to rotations (N, 3, 3) and stored shifts (N, 2), pixels.

        A stored shift brings the content to the centre, so that a content that has been found
        moved by m needs m less of it.
        """
        with torch.no_grad():
            turns = rotate_by(self.turns.double().cpu() * (4 / self.box)).numpy()
            moves = self.moves.double().cpu().numpy()
        return turns @ rotations, shifts_px - moves


def _look_up(table: Tensor, rows: Tensor) -> Tensor:
    """Rows of a table, whose gradient then holds these rows only."""
    return nn.functional.embedding(rows, table, sparse=True)


def rotate_by(omega: Tensor) -> Tensor:
    """Rotation matrices exp([ω]×) of rotation vectors (n, 3), differentiable at zero too."""
    x, y, z = omega.unbind(-1)
    zero = torch.zeros_like(x)
    generator = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).view(-1, 3, 3)
    turned: Tensor = torch.linalg.matrix_exp(generator)
    return turned
