"""A density on voxels that move: each image shows it where its particle has taken them.

A voxel is a point of mass on the grid; with its mates it is a density of the grid's band, which
turns and shifts without loss. So views are those of points (see `_splat.py`), with neither
interpolation in the density nor a kernel that would have to be undone; at rest they are the central
slices of the density's discrete transform, exactly. Mass is kept: where space is stretched, density
thins out.
"""

from typing import Any, final

import numba
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from cryosway.volumes._deformed_kernels import gather_moved, spread_moved
from cryosway.volumes._normal_equations import Slices
from cryosway.volumes._splat import (
    Band,
    _cast_tables,
    _chunks,
    _read_band,
    _spread_band,
    make_band,
    transform_plain,
)

_PLAIN_POINTS = 1 << 21


@final
class DeformedGrid:
    """V voxels of a box that move with frames near them, and their views.

    In image i a voxel at x goes to Σ_k w_k (A_ik x + t_ik), the blend of K of the N frames that are
    given for the image; Σ_k w_k p_ik of its density is there, where a part p of each frame is.

    Parameters
    ----------
    inside
        Shape (D, D, D), bool, axes (z, y, x): the voxels that may hold density.
    pixel_size
        Å per voxel, and per pixel of the images.
    index, weights
        Shapes (V, K), of the frames that each voxel follows, in the order of `inside`; see
        `blend_near`.
    dtype
        Of all numbers; float64 for tests.

    Attributes
    ----------
    points
        Shape (V, 3), Å, (x, y, z) about the centre of the box, voxel D/2.
    """

    def __init__(
        self,
        inside: Tensor,
        pixel_size: float,
        index: NDArray[np.int32],
        weights: NDArray[np.float64],
        *,
        dtype: torch.dtype = torch.float32,
        device: torch.device | str = "cpu",
    ) -> None:
        self.box = inside.shape[-1]
        self.pixel_size = pixel_size
        self.device = torch.device(device)
        self.points = voxel_points(inside, pixel_size).to(device, dtype)
        self._flat = inside.flatten().nonzero()[:, 0].to(device)
        if index.shape != weights.shape or len(index) != len(self.points):
            msg = f"{len(self.points)} voxels need as many rows of weights, not {weights.shape}"
            raise ValueError(msg)
        self.index = torch.from_numpy(np.ascontiguousarray(index, np.int32)).to(device)
        self.weights = torch.from_numpy(np.ascontiguousarray(weights)).to(device, dtype)
        self._band: tuple[Tensor, Band] | None = None

    def __len__(self) -> int:
        return len(self.points)

    @property
    def dtype(self) -> torch.dtype:
        """Of all numbers."""
        return self.points.dtype

    # -- voxels and boxes ----------------------------------------------------------------------

    def fill(self, values: Tensor) -> Tensor:
        """Put values (V,) into a box (D, D, D) that is zero elsewhere."""
        volume = values.new_zeros(self.box**3)
        volume[self._flat] = values
        return volume.view(self.box, self.box, self.box)

    def take(self, volume: Tensor) -> Tensor:
        """Read the voxels' values (V,) from a box: the adjoint of `fill`."""
        return volume.flatten()[self._flat.to(volume.device)].to(self.device, self.dtype)

    # -- views and their adjoint ---------------------------------------------------------------

    def views(
        self, values: Tensor, frames: Tensor, slices: Slices, present: Tensor | None = None
    ) -> Tensor:
        """Make views of n particles, without CTF.

        Parameters
        ----------
        values
            Shape (V,): the density.
        frames
            Shape (n, N, 3, 4): where each particle takes what is near each frame, Å.
        slices
            The views and points that are meant.
        present
            Shape (n, N): how much of what is near each frame a particle has; all by default.

        Returns
        -------
        Shape (n, P, 2), real and imaginary part: Σ_j p_ij v_j exp(−2πi k·R_i (x_j + u_ij) / (D p)).
        """
        band = self._find_band(slices.points)
        seen = self._project(frames, slices.rotations, band, present)
        if self.device.type != "cpu":
            return self._views_plain(values, seen, band)
        out = values.new_empty(len(seen), len(band.index), 2)
        table = _cast_tables(self.dtype)[0]
        for some in _chunks(len(seen), 1, band, self.dtype):
            grids = values.new_empty(len(seen[some]), 1, band.size, band.size)
            points, index, weights = self._voxels
            moved, amounts = seen[some].contiguous().numpy(), values.contiguous().numpy()
            spread_moved(points, index, weights, moved, amounts, table, grids[:, 0].numpy())
            out[some] = _read_band(grids, band)[:, 0]
        return out

    def adjoint(
        self, views: Tensor, frames: Tensor, slices: Slices, present: Tensor | None = None
    ) -> Tensor:
        """Sum over images what each voxel has to do with views (n, P, 2): shape (V,).

        The exact adjoint of `views`: ⟨views(v), y⟩ = ⟨v, adjoint(y)⟩.
        """
        band = self._find_band(slices.points)
        seen = self._project(frames, slices.rotations, band, present)
        if self.device.type != "cpu":
            return self._adjoint_plain(views, seen, band)
        out = views.new_zeros(numba.get_num_threads(), len(self))
        table = _cast_tables(self.dtype)[0]
        for some in _chunks(len(seen), 1, band, self.dtype):
            grids = _spread_band(views[some, None].to(self.dtype), band)[:, 0]
            points, index, weights = self._voxels
            moved, filled = seen[some].contiguous().numpy(), grids.contiguous().numpy()
            gather_moved(points, index, weights, moved, filled, table, out.numpy())
        return out.sum(0)

    @property
    def _voxels(self) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        return self.points.numpy(), self.index.numpy(), self.weights.numpy()

    def _find_band(self, points: Tensor) -> Band:
        if self._band is None or self._band[0] is not points:
            self._band = (points, make_band(points))
        return self._band[1]

    def _project(
        self, frames: Tensor, rotations: Tensor, band: Band, present: Tensor | None
    ) -> Tensor:
        """Frames (n, N, 9): from a point to grid units of the view, two rows; and shares."""
        to_grid = rotations[:, :2].to(self.device, self.dtype)
        to_grid = to_grid * (band.size / (self.box * self.pixel_size))
        seen = torch.einsum("nab,nmbc->nmac", to_grid, frames.to(self.device, self.dtype))
        there = seen.new_ones(seen.shape[:2]) if present is None else present.to(seen)
        return torch.cat([seen.flatten(2), there[..., None]], dim=2)

    # -- plain torch twin ----------------------------------------------------------------------

    def _place(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Positions (n, 2, V) in grid units, and shares (n, V)."""
        blended = torch.einsum("vk,nvkc->nvc", self.weights, seen[:, self.index.long()])
        rows = blended[..., :8].reshape(len(seen), -1, 2, 4)
        ones = torch.ones_like(self.points[:, :1])
        at = torch.einsum("nvac,vc->nav", rows, torch.cat([self.points, ones], dim=1))
        return at.contiguous(), blended[..., 8]

    def _views_plain(self, values: Tensor, seen: Tensor, band: Band) -> Tensor:
        """Give views as the kernels do, on any device, differentiable."""
        made = []
        for part in torch.split(seen, self._plain_step):
            at, share = self._place(part)
            made.append(transform_plain(at, (values * share)[:, None], band)[:, 0])
        return torch.cat(made)

    def _adjoint_plain(self, views: Tensor, seen: Tensor, band: Band) -> Tensor:
        values = views.new_zeros(len(self), dtype=self.dtype, requires_grad=True)
        total = torch.zeros_like(values)
        step = self._plain_step
        views = views.to(self.dtype)
        for part, view in zip(torch.split(seen, step), torch.split(views, step), strict=True):
            with torch.enable_grad():
                made = self._views_plain(values, part, band)
            total = total + torch.autograd.grad(made, values, view)[0]
        return total.detach()

    @property
    def _plain_step(self) -> int:
        """Images at a time: positions and taps of all voxels are stored."""
        return max(1, _PLAIN_POINTS // len(self))


def voxel_points(inside: Tensor, pixel_size: float) -> Tensor:
    """Places (V, 3), (x, y, z) in Å about voxel D/2, of the voxels `inside` (D, D, D)."""
    at = inside.nonzero().flip(-1).double()
    return (at - inside.shape[-1] // 2) * pixel_size
