"""Whole rows of a real data set's metadata, so that view, shift and defocus stay jointly real."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cryosway._errors import CryoswayError

FloatArray = NDArray[np.float64]

# cryoDRGN's columns after D and Å/px.
_CTF_COLUMNS = (
    "defocus_u",
    "defocus_v",
    "defocus_angle",
    "voltage",
    "cs",
    "amplitude_contrast",
    "phase_shift",
)


@dataclass(frozen=True, eq=False)
class RealRows:
    """Rotations (M, 3, 3), shifts (M, 2) in Å and CTF columns of M real particles."""

    rotations: FloatArray
    shifts_angstrom: FloatArray
    ctf: pd.DataFrame

    @classmethod
    def read(cls, path: Path) -> "RealRows":
        """Read an npz with rot (M,3,3), trans_fraction (M,2) and ctf (M,9), as cryoDRGN's files.

        The shifts are a fraction of the box; columns 0 and 1 of ctf (box in pixels, Å per
        pixel) say how long that is.
        """
        arrays = _read_arrays(path)
        rot, trans, ctf = (arrays[name].astype(np.float64) for name in _SHAPES)
        # Stored in float32: bring the matrices back onto SO(3).
        u, _, vt = np.linalg.svd(rot)
        shifts = trans * (ctf[:, 0] * ctf[:, 1])[:, None]
        table = pd.DataFrame({name: ctf[:, 2 + i] for i, name in enumerate(_CTF_COLUMNS)})
        return cls(u @ vt, shifts, table)

    def __len__(self) -> int:
        return len(self.rotations)

    def draw(self, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Draw rows without replacement while they last, in random order."""
        rounds = [rng.permutation(len(self)) for _ in range(-(-count // len(self)))]
        return np.concatenate(rounds)[:count]


_SHAPES = {"rot": (3, 3), "trans_fraction": (2,), "ctf": (9,)}


def _read_arrays(path: Path) -> dict[str, NDArray[np.float32]]:
    if not path.is_file():
        msg = f"{path}: no such metadata file; give an npz with {', '.join(_SHAPES)}"
        raise CryoswayError(msg)
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _SHAPES}
    except (OSError, ValueError, KeyError) as error:
        msg = f"{path}: not an npz with arrays {', '.join(_SHAPES)} ({error})"
        raise CryoswayError(msg) from error
    for name, shape in _SHAPES.items():
        if arrays[name].shape[1:] != shape or len(arrays[name]) != len(arrays["rot"]):
            msg = f"{path}: array {name} has shape {arrays[name].shape}; expected (M, {shape})"
            raise CryoswayError(msg)
    return arrays
