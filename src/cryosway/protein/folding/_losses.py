"""Losses that train a folding network; transformers has its inference only.

Frames are those of the backbone, of N, Cα and C by Gram–Schmidt (Jumper et al., Nature 596, 583,
2021, supplement 1.8.1).
"""

import torch
from torch import Tensor
from torch.nn import functional

from cryosway.protein.comparison import LDDT_LIMITS, LDDT_RADIUS

_CLAMP = _SCALE = 10.0  # Å
_TINY = 1e-8


def backbone_frames(backbone: Tensor) -> tuple[Tensor, Tensor]:
    """Make frames from N, Cα and C.

    Parameters
    ----------
    backbone
        Shape (..., L, 3, 3), Å: atoms N, CA, C of each residue.

    Returns
    -------
    Rotations (..., L, 3, 3), whose columns are the axes, and origins (..., L, 3), the Cα.
    """
    n, alpha, c = backbone.unbind(-2)
    along = functional.normalize(c - alpha, dim=-1)
    side = n - alpha
    across = functional.normalize(side - (side * along).sum(-1, keepdim=True) * along, dim=-1)
    up = torch.linalg.cross(along, across, dim=-1)
    return torch.stack([along, across, up], dim=-1), alpha


def frame_aligned_point_error(
    frames: tuple[Tensor, Tensor],
    points: Tensor,
    true_frames: tuple[Tensor, Tensor],
    true_points: Tensor,
    *,
    clamp: float | None = _CLAMP,
) -> Tensor:
    """Measure how far points lie from the truth as seen from every frame (FAPE).

    The mean over frames i and points j of min(|T_i⁻¹ x_j − T_i'⁻¹ x_j'|, clamp) / 10 Å. Other than
    a superposition it tells a structure from its mirror image.

    Parameters
    ----------
    frames, true_frames
        Rotations (..., L, 3, 3) and origins (..., L, 3), Å.
    points, true_points
        Shape (..., P, 3), Å.
    clamp
        Å, beyond which errors do not count; None for never.

    Returns
    -------
    Shape (...).
    """
    seen, wanted = (
        torch.einsum("...lji,...lpj->...lpi", turn, at[..., None, :, :] - origin[..., None, :])
        for (turn, origin), at in ((frames, points), (true_frames, true_points))
    )
    error = ((seen - wanted).square().sum(-1) + _TINY).sqrt()
    if clamp is not None:
        error = error.clamp(max=clamp)
    return error.mean((-1, -2)) / _SCALE


def lddt_by_residue(points: Tensor, true_points: Tensor) -> Tensor:
    """Measure the lDDT (..., L), 0 to 1, of Cα (..., L, 3), Å; as `measure_lddt` does, in torch."""
    true_distance = torch.cdist(true_points, true_points)
    near = (true_distance <= LDDT_RADIUS) & ~torch.eye(
        true_points.shape[-2], dtype=torch.bool, device=points.device
    )
    change = (torch.cdist(points, points) - true_distance).abs()
    kept = torch.stack([(change < limit).to(points) for limit in LDDT_LIMITS]).mean(0)
    return (kept * near).sum(-1) / near.sum(-1).clamp(min=1)


def lddt_loss(logits: Tensor, points: Tensor, true_points: Tensor) -> Tensor:
    """Train the head that predicts lDDT: its cross-entropy with that of the structure.

    Parameters
    ----------
    logits
        Shape (..., L, bins), of equal bins from 0 to 1.
    points, true_points
        Shape (..., L, 3), Å: Cα. No gradient goes to them.

    Returns
    -------
    Shape (...): the mean over residues, nats.
    """
    bins = logits.shape[-1]
    true = lddt_by_residue(points.detach(), true_points)
    wanted = (true * bins).long().clamp(max=bins - 1)
    entropy = functional.cross_entropy(logits.movedim(-1, 1), wanted, reduction="none")
    return entropy.mean(-1)
