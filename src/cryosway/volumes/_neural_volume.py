"""A volume whose transform is a part that is kept as it is, plus what a network adds."""

from typing import final

import torch
from torch import Tensor, nn

from cryosway.optics import fft3_half, frequency_radius, ifft3_half, resize_volumes
from cryosway.volumes._basis_grid import SliceReader
from cryosway.volumes._latent_curves import LatentCurves
from cryosway.volumes._layers import autocast_dtype
from cryosway.volumes._neural_field import NeuralField
from cryosway.volumes._normal_equations import Slices

_CHUNK = 1 << 15


@final
class NeuralVolume(nn.Module):
    """V̂(k; z) = Σ_c m_c(z) B̂_c(k) + A(|k|) · field(k; z), m(z) = (1, z_1 … z_K, c_1(z) … c_M(z)).

    The base carries what closed forms have found already: mean and components, and M maps whose
    amounts are given functions of the latent; without one it is zero. The amplitude A brings every
    shell of the field to the same scale, so that a network of unit output fits coarse and fine
    shells alike.

    Parameters
    ----------
    field
        The network; its latent has at least K numbers.
    amplitude
        Shape (shells,): A per rounded |k|, in the units of an unnormalised transform.
    base
        Shape (1 + K + M, D, D, D): mean, components, each for a latent of unit variance, and maps.
    curves
        Amounts c(z) of the M maps; none by default.
    gains
        Shape (shells, 2): by how much the shells of the mean, and of the rest of the base, have
        been scaled already; 1 by default.
    """

    amplitude: Tensor
    base: Tensor
    gains: Tensor

    def __init__(
        self,
        field: NeuralField,
        amplitude: Tensor,
        base: Tensor | None = None,
        curves: LatentCurves | None = None,
        gains: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.field = field
        self.curves = LatentCurves.none() if curves is None else curves
        self.register_buffer("amplitude", amplitude.float())
        empty = torch.zeros(0, field.spec.box, field.spec.box, field.spec.box)
        self.register_buffer("base", empty if base is None else base.float())
        same = torch.ones(len(amplitude), 2)
        self.register_buffer("gains", same if gains is None else gains.float())
        self._reader: SliceReader | None = None

    @property
    def linear(self) -> Tensor:
        """Mean and components, shape (1 + K, D, D, D); empty without a base."""
        return self.base[: len(self.base) - len(self.curves)]

    def unscaled_linear(self) -> Tensor:
        """Mean and components as they were before any scaling, shape (1 + K, D, D, D)."""
        return scale_base(self.linear, 1 / self.gains)

    @property
    def band(self) -> int:
        """Largest |k| where the volume is defined."""
        return len(self.amplitude) - 1

    def slices(self, slices: Slices, z: Tensor, rotations: Tensor | None = None) -> Tensor:
        """Central slices V̂(Rᵀ [k, 0]; z), real and imaginary part.

        Autocast reaches the network's matrix products only: coordinates must not be rounded.

        Parameters
        ----------
        slices
            Whose views and points are meant, n images of P points.
        z
            Shape (n, latent_dim).
        rotations
            Shape (n, 3, 3), instead of those of `slices`; may require gradients.

        Returns
        -------
        Shape (n, P, 2), float32.
        """
        device = slices.points.device
        dtype = autocast_dtype(device)
        with torch.autocast(device.type, enabled=False):
            turned = slices.rotations if rotations is None else rotations
            points = slices.points @ turned[:, :2]
            views: Tensor = self.field(points, z, dtype) * self._scale(points)[..., None]
            if len(self.base):
                read = self._read_base(slices, rotations)
                views = views + torch.einsum("npxc,nc->npx", read, self._mixture(z))
        return views

    def scale(self, gains: Tensor) -> None:
        """Scale the shells of the base by gains (shells, 2), once more; see `scale_base`."""
        self.base, self._reader = scale_base(self.base, gains), None
        self.gains *= gains.to(self.gains)

    def base_views(
        self, slices: Slices, z: Tensor, rotations: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Central slices of the mean, and of the rest of the base at latents z: (n, P, 2) each."""
        read, amounts = self._read_base(slices, rotations), self._mixture(z)
        rest = torch.einsum("npxc,nc->npx", read[..., 1:], amounts[:, 1:])
        return read[..., 0], rest

    def _scale(self, points: Tensor) -> Tensor:
        """Give A at points (..., 3), whose length tells the shell."""
        shell = points.detach().norm(dim=-1).round().long()
        return self.amplitude[shell.clamp(max=self.band)]

    def _mixture(self, z: Tensor) -> Tensor:
        ones = torch.ones(len(z), 1, dtype=z.dtype, device=z.device)
        return torch.cat([ones, z[:, : len(self.linear) - 1], self.curves(z)], dim=1)

    def _read_base(self, slices: Slices, rotations: Tensor | None) -> Tensor:
        if self._reader is None:
            self._reader = SliceReader(self.base)
        return self._reader.read(slices, rotations)

    @torch.no_grad()
    def density(self, z: Tensor, box: int | None = None) -> Tensor:
        """Densities at latents.

        Parameters
        ----------
        z
            Shape (n, latent_dim).
        box
            Voxels a side, even: fewer than D give a coarser map of the same extent.

        Returns
        -------
        Shape (n, box, box, box), float32, axes (z, y, x).
        """
        full = self.field.spec.box
        size = full if box is None else box
        points, flat = _half_space(size, min(self.band, size // 2 - 1), z.device)
        values = torch.zeros(len(z), size * size * (size // 2 + 1), 2, device=z.device)
        for some, at in zip(torch.split(points, _CHUNK), torch.split(flat, _CHUNK), strict=True):
            views = self.field(some.expand(len(z), -1, -1), z)
            values[:, at] = views * self._scale(some)[:, None]
        grid = torch.view_as_complex(values).view(len(z), size, size, size // 2 + 1)
        density = ifft3_half(grid)
        if len(self.base):
            known = torch.einsum("cxyz,nc->nxyz", self.base, self._mixture(z))
            density = density + resize_volumes(known, size)
        # Fewer voxels share the same transform: this keeps the values of the density.
        return density * (size / full) ** 3


def scale_base(base: Tensor, gains: Tensor) -> Tensor:
    """Scale the shells of the mean by the first of gains (shells, 2), of the rest by the second.

    Parameters
    ----------
    base
        Shape (C, D, D, D), the mean first; C may be 0.
    gains
        Per rounded |k|; the last one also holds beyond.
    """
    if not len(base):
        return base
    shell = frequency_radius(base.shape[-1], base.device).round().long()
    at = gains.to(base.device)[shell.clamp(max=len(gains) - 1)]
    scaled = [
        ifft3_half(fft3_half(each) * at[..., min(number, 1)]) for number, each in enumerate(base)
    ]
    return torch.stack(scaled)


def _half_space(box: int, radius: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Points (P, 3) = (x, y, z) with |k| <= radius and x >= 0, and their place in a half grid."""
    k = torch.fft.fftfreq(box, 1 / box, device=device).round()
    x = torch.arange(box // 2 + 1, device=device, dtype=k.dtype)
    grid = torch.stack(torch.meshgrid(k, k, x, indexing="ij"), dim=-1).flatten(0, 2)
    flat = (grid.square().sum(-1) <= radius**2).nonzero()[:, 0]
    return grid[flat].flip(-1), flat
