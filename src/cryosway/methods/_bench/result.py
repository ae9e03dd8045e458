"""What is scored, of whatever program: the maps and latents that it found for a set's images."""

from abc import ABC, abstractmethod
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cryosway._errors import CryoswayError
from cryosway.validate import resize_volume

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Volume = NDArray[np.float32]


class Result(ABC):
    """Maps and latents that a program found for the images of a set.

    Attributes
    ----------
    path
        The folder.
    rows
        Shape (n,): rows of the set that latents and classes are of.
    latents
        Shape (n, k), or None.
    classes
        Shape (n,): a class for each, or None.
    """

    path: Path
    rows: IntArray
    latents: FloatArray | None
    classes: IntArray | None

    @property
    def facts(self) -> dict[str, Any]:
        """Program, cost and whatever else the folder tells."""
        return {}

    @property
    @abstractmethod
    def images(self) -> IntArray | None:
        """Rows of the images that have a map, or None where all of `rows` have one."""

    @abstractmethod
    def map_key(self, row: int) -> int:
        """Give a number that images with the same map have in common."""

    @abstractmethod
    def map_of(self, row: int) -> Volume:
        """Give the map of an image."""

    @abstractmethod
    def map_at(self, latent: FloatArray) -> Volume | None:
        """Give the map at a latent, where there can be one."""

    @abstractmethod
    def consensus(self) -> Volume | None:
        """Give the map of all images, where there is one."""

    @cached_property
    def places(self) -> dict[int, int]:
        """Where in `rows` each row of the set is."""
        return {int(row): place for place, row in enumerate(self.rows)}


def match_grid(volume: Volume, box: int, name: str | Path) -> Volume:
    """Bring a map of the same extent to the grid of the truth."""
    if len(volume) == box:
        return volume
    if len(set(volume.shape)) != 1 or len(volume) % 2 or box % 2:
        msg = f"{name} has maps of {volume.shape} voxels, the truth {box}; give them on its grid"
        raise CryoswayError(msg)
    return resize_volume(volume, box)
