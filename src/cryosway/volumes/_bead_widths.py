"""Gaussians of many widths as mixtures of a few profiles."""

from dataclasses import dataclass

import torch
from torch import Tensor

_TWO_PI_SQUARED = 2 * torch.pi**2
_NODES = 64
_ROUNDING = 1e-10


def gaussian_profile(variances: Tensor, s_squared: Tensor) -> Tensor:
    """Transform of unit Gaussians: exp(−2π²σ²s²), σ² (N,) in Å² and s² (P,) in 1/Å²: (N, P)."""
    return torch.exp(-_TWO_PI_SQUARED * variances[:, None] * s_squared)


@dataclass(frozen=True, eq=False)
class WidthBasis:
    """Mixture exp(−2π²σ²s²) ≈ Σ_c w_c(σ²) u_c(s²) of C profiles, the best for given beads.

    w are projections of the Gaussian on the profiles, smooth in σ², which may require gradients.

    Attributes
    ----------
    nodes, project
        Shapes (S,) and (S, C): s² where Gaussians are compared with the profiles.
    rows, extend
        Shapes (V,) and (V, C): the σ² whose Gaussians the profiles are mixtures of.
    """

    nodes: Tensor
    project: Tensor
    rows: Tensor
    extend: Tensor

    @property
    def classes(self) -> int:
        """Number C of profiles."""
        return self.project.shape[1]

    def weights(self, variances: Tensor) -> Tensor:
        """Shape (C, N): w_c of beads of variances (N,), Å²."""
        nodes, project = self.nodes.to(variances), self.project.to(variances)
        return (gaussian_profile(variances, nodes) @ project).T

    def profiles(self, s_squared: Tensor) -> Tensor:
        """Shape (C, P): u_c at s² (P,), 1/Å², in float64."""
        rows, extend = self.rows.to(s_squared.device), self.extend.to(s_squared.device)
        return extend.T @ gaussian_profile(rows, s_squared.double())


@torch.no_grad()
def fit_width_basis(
    sigmas: Tensor, amplitudes: Tensor, s_max: float, tolerance: float, *, slopes: bool = False
) -> WidthBasis:
    """Find the fewest profiles that give the transform of beads to a tolerance.

    Parameters
    ----------
    sigmas, amplitudes
        Shape (N,): width in Å, and strength.
    s_max
        Highest frequency, 1/Å.
    tolerance
        Largest error, as a part of Σ amplitudes: of beads that scatter in phase, and of beads with
        random phases (three times the rms).
    slopes
        Whether derivatives by the widths shall be right, to ten times the tolerance.
    """
    variances = sigmas.double().cpu().square()
    rows, mass, power = _bin_variances(variances, amplitudes.double().cpu().abs(), spare=slopes)
    nodes = ((torch.arange(_NODES, dtype=torch.float64) + 0.5) * (s_max / _NODES)).square()
    gaussians = gaussian_profile(rows, nodes)
    slope = -_TWO_PI_SQUARED * rows[:, None] * nodes * gaussians
    # Every width counts, also one that few beads have.
    share = (mass / mass.sum() + 0.01 / len(rows)).sqrt()[:, None]
    left, size, right = torch.linalg.svd(share * gaussians, full_matrices=False)
    classes = 1
    while classes < int((size > _ROUNDING * size[0]).sum()):
        basis = right[:classes]
        error = _measure_error(gaussians, basis, mass, power)
        if slopes:
            error = max(error, 0.1 * _measure_error(slope, basis, mass, power))
        if error <= tolerance:
            break
        classes += 1
    # Each profile is a mixture of Gaussians, and so known at every frequency.
    extend = share * left[:, :classes] / size[:classes]
    return WidthBasis(nodes, right[:classes].T, rows, extend)


def _bin_variances(
    variances: Tensor, amplitudes: Tensor, *, spare: bool
) -> tuple[Tensor, Tensor, Tensor]:
    """Give up to 64 variances that stand for all, with Σ a and Σ a² of the beads near each.

    With `spare` they reach past the beads' own, so that their differences give derivatives.
    """
    values, index = torch.unique(variances, return_inverse=True)
    if len(values) > _NODES or spare:
        low, high = (float(values[0]), float(values[-1]))
        ends = (0.9 * low, 1.1 * high) if spare else (low, high)
        values = torch.linspace(*ends, _NODES, dtype=torch.float64)
        index = ((variances - ends[0]) / (values[1] - values[0])).round().long()
    mass = torch.zeros_like(values).index_add_(0, index, amplitudes)
    power = torch.zeros_like(values).index_add_(0, index, amplitudes.square())
    return values, mass, power


def _measure_error(wanted: Tensor, basis: Tensor, mass: Tensor, power: Tensor) -> float:
    """Error of projecting functions (V, S) on an orthonormal basis (C, S), relative to Σ mass."""
    missed = wanted - (wanted @ basis.T) @ basis
    in_phase = (mass @ missed).abs().max()
    at_random = 3 * (power @ missed.square()).max().sqrt()
    return float(torch.maximum(in_phase, at_random) / mass.sum())
