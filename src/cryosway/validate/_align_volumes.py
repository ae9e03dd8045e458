"""Rigid alignment of a map with another of the same molecule: all rotations, shifts, both hands."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import scipy.fft
import torch
from numpy.typing import NDArray
from scipy import ndimage
from scipy.optimize import minimize
from scipy.spatial.transform import Rotation
from torch import Tensor
from torch.nn.functional import grid_sample

from cryosway._errors import CryoswayError
from cryosway.protein import count_rotations, even_rotations
from cryosway.validate._mask import sphere_mask

FloatArray = NDArray[np.float64]
Volume = NDArray[np.float32]

_COARSE, _FINE = 20, 64  # voxels a side of the search, and at most of the fit that ends it
_STEP = 0.35  # radians between rotations: 2.5 of 20 voxels at two thirds of the radius
_CANDIDATES = 8
_BATCH = 64
_EXACT_UP_TO = 160  # voxels a side of maps that are sampled finely before they are turned


@dataclass(frozen=True, eq=False)
class VolumeAlignment:
    """How a map is brought into the frame of another: x ↦ R x + t, after mirroring z if need be.

    Attributes
    ----------
    rotation
        Shape (3, 3), acts on (x, y, z) about voxel D/2.
    shift
        Shape (3,), (x, y, z), share of the box.
    mirrored
        Whether the mirror of the map fits.
    correlation
        With the other map, at the resolution of the fit.
    """

    rotation: FloatArray
    shift: FloatArray
    mirrored: bool
    correlation: float

    @property
    def angle(self) -> float:
        """Degrees of the turn."""
        return float(np.degrees(Rotation.from_matrix(self.rotation).magnitude()))

    def apply(self, volume: Volume) -> Volume:
        """Turn and move a map (D, D, D); cubic splines on a grid twice as fine."""
        box = len(volume)
        given = _mirror(volume) if self.mirrored else volume
        finer = 2 if box <= _EXACT_UP_TO else 1
        fine = resize_volume(given, finer * box) if finer > 1 else given
        places = _grid(box) - self.shift * box
        sampled = finer * (places @ self.rotation) + finer * (box // 2)
        coordinates = sampled[:, ::-1].T.reshape(3, box, box, box)
        return np.asarray(
            ndimage.map_coordinates(fine, coordinates, order=3, mode="constant"), np.float32
        )


def align_volumes(
    volume: Volume,
    reference: Volume,
    *,
    mirror: bool = True,
    start: VolumeAlignment | None = None,
) -> VolumeAlignment:
    """Find the rotation and shift, and the hand, that bring a map onto a reference.

    All rotations about 20° apart are correlated at all shifts at once, on maps of 20 voxels a
    side; the best are refined there (BFGS), the winner on up to 64 voxels a side.

    Parameters
    ----------
    volume, reference
        Shape (D, D, D), of the same voxel size, protein positive.
    mirror
        Whether to try the other hand, too.
    start
        Only refine this, as for maps that share a frame.

    Returns
    -------
    VolumeAlignment

    Raises
    ------
    CryoswayError
        If the maps have different sizes.
    """
    if volume.shape != reference.shape:
        msg = (
            f"maps of {volume.shape} and {reference.shape} voxels are to be aligned; resample one "
            "to the grid of the other"
        )
        raise CryoswayError(msg)
    fine = _Level(volume, reference, min(2 * len(volume), _FINE))
    if start is not None:
        return fine.refine(start)
    coarse = _Level(volume, reference, min(len(volume), _COARSE))
    found = coarse.search(mirror=mirror)
    fitted = [coarse.refine(candidate) for candidate in found]
    return fine.refine(max(fitted, key=lambda one: one.correlation))


class _Level:
    """Both maps at one resolution, masked by a ball, of norm 1 within it."""

    def __init__(self, volume: Volume, reference: Volume, box: int) -> None:
        self.box = box
        ball = sphere_mask(box, 0.42 * box, 0.06 * box)
        self._reference = _normalise(resize_volume(reference, box), ball)
        given = resize_volume(volume, box)
        self._hands = [_normalise(hand, ball) for hand in (given, _mirror(given))]
        self._grid = torch.from_numpy(_grid(box)).float()

    def search(self, *, mirror: bool) -> list[VolumeAlignment]:
        """Give the best shift of the best rotations."""
        rotations = even_rotations(count_rotations(_STEP))
        target = torch.fft.rfftn(self._reference, dim=(-3, -2, -1))
        found = []
        for hand in range(2 if mirror else 1):
            for start in range(0, len(rotations), _BATCH):
                part = rotations[start : start + _BATCH]
                turned = self._turn(hand, torch.from_numpy(part).float())
                transform = torch.fft.rfftn(turned, dim=(-3, -2, -1)).conj() * target
                matched = torch.fft.irfftn(transform, s=(self.box,) * 3, dim=(-3, -2, -1))
                best, place = matched.flatten(1).max(dim=1)
                found += [
                    (float(value), hand, rotation, int(index))
                    for value, rotation, index in zip(best, part, place, strict=True)
                ]
        found.sort(key=lambda one: -one[0])
        return [
            VolumeAlignment(rotation, self._read_shift(index), bool(hand), value)
            for value, hand, rotation, index in found[:_CANDIDATES]
        ]

    def _read_shift(self, index: int) -> FloatArray:
        at = np.array(np.unravel_index(index, (self.box,) * 3), np.float64)[::-1]
        half = self.box // 2
        return np.asarray(((at + half) % self.box - half) / self.box)

    def _turn(self, hand: int, rotations: Tensor) -> Tensor:
        """Turn a hand of the map by rotations (B, 3, 3): shape (B, D, D, D)."""
        places = self._grid @ rotations  # Rᵀ x
        return self._sample(hand, places)

    def _sample(self, hand: int, places: Tensor) -> Tensor:
        unit = 2 * (places + self.box // 2) / (self.box - 1) - 1
        shape = (len(places), self.box, self.box, self.box)
        source = self._hands[hand].expand(len(places), 1, *shape[1:])
        return grid_sample(source, unit.reshape(*shape, 3), align_corners=True)[:, 0]

    def refine(self, start: VolumeAlignment) -> VolumeAlignment:
        """Climb to the maximum of the correlation next to an alignment."""
        base = torch.from_numpy(start.rotation).float()
        origin = torch.from_numpy(start.shift * self.box).float()
        radius = self.box / 4

        def loss(x: FloatArray) -> tuple[float, FloatArray]:
            move = torch.from_numpy(x).float().requires_grad_()
            rotation = torch.linalg.matrix_exp(_skew(move[:3] / radius)) @ base
            moved = self._sample(
                int(start.mirrored), ((self._grid - origin - move[3:]) @ rotation)[None]
            )
            value = -(moved[0] * self._reference).sum() / moved.norm().clamp(min=1e-12)
            value.backward()
            assert move.grad is not None
            return float(value.detach()), move.grad.double().numpy()

        best = minimize(loss, np.zeros(6), jac=True, method="BFGS", options={"maxiter": 40})
        turn = Rotation.from_rotvec(best.x[:3] / radius).as_matrix()
        shift = start.shift + best.x[3:] / self.box
        return VolumeAlignment(turn @ start.rotation, shift, start.mirrored, -float(best.fun))


def align_frame(volumes: Sequence[Volume], reference: Volume) -> VolumeAlignment:
    """Find the one frame that maps of a program share, from their mean."""
    mean = np.mean([volume / max(float(volume.std()), 1e-12) for volume in volumes], axis=0)
    return align_volumes(np.asarray(mean, np.float32), reference)


def _normalise(volume: Volume, ball: Volume) -> Tensor:
    inside = ball > 0.5
    centred = (volume - volume[~inside].mean()) * ball
    return torch.from_numpy(centred / max(float(np.linalg.norm(centred)), 1e-12)).float()


def _mirror(volume: Volume) -> Volume:
    """Mirror z about voxel D/2."""
    flipped = volume[::-1]
    return np.roll(flipped, 1, axis=0) if len(volume) % 2 == 0 else np.ascontiguousarray(flipped)


def resize_volume(volume: Volume, box: int) -> Volume:
    """Sample a map (D, D, D) on more or fewer voxels a side, by its transform.

    Its extent stays, and voxel D/2 the origin.
    """
    old = len(volume)
    if old == box:
        return np.asarray(volume, np.float32)
    shifted = scipy.fft.fftshift(
        scipy.fft.fftn(scipy.fft.ifftshift(np.asarray(volume, np.float32)), workers=-1)
    )
    start = abs(old // 2 - box // 2)
    if box < old:
        shifted = shifted[(slice(start, start + box),) * 3]
    else:
        shifted = np.pad(shifted, (start, box - old - start))
    resized = scipy.fft.fftshift(scipy.fft.ifftn(scipy.fft.ifftshift(shifted), workers=-1).real)
    return np.asarray(resized * (box / old) ** 3, np.float32)


def _grid(box: int) -> FloatArray:
    """Places (D³, 3) of all voxels, (x, y, z) from voxel D/2, in the order of the memory."""
    axis = np.arange(box, dtype=np.float64) - box // 2
    z, y, x = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([x, y, z], axis=-1).reshape(-1, 3)


def _skew(vector: Tensor) -> Tensor:
    x, y, z = vector
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero]).reshape(3, 3)
