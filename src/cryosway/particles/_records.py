"""What every reader makes of its file: one table of particles, with where it came from."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa

from cryosway.particles._image_store import ImageStore
from cryosway.particles._star import StarBlock

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

CTF_COLUMNS = (
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "voltage",
    "cs",
    "amplitude_contrast",
    "phase_shift",
    "pixel_size",
    "optics_group",
    "bfactor",
    "scale",
)
# CTF = w cos γ − √(1 − w²) sin γ with γ = 0 and w = 1 is 1 everywhere: images without a CTF.
NO_CTF = {
    "defocus_u": 0.0,
    "defocus_v": 0.0,
    "defocus_angle": 0.0,
    "voltage": 300.0,
    "cs": 0.0,
    "amplitude_contrast": 1.0,
    "phase_shift": 0.0,
    "bfactor": 0.0,
    "scale": 1.0,
}


class Origin(ABC):
    """The metadata file as it was read, kept so that it can be written back whole."""

    @abstractmethod
    def take(self, rows: IntArray) -> "Origin":
        """Return the origin with only these particles, in this order."""


@dataclass(frozen=True)
class StarOrigin(Origin):
    """A STAR file: all of its blocks, which of them holds the particles, which the optics."""

    blocks: tuple[StarBlock, ...]
    particles: int
    optics: int | None

    def take(self, rows: IntArray) -> "StarOrigin":
        """Return the file with these rows of its particle block; other blocks stay whole."""
        blocks = list(self.blocks)
        blocks[self.particles] = blocks[self.particles].take(rows)
        return replace(self, blocks=tuple(blocks))


@dataclass(frozen=True)
class CsOrigin(Origin):
    """A cryoSPARC data set: its structured array (passthrough joined), and whose poses count."""

    table: npt.NDArray[np.void]
    alignments: str | None

    def take(self, rows: IntArray) -> "CsOrigin":
        """Return the data set with these rows."""
        return replace(self, table=self.table[rows])


@dataclass(frozen=True)
class ParticleRecords:
    """Particles as columns, row i of each being particle i.

    Attributes
    ----------
    stack_names : tuple of str
        Name of each stack as the metadata write it.
    store : ImageStore
        The pixels of these stacks.
    stack_of, index : numpy.ndarray
        Shape (N,): the stack of a particle and its 0-based place there.
    ctf : pandas.DataFrame
        Columns ``CTF_COLUMNS`` in the units of the conventions.
    has_ctf : bool
        False when the file had none and ``ctf`` stands for a CTF of 1.
    rotations, shifts : numpy.ndarray or None
        Shapes (N, 3, 3) and (N, 2) Å.
    half_sets : numpy.ndarray or None
        Shape (N,), int8, 1 or 2.
    uid : numpy.ndarray or None
        Shape (N,), uint64, of cryoSPARC.
    micrographs : pyarrow.Array or None
        Shape (N,), str.
    contrast : numpy.ndarray or None
        Shape (N,), int8: +1 protein white, −1 dark, 0 unknown.
    aberrations : tuple of str
        Columns with aberrations that are not applied.
    origin : Origin or None
        The file as read; None for bare stacks.
    poses_changed, ctf_changed : bool
        Whether poses or CTF differ from those in ``origin``.
    """

    stack_names: tuple[str, ...]
    store: ImageStore
    stack_of: npt.NDArray[np.int32]
    index: IntArray
    ctf: pd.DataFrame
    has_ctf: bool = True
    rotations: FloatArray | None = None
    shifts: FloatArray | None = None
    half_sets: npt.NDArray[np.int8] | None = None
    uid: npt.NDArray[np.uint64] | None = None
    micrographs: pa.Array | None = None
    contrast: npt.NDArray[np.int8] | None = None
    aberrations: tuple[str, ...] = ()
    origin: Origin | None = None
    poses_changed: bool = False
    ctf_changed: bool = False

    def __len__(self) -> int:
        return len(self.index)

    @property
    def boxes(self) -> IntArray:
        """Pixels along an edge of each particle's image, shape (N,)."""
        return stack_boxes(self.store)[self.stack_of]

    def take(self, rows: IntArray) -> "ParticleRecords":
        """Return the records of these particles, in this order; the stacks are shared."""
        arrays = {
            name: value[rows]
            for name in ("stack_of", "index", "rotations", "shifts", "half_sets", "uid", "contrast")
            if (value := getattr(self, name)) is not None
        }
        return replace(
            self,
            **arrays,
            ctf=self.ctf.iloc[rows].reset_index(drop=True),
            micrographs=None if self.micrographs is None else self.micrographs.take(pa.array(rows)),
            origin=None if self.origin is None else self.origin.take(rows),
        )


@dataclass(frozen=True)
class ReadOptions:
    """How to read a metadata file.

    Attributes
    ----------
    images_dir : Path or None
        Where the stacks are, if not where the file says.
    accept_defaults : bool
        Whether the user agrees to 300 kV, 2.7 mm and 0.1 where the file does not say.
    need_poses, need_ctf : bool
        False when these come from another file, so that lacking them is no error.
    """

    images_dir: Path | None = None
    accept_defaults: bool = False
    need_poses: bool = True
    need_ctf: bool = True


def stack_boxes(store: ImageStore) -> IntArray:
    """Edge of the images of each stack, shape (number of stacks,)."""
    return np.array([layout.shape[2] for layout in store.layouts], np.int64)


def group_rows(columns: Sequence[npt.NDArray[Any]]) -> IntArray:
    """Give each distinct combination of some columns a number 1, 2, … as they first appear.

    Returns
    -------
    numpy.ndarray
        Shape (N,), int64.
    """
    frame = pd.DataFrame(dict(enumerate(columns)))
    grouped = frame.groupby(list(frame.columns), sort=False, dropna=False)
    return grouped.ngroup().to_numpy().astype(np.int64) + 1


def widen_float32(values: npt.NDArray[np.floating[Any]]) -> FloatArray:
    """Widen float32 to the float64 whose shortest decimal it is: 1.3450001 was 1.345."""
    if values.dtype != np.float32:
        return values.astype(np.float64)
    distinct, inverse = np.unique(values, return_inverse=True)
    if len(distinct) > 10_000:
        return values.astype(np.float64)
    return np.array([float(str(value)) for value in distinct])[inverse].reshape(values.shape)
