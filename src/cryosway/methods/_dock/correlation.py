"""Local correlation of a model's density with a map, at all shifts at once.

Within the envelope of the model only (Roseman, Acta Cryst. D56, 2000), so that a model may be a
part of what the map shows.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.methods._dock.map import DockingMap

FloatArray = NDArray[np.float64]

#: The envelope is where the model's density exceeds this part of its peak.
ENVELOPE = 0.08
_WORTH_THREADS = 64


@contextmanager
def calm_threads(box: int) -> Iterator[None]:
    """Work on one thread where boxes are small: waiting for the others would take longer."""
    before = torch.get_num_threads()
    torch.set_num_threads(before if box >= _WORTH_THREADS else 1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@dataclass(frozen=True, eq=False)
class ModelPoints:
    """Points that scatter: coordinates (N, 3) in Å about `centre`, and weights (N,).

    Attributes
    ----------
    centre
        Shape (3,), Å: their centre of scattering, in the model's frame.
    """

    coordinates: FloatArray
    weights: FloatArray
    centre: FloatArray

    @classmethod
    def of(cls, coordinates: FloatArray, weights: FloatArray) -> "ModelPoints":
        """Take points in the model's frame."""
        centre = weights @ coordinates / weights.sum()
        return cls(coordinates - centre, weights, centre)

    @property
    def radius_of_gyration(self) -> float:
        """Å."""
        squares = (self.coordinates**2).sum(axis=1)
        return float(np.sqrt(self.weights @ squares / self.weights.sum()))


def splat_points(points: Tensor, weights: Tensor, box: int, kernel: Tensor) -> Tensor:
    """Give the density of weighted points, spread over 8 voxels and filtered.

    Parameters
    ----------
    points
        Shape (B, N, 3), (x, y, z), voxels from voxel D/2.
    weights
        Shape (N,).
    box
        D.
    kernel
        Shape (D, D, D//2+1), from `make_kernel`.

    Returns
    -------
    Shape (B, D, D, D), axes (z, y, x). Points outside the box come in at its other side.
    """
    batch = len(points)
    place = points + box // 2
    low = place.floor()
    fraction = place - low
    low = low.long()
    grid = weights.new_zeros(batch * box**3)
    start = torch.arange(batch, device=points.device)[:, None] * box**3
    for corner in range(8):
        step = [(corner >> axis) & 1 for axis in range(3)]
        x, y, z = ((low[..., a] + step[a]) % box for a in range(3))
        part = [fraction[..., a] if step[a] else 1 - fraction[..., a] for a in range(3)]
        index = start + (z * box + y) * box + x
        grid.index_add_(0, index.flatten(), (part[0] * part[1] * part[2] * weights).flatten())
    transform = torch.fft.rfftn(grid.view(batch, box, box, box), dim=(-3, -2, -1))
    return torch.fft.irfftn(transform * kernel, s=(box,) * 3, dim=(-3, -2, -1))


def make_kernel(box: int, pixel_size: float, resolution: float, *, sharp: bool = True) -> Tensor:
    """Make the filter to a resolution (1/e there), shape (D, D, D//2+1), float32.

    It takes back the spreading of points over voxels, unless not `sharp`: then the density is
    as blurred as a map is on average by linear interpolation.
    """
    k, kx = torch.fft.fftfreq(box), torch.fft.rfftfreq(box)
    square = k[:, None, None] ** 2 + k[:, None] ** 2 + kx**2
    spread = torch.sinc(k)[:, None, None] * torch.sinc(k)[:, None] * torch.sinc(kx)
    gaussian = torch.exp(-square * (resolution / pixel_size) ** 2)
    return gaussian / spread**2 if sharp else gaussian


class ShiftSearch:
    """Correlates turned models with a map, and with its mirror, at all shifts.

    Parameters
    ----------
    target
        A map from `DockingMap.resample`.
    resolution
        Its resolution, Å.
    points
        The model.
    device
        Where to compute.
    mirror
        Whether to correlate with the mirror of the map as well.
    """

    def __init__(
        self,
        target: DockingMap,
        resolution: float,
        points: ModelPoints,
        device: torch.device,
        *,
        mirror: bool = True,
    ) -> None:
        self.target = target
        self.box = target.box
        self._kernel = make_kernel(target.box, target.pixel_size, resolution).to(device)
        self._points = torch.from_numpy(points.coordinates / target.pixel_size).float().to(device)
        self._weights = torch.from_numpy(points.weights).float().to(device)
        hands = [target.density, *([target.mirrored().density] if mirror else [])]
        maps = torch.from_numpy(np.stack(hands)).to(device)
        maps = maps / maps.std()
        self._floor = float(maps[0].var())
        self._maps = torch.fft.rfftn(maps, dim=(-3, -2, -1))
        self._squares = torch.fft.rfftn(maps**2, dim=(-3, -2, -1))

    def correlate(self, rotations: FloatArray) -> Tensor:
        """Correlate the model, turned, with the maps.

        Parameters
        ----------
        rotations
            Shape (B, 3, 3).

        Returns
        -------
        Shape (B, hands, D, D, D): local correlation when the model's centre is moved from voxel
        D/2 by (z, y, x) voxels, modulo D.
        """
        turn = torch.from_numpy(rotations).to(self._points)
        points = torch.einsum("bij,nj->bni", turn, self._points)
        density = splat_points(points, self._weights, self.box, self._kernel)
        peak = density.amax(dim=(1, 2, 3), keepdim=True)
        mask = (density > ENVELOPE * peak).float()
        size = mask.sum(dim=(1, 2, 3), keepdim=True)
        inside = (density - (density * mask).sum((1, 2, 3), keepdim=True) / size) * mask
        inside = inside / inside.square().sum((1, 2, 3), keepdim=True).sqrt()
        product = self._slide(inside, self._maps)
        mean = self._slide(mask, self._maps) / size[:, None]
        square = self._slide(mask, self._squares) / size[:, None]
        spread = (square - mean**2).clamp(min=self._floor) * size[:, None]
        return product / spread.sqrt()

    def _slide(self, kernel: Tensor, maps: Tensor) -> Tensor:
        """Σ_x kernel(x) map(x + t) for all t, shape (B, hands, D, D, D)."""
        transform = torch.fft.rfftn(kernel, dim=(-3, -2, -1)).conj()
        return torch.fft.irfftn(transform[:, None] * maps, s=(self.box,) * 3, dim=(-3, -2, -1))

    def place(self, index: int) -> FloatArray:
        """Give where the model's centre is at a flat index of shifts, Å in the map's frame."""
        shift = np.array(np.unravel_index(index, (self.box,) * 3))
        shift = (shift + self.box // 2) % self.box - self.box // 2
        return np.asarray(self.target.centre + shift[::-1] * self.target.pixel_size, np.float64)
