"""A map as docking sees it: a cube with its place in space."""

from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.optics import resize_volumes
from cryosway.particles import MapInfo, read_map
from cryosway.validate import low_pass

FloatArray = NDArray[np.float64]
Volume = NDArray[np.float32]

_UNEQUAL_VOXELS = 0.01


@dataclass(frozen=True, eq=False)
class DockingMap:
    """A cube of density, its voxel size and its place.

    Attributes
    ----------
    density
        Shape (D, D, D), float32, axes (z, y, x), D even; the solvent is about 0.
    pixel_size
        Å per voxel.
    origin
        Shape (3,), Å, (x, y, z) of the first voxel in the frame of the file, in which ChimeraX
        and others show it.
    """

    density: Volume
    pixel_size: float
    origin: FloatArray

    @classmethod
    def read(cls, path: str | PathLike[str]) -> "DockingMap":
        """Read a map file; what is not an even cube is padded to one.

        Raises
        ------
        CryoswayError
            If the file is no map, or its voxels have no size or are no cubes.
        """
        density, info = read_map(path)
        return cls.of(density, info, Path(path))

    @classmethod
    def of(cls, density: Volume, info: MapInfo, path: Path | str = "the map") -> "DockingMap":
        """Make one of a density with its voxel size and origin; `path` is named in errors."""
        sizes = np.array(info.voxel_size if all(info.voxel_size) else [info.pixel_size] * 3)
        if not (sizes > 0).all():
            msg = f"{path} has no voxel size in its header; write it there, Å per voxel"
            raise CryoswayError(msg)
        if np.ptp(sizes) > _UNEQUAL_VOXELS * sizes.mean():
            x, y, z = sizes
            msg = f"{path} has voxels of {x:.4g} × {y:.4g} × {z:.4g} Å; resample it to cubic voxels"
            raise CryoswayError(msg)
        values = np.asarray(density, np.float32)
        if not np.isfinite(values).all() or values.std() == 0:
            msg = f"{path} holds no density (all voxels are alike, or some are not numbers)"
            raise CryoswayError(msg)
        faces = [np.take(values, end, axis).ravel() for axis in range(3) for end in (0, -1)]
        values = values - np.median(np.concatenate(faces))
        box = max(values.shape) + max(values.shape) % 2
        padding = [((box - n) // 2, box - n - (box - n) // 2) for n in values.shape]
        before = np.array([low for low, _ in padding][::-1])
        pixel_size = float(sizes.mean())
        origin = np.asarray(info.origin, np.float64) - before * pixel_size
        return cls(np.pad(values, padding), pixel_size, origin)

    @property
    def box(self) -> int:
        """Voxels a side."""
        return len(self.density)

    @property
    def centre(self) -> FloatArray:
        """Å, (x, y, z) of voxel D/2: the origin of the frame of particles and poses."""
        return self.origin + self.box // 2 * self.pixel_size

    def resample(self, resolution: float, voxels_per_resolution: float) -> "DockingMap":
        """Low-pass to a resolution, Å, and sample as coarsely as that allows.

        The amplitude falls to 1/e at the resolution; the place of voxel D/2 stays.
        """
        wanted = self.box * self.pixel_size * voxels_per_resolution / resolution
        box = min(self.box, max(16, 2 * int(np.ceil(wanted / 2))))
        resized = resize_volumes(torch.from_numpy(self.density), box) * (box / self.box) ** 3
        pixel_size = self.pixel_size * self.box / box
        smooth = low_pass(resized.numpy(), pixel_size, resolution)
        return DockingMap(smooth, pixel_size, self.centre - box // 2 * pixel_size)

    def mirrored(self) -> "DockingMap":
        """Give the other hand: mirrored along z about voxel D/2."""
        return DockingMap(
            np.roll(self.density[::-1], 1, axis=0).copy(), self.pixel_size, self.origin
        )

    def inverted(self) -> "DockingMap":
        """Give the negative."""
        return DockingMap(-self.density, self.pixel_size, self.origin)
