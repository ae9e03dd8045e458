"""A solvent mask that holds what moves, not only what the mean map shows."""

from dataclasses import replace

import torch
from torch import Tensor

from cryosway.inference._consensus import Consensus
from cryosway.inference._expectation_maximisation import accumulate_step, solve_step
from cryosway.inference._fit_basis import FitState, make_setting
from cryosway.inference._image_source import ImageSource
from cryosway.optics import resize_volumes
from cryosway.validate import add_varying_parts, sphere_mask

_BALL = 0.46  # of the box


def widen_mask(
    source: ImageSource, state: FitState, consensus: Consensus, half: Tensor, pixel_size: float
) -> Tensor:
    """Add to the mask of a consensus the parts that the fitted components move.

    The components are solved once more, from each half-set, without the mask: Σ λ_k c_k c'_k of
    the two has the variance of the density, and no bias by noise.

    Parameters
    ----------
    source
        The images as far as the components were fitted.
    state
        Components within the mask.
    half
        Shape (N,), 0 or 1.
    pixel_size
        Å per voxel of the mask.

    Returns
    -------
    Shape (D, D, D).
    """
    box = consensus.mask.shape[-1]
    ball = torch.from_numpy(sphere_mask(box, _BALL * box, 2.0))
    basis = state.basis.resized(2 * (source.radius + 1))
    setting = make_setting(
        replace(consensus, mask=ball), half, source.radius, basis.components,
        state.contrast_sd, state.poses,
    )  # fmt: skip
    step = accumulate_step(source, basis, setting)
    first, second = (solve_step(step, basis, setting, part)[1:] for part in (0, 1))
    variances = torch.from_numpy(basis.variances).float()
    shared = torch.einsum("k,kxyz,kxyz->xyz", variances, first, second)
    found = resize_volumes(shared, box).numpy()
    return torch.from_numpy(add_varying_parts(consensus.mask.numpy(), found, pixel_size))
