"""Beads of an atomic model as a volume: Gaussians that move, seen in projection."""

from typing import final

import numpy as np
import torch
from torch import Tensor, nn

from cryosway._errors import CryoswayError
from cryosway.volumes._bead_density import add_gaussians
from cryosway.volumes._bead_widths import WidthBasis, fit_width_basis, gaussian_profile
from cryosway.volumes._normal_equations import Slices
from cryosway.volumes._splat import Band, make_band, transform_points


@final
class AtomicModel(nn.Module):
    """V̂(s) = Σ_j a_j exp(−2π²σ_j²s²) exp(−2πi s·x_j): N Gaussian beads at x_j.

    The scale is that of the transform of a density on the model's own grid whose voxels sum to
    Σ a. A view costs the beads plus the grid: the beads are spread onto an oversampled grid (see
    `_splat.py`), and the Gaussian is multiplied in Fourier space. One width for all beads is
    exact; widths that differ are mixtures of a few profiles, each of which costs one more grid.

    Positions are those of the moment, in Å about the centre of the box, voxel D//2; whoever holds
    the model moves them. Beads outside the field come in on its other side, as in any discrete
    transform.

    Parameters
    ----------
    box, pixel_size
        Pixels, even or odd, and Å, of the images' field.
    amplitudes
        Shape (N,): strength of each bead.
    sigmas
        Shape (N,), or a single number for all, Å.
    tunable
        Whether amplitudes and widths are parameters to be fitted.
    tolerance
        Of mixing widths, as a part of the peak Σ a.
    """

    def __init__(
        self,
        box: int,
        pixel_size: float,
        amplitudes: Tensor,
        sigmas: Tensor | float,
        *,
        tunable: bool = False,
        tolerance: float = 1e-4,
    ) -> None:
        super().__init__()
        widths = torch.as_tensor(sigmas, dtype=amplitudes.dtype).flatten()
        _check_beads(amplitudes, widths)
        self.box = box
        self.pixel_size = pixel_size
        self.tolerance = tolerance
        self.amplitudes = nn.Parameter(amplitudes.clone(), requires_grad=tunable)
        self.sigmas = nn.Parameter(widths.clone(), requires_grad=tunable)
        self._band: tuple[Tensor, Band, Tensor] | None = None
        self._basis: tuple[tuple[int, int], float, WidthBasis] | None = None

    @property
    def profiles(self) -> int:
        """Number of grids that a view of many widths took last; 1 for one width."""
        return 1 if self._basis is None else self._basis[2].classes

    def slices(
        self,
        slices: Slices,
        positions: Tensor,
        rotations: Tensor | None = None,
        occupancies: Tensor | None = None,
    ) -> Tensor:
        """Central slices V̂(Rᵀ [k, 0]) of the beads, real and imaginary part.

        Differentiable in positions, rotations, occupancies, amplitudes and widths.

        Parameters
        ----------
        slices
            Whose views and points are meant, n images of P points.
        positions
            Shape (n, N, 3), or (N, 3) for all images, Å.
        rotations
            Shape (n, 3, 3), instead of those of `slices`.
        occupancies
            Shape (n, N): factors of the amplitudes, image by image.

        Returns
        -------
        Shape (n, P, 2), in the precision of `positions`.
        """
        turned = (slices.rotations if rotations is None else rotations).to(positions)
        band, s_squared = self._find_band(slices.points)
        # Autocast would round coordinates to a few Å.
        with torch.autocast(positions.device.type, enabled=False):
            to_grid = turned[:, :2] * (band.size / (self.box * self.pixel_size))
            xy = to_grid @ positions.mT
            # Rotations of finer pixels than the model's are longer: so are their frequencies.
            scales = turned[:, 0].detach().norm(dim=-1)
            weights, profiles = self._mix_widths(s_squared.to(positions), scales)
            if occupancies is not None:
                weights = weights * occupancies.to(positions)[:, None]
            views = transform_points(xy, weights, band)
            return (views * profiles[..., None]).sum(1)

    def _mix_widths(self, s_squared: Tensor, scales: Tensor) -> tuple[Tensor, Tensor]:
        """Weights (1, C, N) of the beads, and the profiles (n or 1, C, P) that go with them."""
        amplitudes, sigmas = self.amplitudes.to(s_squared), self.sigmas.to(s_squared)
        if len(sigmas) == 1:
            profiles = gaussian_profile((sigmas * scales).square(), s_squared)
            return amplitudes[None, None], profiles[:, None]
        kinds, which = torch.unique((scales * 1e4).round() / 1e4, return_inverse=True)
        reach = float((kinds.max() if len(kinds) else 1.0) * s_squared.max().sqrt())
        basis = self._find_basis(reach)
        weights = amplitudes * basis.weights(sigmas.square())
        each = [basis.profiles(s_squared * kind**2).to(s_squared) for kind in kinds]
        profiles = torch.stack(each) if each else s_squared.new_zeros(1, basis.classes, 1)
        return weights[None], profiles if len(kinds) <= 1 else profiles[which]

    def _find_basis(self, reach: float) -> WidthBasis:
        """Give profiles good up to a frequency; while widths are fitted, those of the moment."""
        key = (self.sigmas._version, self.amplitudes._version)
        known = self._basis
        if known is None or known[0] != key or not 0.5 * known[1] < reach <= 1.0001 * known[1]:
            slopes = self.sigmas.requires_grad
            fitted = fit_width_basis(
                self.sigmas, self.amplitudes, reach, self.tolerance, slopes=slopes
            )
            self._basis = known = (key, reach, fitted)
        return known[2]

    def _find_band(self, points: Tensor) -> tuple[Band, Tensor]:
        """Give the grid for the points of a disc, and their squared frequencies, 1/Å²."""
        if self._band is None or not _are_same(self._band[0], points):
            s_squared = points.double().square().sum(-1) / (self.box * self.pixel_size) ** 2
            self._band = (points, make_band(points), s_squared)
        return self._band[1:]

    @torch.no_grad()
    def density(
        self,
        positions: Tensor,
        box: int | None = None,
        pixel_size: float | None = None,
        occupancies: Tensor | None = None,
    ) -> Tensor:
        """Sample the density on a grid of voxels.

        Σ_j a_j p³ (2πσ_j²)^(−3/2) exp(−|x − x_j|²/2σ_j²) with p the model's own pixel size, so that
        other grids show the same values. Its transform is `slices` where the grid is fine enough
        for the Gaussians: a bead of σ = p adds 7e-3 of itself at the Nyquist frequency.

        Parameters
        ----------
        positions
            Shape (n, N, 3), or (N, 3), Å.
        box, pixel_size
            Of the grid; the model's own by default. The origin is voxel box//2.
        occupancies
            Shape (n, N): factors of the amplitudes.

        Returns
        -------
        Shape (n, box, box, box), or (box, box, box) of positions (N, 3); float32, axes (z, y, x).
        """
        size = self.box if box is None else box
        step = self.pixel_size if pixel_size is None else pixel_size
        many = positions.reshape(-1, *positions.shape[-2:]).double().cpu()
        sigmas = self.sigmas.double().cpu().expand(many.shape[1])
        level = self.pixel_size**3 * (2 * np.pi * sigmas.square()) ** -1.5
        amounts = (self.amplitudes.double().cpu() * level).expand(many.shape[:2])
        if occupancies is not None:
            amounts = amounts * occupancies.double().cpu()
        grids = np.zeros((len(many), size, size, size), np.float32)
        placed = (many / step + size // 2).numpy()
        add_gaussians(placed, amounts.contiguous().numpy(), (sigmas / step).numpy(), grids)
        found = torch.from_numpy(grids).to(positions.device)
        return found if positions.ndim == 3 else found[0]


def _are_same(one: Tensor, other: Tensor) -> bool:
    """Compare points, most often without looking at them, for which a GPU would have to wait."""
    if one is other:
        return True
    return one.shape == other.shape and one.device == other.device and torch.equal(one, other)


def _check_beads(amplitudes: Tensor, sigmas: Tensor) -> None:
    """Refuse widths that are no widths."""
    if len(sigmas) not in {1, len(amplitudes)}:
        msg = f"{len(amplitudes)} beads have {len(sigmas)} widths; give one each, or one for all"
        raise CryoswayError(msg)
    wrong = (~(sigmas > 0)).nonzero()[:, 0]
    if len(wrong):
        bad = float(sigmas[wrong[0]])
        msg = f"the width of bead {int(wrong[0])} is {bad:g} Å; it must be positive"
        raise CryoswayError(msg)
