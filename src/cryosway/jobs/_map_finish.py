"""What is done to a density on its way to a file: sampled, filtered, cropped, mirrored."""

from dataclasses import dataclass
from typing import final

import numpy as np
import numpy.typing as npt

from cryosway._errors import CryoswayError

Volume = npt.NDArray[np.float32]


@final
@dataclass(frozen=True)
class MapFinish:
    """How densities are written.

    Attributes
    ----------
    box : int, optional
        Voxels a side to sample the same extent with, even; finer shells are dropped.
    low_pass : float, optional
        Å at which a Gaussian filter's amplitude is 1/e.
    crop : int, optional
        Voxels a side to keep about the centre, even.
    flip_hand : bool
        Mirror the density along z.
    invert : bool
        Change its sign.
    """

    box: int | None = None
    low_pass: float | None = None
    crop: int | None = None
    flip_hand: bool = False
    invert: bool = False

    def check(self, box: int, pixel_size: float) -> None:
        """Say what does not fit maps of `box` voxels of `pixel_size` Å.

        Raises
        ------
        CryoswayError
            When it cannot be done.
        """
        sampled = self.box or box
        for name, size, limit in (("box", self.box, box), ("crop", self.crop, sampled)):
            if size is not None and not (2 <= size <= limit and size % 2 == 0):
                message = f"{name} is {size}: give an even number of voxels up to {limit}"
                raise CryoswayError(message)
        if self.low_pass is not None and not self.low_pass > 0:
            message = f"low_pass is {self.low_pass}: give a resolution in Å"
            raise CryoswayError(message)

    def pixel_size(self, box: int, pixel_size: float) -> float:
        """Å per voxel of what is written."""
        return pixel_size * box / (self.box or box)

    def origin(self, box: int, pixel_size: float) -> tuple[float, float, float]:
        """Å, place of the first voxel, so that a cropped map lies on the whole one."""
        sampled = self.box or box
        low = 0 if self.crop is None else (sampled - self.crop) // 2
        return (low * self.pixel_size(box, pixel_size),) * 3

    def apply(self, density: Volume, pixel_size: float) -> Volume:
        """Give the density as it is written.

        Parameters
        ----------
        density : ndarray
            Shape (D, D, D), axes (z, y, x).
        pixel_size : float
            Å per voxel.
        """
        import torch

        from cryosway.optics import fft3_half, frequency_radius, ifft3_half, resize_volumes

        box = len(density)
        if self.box is not None and self.box != box:
            resized = resize_volumes(torch.from_numpy(np.ascontiguousarray(density)), self.box)
            density = resized.mul_((self.box / box) ** 3).numpy()
        if self.low_pass is not None:
            extent = pixel_size * box  # Å, the same before and after sampling
            transform = fft3_half(torch.from_numpy(np.ascontiguousarray(density)))
            k = frequency_radius(len(density), transform.device)
            density = ifft3_half(
                transform * torch.exp(-((k * self.low_pass / extent) ** 2))
            ).numpy()
        if self.crop is not None:
            low = (len(density) - self.crop) // 2
            density = density[(slice(low, low + self.crop),) * 3]
        if self.flip_hand:  # about the voxel that is the origin, D / 2
            density = np.roll(density[::-1], 1, axis=0)
        return np.asarray(-density if self.invert else density, np.float32)
