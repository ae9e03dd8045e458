"""What picking programs also pick: empty ice, contaminants, pairs and broken particles."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from cryosway.optics import (
    fft2_half,
    half_plane_frequencies,
    ifft2_half,
    random_rotations,
    shift_images,
)
from cryosway.simulate._project import Projector

Rng = np.random.Generator


def make_junk(label: str, signal: Tensor, state: int, projector: Projector, rng: Rng) -> Tensor:
    """Replace the half plane of one clean projection, shape (D, D//2+1), by junk of a kind.

    Parameters
    ----------
    label
        ``noise``, ``ice``, ``overlap`` or ``broken``.
    signal
        The projection that a good particle would have had, before its CTF and shift.
    state
        Its state, also that of an overlapping neighbour.
    projector
        Gives the neighbour.
    rng
        The image's own stream.
    """
    return _KINDS[label](signal, state, projector, rng)


def _make_noise(signal: Tensor, state: int, projector: Projector, rng: Rng) -> Tensor:
    del state, projector, rng
    return torch.zeros_like(signal)


def _make_ice(signal: Tensor, state: int, projector: Projector, rng: Rng) -> Tensor:
    """Three to eight dense blobs, a few pixels wide, of three times the particle's power.

    Power counts where the CTF lets it through, at 0.02 to 0.1 cycles per pixel.
    """
    del state, projector
    box = signal.shape[0]
    k = half_plane_frequencies(box)
    count = int(rng.integers(3, 9))
    centres = torch.from_numpy(rng.uniform(-0.3, 0.3, (count, 2)) * box).float()
    widths = torch.from_numpy(rng.uniform(0.02, 0.06, count) * box).float()
    damping = torch.exp(-2 * torch.pi**2 * widths[:, None, None] ** 2 * k.square().sum(-1))
    blobs = shift_images(damping.to(signal.dtype), centres).sum(dim=0)
    blobs[box // 2] = 0
    blobs[:, box // 2] = 0
    radius = torch.linalg.vector_norm(k, dim=-1)
    band = (radius > 0.02) & (radius < 0.1)
    power = signal[band].abs().square().sum() / blobs[band].abs().square().sum()
    return blobs * torch.sqrt(3 * power)


def _make_overlap(signal: Tensor, state: int, projector: Projector, rng: Rng) -> Tensor:
    """Add a particle in another view, a quarter to a third of the box away."""
    other = projector.project(np.array([state]), random_rotations(1, rng))
    angle, distance = rng.uniform(0, 2 * np.pi), rng.uniform(0.25, 0.35) * signal.shape[0]
    shift = torch.tensor([[distance * np.cos(angle), distance * np.sin(angle)]])
    return signal + shift_images(torch.from_numpy(other), shift)[0].to(signal.dtype)


def _make_broken(signal: Tensor, state: int, projector: Projector, rng: Rng) -> Tensor:
    """One side of a line near the centre is gone, softly."""
    del state, projector
    box = signal.shape[0]
    axis = torch.arange(box) - box // 2
    angle, offset = rng.uniform(0, 2 * np.pi), rng.uniform(-0.05, 0.05) * box
    distance = np.cos(angle) * axis[None] + np.sin(angle) * axis[:, None] - offset
    broken = fft2_half(ifft2_half(signal) * torch.sigmoid(distance.float()))
    broken[box // 2] = 0
    broken[:, box // 2] = 0
    return broken.to(signal.dtype)


_Maker = Callable[[Tensor, int, Projector, Rng], Tensor]
_KINDS: dict[str, _Maker] = {
    "noise": _make_noise,
    "ice": _make_ice,
    "overlap": _make_overlap,
    "broken": _make_broken,
}
